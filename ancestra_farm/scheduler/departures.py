"""Nodes that go away: what still ends on them in time, what is handed back, and what nobody is charged for.

A notice names a node and mostly a time. From then on its hosts get nothing new, what has not started comes back at
once, and what runs goes on as long as some of it can end in time; the rest is handed back while there is still time to
hand in what is done. A node that people blocked, or drain, is the same without a time. What nodes there are, and
that none of these gets a new host, is the farm's business and told by it as slots.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from ancestra_farm.plan.farm_events import NodeNoticed
from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.hosts import Host, Lease
from ancestra_farm.scheduler.slots import Slots
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.waves import Emit
from ancestra_farm.scheduler.world import Instruction, Revoke

#: A node that should be gone is remembered for so long, for hosts whose place is told late.
REMEMBERED_S = 3600.0


@dataclass(slots=True)
class Departure:
    """One node on its way out. ``at``: when it goes, inf: once it is empty. ``hosts``: those still on it.

    ``since``: when that was told.
    ``ends_at``: when whatever is still there is ended; a notice that comes late leaves time to hand back all the same.
    ``blocked``: people may change their mind about it.
    """

    node: str
    why: str
    at: float
    since: float
    ends_at: float
    blocked: bool = False
    hosts: dict[str, Host] = field(default_factory=dict)


class Departures:
    """All nodes that are going away, and the decisions about the hosts on them."""

    def __init__(self, fleet: Fleet, slots: Slots, tunables: Tunables) -> None:
        self.fleet = fleet
        self.slots = slots
        self.tunables = tunables
        self.going: dict[str, Departure] = {}

    def notice(self, node: str, at: float | None, why: str, now: float, emit: Emit) -> list[Instruction]:
        """A node is to go away: as `begin`, and noted where hosts are on it."""
        hosts, out = self.begin(node, at, why, now)
        if hosts:
            emit(NodeNoticed(node, why, hosts, at, now))
        return out

    def begin(
        self, node: str, at: float | None, why: str, now: float, *, blocked: bool = False
    ) -> tuple[tuple[str, ...], list[Instruction]]:
        """A node is to go away: names of the hosts for which that is news, and what is done about them.

        Of several notices the earliest time counts, and any that is not a block counts more than a block.
        """
        goes_at = inf if at is None else at
        known = self.going.get(node)
        if known is not None and goes_at >= known.at and (blocked or not known.blocked):
            return (), []
        ends_at = max(goes_at, now + self.tunables.hand_back_s)
        departure = Departure(node, why, goes_at, now, ends_at, blocked, {} if known is None else known.hosts)
        self.going[node] = departure
        news = [host for host in self.fleet.hosts.values() if host.node == node and not host.departing]
        out: list[Instruction] = []
        for host in news:
            out.extend(self._depart(host, departure))
        for host in departure.hosts.values():
            out.extend(self._hand_back(host, departure, now))
        return tuple(host.name for host in news), out

    def placed(self, host: Host, now: float) -> list[Instruction]:
        """A host turns out to stand on a node; what is done if that one is going away."""
        departure = self.going.get(host.node or "")
        if departure is None or host.departing:
            return []
        out = [*self._depart(host, departure), *self._hand_back(host, departure, now)]
        return [*out, *self.slots.let_idle_go("its slot is needed")]

    def forgive(self, node: str) -> bool:
        """People changed their mind about a node that they blocked; whether there was such a block.

        Hosts that are on their way go; others come up in their place.
        """
        known = self.going.get(node)
        if known is None or not known.blocked:
            return False
        del self.going[node]
        self.fleet.stale = True
        return True

    def hand_back(self, now: float) -> list[Instruction]:
        """Called as time passes: take back what would not end any more."""
        out: list[Instruction] = []
        for node, departure in list(self.going.items()):
            for name in [name for name in departure.hosts if name not in self.fleet.hosts]:
                del departure.hosts[name]
            if now >= departure.at - self.tunables.hand_back_s:
                for host in departure.hosts.values():
                    out.extend(self._hand_back(host, departure, now))
            gone_at = departure.since if departure.at == inf else departure.at
            if now > gone_at + REMEMBERED_S and not departure.hosts and not departure.blocked:
                del self.going[node]
        return out

    def overdue(self, now: float) -> list[Host]:
        """Hosts whose node should be gone by now: whatever they still do is lost."""
        return [
            host
            for departure in self.going.values()
            if now >= departure.ends_at
            for host in departure.hosts.values()
            if host.name in self.fleet.hosts
        ]

    def _depart(self, host: Host, departure: Departure) -> Iterator[Instruction]:
        self.fleet.depart(host, f"its node goes away: {departure.why}")
        departure.hosts[host.name] = host
        yield from self.slots.stop(host, running=False)

    def _hand_back(self, host: Host, departure: Departure, now: float) -> Iterator[Instruction]:
        left_s = departure.at - self.tunables.hand_back_s - now
        for lease in host.leases:
            if not lease.revoked and not _some_ends(lease, left_s, now):
                host.pool.revoke(host, lease)
                yield Revoke(host.name, lease.ticket.ticket)


def _some_ends(lease: Lease, left_s: float, now: float) -> bool:
    """Whether at least one more candidate of a running ticket is likely to end within ``left_s``.

    One that is late may take as long again as it took.
    """
    if lease.started_at is None or left_s <= 0:
        return False
    took_s = now - lease.started_at
    if took_s >= lease.expected_s:
        return took_s <= left_s
    return min(lease.expected_s / len(lease.ticket.positions), lease.expected_s - took_s) <= left_s
