"""The fleet: all pools, and the bays of slots they share. It counts; what follows is decided in `slots`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ancestra_farm.batch.farm_settings import NO_FARM_SETTINGS, FarmSettings
from ancestra_farm.plan.recipe import model_digest
from ancestra_farm.scheduler.bays import CPUS, GPUS, Bay, bay_on, bays_of, plain_bays, sizes_in, stand, whole
from ancestra_farm.scheduler.hosts import Host, Lease
from ancestra_farm.scheduler.lines import Line
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.purse import Purse
from ancestra_farm.scheduler.state import BatchState, Branch, StageRef, StageState
from ancestra_farm.scheduler.world import SlotsChanged


@dataclass(slots=True)
class Fleet:
    """All pools, by the digest of their model, and the slots they share.

    ``known``: the farm has said how many slots there are, ``told``, last. ``starting``: hosts that are not ready yet,
    in the order they were asked for. ``stopping``: hosts that go when what they run is back. ``bays``: by name, in the
    order in which they are filled. ``farm``: its settings. ``stale``: what slots are shared by has changed. ``purse``:
    the money that tickets are out for. ``put_off``: stages on which a pause stands that ends at a time;
    ``foreseen``: when those of them go on for which hosts are asked by now.
    """

    known: bool = False
    told: SlotsChanged = field(default_factory=lambda: SlotsChanged(0, 0))
    farm: FarmSettings = NO_FARM_SETTINGS
    bays: dict[str, Bay] = field(default_factory=plain_bays)
    pools: dict[str, Pool] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    starting: dict[str, Host] = field(default_factory=dict)
    stopping: dict[str, Host] = field(default_factory=dict)
    stale: bool = True
    tickets: int = 0
    started: int = 0
    purse: Purse = field(default_factory=Purse)
    put_off: dict[StageRef, StageState] = field(default_factory=dict)
    foreseen: dict[StageRef, float] = field(default_factory=dict)

    def pool(self, branch: Branch) -> Pool:
        """The pool that makes a branch's candidates."""
        return self.pools[branch.stage.plan.model_digest]

    def type_of(self, host: Host) -> str:
        """The type of the node a host is on; empty where that is not known."""
        return next((node_type for node, node_type in self.told.nodes if node == host.node), "")

    def give_another_chance(self, batch: BatchState) -> None:
        """A batch was submitted again as it is: what it needs and would not load is tried at once."""
        for card in batch.plan.cards.values():
            if (pool := self.pools.get(model_digest(card))) is not None:
                pool.start_failures = 0
        self.stale = True

    def leases(self) -> Iterator[tuple[Host, Lease]]:
        """Every lease with its host."""
        for host in self.hosts.values():
            for lease in host.leases:
                yield host, lease

    def batches_at_work(self) -> Iterable[BatchState]:
        """Batches of which something waits, runs, or may be released: few of all that there ever were."""
        lines = (line for pool in self.pools.values() for line in pool.lines.values() if line.busy or line.ready)
        return {line.batch.name: line.batch for line in lines}.values()

    # ---- slots -----------------------------------------------------------------------------------------------------

    @property
    def grows(self) -> bool:
        """Whether nodes come when there is work for them, and go when there is none."""
        return bool(self.farm.node_types) and not self.told.local

    def tell(self, told: SlotsChanged) -> None:
        """Take note of which slots there are."""
        grew = self.grows
        self.told, self.known, self.stale = told, True, True
        if self.grows != grew:
            self.equip(self.farm)
        self._stand()

    def equip(self, farm: FarmSettings) -> None:
        """Take other settings, or other models, into account. Hosts stay where they are, if that is a bay still."""
        self.farm, self.stale = farm, True
        self.purse.price_anew(self.leases())
        cards = [pool.card for pool in self.pools.values()]
        before, self.bays = self.bays, bays_of(farm, cards) if self.grows else plain_bays()
        supplies = {bay.make.name: bay.supply for bay in before.values() if bay.make is not None}
        for name, bay in self.bays.items():
            if name in before:
                bay.planned = min(before[name].planned, bay.most)
            if bay.make is not None:
                bay.supply = supplies.setdefault(bay.make.name, bay.supply)
        for pool in self.pools.values():
            pool.sizes = sizes_in(self.bays, pool.card, pool.slots_each)
            pool.standing.clear()
        types = dict(self.told.nodes)
        for host in self.hosts.values():
            found = bay_on(self.bays, types.get(host.node or "", ""), on_gpu=host.pool.on_gpu)
            host.bay = host.bay if found is None else found.name
            host.slots = host.pool.sizes.get(host.bay, host.slots)
            if host.bay in self.bays and not host.departing:
                self.bays[host.bay].use(host.slots)
            if not host.stopping:
                host.pool.stand(host, 1)
        self._stand()

    def _stand(self) -> None:
        if self.grows:
            closed = [node_type for node, node_type in self.told.nodes if node in self.told.closed]
            stand(self.bays, (kind for node, kind in self.told.nodes if node not in self.told.closed), closed)
        else:
            self.bays[CPUS].slots, self.bays[GPUS].slots = self.told.cpu_slots, self.told.gpu_slots

    def slots(self, pool: Pool) -> int:
        """How many hosts of this pool the machines could hold if it had them alone, those that may come included."""
        return sum(self.bays[name].holds(each) for name, each in pool.sizes.items())

    def kind_of_slots(self, *, on_gpu: bool) -> tuple[float, float]:
        """(slots there are, those of them that hosts hold), of GPUs or of CPUs. Who waits for a node holds none."""
        bays = [bay for bay in self.bays.values() if bay.on_gpu == on_gpu]
        return sum(bay.slots for bay in bays), sum(min(bay.slots, bay.used) for bay in bays)

    def free(self, pool: Pool, bay: Bay) -> int:
        """How many more hosts of this pool fit now into a bay."""
        return max(0, whole(bay.unused / pool.sizes[bay.name]))

    def held_by(self, batch: str) -> float:
        """Slots on which hosts hold tickets of a batch."""
        return sum(
            len(line.holders) * pool.slots_each
            for pool in self.pools.values()
            if (line := pool.lines.get(batch)) is not None
        )

    def at_cap(self, line: Line, pool: Pool) -> bool:
        """Whether one more host at work on this batch would be more than it may hold."""
        cap = line.cap
        if cap is not None and self.held_by(line.batch.name) + pool.slots_each > cap:
            return True
        return self.at_show_cap(line, pool)

    def held_by_show(self, show: str) -> float:
        """Slots on which hosts hold tickets of the batches of a show."""
        return sum(
            len(line.holders) * pool.slots_each
            for pool in self.pools.values()
            for line in pool.lines.values()
            if line.batch.show == show
        )

    def at_show_cap(self, line: Line, pool: Pool) -> bool:
        """Whether one more host at work on this batch would be more than its show may hold."""
        cap = line.batch.show_cap
        return cap is not None and self.held_by_show(line.batch.show) + pool.slots_each > cap

    def kept_out(self, line: Line, pool: Pool) -> bool:
        """Whether no further host gets a ticket of this batch now: for a cap on slots, or for its show's money."""
        return self.at_cap(line, pool) or self.purse.out_of_reach(pool, line)

    # ---- hosts -----------------------------------------------------------------------------------------------------

    def add(self, host: Host) -> None:
        """Count a host in."""
        self.hosts[host.name] = host
        self.starting[host.name] = host
        host.pool.hosts[host.name] = host
        host.pool.stand(host, 1)
        self.bays[host.bay].use(host.slots)

    def remove(self, name: str) -> Host | None:
        """Count a host out; None if it was not in. What it holds is still on it."""
        host = self.hosts.pop(name, None)
        if host is not None:
            self.starting.pop(name, None)
            self.stopping.pop(name, None)
            self._give_back(host)
            if not host.stopping:
                host.pool.stand(host, -1)
            host.pool.drop(host)
            self.stale = True
        return host

    def stop(self, host: Host) -> None:
        """Give a host nothing more."""
        if not host.stopping:
            host.stopping = True
            self.stopping[host.name] = host
            host.pool.leaving += 1
            host.pool.stand(host, -1)
            host.pool.look_at(host)

    def depart(self, host: Host, why: str) -> None:
        """The machine of a host goes away, and the slots it holds with it; `stop` follows. ``why``: for people."""
        if not host.departing:
            self._give_back(host)
            if host.bay in self.bays:  # until the farm tells what is left
                bay = self.bays[host.bay]
                bay.slots = max(0.0, bay.slots - host.slots)
            host.departing, host.surplus, host.why, self.stale = True, False, why, True

    def _give_back(self, host: Host) -> None:
        if host.bay in self.bays and not host.departing:
            self.bays[host.bay].use(-host.slots)

    def keep(self, host: Host) -> None:
        """Give a host work again that was about to go."""
        host.stopping = host.surplus = False
        del self.stopping[host.name]
        host.pool.leaving -= 1
        host.pool.stand(host, 1)
        host.pool.look_at(host)
