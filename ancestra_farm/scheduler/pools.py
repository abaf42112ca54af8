"""Hosts, pools and tickets: who works on what right now. None of this is in the log; it dies with the controller.

A pool is the hosts of one model and the lots that wait for them. Here it is decided how large a ticket is, which lot is
next, and how the device slots are shared between models. Candidates themselves are decided on elsewhere.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.plan.recipe import Rung
from ancestra_farm.scheduler.state import Branch, Phase
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.world import Ticket

Order = tuple[int, int, int, int, str, int, str]

Kind = tuple[str, str]
"""(batch, what is made): candidates of one kind take about equally long."""

#: Seconds a host is thought to take to come up before one has been measured.
LOAD_GUESS_S = 5.0


@dataclass(slots=True)
class Lot:
    """One phase of one branch, in a place in its pool's line while something of it waits.

    ``leases``: those on it, with their hosts, by ticket.
    """

    order: Order
    kind: Kind
    branch: Branch
    phase: Phase
    leases: dict[str, tuple["Host", "Lease"]] = field(default_factory=dict)

    @property
    def rung(self) -> Rung:
        """The rung all its candidates are made at."""
        return self.phase.rung


@dataclass(slots=True)
class Lease:
    """A ticket that a host holds. ``started_at``: when generation began, None while it waits."""

    ticket: Ticket
    lot: Lot
    started_at: float | None = None
    revoked: bool = False


@dataclass(slots=True)
class Host:
    """A host as the scheduler sees it. At most one running and one waiting lease."""

    name: str
    pool: "Pool"
    asked_at: float
    ready: bool = False
    stopping: bool = False
    leases: list[Lease] = field(default_factory=list)

    @property
    def has_room(self) -> bool:
        """May be given another ticket: one runs, one waits."""
        return self.ready and not self.stopping and len(self.leases) < 2

    @property
    def idle(self) -> bool:
        """Holds nothing."""
        return not self.leases


def order_of(branch: Branch, phase: Phase) -> Order:
    """Where a lot stands in line: older batches first, later stages first (finish what is begun), then shot by shot."""
    return (*_place_of(branch), phase.wave, phase.rung)


def order_of_next_wave(branch: Branch) -> Order:
    """Where the wave that the branch would release next stands in line."""
    return (*_place_of(branch), branch.waves, "")


def _place_of(branch: Branch) -> tuple[int, int, int, int, str]:
    stage = branch.stage
    return (stage.batch.number, -stage.depth, stage.shot.number, branch.opened.segment, branch.key)


def kind_of(branch: Branch, rung: Rung) -> Kind:
    """What is made at this rung of this branch."""
    plan = branch.stage.plan
    frames = plan.segments[branch.opened.segment].frames
    return (branch.opened.batch, f"{plan.name}/{plan.size[0]}x{plan.size[1]}/{frames}/{rung}")


@dataclass(slots=True)
class Pool:
    """All that concerns one model, as one digest names it. ``seconds``: measured, per candidate, by what is made.

    ``line``: lots of which something waits, in order. ``ready``: branches that may release a wave, in order.
    ``waiting`` and ``running``: candidates in queues and in tickets by kind, kept in step so that nothing is ever
    counted over a whole farm. ``room``: hosts that may be given a ticket.
    """

    card: ModelCard
    document: str
    line: list[Lot] = field(default_factory=list)
    ready: list[tuple[Order, Branch]] = field(default_factory=list)
    hosts: dict[str, Host] = field(default_factory=dict)
    room: dict[str, Host] = field(default_factory=dict)
    waiting: dict[Kind, int] = field(default_factory=dict)
    running: dict[Kind, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    load_s: float = LOAD_GUESS_S
    start_failures: int = 0
    last_failure: str = ""

    @property
    def model(self) -> str:
        """The model's id."""
        return self.card.id

    @property
    def on_gpu(self) -> bool:
        """Whether its hosts hold GPU slots rather than CPU slots."""
        return self.card.gpus > 0

    @property
    def slots_each(self) -> float:
        """Slots that one host holds."""
        return self.card.gpus if self.on_gpu else max(1.0, self.card.cpus)

    @property
    def queued(self) -> int:
        """Candidates that wait to be handed out."""
        return sum(self.waiting.values())

    @property
    def busy(self) -> bool:
        """Something waits or runs here."""
        return bool(self.waiting or self.running)

    def queued_s(self) -> float:
        """Device-seconds of what waits to be handed out."""
        return sum(count * self.seconds_each(kind) for kind, count in self.waiting.items())

    def work_s(self, batch: str | None = None) -> float:
        """Device-seconds of what waits or runs, of one batch or of all."""
        return sum(
            count * self.seconds_each(kind)
            for counts in (self.waiting, self.running)
            for kind, count in counts.items()
            if batch is None or kind[0] == batch
        )

    def seconds_each(self, kind: Kind) -> float:
        """Device-seconds of one candidate: measured, or the card's first guess."""
        return self.seconds.get(kind[1], self.card.seconds_per_candidate)

    def learn(self, kind: Kind, seconds: float, weight: float) -> None:
        """Take a measured mean into account; the newest counts for ``weight``."""
        before = self.seconds.get(kind[1])
        self.seconds[kind[1]] = seconds if before is None else before + weight * (seconds - before)

    # ---- lots and leases -------------------------------------------------------------------------------------------

    def enter(self, lot: Lot) -> None:
        """Put a lot with all its queue into line."""
        if lot.phase.queue:
            _count(self.waiting, lot.kind, len(lot.phase.queue))
            self.line.insert(self._place(lot), lot)

    def withdraw(self, lot: Lot) -> None:
        """Take a lot out of line: what still waits of it will not be made."""
        if lot.phase.queue:
            _count(self.waiting, lot.kind, -len(lot.phase.queue))
            del self.line[self._place(lot)]

    def take(self, lot: Lot, size: int) -> tuple[int, ...]:
        """Take up to ``size`` positions from the front of a lot.

        A position that was in a crashed ticket limits the ticket it is in.
        """
        results = lot.branch.results[lot.rung]
        queue = lot.phase.queue
        count = 0
        for position in queue[:size]:
            result = results.get(position)
            if result is not None and result.limit is not None:
                if count >= result.limit:
                    break
                size = min(size, result.limit)
            if count >= size:
                break
            count += 1
        taken = tuple(queue[:count])
        _count(self.waiting, lot.kind, -count)
        if count == len(queue):
            del self.line[self._place(lot)]
        del queue[:count]
        return taken

    def lease(self, host: Host, lease: Lease) -> None:
        """Give a host a ticket."""
        host.leases.append(lease)
        lease.lot.leases[lease.ticket.ticket] = (host, lease)
        _count(self.running, lease.lot.kind, len(lease.ticket.positions))
        self.look_at(host)

    def release(self, host: Host, lease: Lease) -> None:
        """Take a ticket off its host."""
        host.leases.remove(lease)
        lease.lot.leases.pop(lease.ticket.ticket, None)
        _count(self.running, lease.lot.kind, -len(lease.ticket.positions))
        self.look_at(host)

    def give_back(self, lease: Lease) -> None:
        """Put the positions of a ticket that have not ended back into their queue, in index order."""
        lot, queue = lease.lot, lease.lot.phase.queue
        back = [position for position in lease.ticket.positions if position in lot.phase.open]
        if not back:
            return
        if not queue:
            self.line.insert(self._place(lot), lot)
        for position in back:
            insort(queue, position)
        _count(self.waiting, lot.kind, len(back))

    def look_at(self, host: Host) -> None:
        """Note whether the host has room."""
        if host.has_room and host.name in self.hosts:
            self.room[host.name] = host
        else:
            self.room.pop(host.name, None)

    def _place(self, lot: Lot) -> int:
        return bisect_left(self.line, lot.order, key=lambda other: other.order)


