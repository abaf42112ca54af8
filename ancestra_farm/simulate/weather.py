"""What machines do by themselves: nodes that come, go with or without notice and come back, and the controller's ends.

Decides when; what follows for hosts and work is the crew's and the scheduler's.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from ancestra_farm.simulate.chance import Chance, exponential, lognormal
from ancestra_farm.simulate.clock import Clock
from ancestra_farm.simulate.machines import Machines, Node
from ancestra_farm.simulate.meters import Meters
from ancestra_farm.simulate.scenario import Scenario

#: Seconds after a node's end until Ray no longer counts its slots, as measured.
SLOTS_KNOWN_S = 14.0
#: Seconds between two looks of the autoscaler.
AUTOSCALER_S = 5.0
SPREAD = 0.4


class Crew(Protocol):
    """What the weather does to the crew of the moment."""

    def lose_node(self, names: list[str], message: str) -> None:
        """These hosts are gone with their node."""

    def node_leaves(self, node: Node, at: float) -> None:
        """A node will be gone at virtual second ``at``."""

    def place_pending(self) -> None:
        """There may be room for hosts that wait for some."""


class Weather:
    """All nodes' lives. ``crew``: the crew of the moment; ``wanted``: slots that the farm could use now."""

    def __init__(
        self,
        scenario: Scenario,
        clock: Clock,
        machines: Machines,
        meters: Meters,
        crew: Callable[[], Crew],
        wanted: Callable[[], float],
    ) -> None:
        self._scenario = scenario
        self._faults = scenario.faults
        self._clock = clock
        self._machines = machines
        self._meters = meters
        self._crew = crew
        self._wanted = wanted
        self._chance = Chance(scenario.seed, "weather")
        self._lives: dict[int, int] = {}
        self._coming: set[int] = set()
        self.seen_slots = 0
        self.node_losses = 0
        self.came = 0

    def begin(self) -> None:
        """The nodes that are there from the start."""
        scaling = self._scenario.autoscaling
        for node in self._machines.nodes:
            if scaling is None or self.seen_slots < scaling.floor:
                self._up(node)
        if scaling is not None:
            self._clock.after(AUTOSCALER_S, self._scale, background=True)

    def _up(self, node: Node) -> None:
        self._coming.discard(node.number)
        self._machines.up(node, self._clock.now)
        self._meters.machines(self._clock.now, self._meters.up_slots + node.slots)
        self.seen_slots += node.slots
        self.came += 1
        life = self._lives[node.number] = self._lives.get(node.number, 0) + 1
        numbers = self._chance.several(node.number, life)
        if self._faults.node_losses_per_hour:
            seconds = exponential(numbers[0], self._faults.node_losses_per_hour)
            self._clock.after(seconds, lambda: self._lost(node, life, "the node is gone", known=False), background=True)
        if self._faults.preemptions_per_hour:
            seconds = exponential(numbers[1], self._faults.preemptions_per_hour)
            self._clock.after(seconds, lambda: self._noticed(node, life), background=True)
        self._crew().place_pending()

    def _noticed(self, node: Node, life: int) -> None:
        """A notice: nothing more is placed there, and its slots count no more."""
        if node.up and self._lives[node.number] == life:
            node.draining = True
            self.seen_slots -= node.slots
            self._crew().node_leaves(node, self._clock.now + self._faults.notice_s)
            self._clock.after(
                self._faults.notice_s, lambda: self._lost(node, life, "the node was taken away", known=True)
            )

    def _lost(self, node: Node, life: int, message: str, *, known: bool) -> None:
        """A node is gone. ``known``: its slots were taken off already."""
        if not node.up or self._lives[node.number] != life or node.draining != known:
            return
        self.node_losses += 1
        hosts = self._down(node)
        if not known:
            self._clock.after(SLOTS_KNOWN_S, lambda: self._unsee(node))
        self._crew().lose_node(hosts, message)
        numbers = self._chance.several(node.number, life, "away")
        self._coming.add(node.number)
        seconds = SLOTS_KNOWN_S + self._faults.away_s * lognormal(numbers[0], numbers[1], SPREAD)
        self._clock.after(seconds, lambda: self._up(node))

    def _unsee(self, node: Node) -> None:
        self.seen_slots -= node.slots

    def _down(self, node: Node) -> list[str]:
        self._meters.machines(self._clock.now, self._meters.up_slots - node.slots)
        return self._machines.down(node)

    def _scale(self) -> None:
        """Ask for nodes while more slots could be used than there are; let go what was empty long enough."""
        scaling = self._scenario.autoscaling
        if scaling is None:
            return
        self._clock.after(AUTOSCALER_S, self._scale, background=True)
        nodes = self._machines.nodes
        there = sum(node.slots for node in nodes if node.up or node.number in self._coming)
        wanted = max(self._wanted(), scaling.floor)
        for node in nodes:
            if there >= wanted:
                break
            if not node.up and node.number not in self._coming:
                self._coming.add(node.number)
                there += node.slots
                life = self._lives.get(node.number, 0) + 1
                numbers = self._chance.several(node.number, life, "provision")
                seconds = scaling.provision_s * lognormal(numbers[0], numbers[1], SPREAD)
                self._clock.after(seconds, partial(self._up, node))
        for node in reversed(nodes):
            empty = node.up and not node.draining and not node.hosts
            if empty and self._clock.now - node.empty_since >= scaling.idle_s and there - node.slots >= wanted:
                there -= node.slots
                self.seen_slots -= node.slots
                self._down(node)
