"""How often to do what need not be done at once: not more often than asked for, and never for much of the time."""

import time
from collections.abc import Callable

#: The share of time that work of one kind may take.
SHARE = 0.02


class Pace:
    """Keeps the times of several kinds of work, by name. For one thread. ``clock``: seconds, always rising."""

    def __init__(self, share: float = SHARE, clock: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._clock = clock
        self._next: dict[str, float] = {}

    def due(self, what: str, every_s: float = 0.0) -> bool:
        """Whether ``every_s`` have passed since this last said yes to ``what``, and `spent` allows it."""
        now = self._clock()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + every_s
        return True

    def spent(self, what: str, seconds: float) -> None:
        """``what`` took so long: it is not due again before that is a small share of the time."""
        self._next[what] = max(self._next.get(what, 0.0), self._clock() + seconds / self._share)

    def when_due(self, what: str, every_s: float, do: Callable[[], object]) -> bool:
        """Do it if it is due; whether it was."""
        if not self.due(what, every_s):
            return False
        before = self._clock()
        do()
        self.spent(what, self._clock() - before)
        return True
