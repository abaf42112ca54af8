"""Hosts, pools and tickets: who works on what right now. None of this is in the log; it dies with the controller.

A pool is the hosts of one model and the lots that wait for them. Here it is decided how large a ticket is, which lot is
next, and how the device slots are shared between models. Candidates themselves are decided on elsewhere.
"""

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.plan.recipe import Rung
from ancestra_farm.scheduler.state import Branch, Phase
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.world import Ticket

Order = tuple[int, int, int, int, str, int, str]


@dataclass(slots=True)
class Lease:
    """A ticket that a host holds. ``started_at``: when generation began, None while it waits."""

    ticket: Ticket
    lot: "Lot"
    started_at: float | None = None
    revoked: bool = False


@dataclass(slots=True)
class Host:
    """A host as the scheduler sees it. At most one running and one waiting lease."""

    name: str
    model: str
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


@dataclass(slots=True)
class Lot:
    """What is left to hand out of one phase of one branch, in a place in the pool's line."""

    order: Order
    branch: Branch
    phase: Phase

    @property
    def rung(self) -> Rung:
        """The rung all its candidates are made at."""
        return self.phase.rung


def order_of(branch: Branch, phase: Phase) -> Order:
    """Where a lot stands in line: older batches first, later stages first (finish what is begun), then shot by shot."""
    stage = branch.stage
    return (
        stage.batch.number,
        -stage.depth,
        stage.shot.number,
        branch.opened.segment,
        branch.key,
        phase.wave,
        phase.rung,
    )


@dataclass(slots=True)
class Pool:
    """All that concerns one model. ``ready``: branches that may release a wave, in line. ``seconds``: per candidate."""

    card: ModelCard
    document: str
    lots: list[Lot] = field(default_factory=list)
    ready: list[tuple[Order, Branch]] = field(default_factory=list)
    hosts: dict[str, Host] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
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

    def queued(self) -> int:
        """Candidates that wait to be handed out."""
        return sum(len(lot.phase.queue) for lot in self.lots)

    def queued_s(self) -> float:
        """Device-seconds of what waits to be handed out."""
        return sum(len(lot.phase.queue) * self.seconds_each(lot.branch, lot.rung) for lot in self.lots)

    def next_lot(self) -> Lot | None:
        """The first lot in line that has something to hand out; empty ones are dropped from the line."""
        while self.lots:
            if self.lots[0].phase.queue:
                return self.lots[0]
            self.lots.pop(0)
        return None

    def seconds_each(self, branch: Branch, rung: Rung) -> float:
        """Device-seconds of one candidate: measured, or the card's first guess scaled by frames."""
        return self.seconds.get(kind_of(branch, rung), self.card.seconds_per_candidate)

    def learn(self, branch: Branch, rung: Rung, seconds: float, weight: float) -> None:
        """Take a measured mean into account; the newest counts for ``weight``."""
        kind = kind_of(branch, rung)
        before = self.seconds.get(kind)
        self.seconds[kind] = seconds if before is None else before + weight * (seconds - before)


def kind_of(branch: Branch, rung: Rung) -> str:
    """Candidates of one kind take about equally long."""
    plan = branch.stage.plan
    return f"{plan.name}/{plan.size[0]}x{plan.size[1]}/{plan.segments[branch.opened.segment].frames}/{rung}"


def ticket_size(pool: Pool, lot: Lot, tunables: Tunables) -> int:
    """How many candidates the next ticket of a lot holds.

    Enough for ``ticket_s`` seconds of work, so that cheap work comes in large tickets and dear work in small ones; but
    near the end of the queue no more than a fair share, so that no host is left with all of the rest.
    """
    each = max(pool.seconds_each(lot.branch, lot.rung), 1e-6)
    by_time = int(tunables.ticket_s / each)
    fair = -(-pool.queued() // (2 * max(1, len(pool.hosts))))
    return max(1, min(by_time, fair, tunables.ticket_max))


def take(lot: Lot, size: int) -> tuple[int, ...]:
    """Take positions from the front of a lot. A position that was in a crashed ticket limits the ticket it is in."""
    results = lot.branch.results[lot.rung]
    taken: list[int] = []
    limit = size
    for position in lot.phase.queue:
        result = results.get(position)
        if result is not None and result.limit is not None:
            if len(taken) >= result.limit:
                break
            limit = min(limit, result.limit)
        if len(taken) >= limit:
            break
        taken.append(position)
    del lot.phase.queue[: len(taken)]
    return tuple(taken)


def give_back(lot: Lot, positions: Iterable[int]) -> None:
    """Put positions that have not ended back into the queue, in index order."""
    waiting = set(lot.phase.queue)
    for position in positions:
        if position in lot.phase.open and position not in waiting:
            insort(lot.phase.queue, position)


@dataclass(slots=True)
class Fleet:
    """All pools and the slots they share. ``known``: the farm has said how many slots there are."""

    cpu_slots: int = 0
    gpu_slots: int = 0
    known: bool = False
    pools: dict[str, Pool] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    tickets: int = 0
    started: int = 0

    def leases(self) -> Iterator[tuple[Host, Lease]]:
        """Every lease with its host."""
        for host in self.hosts.values():
            for lease in host.leases:
                yield host, lease

    def slots(self, pool: Pool) -> int:
        """How many hosts of this pool the machines could hold if it had them alone."""
        if pool.on_gpu:
            return self.gpu_slots // pool.card.gpus
        return int(self.cpu_slots // max(1.0, pool.card.cpus))

    def rivals(self, pool: Pool) -> list[Pool]:
        """Pools that use the same kind of slot, this one among them."""
        return [other for other in self.pools.values() if other.on_gpu == pool.on_gpu]

    def free(self, pool: Pool) -> int:
        """How many more hosts of this pool fit now."""
        if pool.on_gpu:
            used = sum(host_pool.card.gpus for host_pool in self._pools_of_hosts(gpu=True))
            return max(0, (self.gpu_slots - used) // pool.card.gpus)
        used_cpus = sum(max(1.0, host_pool.card.cpus) for host_pool in self._pools_of_hosts(gpu=False))
        return max(0, int((self.cpu_slots - used_cpus) // max(1.0, pool.card.cpus)))

    def _pools_of_hosts(self, *, gpu: bool) -> Iterator[Pool]:
        for host in self.hosts.values():
            pool = self.pools[host.model]
            if pool.on_gpu == gpu:
                yield pool


def hosts_wanted(fleet: Fleet, pool: Pool) -> int:
    """How many hosts a pool should have: its part of the slots by waiting and running work, at least one if any."""
    if not has_work(pool):
        return 0
    rivals = [other for other in fleet.rivals(pool) if has_work(other)]
    total = sum(work_s(other) for other in rivals)
    slots = fleet.slots(pool)
    part = work_s(pool) / total if total > 0 else 1.0
    lots_of_work = pool.queued() + sum(len(lease.ticket.positions) for h in pool.hosts.values() for lease in h.leases)
    return max(1, min(round(slots * part), lots_of_work, slots)) if slots else 0


def has_work(pool: Pool) -> bool:
    """Something waits or runs in this pool."""
    return any(lot.phase.queue for lot in pool.lots) or any(host.leases for host in pool.hosts.values())


def work_s(pool: Pool) -> float:
    """Device-seconds that wait or run in this pool."""
    running = sum(
        len(lease.ticket.positions) * pool.seconds_each(lease.lot.branch, lease.ticket.rung)
        for host in pool.hosts.values()
        for lease in host.leases
    )
    return pool.queued_s() + running
