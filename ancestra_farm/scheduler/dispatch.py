"""Who works on what: hands out tickets, and takes them back.

Decides about hosts and tickets only. Which candidates a stage wants, and when it has enough, is decided in `waves` and
`chains`; nothing here can change which candidates survive. Whose turn it is comes from `share`, which hosts there are
from `slots`, when waves are released from `releases`, what is taken back for somebody else from `urgency`.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from ancestra_farm.plan.events import AttemptEnded
from ancestra_farm.plan.recipe import Rung, model_digest
from ancestra_farm.scheduler import show_caps, urgency
from ancestra_farm.scheduler.deadlines import Deadlines
from ancestra_farm.scheduler.departures import Departures
from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.hosts import Host, Lease
from ancestra_farm.scheduler.lines import Line, Lot, kind_of, place_of
from ancestra_farm.scheduler.outcomes import phase_of
from ancestra_farm.scheduler.pauses import put_off
from ancestra_farm.scheduler.phases import Phase
from ancestra_farm.scheduler.pools import Pool, load_guess_s
from ancestra_farm.scheduler.releases import Releases
from ancestra_farm.scheduler.settings import Settings
from ancestra_farm.scheduler.slots import Slots
from ancestra_farm.scheduler.state import BatchState, Branch, StageRef, StageState
from ancestra_farm.scheduler.store_waits import StoreWaits
from ancestra_farm.scheduler.tickets import take_ticket, ticket_size, tickets_in
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.waves import Emit, may_release
from ancestra_farm.scheduler.world import Dispatch, Instruction, Revoke

#: Lots that are looked through for one with the look a host has loaded.
LOOKED_THROUGH = 32


class Dispatcher:
    """The fleet of this moment, and the decisions about it. ``now`` is set before anything is asked of it."""

    def __init__(self, tunables: Tunables) -> None:
        self.tunables = tunables
        self.now = 0.0
        self.fleet = Fleet()
        self.slots = Slots(self.fleet, tunables)
        self.departures = Departures(self.fleet, self.slots, tunables)
        self.releases = Releases(self.fleet, self.slots, tunables)
        self._lots: dict[int, Lot] = {}
        self._undone: list[Lot] = []
        self._held: set[StageRef] = set()
        self.deadlines = Deadlines()
        self.store_waits = StoreWaits(self.fleet, tunables)

    # ---- what there is to do ---------------------------------------------------------------------------------------

    def add_pools(self, batch: BatchState) -> None:
        """Make a pool for every model the batch names, as it states it; one that would not load gets another chance.

        A model is what its digest names: hosts that hold other weights under the same id are of another pool.
        """
        for model, card in batch.plan.cards.items():
            document, digest = batch.submitted.cards[model], model_digest(card)
            pool = self.fleet.pools.setdefault(digest, Pool(digest, card, document, load_s=load_guess_s(card)))
            pool.card, pool.document, pool.start_failures = card, document, 0
        self.fleet.equip(self.fleet.farm)

    def take_up(self, batch: BatchState) -> None:
        """Everything released of a batch and not ended waits again. A newer revision replaces the one before."""
        for pool in self.fleet.pools.values():
            pool.hungry.pop(batch.name, None)
            if (line := pool.lines.get(batch.name)) is not None:
                line.ready.clear()
        self.add_pools(batch)
        self._held = {ref for ref in self._held if ref[0] != batch.name}
        for ref in [ref for ref in self.fleet.put_off if ref[0] == batch.name]:
            del self.fleet.put_off[ref]
        for branch in batch.branches.values():
            for phase in branch.phases.values():
                phase.queue = sorted(phase.open)
                self.add_lot(branch, phase)
        self.rank(batch)

    def rank(self, batch: BatchState) -> None:
        """Take a changed class of a batch into account."""
        rank = batch.rank
        for pool in self.fleet.pools.values():
            line = pool.lines.get(batch.name)
            if line is not None and line.busy:
                pool.clock.join(line.account, rank, self.now)
        self.fleet.stale = True

    def add_lot(self, branch: Branch, phase: Phase) -> None:
        """Put a phase into its batch's line."""
        stage, pool = branch.stage, self.fleet.pool(branch)
        lot = Lot(place_of(branch, phase), kind_of(branch, phase.rung), pool.line(stage.batch), branch, phase)
        self._lots[id(phase)] = lot
        if stage.ref not in self._held:
            pool.enter(lot, self.now)
            self.fleet.stale = True

    def withdraw(self, branch: Branch, phase: Phase) -> None:
        """Before a phase is closed: nothing of it is handed out any more. Leases on it become pointless."""
        lot = self._lots.pop(id(phase), None)
        if lot is not None:
            self.fleet.pool(branch).withdraw(lot)
            if lot.leases:
                self._undone.append(lot)

    def unqueue(self, branch: Branch, position: int, rung: Rung) -> None:
        """Before a candidate is given up: it is not handed out any more."""
        phase = phase_of(branch, position, rung)
        if phase is not None:
            self.fleet.pool(branch).unqueue(self._lots[id(phase)], position)

    def offer(self, stage: StageState) -> None:
        """Put the stage's branches that may release a wave into line; hold it, or let it go on, as people ordered."""
        if stage.held != (stage.ref in self._held):
            self._hold(stage)
        if put_off(stage.batch, stage.shot):
            self.fleet.put_off[stage.ref] = stage
            self.fleet.pools[stage.plan.model_digest].line(stage.batch)
        else:
            self.fleet.put_off.pop(stage.ref, None)
        if stage.held:
            return
        for branch in stage.branches.values():
            if branch.closed is None and may_release(branch):
                pool = self.fleet.pool(branch)
                line = pool.line(stage.batch)
                line.offer(branch)
                pool.hungry[stage.batch.name] = line

    def _hold(self, stage: StageState) -> None:
        """What waits of a paused stage leaves its line, what has not started comes back, what runs goes on."""
        held = stage.held
        (self._held.add if held else self._held.discard)(stage.ref)
        self.fleet.stale = True
        for branch in stage.branches.values():
            for phase in branch.phases.values():
                lot, pool = self._lots[id(phase)], self.fleet.pool(branch)
                if held:
                    pool.withdraw(lot)
                    self._undone.append(lot)
                elif not lot.inside:
                    pool.enter(lot, self.now)

    def release_waves(self, emit: Emit) -> bool:
        """Release waves where a batch runs low in a pool. True if any was."""
        return self.releases.release_waves(emit, self.now)

    def run_short(self, settings: Settings) -> frozenset[str]:
        """Shows that were not known to be out of money and are; nothing of theirs starts from here on.

        Until the settings change or people order something else.
        """
        found = self.fleet.purse.short(settings, self.releases.able())
        settings.short.update(found)
        return frozenset(found)

    # ---- hosts -----------------------------------------------------------------------------------------------------

    def host_placed(self, name: str, node: str) -> list[Instruction]:
        """A host has a machine; what is done if that one is going away."""
        host = self.fleet.hosts.get(name)
        if host is None:
            return []
        host.node, host.placed_at = node, self.now
        return self.departures.placed(host, self.now)

    def host_ready(self, name: str, load_s: float) -> Host | None:
        """A host came up. One that nobody asked for (any more) is left to itself."""
        host = self.fleet.hosts.get(name)
        if host is not None:
            host.ready, host.idle_since = True, self.now
            self.fleet.starting.pop(name, None)
            host.pool.start_failures = 0
            host.pool.load_s = load_s
            host.pool.look_at(host)
        return host

    def lose_host(self, name: str, message: str, *, charged: bool) -> tuple[Host, tuple[Lease, ...]] | None:
        """Take a host out of the fleet, with the leases it held; None if it was not in it.

        ``charged``: if it never came up, that says something about its model. A machine that was taken away does not.
        """
        host = self.fleet.remove(name)
        if host is None:
            return None
        if not host.ready and charged and not host.departing:
            host.pool.start_failures += 1
            host.pool.last_failure = message
            host.pool.failed_at, host.pool.another_try = self.now, False
        leases = tuple(host.leases)
        for lease in leases:
            took = 0.0 if lease.started_at is None else max(0.0, self.now - lease.started_at)
            host.pool.release(host, lease, took, self.now)
            self.fleet.purse.settle(lease)
        return host, leases

    def blocked(self, stage: StageState) -> str | None:
        """Why a stage's candidates cannot be made, as a sentence; None if they can, or if nobody knows yet."""
        pool = self.fleet.pools.get(stage.plan.model_digest)
        return None if pool is None else (self.slots.blocked(pool) or show_caps.too_wide(pool, stage.batch))

    def stuck(self) -> tuple[str, ...]:
        """Why work that is left cannot run, a sentence for each pool or batch."""
        left = [pool for pool in self.fleet.pools.values() if pool.waiting or pool.hungry]
        sentences = [why for pool in left if (why := self.slots.blocked(pool)) is not None]
        for pool in left:
            lines = (pool.waiting | pool.hungry).values()
            if self.slots.blocked(pool) is None:
                sentences.extend(why for line in lines if (why := show_caps.too_wide(pool, line.batch)) is not None)
        return tuple(sentences)

    def can_go_on(self) -> bool:
        """Whether some work is left that hosts can take."""
        return any(
            self.slots.blocked(pool) is None
            and any(show_caps.too_wide(pool, line.batch) is None for line in (pool.waiting | pool.hungry).values())
            for pool in self.fleet.pools.values()
            if pool.waiting or pool.hungry
        )

    # ---- tickets ---------------------------------------------------------------------------------------------------

    def lease(self, host: str, ticket: str) -> Lease | None:
        """The lease, while the host holds it."""
        held = self.fleet.hosts.get(host)
        if held is None:
            return None
        return next((lease for lease in held.leases if lease.ticket.ticket == ticket), None)

    def start_lease(self, host: str, ticket: str) -> None:
        """Generation of a ticket began."""
        lease = self.lease(host, ticket)
        if lease is not None and lease.started_at is None:
            held = self.fleet.hosts[host]
            held.pool.start(lease, self.now)
            self.deadlines.watch(held)

    def end_lease(self, host: str, ticket: str, attempts: Sequence[AttemptEnded]) -> Lease | None:
        """Take a lease off its host, and learn how long it took; None if the host no longer held it."""
        lease = self.lease(host, ticket)
        if lease is None:
            return None
        held, lot = self.fleet.hosts[host], lease.lot
        cost_s, judged_s, judged = 0.0, 0.0, 0
        for attempt in attempts:
            cost_s += attempt.device_s
            if attempt.cause == "judged":
                judged_s += attempt.device_s
                judged += 1
        held.pool.release(held, lease, cost_s, self.now)
        self.fleet.purse.settle(lease)
        if judged:
            held.pool.learn(lot.kind, judged_s / judged, self.tunables.newest_weight)
        if held.leases:
            self.deadlines.watch(held)
        return lease

    def returned(self, host: str, lease: Lease, attempts: Sequence[AttemptEnded]) -> str | None:
        """Note what a host returned of a ticket. Why it is to be drained, as a sentence; None: it is not.

        Candidates that are tried again, or survive by word, are no sample of their branch.
        """
        lot = lease.lot
        held = self.fleet.hosts.get(host)
        if held is None or not attempts or id(lot.phase) not in self._lots:
            return None
        whole = len(attempts) == len(lease.ticket.positions)
        positions = lease.ticket.positions if whole else tuple(attempt.position for attempt in attempts)
        lot.judged.setdefault(host, []).append(positions)
        if lot.phase.again or lot.phase.by_word:
            return None
        stratum = (lease.ticket.batch, lease.ticket.branch, lot.phase.wave, lease.ticket.rung)
        return held.pool.ward.returned(host, stratum, attempts, held.pool.staying)

    def drain(self, host: Host) -> tuple[list[Instruction], list[tuple[Lot, tuple[int, ...]]]]:
        """A host gets nothing more and returns what it holds. With that: what it did in waves that are undecided."""
        host.sick = True
        judged = ((lot, lot.judged.pop(host.name, ())) for lot in self._lots.values())
        done = [
            (lot, tuple(sorted({position for ticket in tickets for position in ticket})))
            for lot, tickets in judged
            if tickets
        ]
        return list(self.slots.stop(host, running=True)), done

    def again(self, lot: Lot, positions: tuple[int, ...]) -> None:
        """Candidates whose verdicts were voided wait again."""
        queued = set(lot.phase.queue)
        leased = {position for _, lease in lot.leases.values() for position in lease.ticket.positions}
        back = tuple(position for position in positions if position not in queued and position not in leased)
        held = lot.branch.stage.ref in self._held
        self.fleet.pool(lot.branch).give_back(lot, back, self.now, held=held)

    def give_back(self, lease: Lease) -> None:
        """What has not ended of a lease waits again."""
        lot, pool = lease.lot, self.fleet.pool(lease.lot.branch)
        if id(lot.phase) in self._lots:
            held = lot.branch.stage.ref in self._held
            pool.give_back(lot, lease.ticket.positions, self.now, held=held)
        pool.rest(lot.line)

    def pointless(self) -> Iterator[Revoke]:
        """Take back the leases on what was closed or held since the last call: of what is held, only unstarted ones."""
        undone, self._undone = self._undone, []
        for lot in undone:
            closed = id(lot.phase) not in self._lots
            if not closed and lot.branch.stage.ref not in self._held:
                continue
            unwanted = [(host, lease) for host, lease in lot.leases.values() if closed or lease.started_at is None]
            yield from urgency.revoke(iter(unwanted))

    def hand_out(self, epoch: int) -> Iterator[tuple[Instruction, StageRef | None]]:
        """A ticket to every host with room, those with nothing first. With each: the stage whose queue it emptied.

        In between, what must make way for a higher class is taken back, and what an idle host could start at once.
        """
        for pool in self.fleet.pools.values():
            for held in (0, 1):
                while pool.waiting and pool.room[held].size and (found := self._next(pool, held)) is not None:
                    host, lot = found
                    yield self._give(pool, host, lot, epoch), None if lot.phase.queue else lot.branch.stage.ref
                if held == 0:
                    for revoke in self._take_back(pool):
                        yield revoke, None

    def _take_back(self, pool: Pool) -> Iterator[Revoke]:
        if pool.room[0].size:
            yield from urgency.revoke(urgency.for_the_idle(self.fleet, pool, self.now, self.tunables))
        if len(pool.lines) > 1:
            tickets = {
                line: tickets_in(pool, line, self.tunables)
                for line in pool.waiting.values()
                if not self.fleet.kept_out(line, pool)
            }
            yield from urgency.revoke(urgency.for_a_higher_class(self.fleet, pool, tickets))

    def _next(self, pool: Pool, held: int) -> tuple[Host, Lot] | None:
        """The host and the lot of the next ticket, for a host that holds so many; None: nobody should get one now."""
        lines = pool.in_turn(pool.waiting, self.now, self.tunables.ageing_s)
        for line in lines:
            if self.fleet.purse.out_of_reach(pool, line):
                continue
            own = None
            if capped := self.fleet.at_cap(line, pool):
                own = next((host for host in line.mine.values() if len(host.leases) == held), None)
            if (capped and own is None) or show_caps.gives_way(self.fleet, line, pool):
                continue
            if len(pool.lines) > 1 and not urgency.may_serve(self.fleet, pool, line.rank, held):
                return None
            if own is None:
                return self._match(pool, line, lines, held)
            own.stayed_s = 0.0
            return own, line.lots[0]
        return None

    def _match(self, pool: Pool, line: Line, lines: list[Line], held: int) -> tuple[Host, Lot]:
        """The line's first lot, to a host that has its look loaded.

        A host with another look may stay with that for a while, if somebody of the same class has work for it.
        """
        lot = line.lots[0]
        host = pool.room[held].pick(lot.look)
        if host.look not in (lot.look, None):
            same = self._with_look(pool, host.look, [other for other in lines if other.rank == line.rank])
            if same is not None:
                expected_s = ticket_size(pool, same, self.tunables) * pool.seconds_each(same.kind)
                if host.stayed_s + expected_s <= self.tunables.look_stay_s:
                    host.stayed_s += expected_s
                    return host, same
        host.stayed_s = 0.0
        return host, lot

    def _with_look(self, pool: Pool, look: str | None, lines: list[Line]) -> Lot | None:
        free = (line for line in lines if not self.fleet.at_cap(line, pool))
        lots = (lot for line in free for lot in islice(line.lots, LOOKED_THROUGH))
        return next((lot for lot in lots if lot.look == look and self.fleet.purse.pays(pool, lot)), None)

    def _give(self, pool: Pool, host: Host, lot: Lot, epoch: int) -> Dispatch:
        self.fleet.tickets += 1
        most = self.fleet.purse.most(pool, lot, host)
        ticket = take_ticket(pool, lot, f"{epoch}-{self.fleet.tickets}", epoch, self.tunables, most)
        host.look = lot.look
        lease = Lease(ticket, lot, pool.seconds_each(lot.kind) * len(ticket.positions))
        pool.lease(host, lease, self.now)
        self.fleet.purse.bind(host, lease)
        self.deadlines.watch(host)
        return Dispatch(host.name, ticket)

    def classes_meet(self) -> bool:
        """Whether batches of several classes are at work in one pool: then it matters when a ticket starts."""
        return any(
            len(pool.lines) > 1 and len({line.rank for line in pool.lines.values() if line.busy}) > 1
            for pool in self.fleet.pools.values()
        )

    def busy(self) -> bool:
        """Some host holds a ticket."""
        return any(line.going for pool in self.fleet.pools.values() for line in pool.lines.values())
