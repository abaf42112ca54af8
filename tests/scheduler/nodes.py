"""A world of nodes with one slot each: hosts are placed on them, and nodes go away with notice or without."""

from dataclasses import dataclass, field

from ancestra_farm.scheduler.world import HostPlaced, Instruction, KillHost, NodeLeaving, StartHost, StopHost, Ticket
from tests.scheduler.timed import TimedWorld


@dataclass
class NodeWorld(TimedWorld):
    """Hosts stand on nodes with one slot each, the first free one. ``told``: every instruction with its time.

    ``gone``: nodes on which no host is placed any more. ``deaf``: hosts that hang: nothing comes back from them.
    """

    nodes: tuple[str, ...] = ("n1", "n2", "n3")
    at_node: dict[str, str] = field(default_factory=dict)
    told: list[tuple[float, Instruction]] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.cpus = len(self.nodes)
        super().__post_init__()

    def carry_out(self, instructions: list[Instruction]) -> None:
        self.told += [(self.now, one) for one in instructions]
        super().carry_out(instructions)
        for one in instructions:
            match one:
                case StartHost(host=host):
                    self.after(0.01, lambda host=host: self._place(host))
                case StopHost(host=host) | KillHost(host=host):
                    self.at_node.pop(host, None)

    def _place(self, host: str) -> None:
        free = [node for node in self.nodes if node not in self.gone | set(self.at_node.values())]
        if host not in self.machines:
            return
        if not free:
            self.after(0.5, lambda: self._place(host))
            return
        self.at_node[host] = free[0]
        self.tell(HostPlaced(host, free[0]))

    def _up(self, host: str) -> None:
        if host in self.machines and host not in self.at_node:
            self.after(0.5, lambda: self._up(host))
        else:
            super()._up(host)

    def _take_back(self, host: str, name: str) -> None:
        if host not in self.deaf:
            super()._take_back(host, name)

    def _finish(self, host: str, ticket: Ticket, count: int) -> None:
        if host not in self.deaf:
            super()._finish(host, ticket, count)

    def notice(self, node: str, seconds: float | None, why: str = "preempted") -> None:
        """A node goes away in so many seconds, as the farm would tell: with what slots are left."""
        self.gone.add(node)
        self.tell(NodeLeaving(node, None if seconds is None else self.now + seconds, why))
        self.slots_change(len(self.nodes) - len(self.gone))
        if seconds is not None:
            self.after(seconds, lambda: self._vanish(node))

    def _vanish(self, node: str) -> None:
        for host in [host for host, at in self.at_node.items() if at == node]:
            del self.at_node[host]
            self.lose(host, "host_lost")

    def on(self, node: str) -> str:
        """The host on a node."""
        return next(host for host, at in self.at_node.items() if at == node)

    def since(self, kind: type, at: float) -> list[Instruction]:
        """Instructions of a kind since a time."""
        return [one for when, one in self.told if when >= at and isinstance(one, kind)]
