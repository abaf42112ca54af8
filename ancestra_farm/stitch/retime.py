"""Frames between frames: a clip at the model's rate shown at the shot's rate.

Every delivered frame has an exact position on the joined clip (a Fraction, see `conform`). Where it is whole the frame
is passed bit for bit. Between two frames a new one is drawn along the optical flow both ways, as Jiang et al. ("Super
SloMo", 2018) combine it: flows at the moment t are approximated from the two measured ones, both frames are read along
them, and the readings are mixed by nearness. Where the two measured flows contradict each other (occlusion, splashes,
light breaking) the flow is no evidence, and a plain dissolve of the two frames shows there instead.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import floor
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.stitch.conform import Layout
from ancestra_farm.stitch.motion import flow_between, luma_of, warp, warp_flow

#: Flow is measured at this width or less: it is smooth, and DIS on full HD costs half a second a pair.
_FLOW_WIDTH: Final = 960
#: A flow and its way back may miss each other by this many pixels, plus this part of their length, and be trusted.
_MISS_PIXELS: Final = 0.5
_MISS_PART: Final = 0.05
#: Over how many further pixels of missing trust falls to nothing: a soft edge, so that no patches show.
_FALL_PIXELS: Final = 1.5


@dataclass(slots=True)
class Retimed:
    """What retiming did, counted as frames pass. ``trust``: mean share of the flow in each drawn frame, in [0, 1]."""

    exact: int = 0
    drawn: int = 0
    trust: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Motion:
    """Both flows between two frames and where they can be trusted, float32 [H, W, 1] in [0, 1]."""

    forth: NDArray[np.float32]
    back: NDArray[np.float32]
    trust: NDArray[np.float32]


def retimed(frames: Iterator[NDArray[np.uint8]], layout: Layout, done: Retimed) -> Iterator[NDArray[np.uint8]]:
    """Exactly ``layout.frames`` frames, uint8 [H, W, 3], from the joined clip's frames. ``done`` is filled in.

    Two frames of the joined clip are held at a time. Raises `RuntimeError` when the joined clip ends too early.
    """
    position = 0
    current = _next(frames)
    following: NDArray[np.uint8] | None = None
    motion: _Motion | None = None
    for index in range(layout.frames):
        wanted = layout.position(index)
        whole = floor(wanted)
        while position < whole:
            current = following if following is not None else _next(frames)
            following, motion = None, None
            position += 1
        if wanted == whole:
            done.exact += 1
            yield current
            continue
        if following is None:
            following = _next(frames)
        if motion is None:
            motion = _motion(current, following)
        done.drawn += 1
        done.trust.append(float(motion.trust.mean()))
        yield _between(current, following, motion, float(wanted - whole))


def _motion(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> _Motion:
    height, width = one.shape[:2]
    scale = min(1.0, _FLOW_WIDTH / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = [
        picture if scale == 1.0 else np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        for picture in (luma_of(one), luma_of(other))
    ]
    forth = flow_between(small[0], small[1])
    back = flow_between(small[1], small[0])
    trust = np.minimum(_agreement(forth, back), _agreement(back, forth))
    if scale < 1.0:
        forth, back = (_enlarged(flow, (width, height)) / np.float32(scale) for flow in (forth, back))
        trust = _enlarged(trust, (width, height))
    return _Motion(forth, back, trust[..., np.newaxis])


def _agreement(forth: NDArray[np.float32], back: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far following a flow and its way back leads home, as trust in [0, 1], float32 [H, W]."""
    miss = np.linalg.norm(forth + warp_flow(back, forth), axis=2)
    allowed = _MISS_PIXELS + _MISS_PART * np.linalg.norm(forth, axis=2)
    return np.clip(1 - (miss - allowed) / _FALL_PIXELS, 0, 1).astype(np.float32)


def _between(one: NDArray[np.uint8], other: NDArray[np.uint8], motion: _Motion, moment: float) -> NDArray[np.uint8]:
    """The frame at ``moment`` in (0, 1) between two frames."""
    t = np.float32(moment)
    to_one = -(1 - t) * t * motion.forth + t * t * motion.back
    to_other = (1 - t) * (1 - t) * motion.forth - t * (1 - t) * motion.back
    along = (1 - t) * warp(one, to_one).astype(np.float32) + t * warp(other, to_other).astype(np.float32)
    plain = (1 - t) * one.astype(np.float32) + t * other.astype(np.float32)
    return np.rint(motion.trust * along + (1 - motion.trust) * plain).astype(np.uint8)


def _enlarged(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _next(frames: Iterator[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    frame = next(frames, None)
    if frame is None:
        raise RuntimeError("the joined clip ended before the shot did")
    return frame
