"""Who works on what: releases waves when a pool runs low, shares slots between models, and hands out tickets.

Decides about hosts and tickets only. Which candidates a stage wants, and when it has enough, is decided in `waves` and
`chains`; nothing here can change which candidates survive.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from ancestra_farm.plan.events import AttemptEnded
from ancestra_farm.plan.recipe import model_digest
from ancestra_farm.scheduler.pools import (
    Fleet,
    Host,
    Lease,
    Lot,
    Pool,
    hosts_wanted,
    kind_of,
    order_of,
    order_of_next_wave,
    ticket_size,
)
from ancestra_farm.scheduler.state import BatchState, Branch, Phase, StageRef, StageState
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.waves import Emit, may_release, release
from ancestra_farm.scheduler.world import Dispatch, Instruction, Revoke, StartHost, StopHost, Ticket


class Dispatcher:
    """The fleet of this moment, and the decisions about it."""

    def __init__(self, tunables: Tunables) -> None:
        self.tunables = tunables
        self.fleet = Fleet()
        self._lots: dict[int, Lot] = {}
        self._undone: list[Lot] = []

    # ---- what there is to do ---------------------------------------------------------------------------------------

    def add_pools(self, batch: BatchState) -> None:
        """Make a pool for every model the batch names; one that would not load gets another chance.

        A model is what its digest names: hosts that hold other weights under the same id are of another pool.
        """
        for model, card in batch.plan.cards.items():
            document = batch.submitted.cards[model]
            pool = self.fleet.pools.setdefault(model_digest(card), Pool(card, document))
            pool.card, pool.document, pool.start_failures = card, document, 0

    def drop_ready(self, batch: str) -> None:
        """Forget which branches of a batch may release: a newer revision takes its place."""
        for pool in self.fleet.pools.values():
            pool.ready = [entry for entry in pool.ready if entry[1].opened.batch != batch]

    def add_lot(self, branch: Branch, phase: Phase) -> None:
        """Put a phase into its pool's line."""
        lot = Lot(order_of(branch, phase), kind_of(branch, phase.rung), branch, phase)
        self._lots[id(phase)] = lot
        self.fleet.pool(branch).enter(lot)

    def withdraw(self, branch: Branch, phase: Phase) -> None:
        """Before a phase is closed: nothing of it is handed out any more. Leases on it become pointless."""
        lot = self._lots.pop(id(phase), None)
        if lot is not None:
            self.fleet.pool(branch).withdraw(lot)
            if lot.leases:
                self._undone.append(lot)

    def offer(self, stage: StageState) -> None:
        """Put the stage's branches that may release a wave into line."""
        for branch in stage.branches.values():
            if branch.closed is None and may_release(branch):
                ready, order = self.fleet.pool(branch).ready, order_of_next_wave(branch)
                at = bisect_left(ready, order, key=lambda other: other[0])
                if at == len(ready) or ready[at][1] is not branch:
                    ready.insert(at, (order, branch))

    def release_waves(self, emit: Emit, now: float) -> bool:
        """Release waves where a pool runs low. True if any was.

        Waves are released late, so that a batch of millions neither fills the log nor the memory before its turn comes.
        A batch whose budget in device-hours is all reserved waits until some of it is settled.
        """
        released = False
        for pool in self.fleet.pools.values():
            at, low_water = 0, self._low_water(pool)
            while at < len(pool.ready) and pool.queued < low_water:
                branch = pool.ready[at][1]
                batch = branch.stage.batch
                wanted = branch.stage.branches.get(branch.key) is branch and may_release(branch)
                if wanted and self._reserved_out(batch):
                    at = bisect_left(pool.ready, batch.number + 1, key=lambda entry: entry[0][0])
                    continue
                del pool.ready[at]
                if wanted:
                    release(branch, emit, now)
                    released = True
        return released

    def _low_water(self, pool: Pool) -> int:
        """Queued candidates below which a pool gets more."""
        each = min(pool.seconds.values(), default=pool.card.seconds_per_candidate)
        ticket = max(1, min(self.tunables.ticket_max, int(self.tunables.ticket_s / max(each, 1e-6))))
        return ticket * self.tunables.queued_tickets_per_host * max(1, self.fleet.slots(pool))

    def _reserved_out(self, batch: BatchState) -> bool:
        """Whether spent and reserved device-seconds reach the budget. What is released is reserved until it ends.

        What cannot run is not reserved for: nobody should wait for it.
        """
        budget_s = batch.budget_s
        if budget_s is None:
            return False
        reserved = sum(pool.work_s(batch.name) for pool in self.fleet.pools.values() if self._blocked(pool) is None)
        return reserved > 0 and batch.device_s + reserved >= budget_s

    # ---- hosts -----------------------------------------------------------------------------------------------------

    def host_ready(self, name: str, load_s: float) -> None:
        """A host came up. One that nobody asked for (any more) is left to itself."""
        host = self.fleet.hosts.get(name)
        if host is not None:
            host.ready = True
            host.pool.start_failures = 0
            host.pool.load_s = load_s
            host.pool.look_at(host)

    def lose_host(self, name: str, message: str) -> tuple[Host, tuple[Lease, ...]] | None:
        """Take a host out of the fleet, with the leases it held; None if it was not in it."""
        host = self.fleet.remove(name)
        if host is None:
            return None
        if not host.ready:
            host.pool.start_failures += 1
            host.pool.last_failure = message
        leases = tuple(host.leases)
        for lease in leases:
            host.pool.release(host, lease)
        return host, leases

    def scale(self, now: float, epoch: int) -> list[Instruction]:
        """Start hosts where work waits and slots are free; free a slot of a pool that has more than its part."""
        out: list[Instruction] = [*self.let_idle_go("its slot is needed")]
        for pool in self.fleet.pools.values():
            wanted = hosts_wanted(self.fleet, pool)
            have = self.fleet.staying(pool)
            if have >= wanted or self._cannot_start(pool) is not None:
                continue
            if not self.fleet.free(pool) and self._worth_switching(pool, have):
                out.extend(self._free_slots(pool))
            out.extend(self._start(pool, now, epoch) for _ in range(min(wanted - have, self.fleet.free(pool))))
        return out

    def _start(self, pool: Pool, now: float, epoch: int) -> StartHost:
        self.fleet.started += 1
        name = f"e{epoch}-{pool.model.replace('/', '-')}-{self.fleet.started}"
        self.fleet.add(Host(name, pool, asked_at=now))
        return StartHost(name, pool.model, pool.document, pool.card.gpus, pool.card.cpus)

    def stop_all(self) -> list[Instruction]:
        """Give no host anything more, and take back what they hold."""
        return [revoked for host in list(self.fleet.hosts.values()) for revoked in self._stop(host, running=True)]

    def let_idle_go(self, why: str) -> list[Instruction]:
        """Let hosts go that are to stop and hold nothing."""
        idle = [host.name for host in self.fleet.stopping.values() if host.idle]
        for name in idle:
            self.fleet.remove(name)
        return [StopHost(name, why) for name in idle]

    def _stop(self, host: Host, *, running: bool) -> Iterator[Instruction]:
        """A host goes when it holds nothing: what waits in it is taken back, and if need be what runs."""
        self.fleet.stop(host)
        for lease in host.leases:
            if not lease.revoked and (running or lease.started_at is None):
                lease.revoked = True
                yield Revoke(host.name, lease.ticket.ticket)

    def _worth_switching(self, pool: Pool, have: int) -> bool:
        """A switch costs a load: only for a pool without any host, or one with more work a host than two loads."""
        return have == 0 or pool.queued_s() / have > 2 * pool.load_s

    def _free_slots(self, pool: Pool) -> list[Instruction]:
        """Take hosts from rivals that have more than their part, as many as one host of this pool needs."""
        rivals = [rival for rival in self.fleet.rivals(pool) if rival is not pool]
        leaving = sum(host.pool.slots_each for host in self.fleet.stopping.values() if host.pool in rivals)
        missing = pool.slots_each - self.fleet.unused(pool) - leaving
        chosen: list[Host] = []
        for rival in rivals:
            more = self.fleet.staying(rival) - hosts_wanted(self.fleet, rival)
            if more > 0 and missing > 0:
                staying = [host for host in rival.hosts.values() if not host.stopping]
                needed = min(more, int(-(-missing // rival.slots_each)))
                chosen.extend(sorted(staying, key=lambda host: len(host.leases))[:needed])
                missing -= needed * rival.slots_each
        if missing > 0:
            return []  # it would not be enough
        revokes = [revoke for host in chosen for revoke in self._stop(host, running=False)]
        return [*revokes, *self.let_idle_go(f"its slot is needed for {pool.model}")]

    def _cannot_start(self, pool: Pool) -> str | None:
        """Why no further host of this pool can come up, as a sentence; None if one can, or if nobody knows yet."""
        if not self.fleet.known:
            return None
        if self.fleet.slots(pool) == 0:
            if pool.on_gpu:
                return f"{pool.model} needs {pool.card.gpus} GPU(s); there are {self.fleet.gpu_slots}"
            return f"{pool.model} needs {pool.card.cpus:g} CPU slot(s); there are {self.fleet.cpu_slots}"
        if pool.start_failures >= self.tunables.start_failures:
            return f"{pool.model} failed to start {pool.start_failures} times; the last: {pool.last_failure}"
        return None

    def _blocked(self, pool: Pool) -> str | None:
        """Why nothing of this pool can run, as a sentence. A host that is there, or still comes up, may do it all."""
        return None if pool.hosts else self._cannot_start(pool)

    def blocked(self, stage: StageState) -> str | None:
        """Why a stage's candidates cannot be made, as a sentence; None if they can, or if nobody knows yet."""
        pool = self.fleet.pools.get(stage.plan.model_digest)
        return None if pool is None else self._blocked(pool)

    def stuck(self) -> tuple[str, ...]:
        """Why work that is left cannot run, a sentence for each pool."""
        pools = (pool for pool in self.fleet.pools.values() if pool.line or pool.ready)
        return tuple(why for pool in pools if (why := self._blocked(pool)) is not None)

    def can_go_on(self) -> bool:
        """Whether some work is left that hosts can take."""
        return any((pool.line or pool.ready) and self._blocked(pool) is None for pool in self.fleet.pools.values())

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
            held = self.fleet.hosts[host]
            held.pool.release(held, lease)
        return lease

    def give_back(self, lease: Lease) -> None:
        """What has not ended of a lease waits again."""
        self.fleet.pool(lease.lot.branch).give_back(lease)

    def learn(self, lease: Lease, attempts: Sequence[AttemptEnded]) -> None:
        """Let measured seconds size the next tickets."""
        judged = [attempt.device_s for attempt in attempts if attempt.cause == "judged"]
        if judged:
            mean = sum(judged) / len(judged)
            self.fleet.pool(lease.lot.branch).learn(lease.lot.kind, mean, self.tunables.newest_weight)

    def overdue(self, now: float) -> list[tuple[Host, Lease]]:
        """Hosts with the ticket whose generation has gone on past its deadline, the one begun first."""
        found: dict[str, tuple[Host, Lease]] = {}
        for host, lease in self.fleet.leases():
            if lease.started_at is not None and now - lease.started_at > lease.ticket.deadline_s:
                found.setdefault(host.name, (host, lease))
        return list(found.values())

    def pointless(self) -> Iterator[Revoke]:
        """Take back the leases on what was closed since the last call."""
        undone, self._undone = self._undone, []
        for lot in undone:
            for host, lease in lot.leases.values():
                if not lease.revoked:
                    lease.revoked = True
                    yield Revoke(host.name, lease.ticket.ticket)

    def hand_out(self, epoch: int) -> Iterator[tuple[Dispatch, StageRef | None]]:
        """A ticket to every host with room, those with nothing first. With each: the stage whose queue it emptied."""
        for pool in self.fleet.pools.values():
            for held in (0, 1):
                if not pool.line:
                    break
                for host in [host for host in pool.room.values() if len(host.leases) == held]:
                    if not pool.line:
                        break
                    lot = pool.line[0]
                    ticket = self._ticket(pool, lot, epoch)
                    pool.lease(host, Lease(ticket, lot))
                    yield Dispatch(host.name, ticket), None if lot.phase.queue else lot.branch.stage.ref

    def _ticket(self, pool: Pool, lot: Lot, epoch: int) -> Ticket:
        branch, spec = lot.branch, lot.branch.stage.plan.spec
        positions = pool.take(lot, ticket_size(pool, lot, self.tunables))
        each = pool.seconds_each(lot.kind)
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
        return any(pool.running for pool in self.fleet.pools.values())


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
