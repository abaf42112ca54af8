"""The machines: nodes with device slots, which come and go. Knows where a host fits; decides nothing about work."""

from dataclasses import dataclass, field

from ancestra_farm.simulate.chance import Chance
from ancestra_farm.simulate.scenario import Scenario


@dataclass(slots=True, eq=False)
class Node:
    """One machine. ``slots``: of each kind it has. ``used``: by kind, (CPU slots, GPUs). ``hosts``: names.

    ``came``: how often it has come up.
    """

    number: int
    kind: str
    factor: float
    slots: int
    up: bool = False
    draining: bool = False
    used: list[float] = field(default_factory=lambda: [0.0, 0.0])
    hosts: dict[str, None] = field(default_factory=dict)
    empty_since: float = 0.0
    came: int = 0

    @property
    def id(self) -> str:
        """What the farm calls it, which is another name each time it comes."""
        return f"{self.number}-{self.came}"

    def fits(self, on_gpu: bool, slots: float) -> bool:  # noqa: FBT001 - the kind of slot
        """Whether so many slots are free here."""
        return self.up and not self.draining and self.used[on_gpu] + slots <= self.slots


class Machines:
    """All nodes of a scenario, up or not. Slots of both kinds lie side by side on each node."""

    def __init__(self, scenario: Scenario) -> None:
        chance = Chance(scenario.seed, "nodes")
        count = -(-scenario.hosts // scenario.per_node)
        whole = sum(kind.share for kind in scenario.kinds)
        self.nodes: list[Node] = []
        for number in range(count):
            at = chance.of(number) * whole
            kind = scenario.kinds[-1]
            for one in scenario.kinds:
                at -= one.share
                if at < 0:
                    kind = one
                    break
            slots = min(scenario.per_node, scenario.hosts - number * scenario.per_node)
            self.nodes.append(Node(number, kind.name, kind.factor, slots))
        cards = [card for arrival in scenario.arrivals for card in arrival.plan.cards.values()]
        self._kinds = (any(not card.gpus for card in cards), any(card.gpus for card in cards))
        self._open: tuple[dict[int, Node], dict[int, Node]] = ({}, {})

    @property
    def kinds_used(self) -> int:
        """How many kinds of slot the batches use, 1 or 2."""
        return sum(self._kinds)

    def slots_of(self, nodes: int) -> tuple[int, int]:
        """(CPU slots, GPUs) that so many slots on nodes come to; none of a kind that nothing uses."""
        return (nodes if self._kinds[0] else 0, nodes if self._kinds[1] else 0)

    def up(self, node: Node, now: float) -> None:
        """A node is there, with nothing on it."""
        node.up, node.draining, node.empty_since = True, False, now
        node.came += 1
        for index in self._open:
            index[node.number] = node

    def down(self, node: Node) -> list[str]:
        """A node is gone; the hosts that were on it."""
        node.up = False
        lost = list(node.hosts)
        node.hosts.clear()
        node.used = [0.0, 0.0]
        for index in self._open:
            index.pop(node.number, None)
        return lost

    def place(self, host: str, on_gpu: bool, slots: float) -> Node | None:  # noqa: FBT001 - the kind of slot
        """Put a host on the first node with room for it; None where there is none."""
        index = self._open[on_gpu]
        node = next((node for node in index.values() if node.fits(on_gpu, slots)), None)
        if node is not None:
            node.hosts[host] = None
            node.used[on_gpu] += slots
            if node.used[on_gpu] >= node.slots:
                del index[node.number]
        return node

    def remove(self, host: str, node: Node, on_gpu: bool, slots: float, now: float) -> None:  # noqa: FBT001 - as above
        """Take a host off its node."""
        if node.hosts.pop(host, host) is host:
            return  # the node went before it
        node.used[on_gpu] -= slots
        self._open[on_gpu][node.number] = node
        if not node.hosts:
            node.empty_since = now
