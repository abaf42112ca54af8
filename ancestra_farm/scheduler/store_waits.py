"""Who waits because the store was in trouble: a full disk, a bucket that is away.

That is nobody's fault, so no candidate and no stitch is charged with it. Each host finds out by itself: one whose mount
is gone must not hold up the others, and where the disk is full for all of them, each comes to know with its next
ticket. It waits, then tries again with one ticket, and waits twice as long if that fails too. So what a farm wastes on
a full disk is one ticket for each host and wait, and it goes on by itself when there is space. A stitch waits in the
same way.
This dies with the controller: the next one finds out anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ancestra_farm.batch.numbers import counted
from ancestra_farm.plan.events import AttemptEnded
from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.hosts import Host
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.urgency import revoke
from ancestra_farm.scheduler.world import Instruction

Stitching = tuple[str, str, str, str]
"""(batch, shot, stitch id, version): a stitch under way."""


@dataclass(slots=True)
class Wait:
    """``why``: what the store said. ``wait_s``: how long this wait is, until ``until``; it is ``over`` after that."""

    why: str
    wait_s: float
    until: float
    over: bool = False


class StoreWaits:
    """The waits of all hosts and stitches that the store failed, and that it has taken nothing from since."""

    def __init__(self, fleet: Fleet, tunables: Tunables) -> None:
        self._fleet = fleet
        self._tunables = tunables
        self._waits: dict[str, Wait] = {}
        self._stitches: dict[Stitching, Wait] = {}

    def heed(self, host: Host, attempts: Sequence[AttemptEnded], now: float) -> list[Instruction]:
        """What a ticket that came back says of the store: a host that it failed gets nothing for a while.

        What else such a host holds comes back, for others that may fare better.
        """
        why = next((attempt.message for attempt in attempts if attempt.cause == "store"), None)
        if why is None:
            if host.trying and any(attempt.media or attempt.thumbnail for attempt in attempts):
                del self._waits[host.name]
                self._hold(host, unstored=False, trying=False)
            return []
        if not host.unstored:  # else another ticket of the same trouble
            self._waits[host.name] = self._wait(self._waits.get(host.name), why, now)
        self._hold(host, unstored=True, trying=False)
        return list(revoke((host, lease) for lease in host.leases))

    def look(self, now: float) -> None:
        """Called as time passes: hosts whose wait is over may be given a ticket; those that are gone are forgotten."""
        for name, wait in list(self._waits.items()):
            host = self._fleet.hosts.get(name)
            if host is None:
                del self._waits[name]
            elif not wait.over and now >= wait.until:
                wait.over = True
                self._hold(host, unstored=False, trying=True)

    def heed_stitch(self, stitch: Stitching, unstored: str, now: float) -> None:
        """What a stitch that came back says of the store. ``unstored``: what that said, empty: nothing was wrong."""
        if unstored:
            self._stitches[stitch] = self._wait(self._stitches.get(stitch), unstored, now)
        else:
            self._stitches.pop(stitch, None)

    def stitches_due(self, now: float) -> list[Stitching]:
        """The stitches whose wait is over since the last call."""
        due = [stitch for stitch, wait in self._stitches.items() if not wait.over and now >= wait.until]
        for stitch in due:
            self._stitches[stitch].over = True
        return due

    def told_stitch(self, stitch: Stitching) -> str | None:
        """What the store said to a stitch that waits; None: it does not."""
        wait = self._stitches.get(stitch)
        return None if wait is None or wait.over else wait.why

    def told_stitches(self) -> str | None:
        """How many stitches wait and why, as a sentence; None: none does."""
        waits = [wait for wait in self._stitches.values() if not wait.over]
        if not waits:
            return None
        return f"the store failed {counted(len(waits), 'stitch', 'stitches')} ({waits[-1].why}); they try again"

    def _wait(self, before: Wait | None, why: str, now: float) -> Wait:
        first_s, most_s = self._tunables.store_wait_s, self._tunables.store_wait_most_s
        wait_s = first_s if before is None else min(2 * before.wait_s, most_s)
        return Wait(why, wait_s, now + wait_s)

    def told(self, hosts: Sequence[Host]) -> str | None:
        """Which of these hosts wait and why, as part of a sentence; None: none does."""
        waits = [self._waits[host.name] for host in hosts if host.unstored]
        if not waits:
            return None
        return (
            f"the store failed {len(waits)} of {counted(len(hosts), 'host')} ({waits[-1].why}); "
            "nobody is charged with it, and they try again by themselves"
        )

    def _hold(self, host: Host, *, unstored: bool, trying: bool) -> None:
        host.unstored, host.trying = unstored, trying
        host.pool.look_at(host)
