"""A world with a clock whose machines come when hosts wait for them and go when no host is on them.

It does what Ray's autoscaler does with the hosts that the scheduler asks for: a node of the first wish that the caps
allow comes up for one that fits nowhere, and one that has been empty for a while goes.
"""

from dataclasses import dataclass, field

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.farm_settings import FarmSettings, NodeType
from ancestra_farm.batch.load import canonical
from ancestra_farm.plan.farm_events import NodesPaid, SettingsGiven
from ancestra_farm.scheduler.placement import Needs, fits, needs_of
from ancestra_farm.scheduler.world import (
    ChangeSettings,
    HostLost,
    HostPlaced,
    Instruction,
    KillHost,
    SlotsChanged,
    StartHost,
    StopHost,
)
from tests.scheduler.timed import TimedWorld


def node_type(**fields: object) -> dict[str, object]:
    """A node type as farm.yaml has it: one GPU with 24 GiB, unless said otherwise."""
    return {
        "gpus": 1, "cpus": 4, "memory_gib": 32, "vram_gib": 24, "price_per_hour": 3.6, "max_nodes": 4, **fields,
    }  # fmt: skip


def farm_of(*, scaling: dict[str, float] | None = None, **node_types: dict[str, object]) -> FarmSettings:
    """The settings of a farm with these node types; waits of a minute and half a minute unless said otherwise."""
    wanted = {"target_wait_s": 60, "idle_s": 30, **(scaling or {})}
    return FarmSettings.model_validate({"schema": "ancestra/farm/v1", "node_types": node_types, "scaling": wanted})


@dataclass(eq=False)
class Machine:
    """A node. ``up_at``: from when it is there; ``hosts``: what is on it."""

    name: str
    kind: str
    shape: NodeType
    up_at: float
    hosts: dict[str, Needs] = field(default_factory=dict)
    empty_since: float = 0.0

    def has_room(self, needs: Needs) -> bool:
        """Whether one more host of that size fits beside the others."""
        left = self.shape.model_copy(
            update={
                "cpus": self.shape.cpus - sum(one.cpus for one in self.hosts.values()),
                "memory_gib": self.shape.memory_gib - sum(one.memory_gib for one in self.hosts.values()),
            }
        )
        gpus = sum(one.gpus for one in self.hosts.values())
        return fits(needs, left) is None and gpus + needs.gpus <= self.shape.gpus + 1e-9


