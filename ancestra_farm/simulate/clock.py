"""Virtual time: what will happen, in the order in which it does. Waits for nothing."""

import heapq
from collections.abc import Callable

#: Where virtual time begins: 2026-01-01, UTC, in seconds since the Unix epoch.
BEGIN_S = 1_767_225_600.0

Happens = Callable[[], object]
"""What happens then; what it returns is of no concern."""


class Clock:
    """Things to come. ``now``: seconds since the Unix epoch. Of things at the same moment the first planned is first.

    What is planned as ``background`` (a fault that may strike, a look at deadlines) keeps nothing going by itself;
    ``to_come``: how many other things are planned.
    """

    def __init__(self) -> None:
        self.now = BEGIN_S
        self.to_come = 0
        self._heap: list[tuple[float, int, bool, Happens]] = []
        self._planned = 0

    def after(self, seconds: float, happens: Happens, *, background: bool = False) -> None:
        """Plan something ``seconds`` from now, not negative."""
        self._planned += 1
        self.to_come += not background
        heapq.heappush(self._heap, (self.now + seconds, self._planned, background, happens))

    def step(self) -> bool:
        """Let the next thing happen; False where nothing is planned."""
        if not self._heap:
            return False
        self.now, _, background, happens = heapq.heappop(self._heap)
        self.to_come -= not background
        happens()
        return True
