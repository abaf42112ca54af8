"""Clocks of hosts that return no tickets: when they are read, and the rows of the log that they come to.

A ticket brings its host's clock with it. A host that idles, loads or makes a long clip brings none, and without it a
pool that waits for work would have no utilisation: so it is asked. While something is under way once a minute, when
commits are made anyway; while nothing is only every five, which is half of what panels look back. What the hosts of a
pool answer to one question is one row, so that a farm of hundreds that waits writes no more than one of two.

Nothing here knows Ray: whoever holds the hosts asks them, and says what they answered.
"""

from collections.abc import Mapping
from math import inf

from ancestra_farm.plan.farm_events import HostTimed

#: A host of whose clock nothing was heard for so long is asked, while any host has work or comes up …
ASK_S = 60.0
#: … and while none does.
QUIET_ASK_S = 300.0
#: Answers come within milliseconds; of hosts that are late, what has come by then is written down without theirs.
ANSWER_S = 5.0


class Clocks:
    """The clocks that were asked for and are not written down yet. For one thread; times are monotonic seconds."""

    def __init__(self) -> None:
        self._missing = 0
        self._asked_at = -inf
        self._heard: dict[str, list[HostTimed]] = {}

    def to_ask(self, timed_at: Mapping[str, float], now: float, *, quiet: bool) -> list[str]:
        """Hosts to be asked now; each is to be followed by `answered`. ``quiet``: no host has work or comes up.

        ``timed_at``: when each one's clock was last heard of, or asked for. As soon as one is due all are asked that
        soon will be, so that they share a row.
        """
        every_s = QUIET_ASK_S if quiet else ASK_S
        if not any(now - at >= every_s for at in timed_at.values()):
            return []
        due = [host for host, at in timed_at.items() if now - at >= every_s / 2]
        self._missing += len(due)
        self._asked_at = now
        return due

    def answered(self, timing: HostTimed | None) -> None:
        """A host that was asked has answered; None: it has no clock yet, or is gone."""
        self._missing = max(0, self._missing - 1)
        if timing is not None:
            self._heard.setdefault(timing.pool, []).append(timing)

    def take(self, now: float, *, last: bool = False) -> list[HostTimed]:
        """What is to be written down: a row for each pool, once all have answered. ``last``: whoever has not."""
        if self._missing and not last and now - self._asked_at < ANSWER_S:
            return []
        self._missing = 0  # who is late holds up this row and no other
        heard, self._heard = self._heard, {}
        return [together(timings) for timings in heard.values()]


def together(timings: list[HostTimed]) -> HostTimed:
    """Clocks of hosts of one pool as one row; of a single host its own."""
    first, *others = timings
    if not others:
        return first
    return HostTimed(
        batch="",
        pool=first.pool,
        host="",
        wall_s=sum(timing.wall_s for timing in timings),
        busy_s=sum(timing.busy_s for timing in timings),
        loading_s=sum(timing.loading_s for timing in timings),
        starved_s=sum(timing.starved_s for timing in timings),
        idle_s=sum(timing.idle_s for timing in timings),
        at=max(timing.at for timing in timings),
    )
