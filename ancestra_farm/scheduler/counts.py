"""What a stage of a shot has come to so far, in numbers."""

from dataclasses import dataclass


@dataclass(slots=True)
class FilterCost:
    """What a filter has cost and caught in one stage so far."""

    runs: int = 0
    seconds: float = 0.0
    rejections: int = 0


@dataclass(slots=True)
class Counts:
    """Candidates of one stage of one shot, by what became of them."""

    released: int = 0
    judged: int = 0
    survivors: int = 0
    rejected: int = 0
    failed: int = 0
    skipped: int = 0
    drafts: int = 0
    reused: int = 0
    device_s: float = 0.0
