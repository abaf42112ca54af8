"""Deadlines of tickets, so that looking for a late one does not mean looking at every host."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from ancestra_farm.plan.events import Cause
from ancestra_farm.scheduler.departures import Departures
from ancestra_farm.scheduler.hosts import Host, Lease
from ancestra_farm.scheduler.slots import Slots


@dataclass(frozen=True, slots=True)
class Late:
    """A host that is to be ended, and why. ``ticket``: the one it was about, if it was about one."""

    host: Host
    cause: Cause
    why: str
    ticket: str | None = None


def late_hosts(deadlines: "Deadlines", slots: Slots, departures: Departures, now: float) -> Iterator[Late]:
    """Hosts that missed a deadline: of a ticket, of coming up, or of leaving before their machine does."""
    for host, lease in deadlines.passed(now):
        why = f"no answer within the deadline of {lease.ticket.deadline_s:.0f} s"
        yield Late(host, "deadline", why, lease.ticket.ticket)
    for host in slots.overdue(now):
        yield Late(host, "deadline", f"did not come up within {slots.tunables.start_deadline_s:.0f} s")
    for host in departures.overdue(now):
        yield Late(host, "host_lost", host.why)


class Deadlines:
    """Which host is to be looked at next: no later than its earliest deadline, and seldom before."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Host]] = []
        self._pushed = 0

    def watch(self, host: Host) -> None:
        """Take a host's tickets into account. Costs nothing while an earlier look at it is still to come."""
        due = min((lease.due_at for lease in host.leases), default=inf)
        if due < host.look_at_s:
            host.look_at_s = due
            self._pushed += 1
            heapq.heappush(self._due, (due, self._pushed, host))

    def passed(self, now: float) -> list[tuple[Host, Lease]]:
        """Hosts with the ticket whose deadline has passed, the one begun first."""
        found: list[tuple[Host, Lease]] = []
        while self._due and self._due[0][0] < now:
            due, _, host = heapq.heappop(self._due)
            if due != host.look_at_s or host.name not in host.pool.hosts:
                continue  # an earlier look took its place, or it is gone
            host.look_at_s = inf
            late = next((lease for lease in host.leases if lease.due_at < now), None)
            if late is None:
                self.watch(host)
            else:
                found.append((host, late))
        return found
