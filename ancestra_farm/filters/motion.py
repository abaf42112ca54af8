"""What only a clip gets wrong: frames that stand still or repeat, brightness that flickers, a cut within the take."""

from collections.abc import Mapping
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.base import Scalar
from ancestra_farm.filters.check import Finding
from ancestra_farm.filters.pixels import Frames, eight_bit, luma, small

#: Clips are compared at this size on their long side: small enough to be quick and to average noise away.
_SIDE = 96


def frozen(frames: Frames, settings: Mapping[str, Scalar]) -> Finding:
    """Score ``frozen_share``: share of neighbouring frames that show the same, in [0, 1]; lower is better.

    The same: no pixel of the small luma differs by more than ``max_levels``. Rejected above ``max_share``.
    """
    stack = _small_lumas(frames)
    changes = [float(cv2.absdiff(before, after).max()) for before, after in pairwise(stack)]
    still = [change <= float(settings["max_levels"]) for change in changes]
    share = sum(still) / len(still)
    if share <= float(settings["max_share"]):
        return Finding({"frozen_share": share})
    return Finding({"frozen_share": share}, f"{sum(still)} of {len(still)} frames repeat the one before")


def flicker(frames: Frames, settings: Mapping[str, Scalar]) -> Finding:
    """Score ``flicker_share``: brightness that goes up and down again from frame to frame, as a share of it.

    Brightness is the mean logarithm of 8×8 tiles, in which a lamp that blinks counts as one tile and what only moves
    not at all. It must turn twice: up and down again and back. Rejected above ``max_share``; lower is better.
    """
    gains = np.diff(_log_tiles(frames).mean(axis=1))
    turns = np.where(gains[:-1] * gains[1:] < 0, np.minimum(np.abs(gains[:-1]), np.abs(gains[1:])), 0.0)
    depth = float(np.expm1(np.sort(turns)[-2] / 2)) if len(turns) > 1 else 0.0
    if depth <= float(settings["max_share"]):
        return Finding({"flicker_share": depth})
    return Finding({"flicker_share": depth}, f"flickers: brightness alternates by ±{depth:.1%}")


def cut(frames: Frames, settings: Mapping[str, Scalar]) -> Finding:
    """Score ``cut_jump``: the largest difference between neighbouring frames over the usual one; lower is better.

    Rejected above ``max_jump``.
    """
    stack = _small_lumas(frames).astype(np.float32)
    steps = np.abs(np.diff(stack, axis=0)).mean(axis=(1, 2))
    jump = float(steps.max() / max(float(np.median(steps)), 0.5))
    if jump <= float(settings["max_jump"]):
        return Finding({"cut_jump": jump})
    at = int(steps.argmax()) + 1
    return Finding({"cut_jump": jump}, f"cuts at frame {at}: a jump {jump:.1f} times the usual change")


def _small_lumas(frames: Frames) -> NDArray[np.uint8]:
    return np.stack([small(luma(frame), _SIDE) for frame in eight_bit(frames)])


def _log_tiles(frames: Frames) -> NDArray[np.float64]:
    """Logarithm of the mean of each of 8×8 tiles, float64 [T, 64]; 1 level is added so that black tiles are finite."""
    stack = [small(luma(frame), _SIDE).astype(np.float32) for frame in eight_bit(frames)]
    tiles = [cv2.resize(plane, (8, 8), interpolation=cv2.INTER_AREA) for plane in stack]
    return np.log(np.stack(tiles).reshape(len(tiles), -1).astype(np.float64) + 1.0)
