"""What judges: a filter looks at frames and gives a verdict. It never deletes anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.base import Scalar

#: How a clip moves from each frame to the next, float32 [T − 1, h, w, 2], (x, y) in pixels of a picture of any size.
Flow = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One filter's word on one candidate. ``reason`` is a sentence with figures, empty when it passed."""

    filter: str
    passed: bool
    scores: Mapping[str, float]
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """All verdicts on one candidate, in the order they ran.

    ``reasons``: names of the filters that rejected it, the first one first. ``phash``: 64-bit perceptual hash of the
    middle frame, always computed. ``in_full``: every filter ran whatever the first ones said.
    """

    passed: bool
    reasons: tuple[str, ...]
    scores: Mapping[str, float]
    filter_s: Mapping[str, float]
    in_full: bool
    phash: int
    message: str = ""
    verdicts: tuple[Verdict, ...] = field(default=())


class Filter(Protocol):
    """One check. ``clips_only``: it needs at least two frames and passes a still unseen."""

    @property
    def name(self) -> str:
        """What batches and verdicts call it."""

    @property
    def clips_only(self) -> bool:
        """Whether it passes a still unseen."""

    @property
    def defaults(self) -> Mapping[str, Scalar]:
        """Settings a batch may give, with their defaults."""

    def judge(
        self,
        frames: NDArray[np.uint8] | NDArray[np.float32],
        settings: Mapping[str, Scalar],
        guide: Flow | None = None,
    ) -> Verdict:
        """Judge ``frames`` (uint8 or float32 [T, H, W, 3], sRGB). ``settings``: the defaults, with changes.

        ``guide``: how the guide moves that the clip is to follow; most filters do not look at it.
        """
