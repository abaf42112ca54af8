"""Optical flow as colours: the wheel of Baker et al. ("A database and evaluation methodology for optical flow", 2011).

Hue says where to, saturation how fast, white is rest. Models that take flow as a control clip were trained on it; its
colours are pure hues, so the way back is exact up to rounding.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

#: Where on the wheel of 55 colours each sixth of the hues begins: it has more steps where eyes tell more apart.
_STEPS = np.array([0, 15, 21, 25, 36, 49, 55], np.float32)
_HUES = np.array([0, 60, 120, 180, 240, 300, 360], np.float32)
#: Slower than this, in pixels a frame, is rest: what a clip that hardly moves is measured against.
_LEAST_SPEED = 0.5


def coloured(flow: NDArray[np.float32], speed: float | None = None) -> NDArray[np.uint8]:
    """Flow, float32 [..., H, W, 2] in pixels (x, y), as uint8 [..., H, W, 3].

    ``speed``: what is fully saturated, in pixels; None: the fastest of all, so that one clip has one measure.
    """
    lengths = np.linalg.norm(flow, axis=-1)
    fastest = max(float(lengths.max()), _LEAST_SPEED) if speed is None else speed
    # The angle of −flow, and 0 … 1 around the wheel, as the authors' own code has it.
    turn = (np.arctan2(-flow[..., 1], -flow[..., 0]) / np.pi + 1) / 2
    hue = np.interp(turn * 54.0, _STEPS, _HUES)
    shown = np.stack([hue, np.minimum(lengths / fastest, 1.0), np.ones_like(hue)], axis=-1).astype(np.float32)
    flat = shown.reshape(-1, shown.shape[-2], 3)
    rgb = np.asarray(cv2.cvtColor(flat, cv2.COLOR_HSV2RGB)).reshape(shown.shape)
    return np.rint(rgb * 255.0).astype(np.uint8)


def flow_of(colours: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Flow from its colours, float32 [..., H, W, 2]: its direction, and its speed as a share of the fastest."""
    flat = colours.reshape(-1, colours.shape[-2], 3).astype(np.float32) / 255.0
    shown = np.asarray(cv2.cvtColor(flat, cv2.COLOR_RGB2HSV)).reshape(colours.shape)
    turn = np.interp(shown[..., 0], _HUES, _STEPS) / 54.0
    angle = (turn * 2 - 1) * np.pi
    flow = -shown[..., 1:2] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return flow.astype(np.float32)