@dataclass
class ElasticWorld(TimedWorld):
    """``farm``: its settings. ``boot_s``: of a node; ``empty_s``: until an empty one goes. ``absent``: types that never
    come; ``stock``: how many the cloud has of others. ``seen``: the most nodes of each type at once; ``node_s``:
    node-seconds by type, as a cloud would count them.
    """

    cpus: int = 0
    farm: FarmSettings = field(default_factory=lambda: farm_of(l4=node_type()))
    boot_s: float = 40.0
    empty_s: float = 10.0
    absent: frozenset[str] = frozenset()
    stock: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, Machine] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    node_s: dict[str, float] = field(default_factory=dict)
    came: list[tuple[float, str]] = field(default_factory=list)

    def start(self) -> None:
        self.pending: dict[str, tuple[StartHost, Needs]] = {}
        self.booting: dict[str, Machine] = {}
        self.named = 0
        super().start()
        self.tell(ChangeSettings(SettingsGiven("farm", "", canonical(self.farm), "bea", self.now)))

    def _tick(self) -> None:
        super()._tick()
        if self.pending:
            self._place()  # the autoscaler goes on asking
        for node in list(self.nodes.values()):
            if not node.hosts and self.now - node.empty_since >= self.empty_s and self._above_least(node):
                self.take(node)

    def _above_least(self, node: Machine) -> bool:
        return self.count(node.kind) > node.shape.min_nodes

    def count(self, kind: str) -> int:
        """Nodes of a type that are there."""
        return sum(node.kind == kind for node in self.nodes.values())

    def take(self, node: Machine, *, lost: bool = False) -> None:
        """A node goes; with ``lost`` its hosts die."""
        del self.nodes[node.name]
        self.node_s[node.kind] = self.node_s.get(node.kind, 0.0) + self.now - node.up_at
        for host in list(node.hosts) if lost else []:
            self.machines.pop(host, None)
            self.hosts.pop(host, None)
            self.tell(HostLost(host, "host_lost", "its node is gone"))
        self._told()

    def _told(self) -> None:
        gpus = sum(node.shape.gpus for node in self.nodes.values())
        self.tell(SlotsChanged(0, gpus, tuple(sorted((node.name, node.kind) for node in self.nodes.values()))))

    def carry_out(self, instructions: list[Instruction]) -> None:
        others: list[Instruction] = []
        for instruction in instructions:
            match instruction:
                case StartHost(host=host):
                    self.pending[host] = (instruction, needs_of(ModelCard.model_validate_json(instruction.card)))
                    self.hosts[host] = []
                    self.after(0.0, self._place)
                case StopHost(host=host) | KillHost(host=host):
                    self.pending.pop(host, None)
                    self._leave(host)
                    others.append(instruction)
                case _:
                    others.append(instruction)
        super().carry_out(others)

    def _leave(self, host: str) -> None:
        for node in self.nodes.values():
            if node.hosts.pop(host, None) is not None and not node.hosts:
                node.empty_since = self.now
                self.after(0.0, self._place)

    def _place(self) -> None:
        """Put hosts on nodes with room, the first wish first; have nodes come for those that nothing has room for."""
        for node in self.booting.values():
            node.hosts.clear()
        for host, (order, needs) in list(self.pending.items()):
            wishes = [kinds for kinds in (order.node_types, order.or_on) if kinds]
            room = [
                node for kinds in wishes for node in self.nodes.values() if node.kind in kinds and node.has_room(needs)
            ]
            if room:
                del self.pending[host]
                room[0].hosts[host] = needs
                self._put(host, order, room[0])
            else:
                self._promise(host, needs, [kind for kinds in wishes for kind in kinds])

    def _promise(self, host: str, needs: Needs, kinds: list[str]) -> None:
        for node in self.booting.values():
            if node.kind in kinds and node.has_room(needs):
                node.hosts[host] = needs
                return
        for kind in kinds:
            there = self.count(kind) + sum(node.kind == kind for node in self.booting.values())
            most = self.farm.node_types[kind].max_nodes
            if kind not in self.absent and there < min(most, self.stock.get(kind, most)):
                self.named += 1
                node = Machine(f"n{self.named}", kind, self.farm.node_types[kind], self.now + self.boot_s)
                node.hosts[host] = needs
                self.booting[node.name] = node
                self.after(self.boot_s, lambda node=node: self._boot(node))
                return

    def _boot(self, node: Machine) -> None:
        del self.booting[node.name]
        node.hosts, node.empty_since = {}, self.now
        self.nodes[node.name] = node
        self.came.append((self.now, node.kind))
        self.seen[node.kind] = max(self.seen.get(node.kind, 0), self.count(node.kind))
        self._told()
        self._place()

    def _put(self, host: str, order: StartHost, node: Machine) -> None:
        super().carry_out([order])
        self.tell(HostPlaced(host, node.name))

    def billed(self) -> dict[str, tuple[float, float]]:
        """(node-seconds, cost) by type, as the log has them."""
        found: dict[str, tuple[float, float]] = {}
        for event in self.log:
            if isinstance(event, NodesPaid):
                node_s, cost = found.get(event.node_type, (0.0, 0.0))
                found[event.node_type] = (node_s + event.node_s, cost + event.cost)
        return found

    def go_on(self, seconds: float) -> None:
        """Let so much time pass even if everything is done."""
        until = self.now + seconds
        while self.now < until:
            if self.done is not None:
                self.done = None
                self.after(0.0, self._tick)
            self.run_for(min(5.0, until - self.now))
