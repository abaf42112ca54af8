"""How things move from one frame to the next: dense optical flow both ways, and where it can be trusted.

Flow is DIS (Kroeger et al., "Fast optical flow using dense inverse search", 2016) as OpenCV has it. A flow that does
not lead home (following it and the flow back ends elsewhere) is evidence that what was followed is hidden in the other
frame. What is drawn with it is decided in `between`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Field = NDArray[np.float32]

#: Flow is looked for at this width or less: it is smooth, and at 4K it would take ten seconds a pair.
_FLOW_WIDTH: Final = 960
#: DIS needs room for its coarsest patches: smaller pictures are padded to this many pixels by repeating their edge.
_LEAST_SIDE: Final = 64
#: A flow and its way back may miss each other by this many pixels, plus this part of their lengths, and be trusted: the
#: usual form of the test (Sundaram et al., "Dense point trajectories", 2010), with softer ends.
_MISS_PIXELS: Final = 0.5
_MISS_PART: Final = 0.05
#: Over how many further pixels of missing trust falls to nothing: a soft edge, so that no patches show.
_FALL_PIXELS: Final = 1.5


@dataclass(frozen=True)
class Motion:
    """What was seen between two frames, ``one`` and ``other``, uint8 [H, W, 3].

    ``small_one`` and ``small_other``: the same, no wider than flow is looked for. ``forth``: where each pixel of
    ``small_one`` is in ``small_other``; ``back``: the other way; float32 [h, w, 2], (x, y), in their pixels.
    """

    one: Picture
    other: Picture
    small_one: Picture
    small_other: Picture
    forth: Field
    back: Field

    @cached_property
    def trust_forth(self) -> Field:
        """How far each pixel of ``small_one`` is seen in the other too, float32 [h, w] in [0, 1]."""
        return _trust(self.forth, self.back)

    @cached_property
    def trust_back(self) -> Field:
        """How far each pixel of ``small_other`` is seen in the one too, float32 [h, w] in [0, 1]."""
        return _trust(self.back, self.forth)


def motion_between(one: Picture, other: Picture) -> Motion:
    """The flow both ways between two frames of one size, uint8 [H, W, 3]."""
    height, width = one.shape[:2]
    size = (min(width, _FLOW_WIDTH), max(1, round(height * min(1.0, _FLOW_WIDTH / width))))
    small = [
        picture
        if size == (width, height)
        else np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        for picture in (one, other)
    ]
    luma = [np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8) for picture in small]
    return Motion(one, other, small[0], small[1], _flow(luma[0], luma[1]), _flow(luma[1], luma[0]))


def read_along(picture: NDArray[np.generic], flow: Field) -> Field:
    """``picture``, [H, W] or [H, W, C], read at x + flow(x), bicubic, edges repeated: float32 of its shape."""
    height, width = flow.shape[:2]
    x = np.arange(width, dtype=np.float32)[None, :] + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    values = picture.astype(np.float32, copy=False)
    moved = cv2.remap(values, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.float32)


def enlarged_field(values: Field, size: tuple[int, int]) -> Field:
    """``values``, [h, w] or [h, w, C], at ``size`` (width, height); itself where it has that size. Not scaled."""
    if values.shape[1::-1] == size:
        return values
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _flow(one: Picture, other: Picture) -> Field:
    height, width = one.shape
    size = (max(height, _LEAST_SIDE), max(width, _LEAST_SIDE))
    padded = [
        cv2.copyMakeBorder(picture, 0, size[0] - height, 0, size[1] - width, cv2.BORDER_REPLICATE)
        for picture in (one, other)
    ]
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = engine.calc(padded[0], padded[1], np.zeros((*size, 2), dtype=np.float32))
    return np.ascontiguousarray(flow, dtype=np.float32)[:height, :width]


def _trust(forth: Field, back: Field) -> Field:
    """Trust in ``forth``, by how far following it and then ``back`` leads home."""
    home = forth + read_along(back, forth)
    miss = np.sqrt(np.square(home).sum(axis=2))
    allowed = _MISS_PIXELS + _MISS_PART * (
        np.sqrt(np.square(forth).sum(axis=2)) + np.sqrt(np.square(home - forth).sum(axis=2))
    )
    return np.clip(1 - (miss - allowed) / _FALL_PIXELS, 0, 1).astype(np.float32)
