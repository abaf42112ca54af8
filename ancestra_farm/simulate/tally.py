"""What is counted while a story goes on: tickets, loads, waste, and when people got what."""

from collections import Counter
from dataclasses import dataclass, field

ShotRef = tuple[str, str]
"""(batch, shot)."""


@dataclass(slots=True)
class Tally:
    """Counts and moments of a story; times in seconds since the Unix epoch.

    ``wasted_s``: device-seconds by cause, of generation that nothing came of. ``survivors``: (moment, batch, shot,
    stage, how many more).
    """

    started: int = 0
    dispatched: int = 0
    revoked: int = 0
    loads: int = 0
    stopped: int = 0
    killed: int = 0
    stitches: int = 0
    judged: int = 0
    released: int = 0
    refused: int = 0
    restarts: int = 0
    happenings: int = 0
    wasted_s: dict[str, float] = field(default_factory=dict)
    retries: Counter[str] = field(default_factory=Counter)
    given_up: Counter[str] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    submitted: dict[str, float] = field(default_factory=dict)
    first_start: dict[ShotRef, float] = field(default_factory=dict)
    first_survivor: dict[ShotRef, float] = field(default_factory=dict)
    batch_started: dict[str, float] = field(default_factory=dict)
    batch_ended: dict[str, float] = field(default_factory=dict)
    delivered: dict[ShotRef, float] = field(default_factory=dict)
    survivors: list[tuple[float, str, str, str, int]] = field(default_factory=list)

    def waste(self, why: str, seconds: float) -> None:
        """Device-seconds that nothing came of."""
        if seconds > 0:
            cause = why.replace("_", " ")
            self.wasted_s[cause] = self.wasted_s.get(cause, 0.0) + seconds
