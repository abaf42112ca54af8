"""A filter made of one function: `Check` and `Comparison` give it the `Filter` protocol and time it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ancestra_farm.batch.base import Scalar
from ancestra_farm.filters.pixels import Frames, checked
from ancestra_farm.filters.protocol import Flow, Verdict


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

    def judge(self, frames: Frames, settings: Mapping[str, Scalar], guide: Flow | None = None) -> Verdict:  # noqa: ARG002
        """Judge ``frames``. A still passes a check for clips unseen. Raises BadFrames for what is not frames at all."""
        began = time.perf_counter()
        checked(frames)
        unseen = self.clips_only and len(frames) < 2
        finding = Finding({}) if unseen else self.measure(frames, settings)
        return Verdict(self.name, not finding.reason, finding.scores, finding.reason, time.perf_counter() - began)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A filter that compares a clip with its guide, and passes unseen what has none."""

    name: str
    defaults: Mapping[str, Scalar]
    measure: Callable[[Frames, Flow, Mapping[str, Scalar]], Finding]

    @property
    def clips_only(self) -> bool:
        """A guide that moves steers clips only."""
        return True

    def judge(self, frames: Frames, settings: Mapping[str, Scalar], guide: Flow | None = None) -> Verdict:
        """Judge ``frames`` against ``guide``. Raises BadFrames for what is not frames at all."""
        began = time.perf_counter()
        checked(frames)
        finding = Finding({}) if guide is None or len(frames) < 2 else self.measure(frames, guide, settings)
        return Verdict(self.name, not finding.reason, finding.scores, finding.reason, time.perf_counter() - began)
