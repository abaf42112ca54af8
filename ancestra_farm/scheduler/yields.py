"""What a branch that is spent by yield knows of its wordings: folded from its waves, read by `allocation`.

The shares of a wave rest on every wave of the branch but the one released last. At most one wave is undecided when the
next one is released, so those are always decided by then, and never on more than those: whichever host was quicker, and
whenever a controller began anew, the same waves count. Waves that try candidates a second time count for nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ancestra_farm.scheduler.allocation import DEFAULTS, Exploration, Shown, share_out


@dataclass(slots=True)
class WaveShown:
    """What one wave has shown, by wording: distinct survivors, and what it cost in full candidates."""

    survivors: list[float]
    cost: list[float]


@dataclass(slots=True)
class Yields:
    """All waves of one branch. ``taken``: candidates each wording was given.

    ``survivors`` and ``cost``: of the waves that every later one may know, the older ones counting less. ``recent``: by
    number, the last two waves, which may be undecided.
    """

    taken: list[int]
    survivors: list[float]
    cost: list[float]
    recent: dict[int, WaveShown] = field(default_factory=dict)

    @classmethod
    def of(cls, wordings: int) -> "Yields":
        """Of a branch just opened."""
        return cls([0] * wordings, [0.0] * wordings, [0.0] * wordings)

    def next_counts(self, size: int) -> tuple[int, ...]:
        """How many of the next wave's candidates each wording gets."""
        waves = list(self.recent.values())[:-1]
        shown = [
            Shown(
                self.survivors[v] + sum(wave.survivors[v] for wave in waves),
                self.cost[v] + sum(wave.cost[v] for wave in waves),
            )
            for v in range(len(self.taken))
        ]
        return share_out(size, self.taken, shown)

    def before_the_last(self) -> float:
        """How many distinct survivors the wave before the one released last has brought."""
        return sum(next(iter(self.recent.values())).survivors) if len(self.recent) > 1 else 0.0

    def released(self, wave: int, wordings: Iterable[int]) -> None:
        """A wave was released, with these wordings. What is two waves old is decided and settled."""
        while len(self.recent) > 1:
            self._settle(self.recent.pop(next(iter(self.recent))))
        count = len(self.taken)
        self.recent[wave] = WaveShown([0.0] * count, [0.0] * count)
        for wording in wordings:
            self.taken[wording] += 1

    def costs(self, wave: int, wordings: Iterable[int], each: float) -> None:
        """Candidates of a wave cost so much each, in full candidates."""
        shown = self.recent.get(wave)
        if shown is not None:
            for wording in wordings:
                shown.cost[wording] += each

    def closed(self, wave: int, wordings: Iterable[int]) -> None:
        """A wave was decided, with distinct survivors of these wordings."""
        shown = self.recent.get(wave)
        if shown is not None:
            for wording in wordings:
                shown.survivors[wording] += 1

    def taken_back(self, wave: int, wordings: Iterable[int]) -> None:
        """A wave lies past a stop: as if it had not been released."""
        if self.recent.pop(wave, None) is not None:
            for wording in wordings:
                self.taken[wording] -= 1

    def stopped(self) -> None:
        """The branch stopped with every wave decided: what follows knows all but the last, was one ahead or not."""
        while len(self.recent) > 1:
            self._settle(self.recent.pop(next(iter(self.recent))))

    def _settle(self, wave: WaveShown, exploration: Exploration = DEFAULTS) -> None:
        """Count a wave for good. Of a wording with more survivors than are remembered, all it has shown shrinks."""
        for v in range(len(self.taken)):
            self.survivors[v] += wave.survivors[v]
            self.cost[v] += wave.cost[v]
            if self.survivors[v] > exploration.memory:
                self.cost[v] *= exploration.memory / self.survivors[v]
                self.survivors[v] = exploration.memory
