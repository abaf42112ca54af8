"""Who works on what: releases waves when a pool runs low, shares slots between models, and hands out tickets.

Decides about hosts and tickets only. Which candidates a stage wants, and when it has enough, is decided in `waves` and
`chains`; nothing here can change which candidates survive.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

from ancestra_farm.plan.events import AttemptEnded
from ancestra_farm.scheduler.pools import (
    Fleet,
    Host,
    Lease,
    Lot,
    Order,
    Pool,
    hosts_wanted,
    order_of,
    take,
    ticket_size,
)
from ancestra_farm.scheduler.state import BatchState, Branch, FarmState, Phase, StageRef, StageState
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.waves import Emit, may_release, release
from ancestra_farm.scheduler.world import Dispatch, Instruction, Revoke, StartHost, StopHost, Ticket

#: Seconds a host is thought to take to come up before one has been measured.
LOAD_GUESS_S = 5.0


class Dispatcher:
    """The fleet of this moment, and the decisions about it."""

    def __init__(self, tunables: Tunables) -> None:
        self.tunables = tunables
        self.fleet = Fleet()
        self._load_s: dict[str, float] = {}

    # ---- what there is to do ---------------------------------------------------------------------------------------

    def add_pools(self, batch: BatchState) -> None:
        """Make a pool for every model the batch names; one that would not load gets another chance."""
        for model, card in batch.plan.cards.items():
            document = batch.submitted.cards[model]
            pool = self.fleet.pools.get(model)
            if pool is None:
                self.fleet.pools[model] = Pool(card, document)
            else:
                pool.card, pool.document, pool.start_failures = card, document, 0

    def drop_batch(self, batch: str) -> None:
        """Forget what waits of a batch: a newer revision takes its place."""
        for pool in self.fleet.pools.values():
            pool.lots = [lot for lot in pool.lots if lot.branch.stage.batch.name != batch]
            pool.ready = [entry for entry in pool.ready if entry[1].stage.batch.name != batch]

    def add_lot(self, branch: Branch, phase: Phase) -> None:
        """Put a phase into its pool's line, if it has something to hand out and is not there yet."""
        if not phase.queue:
            return
        lots = self.fleet.pools[branch.stage.plan.card.id].lots
        order = order_of(branch, phase)
        at = bisect_left(lots, order, key=lambda lot: lot.order)
        if at == len(lots) or lots[at].phase is not phase:
            lots.insert(at, Lot(order, branch, phase))

    def offer(self, stage: StageState) -> None:
        """Put the stage's branches that may release a wave into line."""
        pool = self.fleet.pools[stage.plan.card.id]
        for branch in stage.branches.values():
            if branch.closed is None and may_release(branch):
                entry = (_order_of_branch(branch), branch)
                at = bisect_left(pool.ready, entry[0], key=lambda other: other[0])
                if at == len(pool.ready) or pool.ready[at][1] is not branch:
                    pool.ready.insert(at, entry)

    def release_waves(self, emit: Emit, now: float) -> bool:
        """Release waves where a pool runs low. True if any was.

        Waves are released late, so that a batch of millions neither fills the log nor the memory before its turn comes.
        """
        released = False
        for pool in self.fleet.pools.values():
            held: list[tuple[Order, Branch]] = []
            while pool.ready and pool.queued() < self._low_water(pool):
                entry = pool.ready.pop(0)
                branch = entry[1]
                if branch.stage.branches.get(branch.key) is not branch or not may_release(branch):
                    continue
                if self._reserved_out(branch.stage.batch):
                    held.append(entry)
                    continue
                release(branch, emit, now)
                released = True
            for entry in held:
                insort(pool.ready, entry, key=lambda other: other[0])
        return released

    def _low_water(self, pool: Pool) -> int:
        """Queued candidates below which a pool gets more."""
        each = min(pool.seconds.values(), default=pool.card.seconds_per_candidate)
        ticket = max(1, min(self.tunables.ticket_max, int(self.tunables.ticket_s / max(each, 1e-6))))
        return ticket * self.tunables.queued_tickets_per_host * max(1, self.fleet.slots(pool))

    def _reserved_out(self, batch: BatchState) -> bool:
        """Whether spent and reserved device-seconds reach the budget. What is released is reserved until it ends."""
        budget_s = batch.budget_s
        if budget_s is None:
            return False
        reserved = sum(
            len(phase.open) * self.fleet.pools[branch.stage.plan.card.id].seconds_each(branch, phase.rung)
            for branch in batch.branches.values()
            for phase in branch.phases.values()
        )
        return reserved > 0 and batch.device_s + reserved >= budget_s

    # ---- hosts -----------------------------------------------------------------------------------------------------

    def host_ready(self, name: str, load_s: float) -> None:
        """A host came up. One that nobody asked for (any more) is left to itself."""
        host = self.fleet.hosts.get(name)
        if host is not None:
            host.ready = True
            pool = self.fleet.pools[host.model]
            pool.start_failures = 0
            self._load_s[host.model] = load_s

    def lose_host(self, name: str, message: str) -> Host | None:
        """Take a host out of the fleet; None if it was not in it. Its leases are still in what is returned."""
        host = self.fleet.hosts.pop(name, None)
        if host is not None:
            pool = self.fleet.pools[host.model]
            pool.hosts.pop(name, None)
            if not host.ready:
                pool.start_failures += 1
                pool.last_failure = message
        return host

    def scale(self, now: float, epoch: int) -> list[Instruction]:
        """Start hosts where work waits and slots are free; free a slot of a pool that has more than its part."""
        leaving = [host for host in self.fleet.hosts.values() if host.stopping and host.idle]
        out: list[Instruction] = [self._let_go(host, "its slot is needed") for host in leaving]
        for pool in self.fleet.pools.values():
            if self._cannot_start(pool) is not None:
                continue
            wanted = hosts_wanted(self.fleet, pool)
            have = sum(not host.stopping for host in pool.hosts.values())
            if have < wanted and not self.fleet.free(pool) and self._worth_switching(pool, have):
                out.extend(self._free_a_slot(pool))
            while have < wanted and self.fleet.free(pool):
                out.append(self._start(pool, now, epoch))
                have += 1
        return out

    def _start(self, pool: Pool, now: float, epoch: int) -> StartHost:
        self.fleet.started += 1
        name = f"e{epoch}-{pool.model.replace('/', '-')}-{self.fleet.started}"
        host = Host(name, pool.model, asked_at=now)
        self.fleet.hosts[name] = host
        pool.hosts[name] = host
        return StartHost(name, pool.model, pool.document, pool.card.gpus, pool.card.cpus)

    def _let_go(self, host: Host, why: str) -> StopHost:
        self.fleet.hosts.pop(host.name, None)
        self.fleet.pools[host.model].hosts.pop(host.name, None)
        return StopHost(host.name, why)

    def _worth_switching(self, pool: Pool, have: int) -> bool:
        """A switch costs a load: only for a pool without any host, or one with more work a host than two loads."""
        load_s = self._load_s.get(pool.model, LOAD_GUESS_S)
        return have == 0 or pool.queued_s() / have > 2 * load_s

    def _free_a_slot(self, pool: Pool) -> list[Instruction]:
        """Take a host from a rival that has more than its part; it goes when what it runs is back."""
        if any(host.stopping for rival in self.fleet.rivals(pool) for host in rival.hosts.values()):
            return []  # one is on its way out already
        for rival in self.fleet.rivals(pool):
            spare = [host for host in rival.hosts.values() if not host.stopping]
            if rival is pool or len(spare) <= hosts_wanted(self.fleet, rival):
                continue
            host = min(spare, key=lambda h: len(h.leases))
            if host.idle:
                return [self._let_go(host, f"its slot is needed for {pool.model}")]
            host.stopping = True
            return [Revoke(host.name, lease.ticket.ticket) for lease in host.leases if lease.started_at is None]
        return []

    def _cannot_start(self, pool: Pool) -> str | None:
        """Why no host of this pool can come up, as a sentence; None if one can."""
        if not self.fleet.known:
            return None
        if self.fleet.slots(pool) == 0:
            if pool.on_gpu:
                return f"{pool.model} needs {pool.card.gpus} GPU(s); there are {self.fleet.gpu_slots}"
            return f"{pool.model} needs {pool.card.cpus:g} CPU slot(s); there are {self.fleet.cpu_slots}"
        if pool.start_failures >= self.tunables.start_failures:
            return f"{pool.model} failed to start {pool.start_failures} times; the last: {pool.last_failure}"
        return None

    def blocked(self, model: str) -> str | None:
        """Why no host of a model can come up, as a sentence; None if one can, or if nobody knows yet."""
        pool = self.fleet.pools.get(model)
        return None if pool is None else self._cannot_start(pool)

    def stuck(self) -> tuple[str, ...]:
        """Why work that is left cannot run, a sentence for each pool."""
        pools = (pool for pool in self.fleet.pools.values() if pool.next_lot() or pool.ready)
        return tuple(why for pool in pools if (why := self._cannot_start(pool)) is not None)

    def can_go_on(self) -> bool:
        """Whether some work is left that hosts can take."""
        return any(
            (pool.next_lot() or pool.ready) and self._cannot_start(pool) is None for pool in self.fleet.pools.values()
        )

    # ---- tickets ---------------------------------------------------------------------------------------------------

    def lease(self, host: str, ticket: str) -> Lease | None:
        """The lease, while the host holds it."""
        held = self.fleet.hosts.get(host)
        if held is None:
            return None
        return next((lease for lease in held.leases if lease.ticket.ticket == ticket), None)

    def end_lease(self, host: str, ticket: str) -> Lease | None:
        """Take a lease off its host; None if the host no longer held it."""
        lease = self.lease(host, ticket)
        if lease is not None:
            self.fleet.hosts[host].leases.remove(lease)
        return lease

    def learn(self, lease: Lease, attempts: Sequence[AttemptEnded]) -> None:
        """Let measured seconds size the next tickets."""
        judged = [attempt.device_s for attempt in attempts if attempt.cause == "judged"]
        if judged:
            pool = self.fleet.pools[lease.lot.branch.stage.plan.card.id]
            mean = sum(judged) / len(judged)
            pool.learn(lease.lot.branch, lease.ticket.rung, mean, self.tunables.newest_weight)

    def overdue(self, now: float) -> list[Host]:
        """Hosts whose generation has gone on past its deadline."""
        return [
            host
            for host in self.fleet.hosts.values()
            if any(
                lease.started_at is not None and now - lease.started_at > lease.ticket.deadline_s
                for lease in host.leases
            )
        ]

    def pointless(self, state: FarmState) -> Iterator[tuple[Host, Lease]]:
        """Leases whose candidates are all decided or done away with."""
        for host, lease in list(self.fleet.leases()):
            branch = lease.lot.branch
            gone = state.branch(branch.ref) is not branch
            if not lease.revoked and (gone or not lease.lot.phase.open.intersection(lease.ticket.positions)):
                lease.revoked = True
                yield host, lease

    def hand_out(self, epoch: int) -> Iterator[tuple[Dispatch, StageRef | None]]:
        """A ticket to every host with room, those with nothing first. With each: the stage whose queue it emptied."""
        for pool in self.fleet.pools.values():
            for held in (0, 1):
                for host in pool.hosts.values():
                    if not host.has_room or len(host.leases) != held:
                        continue
                    lot = pool.next_lot()
                    if lot is None:
                        break
                    ticket = self._ticket(pool, lot, epoch)
                    host.leases.append(Lease(ticket, lot))
                    yield Dispatch(host.name, ticket), None if lot.phase.queue else lot.branch.stage.ref

    def _ticket(self, pool: Pool, lot: Lot, epoch: int) -> Ticket:
        branch, spec = lot.branch, lot.branch.stage.plan.spec
        positions = take(lot, ticket_size(pool, lot, self.tunables))
        each = pool.seconds_each(branch, lot.rung)
        self.fleet.tickets += 1
        return Ticket(
            ticket=f"{epoch}-{self.fleet.tickets}",
            epoch=epoch,
            batch=branch.opened.batch,
            branch=branch.key,
            rung=lot.rung,
            positions=positions,
            space=branch.space,
            filters=lot.phase.filters,
            settings={
                name: dict(value) if isinstance(value, dict) else {"enabled": value}
                for name, value in spec.filters.items()
            },
            full_sample=spec.full_sample,
            keep_rejects=spec.keep_rejects,
            parents=_parents(branch, positions),
            deadline_s=max(self.tunables.deadline_floor_s, self.tunables.deadline_factor * each * len(positions)),
        )

    def busy(self) -> bool:
        """Some host holds a ticket."""
        return any(host.leases for host in self.fleet.hosts.values())


def _parents(branch: Branch, positions: Sequence[int]) -> dict[str, str]:
    """Where the media of the positions' parents are. Parents are survivors, so each has a medium."""
    inputs = branch.opened.inputs
    known = branch.stage.batch.known
    paths: dict[str, str] = {}
    for index in {position % len(inputs) for position in positions}:
        for parent in inputs[index]:
            media = known[parent].media
            if media is None:
                raise AssertionError(f"parent {parent} has no medium")
            paths[parent] = media
    return paths


def _order_of_branch(branch: Branch) -> Order:
    stage = branch.stage
    return (stage.batch.number, -stage.depth, stage.shot.number, branch.opened.segment, branch.key, branch.waves, "")
