"""What every slot is doing, second by second: the sums for the report and the course of them for the picture.

A slot is ``busy`` (generating), ``loading`` a model, ``starved`` (its host is ready, and though work of its model waits
it generates nothing), ``idle`` (its host is ready and nothing of its model waits) or ``empty`` (no host on it).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

State = Literal["busy", "loading", "waiting"]
STATES = ("busy", "loading", "starved", "idle", "empty")
CLASSES = ("dailies", "shot", "backfill")

#: Bins of a timeline: twice so many are merged in pairs, so that any length of story is drawn as finely.
BINS = 400


@dataclass(slots=True)
class PoolMeter:
    """Slots of one model's hosts, by what they do now; ``spent``: slot-seconds by state so far."""

    slots: dict[str, float] = field(default_factory=lambda: {"busy": 0.0, "loading": 0.0, "waiting": 0.0})
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STATES, 0.0))


@dataclass(slots=True)
class Bin:
    """A stretch of time: slot-seconds by state, and candidates waiting by class at its end."""

    seconds: float = 0.0
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STATES, 0.0))
    waiting: dict[str, int] = field(default_factory=dict)


class Meters:
    """``work_waits(model)``: candidates of a model that wait in no ticket; ``waiting()``: such by class."""

    def __init__(
        self,
        begin: float,
        work_waits: Callable[[str], int],
        waiting: Callable[[], dict[str, int]],
        width_s: float = 0.25,
    ) -> None:
        self._work_waits = work_waits
        self._waiting = waiting
        self._at = begin
        self.begin = begin
        self.width_s = width_s
        self.bins: list[Bin] = [Bin()]
        self.pools: dict[str, PoolMeter] = {}
        self.up_slots = 0.0
        self.up_s = 0.0

    def switch(self, now: float, model: str, slots: float, before: State | None, after: State | None) -> None:
        """Slots of a model change what they do; None: there is no host on them."""
        self.advance(now)
        pool = self.pools.setdefault(model, PoolMeter())
        if before is not None:
            pool.slots[before] -= slots
        if after is not None:
            pool.slots[after] += slots

    def machines(self, now: float, up_slots: float) -> None:
        """So many slots are there from now on."""
        self.advance(now)
        self.up_slots = up_slots

    def advance(self, now: float) -> None:
        """Count the time since the last call."""
        while now > self._at:
            end = self.begin + len(self.bins) * self.width_s
            if self._at >= end:
                self._next_bin()
                continue
            self._count(min(now, end) - self._at)
            self._at = min(now, end)

    def _count(self, seconds: float) -> None:
        this = self.bins[-1]
        this.seconds += seconds
        self.up_s += self.up_slots * seconds
        taken = 0.0
        for model, pool in self.pools.items():
            for state, slots in pool.slots.items():
                if slots:
                    taken += slots
                    name = state
                    if state == "waiting":
                        name = "starved" if self._work_waits(model) else "idle"
                    pool.spent[name] += slots * seconds
                    this.spent[name] += slots * seconds
        this.spent["empty"] += max(0.0, self.up_slots - taken) * seconds

    def _next_bin(self) -> None:
        self.bins[-1].waiting = self._waiting()
        if len(self.bins) >= 2 * BINS:
            self.width_s *= 2
            self.bins = [_merged(self.bins[at], self.bins[at + 1]) for at in range(0, len(self.bins), 2)]
        self.bins.append(Bin())


def _merged(first: Bin, second: Bin) -> Bin:
    spent = {state: first.spent[state] + second.spent[state] for state in STATES}
    waiting = {name: max(one.waiting.get(name, 0) for one in (first, second)) for name in CLASSES}
    return Bin(first.seconds + second.seconds, spent, waiting)
