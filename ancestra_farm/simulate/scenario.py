"""What is simulated: batches, machines, people and weather, as one frozen value that a seed makes into one story."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from ancestra_farm.batch.faults import NONE, FaultProfile
from ancestra_farm.plan.plan import Plan

#: How closely invariants are looked at: after every happening, now and then and at the end, or at the end alone.
Check = Literal["every", "sampled", "end"]


class ScenarioRefused(Exception):
    """A scenario that cannot be simulated, said for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class NodeKind:
    """One kind of machine. ``share`` of the nodes, weights; ``factor``: seconds of a candidate, as a multiple."""

    name: str
    share: float = 1.0
    factor: float = 1.0

    def __post_init__(self) -> None:
        if self.share <= 0 or self.factor <= 0:
            raise ScenarioRefused(f"node kind {self.name}: share and factor are more than 0")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A batch that is submitted ``after_s`` seconds from the start."""

    plan: Plan
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """Nodes that come when work waits and go when they hold nothing.

    ``floor``: slots that are always there; ``provision_s``: mean seconds from wish to node; ``idle_s``: seconds
    without a host after which a node goes.
    """

    floor: int = 1
    provision_s: float = 90.0
    idle_s: float = 120.0

    def __post_init__(self) -> None:
        if self.floor < 1 or self.provision_s < 0 or self.idle_s < 0:
            raise ScenarioRefused("autoscaling keeps at least 1 slot, and its seconds are not negative")


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that a simulation rests on. Raises ScenarioRefused.

    ``hosts``: device slots, ``per_node`` to a node. ``yields``: part of a stage's candidates that pass its filters, by
    ``stage`` or ``stage/draft``; ``default_yield`` for others. ``seconds`` and ``load_s``: by model, instead of the
    card's seconds for a candidate and of a guess for loading. ``spread``: of candidates' seconds and of loads (standard
    deviation of the logarithm). ``wordings``: the same of yields between wordings. ``alike``: part of the candidates
    that look like one of a few. ``draft_correlation`` between the scores of a draft and its final. ``stitches``: at
    once. ``people_s``: mean seconds until a person picks and closes what waits for one. ``orders_per_hour``: orders
    at random, the whole farm's, for ``orders_h`` hours. ``limit_h``: hours after which a story is broken off.
    """

    arrivals: tuple[Arrival, ...]
    seed: int = 0
    hosts: int = 8
    per_node: int = 8
    kinds: tuple[NodeKind, ...] = (NodeKind("node"),)
    faults: FaultProfile = NONE
    autoscaling: Autoscaling | None = None
    yields: Mapping[str, float] = field(default_factory=dict)
    default_yield: float = 0.3
    seconds: Mapping[str, float] = field(default_factory=dict)
    load_s: Mapping[str, float] = field(default_factory=dict)
    spread: float = 0.15
    wordings: float = 0.0
    alike: float = 0.02
    draft_correlation: float = 0.9
    judge_s: float = 0.05
    stitch_s: float = 4.0
    stitches: int = 2
    people_s: float = 900.0
    orders_per_hour: float = 0.0
    orders_h: float = 24.0
    price_per_device_hour: float | None = None
    currency: str = "USD"
    check: Check = "sampled"
    tick_s: float = 1.0
    limit_h: float = 24.0 * 90

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_names()

    def _check_numbers(self) -> None:
        for name in ("hosts", "per_node", "stitches"):
            if getattr(self, name) < 1:
                raise ScenarioRefused(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("spread", "wordings", "judge_s", "stitch_s", "people_s", "orders_per_hour"):
            if not 0 <= getattr(self, name) < inf:
                raise ScenarioRefused(f"{name} must not be negative, not {getattr(self, name)}")
        parts = {name: getattr(self, name) for name in ("alike", "draft_correlation", "default_yield")}
        for name, part in (parts | {f"the yield of {stage}": part for stage, part in self.yields.items()}).items():
            if not 0 <= part <= 1:
                raise ScenarioRefused(f"{name} lies between 0 and 1, not at {part}")
        spans = {
            "tick_s": self.tick_s,
            "limit_h": self.limit_h,
            "orders_h": self.orders_h,
            **self.seconds,
            **self.load_s,
        }
        for name, span in spans.items():
            if not 0 < span < inf:
                raise ScenarioRefused(f"the time of {name} is more than 0, not {span}")

    def _check_names(self) -> None:
        if not self.arrivals:
            raise ScenarioRefused("nothing is submitted")
        names = [arrival.plan.batch.batch for arrival in self.arrivals]
        if twice := sorted({name for name in names if names.count(name) > 1}) if len(names) < 1000 else []:
            raise ScenarioRefused(f"several batches are named {', '.join(twice)}; each needs a name of its own")
        stages = {stage for arrival in self.arrivals for stage in arrival.plan.batch.stages}
        if unknown := sorted({name.removesuffix("/draft") for name in self.yields} - stages):
            raise ScenarioRefused(f"no batch has a stage {', '.join(unknown)}; there are: {', '.join(sorted(stages))}")
        cards = {model: card for arrival in self.arrivals for model, card in arrival.plan.cards.items()}
        for table in (self.seconds, self.load_s):
            if strange := sorted(set(table) - set(cards)):
                raise ScenarioRefused(
                    f"no batch uses a model {', '.join(strange)}; they use: {', '.join(sorted(cards))}"
                )
        for model, card in cards.items():
            needed = card.gpus if card.gpus else max(1.0, card.cpus)
            if needed > min(self.per_node, self.hosts):
                raise ScenarioRefused(f"{model} needs {needed:g} slots of one node; a node has {self.per_node}")
