"""The fleet: all pools, and the device slots they share. It counts; what follows is decided in `slots`."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ancestra_farm.scheduler.hosts import Host, Lease
from ancestra_farm.scheduler.lines import Line
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.state import Branch


@dataclass(slots=True)
class Fleet:
    """All pools, by the digest of their model, and the slots they share.

    ``known``: the farm has said how many slots there are. ``starting``: hosts that are not ready yet, in the order they
    were asked for. ``stopping``: hosts that go when what they run is back.
    ``used``: slots that hosts hold, of CPUs and of GPUs. ``stale``: what slots are shared by has changed.
    """

    cpu_slots: int = 0
    gpu_slots: int = 0
    known: bool = False
    pools: dict[str, Pool] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    starting: dict[str, Host] = field(default_factory=dict)
    stopping: dict[str, Host] = field(default_factory=dict)
    used: list[float] = field(default_factory=lambda: [0.0, 0.0])
    stale: bool = True
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
        self.starting[host.name] = host
        host.pool.hosts[host.name] = host
        self.used[host.pool.on_gpu] += host.pool.slots_each

    def remove(self, name: str) -> Host | None:
        """Count a host out; None if it was not in. What it holds is still on it."""
        host = self.hosts.pop(name, None)
        if host is not None:
            self.starting.pop(name, None)
            self.stopping.pop(name, None)
            self.used[host.pool.on_gpu] -= host.pool.slots_each
            host.pool.drop(host)
            self.stale = True
        return host

    def stop(self, host: Host) -> None:
        """Give a host nothing more."""
        if not host.stopping:
            host.stopping = True
            self.stopping[host.name] = host
            host.pool.leaving += 1
            host.pool.look_at(host)

    def keep(self, host: Host) -> None:
        """Give a host work again that was about to go."""
        host.stopping = host.surplus = False
        del self.stopping[host.name]
        host.pool.leaving -= 1
        host.pool.look_at(host)

    def all_slots(self, *, on_gpu: bool) -> int:
        """Slots of one kind."""
        return self.gpu_slots if on_gpu else self.cpu_slots

    def slots(self, pool: Pool) -> int:
        """How many hosts of this pool the machines could hold if it had them alone."""
        return int(self.all_slots(on_gpu=pool.on_gpu) // pool.slots_each)

    def unused(self, pool: Pool) -> float:
        """Slots of the kind the pool uses that no host holds."""
        return self.all_slots(on_gpu=pool.on_gpu) - self.used[pool.on_gpu]

    def free(self, pool: Pool) -> int:
        """How many more hosts of this pool fit now."""
        return max(0, int(self.unused(pool) // pool.slots_each))

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
        return cap is not None and self.held_by(line.batch.name) + pool.slots_each > cap
