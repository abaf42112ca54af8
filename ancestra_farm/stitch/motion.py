"""How pictures move: dense optical flow between two frames, and reading one frame along it.

Flow is DIS (Kroeger et al., "Fast optical flow using dense inverse search", 2016) as OpenCV has it. What the flow is
used for, judging a seam or drawing a frame between two others, is decided by the callers.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

#: DIS needs room for its coarsest patches: smaller pictures are padded to this many pixels by repeating their edge.
_LEAST_SIDE: Final = 64


def luma_of(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma of a frame, uint8 [H, W, 3] to uint8 [H, W]."""
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def flow_between(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Where each pixel of ``one`` is in ``other``: float32 [H, W, 2], (x, y) in pixels. Both are luma, uint8 [H, W].

    The fast preset: frames drawn between others with the medium one were no nearer to the truth, at twice the time.
    """
    height, width = one.shape
    size = (max(height, _LEAST_SIDE), max(width, _LEAST_SIDE))
    padded = [
        cv2.copyMakeBorder(picture, 0, size[0] - height, 0, size[1] - width, cv2.BORDER_REPLICATE)
        for picture in (one, other)
    ]
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = engine.calc(padded[0], padded[1], np.zeros((*size, 2), dtype=np.float32))
    return np.asarray(flow, dtype=np.float32)[:height, :width]


def warp(picture: NDArray[np.uint8], flow: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``picture`` read at x + flow(x), bilinear, edges repeated: uint8 [H, W] or [H, W, 3]."""
    return np.asarray(_read_along(picture, flow), dtype=np.uint8)


def warp_flow(field: NDArray[np.float32], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """A flow field, float32 [H, W, 2], read at x + flow(x)."""
    return np.asarray(_read_along(field, flow), dtype=np.float32)


def _read_along(picture: NDArray[np.uint8] | NDArray[np.float32], flow: NDArray[np.float32]) -> NDArray[np.generic]:
    height, width = flow.shape[:2]
    xs, ys = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(picture, xs + flow[..., 0], ys + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved)
