"""Hosts and the tickets they hold, as the scheduler sees them. Plain records; what is counted of them is in `pools`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from ancestra_farm.scheduler.lines import Lot
from ancestra_farm.scheduler.world import Ticket

if TYPE_CHECKING:
    from ancestra_farm.scheduler.pools import Pool


@dataclass(slots=True, eq=False)
class Lease:
    """A ticket that a host holds. ``started_at``: when generation began, None while it waits.

    ``front_at``: when it became the first on its host. ``expected_s``: device-seconds it is thought to take;
    ``charged``: virtual seconds its batch was charged. ``coming``: taken back before it began. ``cost``: what it is
    thought to cost ``show``, in the farm's currency.
    """

    ticket: Ticket
    lot: Lot
    expected_s: float
    charged: float = 0.0
    started_at: float | None = None
    front_at: float | None = None
    revoked: bool = False
    coming: bool = False
    frees: bool = False
    show: str = ""
    cost: float = 0.0

    @property
    def due_at(self) -> float:
        """When its deadline passes; inf while another ticket is before it."""
        since = self.front_at if self.started_at is None else self.started_at
        return inf if since is None else since + self.ticket.deadline_s


@dataclass(slots=True, eq=False)
class Host:
    """A host as the scheduler sees it. At most one running and one waiting lease.

    ``look``: the one it has loaded when it comes to its last ticket; ``stayed_s``: seconds of work it was given out of
    turn because of that. ``sick``: drained; nothing it still returns is believed. ``surplus``: it goes because there
    are fewer slots. ``place``: where it stands among hosts with room. ``look_at_s``: when its deadlines are looked at.
    ``node``: Ray's id of the machine it is on, None until it has one; ``placed_at``: since when. ``departing``: that
    machine goes away, and its slots with it. ``why``: what is said when it is let go; empty: its slot is needed.
    ``bay``: which its slots are of, so many. ``idle_since``: when it last came to hold nothing, inf before.
    ``picky``: it waits for a spot node, though others would do. ``unstored``: the store failed it, and it waits before
    it is given anything more; ``trying``: it has waited, and gets one ticket at a time until the store takes something.
    """

    name: str
    pool: "Pool"
    asked_at: float
    ready: bool = False
    stopping: bool = False
    sick: bool = False
    surplus: bool = False
    leases: list[Lease] = field(default_factory=list)
    look: str | None = None
    stayed_s: float = 0.0
    place: tuple[int, str | None] | None = None
    look_at_s: float = inf
    node: str | None = None
    placed_at: float | None = None
    departing: bool = False
    why: str = ""
    bay: str = ""
    slots: float = 0.0
    idle_since: float = inf
    picky: bool = False
    unstored: bool = False
    trying: bool = False

    @property
    def has_room(self) -> bool:
        """May be given another ticket: one runs, one waits."""
        most = 1 if self.trying else 2
        return self.ready and not self.stopping and not self.unstored and len(self.leases) < most

    @property
    def idle(self) -> bool:
        """Holds nothing."""
        return not self.leases


@dataclass(slots=True)
class Room:
    """Hosts that may be given a ticket, by the look they have loaded."""

    by_look: dict[str | None, dict[str, Host]] = field(default_factory=dict)
    size: int = 0

    def add(self, host: Host) -> None:
        """Count a host in."""
        self.by_look.setdefault(host.look, {})[host.name] = host
        self.size += 1

    def remove(self, host: Host, look: str | None) -> None:
        """Count a host out that was counted in with this look."""
        hosts = self.by_look[look]
        del hosts[host.name]
        if not hosts:
            del self.by_look[look]
        self.size -= 1

    def pick(self, look: str | None) -> Host:
        """One with this look, else any. Raises StopIteration where there is none."""
        hosts = self.by_look.get(look)
        if hosts is None:
            hosts = next(iter(self.by_look.values()))
        return next(iter(hosts.values()))

    def hosts(self) -> Iterator[Host]:
        """All of them."""
        for hosts in self.by_look.values():
            yield from hosts.values()
