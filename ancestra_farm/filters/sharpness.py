"""Blur: a picture whose sharpest edges are wide.

Soft light and smooth gradients are not blur; a picture is blurred when nothing in it is sharp. So only the sharpest
edges are measured, and a picture too flat to have any passes.

Method: Zhuo and Sim (2011), "Defocus map estimation from a single image", section 3. An edge of Gaussian width s has,
after further smoothing with sigma a, the peak gradient c/sqrt(s² + a²); so the ratio of its gradients at two smoothings
a < b, R = sqrt((s² + b²)/(s² + a²)), gives s² = (b² − R²·a²)/(R² − 1). Points and fine texture come out sharper still.
"""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.base import Scalar
from ancestra_farm.filters.check import Finding
from ancestra_farm.filters.pixels import Frames, Plane, eight_bit, looked_at, luma, most

#: Heights are brought down to this before measuring: sharpness is judged as the picture is seen, not per pixel.
HEIGHT = 144
#: Smoothings in pixels: the first quiets noise, the second tells wide edges from narrow ones.
_NEAR, _FAR = 0.7, 2.0
#: Edges are pixels whose gradient at the far smoothing is at least so many levels a pixel, and among the strongest.
_MIN_GRADIENT = 0.6
_STRONGEST = 0.15
#: The sharpest of the edges: this quantile of their widths.
_SHARPEST = 0.1


def blur(frames: Frames, settings: Mapping[str, Scalar]) -> Finding:
    """Score ``blur_width``: width (sigma) of the sharpest edges, in pixels of a picture 144 high; lower is better.

    Rejected above ``max_width``. Of a clip, the blurriest frame but one of those looked at.
    """
    width = most([edge_width(seen_plane(frame)) for frame in looked_at(eight_bit(frames))])
    if width <= float(settings["max_width"]):
        return Finding({"blur_width": width})
    return Finding({"blur_width": width}, f"blurred: its sharpest edges are {width:.1f} px wide at {HEIGHT} px height")


def seen_plane(frame: NDArray[np.uint8]) -> Plane:
    """Luma of a frame, averaged down to `HEIGHT` where it is taller."""
    plane = luma(frame)
    height, width = plane.shape
    if height <= HEIGHT:
        return plane
    size = (max(round(width * HEIGHT / height), 8), HEIGHT)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)


def edge_width(plane: Plane) -> float:
    """Sigma in pixels of the sharpest edges of luma uint8 [H, W], in units of a picture `HEIGHT` high; 0: no edges."""
    near, far = _gradient(plane, _NEAR), _gradient(plane, _FAR)
    floor = max(_MIN_GRADIENT, float(np.quantile(far, 1 - _STRONGEST)))
    edges = far >= floor
    if int(edges.sum()) < 16:
        return 0.0
    ratio = np.maximum((near[edges] / far[edges]) ** 2, 1.0 + 1e-3)
    squares = (_FAR**2 - ratio * _NEAR**2) / (ratio - 1.0)
    return float(np.sqrt(max(float(np.quantile(squares, _SHARPEST)), 0.0))) * HEIGHT / max(plane.shape[0], 1)


def _gradient(plane: Plane, sigma: float) -> NDArray[np.float32]:
    smooth = cv2.GaussianBlur(plane.astype(np.float32), (0, 0), sigma)
    across, down = cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    return np.asarray(cv2.magnitude(across, down), np.float32) / 32.0
