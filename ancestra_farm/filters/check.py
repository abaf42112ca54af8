"""A filter made of one function: `Check` gives a measuring function the `Filter` protocol and times it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ancestra_farm.batch.base import Scalar
from ancestra_farm.filters.pixels import Frames, checked
from ancestra_farm.filters.protocol import Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """What was measured. ``reason``: a sentence with figures when that is a rejection, empty otherwise."""

    scores: Mapping[str, float]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A filter: ``measure`` sees frames (uint8 or float32 [T, H, W, 3]) and settings complete and of the right type."""

    name: str
    clips_only: bool
    defaults: Mapping[str, Scalar]
    measure: Callable[[Frames, Mapping[str, Scalar]], Finding]

    def judge(self, frames: Frames, settings: Mapping[str, Scalar]) -> Verdict:
        """Judge ``frames``. A still passes a check for clips unseen. Raises BadFrames for what is not frames at all."""
        began = time.perf_counter()
        checked(frames)
        unseen = self.clips_only and len(frames) < 2
        finding = Finding({}) if unseen else self.measure(frames, settings)
        return Verdict(self.name, not finding.reason, finding.scores, finding.reason, time.perf_counter() - began)
