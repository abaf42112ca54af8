"""Blur: a picture in which nothing is sharp.

Soft light and smooth gradients are not blur, so only the sharpest part of what has contrast is measured, and a picture
too flat to have any passes.

Method: Zhuo and Sim (2011), "Defocus map estimation from a single image", section 3. An edge of Gaussian width s has,
after further smoothing with sigma a, the peak gradient c/sqrt(s² + a²); so the ratio of its gradients at two smoothings
a < b, R = sqrt((s² + b²)/(s² + a²)), gives s² = (b² − R²·a²)/(R² − 1). The energy of a gradient across an edge goes
with its peak, so here R is the ratio of energies over blocks, less the energy that rounding to 8 bits leaves in a
gradient: dark and soft pictures are measured as surely as bright ones. Points and fine texture come out sharper still.
"""

import math
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.base import Scalar
from ancestra_farm.filters.check import Finding
from ancestra_farm.filters.pixels import Frames, Plane, eight_bit, looked_at, luma, most

#: Heights are brought down to this before measuring: sharpness is judged as the picture is seen, not per pixel.
HEIGHT = 144
#: Smoothings in pixels, and the gradient energy that rounding (noise uniform in ±1/2 level) leaves after each, in
#: levels² a pixel²: measured on white noise, which is what rounding is where a picture is not flat.
_NEAR, _FAR = (0.4, 0.0299), (0.8, 0.0065)
#: Blocks are squares of so many pixels; those count whose gradient is at least so many levels a pixel (root mean
#: square, at the far smoothing) and above the median block's.
_BLOCK, _MIN_GRADIENT, _CONTRASTED = 12, 0.5, 0.5
#: The sharpest of the blocks: this quantile of their widths.
_SHARPEST = 0.02
#: In small pictures the grid itself limits sharpness: edges this narrow, in pixels of the picture, are never blurred.
#: Below 72 rows there are too few blocks to find the sharpest, and softness is given more room.
_FINEST, _FINEST_OF_FEW, _FEW_ROWS = 0.4, 0.55, 72


def blur(frames: Frames, settings: Mapping[str, Scalar]) -> Finding:
    """Score ``blur_width``: width (sigma) of the sharpest edges, in pixels of a picture 144 high; lower is better.

    Rejected above ``max_width``. Of a clip, the blurriest frame but one of those looked at.
    """
    width = most([edge_width(seen_plane(frame)) for frame in looked_at(eight_bit(frames))])
    rows = min(frames.shape[1], HEIGHT)
    finest = _FINEST_OF_FEW if rows < _FEW_ROWS else _FINEST
    if width <= max(float(settings["max_width"]), finest * HEIGHT / rows):
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
    """Sigma of the sharpest edges of luma uint8 [H, W], in pixels of a picture `HEIGHT` high; 0: none, or sharp."""
    near, far = _energy(plane, *_NEAR), _energy(plane, *_FAR)
    counted = far >= max(_MIN_GRADIENT**2, float(np.quantile(far, 1 - _CONTRASTED)))
    if not counted.any():
        return 0.0
    ratios = np.maximum(near[counted] / far[counted], 1.0 + 1e-3) ** 2
    squares = (_FAR[0] ** 2 - ratios * _NEAR[0] ** 2) / (ratios - 1.0)
    return math.sqrt(max(float(np.quantile(squares, _SHARPEST)), 0.0)) * HEIGHT / plane.shape[0]


def _energy(plane: Plane, sigma: float, rounding: float) -> NDArray[np.float32]:
    """Mean squared gradient of each block after smoothing, less what rounding adds; in levels² a pixel²."""
    smooth = cv2.GaussianBlur(plane.astype(np.float32), (0, 0), sigma)
    across, down = cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    energy = cv2.blur(across * across + down * down, (_BLOCK, _BLOCK))[_BLOCK // 2 :: _BLOCK, _BLOCK // 2 :: _BLOCK]
    return np.maximum(energy / 32.0**2 - rounding, 0.0).astype(np.float32)
