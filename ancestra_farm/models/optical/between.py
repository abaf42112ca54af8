"""A frame between two frames, drawn along the optical flow, with what is hidden in one of them taken from the other.

After Baker et al. ("A database and evaluation methodology for optical flow", 2011, section 3.3.2): both flows are
carried to the moment in between and laid over each other there, gaps are filled from around them, and both frames are
read along the result. What only one frame shows is taken from that one. Where neither flow can be trusted (splashes,
light breaking) a plain dissolve shows.

A cut is not drawn between: there is nothing in between.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.models.optical.flow import Field, Motion, Picture, enlarged_field, read_along

#: Levels by which two pixels may differ and still be thought one thing: the weight of a flow that leads from one to the
#: other falls to 1/e over so many.
_SAME_LEVELS: Final = 12.0
#: Least weight of anything: where nothing is trusted everything counts alike.
_LEAST: Final = 1e-3
#: Two frames are of one take while their flows agree on this share of them. Measured on rendered scenes: 0.48 and more
#: within a take, of fast water and half its light gone too; at most 0.23 between two takes, of one subject too.
_CUT_BELOW: Final = 0.35


def frame_between(motion: Motion, moment: float) -> Picture:
    """The frame at ``moment`` in [0, 1] from ``motion.one`` (0) to ``motion.other`` (1), uint8 [H, W, 3].

    At 0 and 1 the frames themselves, bit for bit.
    """
    if moment <= 0:
        return motion.one
    if moment >= 1:
        return motion.other
    t = np.float32(moment)
    small = _flow_at(motion, moment)
    seen_later = np.clip(read_along(motion.trust_forth, -t * small), 0, 1)
    seen_before = np.clip(read_along(motion.trust_back, (1 - t) * small), 0, 1)
    of_one, of_other = (1 - t) * seen_before + _LEAST, t * seen_later + _LEAST
    size = (motion.one.shape[1], motion.one.shape[0])
    part: Field = np.asarray(of_other / (of_one + of_other), dtype=np.float32)
    share = enlarged_field(part, size)[..., np.newaxis]
    trust = enlarged_field(np.maximum(seen_later, seen_before), size)[..., np.newaxis]
    flow = enlarged_field(small, size) * np.float32(size[0] / small.shape[1])
    one, other = read_along(motion.one, -t * flow), read_along(motion.other, (1 - t) * flow)
    along = one + share * (other - one)
    plain = motion.one + t * (motion.other.astype(np.float32) - motion.one)
    return np.clip(np.rint(plain + trust * (along - plain)), 0, 255).astype(np.uint8)


def is_cut(motion: Motion) -> bool:
    """Whether two frames are of different takes: hardly anything in one leads to the other and home again.

    A flash or a fade of light is none.
    """
    return float(motion.trust_forth.mean() + motion.trust_back.mean()) / 2 < _CUT_BELOW


def _flow_at(motion: Motion, moment: float) -> Field:
    """The flow from one small frame to the other of what is seen at each pixel at ``moment``, float32 [h, w, 2]."""
    one, other = motion.small_one, motion.small_other
    sums, weights = _carried(motion.forth, one, other, motion.trust_forth, moment)
    more, further = _carried(motion.back, other, one, motion.trust_back, 1 - moment)
    return _filled(sums - more, weights + further)


def _carried(
    flow: Field, source: Picture, target: Picture, trust: Field, moment: float
) -> tuple[Field, NDArray[np.float32]]:
    """A flow laid down where it has led at ``moment``: (flows times weights [H, W, 2], weights [H, W]).

    Each pixel falls on the four pixels around where it has moved to, in proportion to their nearness. It weighs as much
    as it is trusted, and as it looks like what it leads to.
    """
    height, width = flow.shape[:2]
    differ = np.abs(read_along(target, flow) - source.astype(np.float32)).mean(axis=2)
    weight = (trust + _LEAST) * np.exp(-differ / np.float32(_SAME_LEVELS))
    x = np.arange(width, dtype=np.float32)[None, :] + np.float32(moment) * flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + np.float32(moment) * flow[..., 1]
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    sums = np.zeros((3, height * width))
    for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = left + right, top + down
        near = weight * (1 - np.abs(x - column)) * (1 - np.abs(y - row))
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        place, near = (row * width + column)[inside], near[inside]
        for channel, values in enumerate((near, near * flow[..., 0][inside], near * flow[..., 1][inside])):
            sums[channel] += np.bincount(place, weights=values, minlength=height * width)
    laid = sums.reshape(3, height, width).astype(np.float32)
    return np.stack([laid[1], laid[2]], axis=2), laid[0]


def _filled(sums: Field, weights: NDArray[np.float32]) -> Field:
    """Flows by weight, with gaps filled from around them: the coarser the further away (push and pull)."""
    if min(weights.shape) <= 2 or float(weights.min()) > _LEAST:
        return np.asarray(sums / np.maximum(weights, 1e-12)[..., np.newaxis], dtype=np.float32)
    height, width = weights.shape
    half = (max(1, width // 2), max(1, height // 2))
    coarse = _filled(
        *(np.asarray(cv2.resize(each, half, interpolation=cv2.INTER_AREA), np.float32) for each in (sums, weights))
    )
    behind = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    known = np.minimum(weights / _LEAST, 1)[..., np.newaxis]
    here = sums / np.maximum(weights, 1e-12)[..., np.newaxis]
    return np.asarray(behind + known * (here - behind), dtype=np.float32)