def _count(counts: dict[Kind, int], kind: Kind, by: int) -> None:
    """Change a count; none is kept at nought, so that an empty dict says that there is nothing."""
    count = counts.get(kind, 0) + by
    if count:
        counts[kind] = count
    else:
        counts.pop(kind, None)


def ticket_size(pool: Pool, lot: Lot, tunables: Tunables) -> int:
    """How many candidates the next ticket of a lot holds.

    Enough for ``ticket_s`` seconds of work, so that cheap work comes in large tickets and dear work in small ones; but
    near the end of the queue no more than a fair share, so that no host is left with all of the rest.
    """
    each = max(pool.seconds_each(lot.kind), 1e-6)
    by_time = int(tunables.ticket_s / each)
    fair = -(-pool.queued // (2 * max(1, len(pool.hosts))))
    return max(1, min(by_time, fair, tunables.ticket_max))


@dataclass(slots=True)
class Fleet:
    """All pools, by the digest of their model, and the slots they share.

    ``known``: the farm has said how many slots there are. ``stopping``: hosts that go when what they run is back.
    """

    cpu_slots: int = 0
    gpu_slots: int = 0
    known: bool = False
    pools: dict[str, Pool] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    stopping: dict[str, Host] = field(default_factory=dict)
    tickets: int = 0
    started: int = 0

    def pool(self, branch: Branch) -> Pool:
        """The pool that makes a branch's candidates."""
        return self.pools[branch.stage.plan.model_digest]

    def leases(self) -> Iterator[tuple[Host, Lease]]:
        """Every lease with its host."""
        for host in self.hosts.values():
            for lease in host.leases:
                yield host, lease

    def add(self, host: Host) -> None:
        """Count a host in."""
        self.hosts[host.name] = host
        host.pool.hosts[host.name] = host

    def remove(self, name: str) -> Host | None:
        """Count a host out; None if it was not in. What it holds is still on it."""
        host = self.hosts.pop(name, None)
        if host is not None:
            self.stopping.pop(name, None)
            host.pool.hosts.pop(name, None)
            host.pool.room.pop(name, None)
        return host

    def stop(self, host: Host) -> None:
        """Give a host nothing more."""
        host.stopping = True
        self.stopping[host.name] = host
        host.pool.look_at(host)

    def staying(self, pool: Pool) -> int:
        """Hosts of a pool that are not about to go."""
        return len(pool.hosts) - sum(host.pool is pool for host in self.stopping.values())

    def slots(self, pool: Pool) -> int:
        """How many hosts of this pool the machines could hold if it had them alone."""
        return int((self.gpu_slots if pool.on_gpu else self.cpu_slots) // pool.slots_each)

    def rivals(self, pool: Pool) -> list[Pool]:
        """Pools that use the same kind of slot, this one among them."""
        return [other for other in self.pools.values() if other.on_gpu == pool.on_gpu]

    def unused(self, pool: Pool) -> float:
        """Slots of the kind the pool uses that no host holds."""
        used = sum(len(rival.hosts) * rival.slots_each for rival in self.rivals(pool))
        return (self.gpu_slots if pool.on_gpu else self.cpu_slots) - used

    def free(self, pool: Pool) -> int:
        """How many more hosts of this pool fit now."""
        return max(0, int(self.unused(pool) // pool.slots_each))


def hosts_wanted(fleet: Fleet, pool: Pool) -> int:
    """How many hosts a pool should have: its part of the slots by waiting and running work, at least one if any."""
    slots = fleet.slots(pool)
    if not pool.busy or not slots:
        return 0
    total = sum(rival.work_s() for rival in fleet.rivals(pool))
    part = pool.work_s() / total if total > 0 else 1.0
    candidates = pool.queued + sum(pool.running.values())
    return max(1, min(round(slots * part), candidates, slots))
