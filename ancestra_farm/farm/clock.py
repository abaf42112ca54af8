"""The time that decisions are told: seconds since the Unix epoch that never step.

Deadlines, waits and bills are differences of such times. A machine whose clock is put right by an hour would otherwise
end every ticket at once, or do nothing for an hour. So the time goes on evenly, and comes to agree with the machine's
clock again slowly: pauses that end at a time, notices of clouds and whatever people are told are by that clock.
"""

import time
from collections.abc import Callable

#: By how much of the time that passes it may go faster or slower until both agree: a clock that was five minutes off is
#: caught up with in under two hours, and meanwhile no deadline, wait or bill is out by more than a twentieth.
SLEW = 0.05


class SteadyClock:
    """Call it for the time. For one thread. ``wall``: the machine's clock; ``steady``: seconds that only pass."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._steady = wall, steady
        self._now, self._at = wall(), steady()

    def __call__(self) -> float:
        """Seconds since the Unix epoch, never less than before."""
        at = self._steady()
        passed = at - self._at
        off = self._wall() - (self._now + passed)
        self._now += passed + max(-SLEW * passed, min(off, SLEW * passed))
        self._at = at
        return self._now
