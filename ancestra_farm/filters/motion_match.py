"""How well a clip moves as its guide does: the correlation of their optical flows.

The flow of the clip is measured; that of the guide is handed in, measured in the same way or decoded from its colours.
Vectors are compared place by place and frame by frame, with their lengths, so that moving the right way at the wrong
moment counts as little as moving elsewhere. How fast a guide moves as a whole does not count: a model that follows at
half the speed follows.

Flow: DIS, Kroeger et al., "Fast optical flow using dense inverse search" (2016), as OpenCV has it.
"""

from collections.abc import Mapping
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.base import Scalar
from ancestra_farm.filters.check import Finding
from ancestra_farm.filters.pixels import Frames, eight_bit, luma

Flow = NDArray[np.float32]

#: Flow is measured at this width or height, whichever is longer, and at no fewer than so many pixels of the other,
#: which the coarsest patches of DIS need.
_LONG, _SHORT = 160, 64
#: A guide that moves less than this, in pixels of the small picture and on average, says nothing about motion.
_REST = 0.02


def flow_through(frames: Frames) -> Flow:
    """How each frame moves to the next, float32 [T − 1, h, w, 2], (x, y) in pixels of a small picture.

    ``frames``: uint8 or finite float32 [T, H, W, 3].
    """
    stack = [_small(luma(frame)) for frame in eight_bit(frames)]
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flows = [
        np.asarray(engine.calc(before, after, np.zeros((*before.shape, 2), np.float32)), np.float32)
        for before, after in pairwise(stack)
    ]
    return np.stack(flows) if flows else np.zeros((0, *stack[0].shape, 2), np.float32)


def correlation(one: Flow, other: Flow) -> float | None:
    """Correlation of two flows about rest, in [−1, 1]; None where ``other`` rests. 0 where ``one`` does.

    About rest, not about their means: a steady pan is all mean, and following it is what was asked for. Flows of other
    lengths are compared as far as both go; ``other`` may have another resolution.
    """
    count = min(len(one), len(other))
    other = np.stack([_resized(flow, one.shape[1:3]) for flow in other[:count]]) if count else other[:0]
    one = one[:count]
    strength = float(np.square(other, dtype=np.float64).sum())
    if not count or strength <= _REST**2 * other[..., 0].size:
        return None
    own = float(np.square(one, dtype=np.float64).sum())
    if own <= 0.0:
        return 0.0
    together = float(np.multiply(one, other, dtype=np.float64).sum())
    return float(np.clip(together / np.sqrt(own * strength), -1.0, 1.0))


def motion_match(frames: Frames, guide: Flow, settings: Mapping[str, Scalar]) -> Finding:
    """Score ``motion_match``: correlation of the clip's flow with its guide's, in [−1, 1]; higher is better.

    Rejected below ``min_match`` (−1: never). Without a score where the guide rests.
    """
    match = correlation(flow_through(frames), guide)
    if match is None:
        return Finding({})
    if match >= float(settings["min_match"]):
        return Finding({"motion_match": match})
    return Finding({"motion_match": match}, f"does not move as its guide does: a match of {match:.2f}")


def shrunk(flow: Flow) -> Flow:
    """A flow, float32 [T, H, W, 2], at the resolution that `flow_through` has for frames of its size."""
    if not len(flow):
        return flow
    width, height = _size_of(flow.shape[1:3])
    return np.stack([_resized(one, (height, width)) for one in flow])


def _size_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """(width, height) that pictures of this height and width are measured at."""
    height, width = shape
    scale = max(_LONG / max(width, height), _SHORT / min(width, height))
    return max(_SHORT, round(width * scale)), max(_SHORT, round(height * scale))


def _small(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = _size_of(plane.shape)
    how = cv2.INTER_AREA if size[0] < plane.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, size, interpolation=how), np.uint8)


def _resized(flow: Flow, shape: tuple[int, ...]) -> Flow:
    """A flow at another resolution, its vectors in pixels of that."""
    height, width = shape
    if flow.shape[:2] == (height, width):
        return flow
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    how = cv2.INTER_AREA if width < flow.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(flow, (width, height), interpolation=how) * scale, np.float32)
