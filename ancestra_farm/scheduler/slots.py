"""Which hosts come up and which go: device slots shared between the models that work waits for.

Slots go to classes strictly, then to batches by weight, then to a batch's models by work (`share.hosts_by_pool`). A
host that has work is only let go for another model when that is worth the load. What a host works on is decided in
`dispatch`; whether a host is sick, in `health`.
"""

from collections.abc import Iterator
from itertools import takewhile
from math import ceil, inf

from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.hosts import Host
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
        for pool in self.fleet.pools.values():
            pool.stale = False
            pool.another_try = now >= pool.failed_at + self.tunables.start_pause_s
        for on_gpu in (False, True):
            pools = [pool for pool in self.fleet.pools.values() if pool.on_gpu == on_gpu]
            if pools:
                out.extend(self._share(pools, on_gpu, now, epoch))
        return out

    def _share(self, pools: list[Pool], on_gpu: bool, now: float, epoch: int) -> Iterator[Instruction]:  # noqa: FBT001
        yield from self._shrink(pools, on_gpu)
        wanted = self.wanted(pools, on_gpu)
        for pool in sorted(pools, key=lambda pool: pool.rank):
            missing = wanted.get(pool.digest, 0) - pool.staying
            if missing <= 0 or self.cannot_start(pool) is not None:
                continue
            if missing > self.fleet.free(pool):
                yield from self._free_slots(pool, pools, wanted, missing, now)
            for _ in range(min(missing, self.fleet.free(pool))):
                yield self._start(pool, now, epoch)

    def wanted(self, pools: list[Pool], on_gpu: bool) -> dict[str, int]:  # noqa: FBT001
        """How many hosts each pool should have."""
        demands = [
            Demand(
                pool=pool.digest,
                batch=line.batch.name,
                rank=line.rank,
                weight=line.batch.share_weight,
                cap=line.cap,
                work_s=pool.work_s(line),
                most_hosts=line.queued + line.going,
                slots_each=pool.slots_each,
                show=line.batch.show,
                show_cap=line.batch.show_cap,
            )
            for pool in pools
            for line in pool.lines.values()
            if line.busy and (line.cap is None or pool.slots_each <= line.cap)
        ]
        return hosts_by_pool(self.fleet.all_slots(on_gpu=on_gpu), demands)

    def _start(self, pool: Pool, now: float, epoch: int) -> StartHost:
        self.fleet.started += 1
        name = f"e{epoch}-{pool.model.replace('/', '-')}-{self.fleet.started}"
        self.fleet.add(Host(name, pool, asked_at=now))
        return StartHost(name, pool.model, pool.document, pool.card.gpus, pool.card.cpus)

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

    def _shrink(self, pools: list[Pool], on_gpu: bool) -> Iterator[Instruction]:  # noqa: FBT001
        """Hosts above the slots are let go, lowest class first; any not gone yet stay if there is room again."""
        if not self.fleet.known:
            return
        over = self.fleet.used[on_gpu] - self.fleet.all_slots(on_gpu=on_gpu)
        over -= sum(
            host.pool.slots_each
            for host in self.fleet.stopping.values()
            if host.pool.on_gpu == on_gpu and not host.departing
        )
        for host in [host for host in self.fleet.stopping.values() if host.surplus and host.pool.on_gpu == on_gpu]:
            if over + host.pool.slots_each <= 0:
                self.fleet.keep(host)
                over += host.pool.slots_each
        if over <= 0:
            return
        staying = [host for pool in pools for host in pool.hosts.values() if not host.stopping]
        for host in sorted(staying, key=_least_missed):
            if over <= 0:
                break
            host.surplus = True
            over -= host.pool.slots_each
            yield from self.stop(host, running=False)
        yield from self.let_idle_go("there is no slot for it any more")

    def _free_slots(
        self, pool: Pool, pools: list[Pool], wanted: dict[str, int], missing: int, now: float
    ) -> Iterator[Instruction]:
        """Take hosts from rivals, for as many of the ``missing`` hosts of this pool as that is worth, all at once.

        One after the other would leave a lower class at work for as many tickets as hosts are missing.
        """
        leaving = sum(
            host.pool.slots_each
            for host in self.fleet.stopping.values()
            if host.pool.on_gpu == pool.on_gpu and host.pool is not pool and not host.departing
        )
        coming = self.fleet.unused(pool) + leaving
        spare = self._spare(pool, pools, wanted, now)
        for number in range(int(coming // pool.slots_each) + 1, missing + 1):
            chosen: list[Host] = []
            short = number * pool.slots_each - coming
            while short > 0:
                host, worth = next(spare, (None, 0.0))
                if host is None:
                    break  # what was chosen for this one would not be enough
                if worth >= number:
                    chosen.append(host)
                    short -= host.pool.slots_each
            if short > 0:
                break
            coming = number * pool.slots_each - short
            for host in chosen:
                yield from self.stop(host, running=False)
        yield from self.let_idle_go(f"its slot is needed for {pool.model}")

    def _spare(self, pool: Pool, pools: list[Pool], wanted: dict[str, int], now: float) -> Iterator[tuple[Host, float]]:
        """Hosts that rivals could do without, lowest class first, each with for how many of this pool's that holds.

        Those above a rival's part. A batch that has waited too long and holds nothing anywhere gets one more, of any
        rival of no higher class: there may be fewer slots than models, and whoever has one keeps it until all is done.
        """
        waiting = pool.waiting.values() if pool.staying == 0 else ()
        aged = [line for line in waiting if now - line.account.since > self.tunables.ageing_s]
        starved = any(not self.fleet.held_by(line.batch.name) and not self.fleet.at_cap(line, pool) for line in aged)
        rivals = [(rival.staying - wanted.get(rival.digest, 0), rival) for rival in pools if rival is not pool]
        for above, rival in sorted(rivals, key=lambda entry: (-entry[1].rank, entry[0] <= 0, entry[1].digest)):
            more = rival.staying if starved and rival.rank >= pool.rank else above
            worth = self._worth_switching(pool, rival, aged=bool(aged))
            if more > 0 and worth > 0:
                staying = [host for host in rival.hosts.values() if not host.stopping]
                for number, host in enumerate(sorted(staying, key=_least_missed)[:more]):
                    yield host, worth if number < above else 1

    def _worth_switching(self, pool: Pool, rival: Pool, *, aged: bool) -> float:
        """For how many further hosts of this pool, which take a load each, hosts of a rival should give way.

        All, if the rival has nothing to do. One at least, if the rival is of a lower class and this pool has no host
        yet, or has waited too long. Else as many as what waits here keeps busy for more than so many loads each.
        """
        if not rival.busy:
            return inf
        busy = ceil(pool.queued_s() / (self.tunables.switch_loads * pool.load_s) - pool.staying) - 1
        return max(busy, int(aged or (pool.rank < rival.rank and pool.staying == 0)))

    # ---- hosts that cannot come up ---------------------------------------------------------------------------------

    def overdue(self, now: float) -> list[Host]:
        """Hosts that have not come up in time: never placed, or hung while they load."""
        late = now - self.tunables.start_deadline_s
        return list(takewhile(lambda host: host.asked_at < late, self.fleet.starting.values()))

    def cannot_start(self, pool: Pool) -> str | None:
        """Why no further host of this pool can come up, as a sentence; None if one can, or if nobody knows yet."""
        if not self.fleet.known:
            return None
        if self.fleet.slots(pool) == 0:
            if pool.on_gpu:
                return f"{pool.model} needs {pool.card.gpus} GPU(s); there are {self.fleet.gpu_slots}"
            return f"{pool.model} needs {pool.card.cpus:g} CPU slot(s); there are {self.fleet.cpu_slots}"
        if pool.start_failures >= self.tunables.start_failures and not pool.another_try:
            again = f"{self.tunables.start_pause_s / 60:g} minutes after that it is tried again"
            return f"{pool.model} failed to start {pool.start_failures} times; the last: {pool.last_failure}; {again}"
        return None

    def blocked(self, pool: Pool) -> str | None:
        """Why nothing of this pool can run, as a sentence. A host that is there, or still comes up, may do it all."""
        return None if pool.hosts else self.cannot_start(pool)


def _least_missed(host: Host) -> tuple[int, int, bool]:
    """Sorts hosts by how little is lost with them: idle ones, then those at work for the lowest class."""
    rank = min((lease.lot.line.rank for lease in host.leases), default=len(RANKS))
    return (-rank, len(host.leases), host.ready)
