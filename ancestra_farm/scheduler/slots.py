"""Which hosts come up and which go: device slots shared between the models that work waits for.

Bay by bay, the cheapest first; what does not fit into one is looked for in the next. Slots go to classes strictly, then
to batches by weight, then to a batch's models by work (`share.hosts_by_pool`). A host that has work is only let go for
another model when that is worth the load. What a host works on is decided in `dispatch`; whether a host is sick, in
`health`; how many nodes there should be, and which hosts are idle for too long, in `scaling`; whether nodes come, in
`supply`.
"""

from collections.abc import Iterable, Iterator
from itertools import takewhile
from math import ceil, inf

from ancestra_farm.batch.numbers import counted
from ancestra_farm.scheduler import fragments, scaling, supply
from ancestra_farm.scheduler.bays import ROUNDING, Bay, whole
from ancestra_farm.scheduler.demands import demands_in, usable
from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.hosts import Host
from ancestra_farm.scheduler.placement import needs_of, nowhere
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.share import RANKS, Demand, hosts_by_pool
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.world import Instruction, Revoke, StartHost, StopHost


class Slots:
    """The slots of a fleet and the decisions about them."""

    def __init__(self, fleet: Fleet, tunables: Tunables) -> None:
        self.fleet = fleet
        self.tunables = tunables
        self._shared_at = 0.0
        self._scaled_at = -inf
        self._scale_soon = False

    def share(self, now: float, epoch: int) -> list[Instruction]:
        """Start hosts where work waits and slots are free; free slots of pools that have more than their part.

        Looked at when something changed that it rests on, and every ``reshare_s``: how much work is left changes with
        every ticket, and that alone is not worth an answer at once.
        """
        out: list[Instruction] = [*self.let_idle_go("its slot is needed")]
        stale = self.fleet.stale or any(pool.stale for pool in self.fleet.pools.values())
        if not stale and now - self._shared_at < self.tunables.reshare_s:
            return out
        self.fleet.stale, self._shared_at = False, now
        self._scale_soon |= stale
        for pool in self.fleet.pools.values():
            pool.stale = False
            pool.another_try = now >= pool.failed_at + self.tunables.start_pause_s
            pool.doubted = pool.start_failures >= self.tunables.start_failures
        if self.fleet.known:
            self._look_ahead(now)
        if self.fleet.grows and self.fleet.known:
            out.extend(self._scale(now))
        for bay in self.fleet.bays.values():
            pools = [pool for pool in self.fleet.pools.values() if bay.name in pool.sizes]
            if pools:
                out.extend(self._share(bay, pools, now, epoch))
        out.extend(self._warm(now, epoch))
        return out

    def _warm(self, now: float, epoch: int) -> Iterator[Instruction]:
        """Hosts of models that will be needed soon, where there is or will be room for them."""
        warm = [pool for pool in self.fleet.pools.values() if pool.warm and self.cannot_start(pool) is None]
        for pool in sorted(warm, key=lambda pool: pool.warm_rank):
            for bay in (self.fleet.bays[name] for name in pool.sizes):
                most = pool.warm if pool.bound is None else min(pool.warm, pool.bound)
                for _ in range(min(most - pool.staying, self.fleet.free(pool, bay))):
                    yield self._start(bay, pool, now, epoch)

    def _look_ahead(self, now: float) -> None:
        """Say which models will be needed soon, and how many slots there are to be where nodes come and go."""
        if now - self._scaled_at < (self.tunables.reshare_s if self._scale_soon else self.tunables.rescale_s):
            return
        self._scaled_at, self._scale_soon = now, False
        able = [pool for pool in self.fleet.pools.values() if self.cannot_start(pool) is None]
        if self.fleet.grows:
            supply.look(self.fleet, now)
            scaling.plan(self.fleet, able, now)
        else:
            scaling.foresee(self.fleet, able, now)

    def _scale(self, now: float) -> Iterator[Instruction]:
        """Let hosts go that are not worth their node, or that no bay has room for."""
        for host in list(scaling.idle_for_too_long(self.fleet, now)):
            host.why = "there is nothing for it to do"
            yield from self.stop(host, running=False)
        for host in supply.need_wait_no_longer(self.fleet):
            host.why = "it is urgent now, and need not wait for a spot node"
            yield from self.stop(host, running=False)
        for host in supply.waits_in_vain(self.fleet, now):
            host.why = "no spot node came for it"
            yield from self.stop(host, running=False)
        for host in list(self.fleet.hosts.values()):
            if host.bay not in self.fleet.bays and not host.stopping:
                host.why = "its node is of no type that the farm's settings name"
                yield from self.stop(host, running=False)
        yield from self.let_idle_go("there is nothing for it to do")

    def _share(self, bay: Bay, pools: list[Pool], now: float, epoch: int) -> Iterator[Instruction]:
        yield from self._shrink(bay, pools)
        wanted = self.wanted(bay, pools)
        cramped = fragments.cramped(self.fleet, bay, now)
        way = None if cramped is None else fragments.in_its_way(self.fleet, bay, cramped)
        if cramped is not None:
            yield from self._make_way(way or (), cramped.pool)
        for pool in sorted(pools, key=lambda pool: pool.rank_ahead):
            missing = wanted.get(pool.digest, 0) - pool.standing.get(bay.name, 0)
            if missing <= 0 or self.cannot_start(pool) is not None:
                continue
            if cramped is not None and way is not None and pool.rank >= cramped.pool.rank:
                continue
            if missing > self.fleet.free(pool, bay):
                yield from self._free_slots(bay, pool, pools, wanted, missing, now)
            for _ in range(min(missing, self.fleet.free(pool, bay))):
                yield self._start(bay, pool, now, epoch)

    def _make_way(self, hosts: Iterable[Host], pool: Pool) -> Iterator[Instruction]:
        for host in hosts:
            host.why = f"its slot is needed for {pool.model}"
            yield from self.stop(host, running=False)
        yield from self.let_idle_go(f"its slot is needed for {pool.model}")

    def wanted(self, bay: Bay, pools: list[Pool]) -> dict[str, int]:
        """How many hosts each pool should have in a bay. What hosts in other bays are enough for is not asked twice."""
        demands = list(demands_in(self.fleet, bay, pools))
        if self.fleet.grows:
            demands += [demand for pool in pools if (demand := self._ahead(bay, pool)) is not None]
        return hosts_by_pool(bay.all, demands)

    def _ahead(self, bay: Bay, pool: Pool) -> Demand | None:
        """What a pool is to have ahead of its work: else those at work would take the nodes that are asked for it."""
        used = sum(usable(self.fleet, pool, line) for line in pool.lines.values() if line.busy)
        elsewhere = pool.staying - pool.standing.get(bay.name, 0)
        if (most := pool.warm - max(used, elsewhere)) <= 0 or self.cannot_start(pool) is not None:
            return None
        return Demand(pool.digest, f"ahead: {pool.digest}", pool.warm_rank, 1.0, None, 1.0, most, pool.sizes[bay.name])

    def _start(self, bay: Bay, pool: Pool, now: float, epoch: int) -> StartHost:
        self.fleet.started += 1
        name = f"e{epoch}-{pool.model.replace('/', '-')}-{self.fleet.started}"
        host = Host(name, pool, asked_at=now, bay=bay.name, slots=pool.sizes[bay.name])
        self.fleet.add(host)
        needs = needs_of(pool.card)
        first, then = scaling.where(self.fleet, bay, pool, now)
        host.picky = bool(first) and len(first) < len(bay.types)
        return StartHost(
            name, pool.model, pool.document, needs.gpus, needs.cpus, needs.memory_gib, needs.accelerators, first, then
        )

    # ---- hosts that go ---------------------------------------------------------------------------------------------

    def stop_all(self) -> list[Instruction]:
        """Give no host anything more, and take back what they hold."""
        return [revoked for host in list(self.fleet.hosts.values()) for revoked in self.stop(host, running=True)]

    def let_idle_go(self, why: str) -> list[Instruction]:
        """Let hosts go that are to stop and hold nothing."""
        idle = [host for host in self.fleet.stopping.values() if host.idle] if self.fleet.stopping else []
        for host in idle:
            self.fleet.remove(host.name)
        return [StopHost(host.name, "it was drained" if host.sick else host.why or why) for host in idle]

    def stop(self, host: Host, *, running: bool) -> Iterator[Instruction]:
        """A host goes when it holds nothing: what waits in it is taken back, and if need be what runs."""
        self.fleet.stop(host)
        for lease in host.leases:
            if not lease.revoked and (running or lease.started_at is None):
                host.pool.revoke(host, lease)
                yield Revoke(host.name, lease.ticket.ticket)

    def _shrink(self, bay: Bay, pools: list[Pool]) -> Iterator[Instruction]:
        """Hosts above the slots are let go, lowest class first; any not gone yet stay if there is room again."""
        if not self.fleet.known:
            return
        over = bay.used - bay.all
        stopping = [host for host in self.fleet.stopping.values() if host.bay == bay.name and not host.departing]
        over -= sum(host.slots for host in stopping)
        for host in stopping:
            if host.surplus and over + host.slots <= ROUNDING:
                self.fleet.keep(host)
                over += host.slots
        if over <= ROUNDING:
            return
        staying = [host for pool in pools for host in pool.hosts.values() if not host.stopping and host.bay == bay.name]
        for host in sorted(staying, key=_least_missed):
            if over <= ROUNDING:
                break
            host.surplus = True
            over -= host.slots
            yield from self.stop(host, running=False)
        yield from self.let_idle_go("there is no slot for it any more")

    def _free_slots(
        self, bay: Bay, pool: Pool, pools: list[Pool], wanted: dict[str, int], missing: int, now: float
    ) -> Iterator[Instruction]:
        """Take hosts from rivals, for as many of the ``missing`` hosts of this pool as that is worth, all at once.

        One after the other would leave a lower class at work for as many tickets as hosts are missing.
        """
        leaving = sum(
            host.slots
            for host in self.fleet.stopping.values()
            if host.bay == bay.name and host.pool is not pool and not host.departing
        )
        each = pool.sizes[bay.name]
        coming = bay.unused + leaving
        spare = self._spare(bay, pool, pools, wanted, now)
        for number in range(whole(coming / each) + 1, missing + 1):
            chosen: list[Host] = []
            short = number * each - coming
            while short > ROUNDING:
                host, worth = next(spare, (None, 0.0))
                if host is None:
                    break  # what was chosen for this one would not be enough
                if worth >= number:
                    chosen.append(host)
                    short -= host.slots
            if short > ROUNDING:
                break
            coming = number * each - short
            for host in chosen:
                yield from self.stop(host, running=False)
        yield from self.let_idle_go(f"its slot is needed for {pool.model}")

    def _spare(
        self, bay: Bay, pool: Pool, pools: list[Pool], wanted: dict[str, int], now: float
    ) -> Iterator[tuple[Host, float]]:
        """Hosts that rivals could do without, lowest class first, each with for how many of this pool's that holds.

        Those above a rival's part. A batch that has waited too long and holds nothing anywhere gets one more, of any
        rival of no higher class: there may be fewer slots than models, and whoever has one keeps it until all is done.
        """
        waiting = pool.waiting.values() if pool.staying == 0 else ()
        aged = [line for line in waiting if now - line.account.since > self.tunables.ageing_s]
        starved = any(not self.fleet.held_by(line.batch.name) and not self.fleet.kept_out(line, pool) for line in aged)
        rivals = [
            (rival.standing.get(bay.name, 0) - wanted.get(rival.digest, 0), rival)
            for rival in pools
            if rival is not pool
        ]
        for above, rival in sorted(rivals, key=lambda entry: (-entry[1].rank, entry[0] <= 0, entry[1].digest)):
            more = rival.standing.get(bay.name, 0) if starved and rival.rank >= pool.rank else above
            worth = self._worth_switching(pool, rival, now, aged=bool(aged))
            if more > 0 and worth > 0:
                staying = [host for host in rival.hosts.values() if not host.stopping and host.bay == bay.name]
                for number, host in enumerate(sorted(staying, key=_least_missed)[:more]):
                    yield host, worth if number < above else 1

    def _worth_switching(self, pool: Pool, rival: Pool, now: float, *, aged: bool) -> float:
        """For how many further hosts of this pool, which take a load each, hosts of a rival should give way.

        All, if the rival has nothing to do. One at least, if the rival is of a lower class and this pool has no host
        yet, or has waited too long. Else as many as what waits here keeps busy for more than so many loads each. What
        is of a higher class and begins when a load is over counts as what waits.
        """
        if not any(usable(self.fleet, rival, line) for line in rival.lines.values()):
            return inf
        busy = ceil(pool.queued_s() / (self.tunables.switch_loads * pool.load_s) - pool.staying) - 1
        begins = pool.warm_rank < rival.rank and now >= pool.warm_by - pool.load_s - self.tunables.rescale_s
        return max(busy, pool.warm if begins else 0, int(aged or (pool.rank < rival.rank and pool.staying == 0)))

    # ---- hosts that cannot come up ---------------------------------------------------------------------------------

    def overdue(self, now: float) -> list[Host]:
        """Hosts that have not come up in time: never placed, or hung while they load."""
        late = now - self.tunables.start_deadline_s
        if self.fleet.grows:  # waiting for a node is nobody's fault
            placed = [host for host in self.fleet.starting.values() if host.placed_at is not None]
            return [host for host in placed if (host.placed_at or 0.0) < late]
        return list(takewhile(lambda host: host.asked_at < late, self.fleet.starting.values()))

    def cannot_start(self, pool: Pool) -> str | None:
        """Why no further host of this pool can come up, as a sentence; None if one can, or if nobody knows yet."""
        if not self.fleet.known:
            return None
        if self.fleet.slots(pool) == 0:
            count = len(self.fleet.told.closed)
            closed = f", while {counted(count, 'node is', 'nodes are')} blocked or going away" if count else ""
            if self.fleet.grows:
                return f"{pool.model} fits nowhere: {nowhere(needs_of(pool.card), self.fleet.farm.node_types)}"
            told = self.fleet.told
            if pool.on_gpu:
                needs, there = counted(pool.slots_each, "GPU"), told.gpu_slots
            else:
                needs, there = counted(pool.card.cpus, "CPU slot"), told.cpu_slots
            return f"{pool.model} needs {needs}, and there are {there}{closed}"
        if pool.start_failures >= self.tunables.start_failures and not pool.another_try:
            again = f"{self.tunables.start_pause_s / 60:g} minutes after that it is tried again"
            return f"{pool.model} failed to start {pool.start_failures} times; the last: {pool.last_failure}; {again}"
        return None

    def blocked(self, pool: Pool) -> str | None:
        """Why nothing of this pool can run, as a sentence. A host that is there, or still comes up, may do it all."""
        return None if pool.hosts else self.cannot_start(pool)


def _least_missed(host: Host) -> tuple[int, int, bool, bool, float]:
    """Sorts hosts by how little is lost with them: idle ones, then those at work for the lowest class.

    Of those that are still to come up, one that has no machine yet, and of these the last that was asked for: how long
    the others have waited says whether machines come.
    """
    rank = min((lease.lot.line.rank for lease in host.leases), default=len(RANKS))
    waits = not host.ready and host.node is None
    return (-rank, len(host.leases), host.ready, host.node is not None, -host.asked_at if waits else 0.0)
