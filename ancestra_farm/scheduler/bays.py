"""Bays: the slots of a farm, one bay for each kind of slot, and which models' hosts fit on them.

A farm whose node types nobody has stated has two: the CPUs and the GPUs that Ray counts. One with node types has a bay
for the GPUs of each make of node, and one for the CPUs that hosts on those GPUs leave; nodes of no stated type are not
used then. How many slots there should be is decided in `scaling`, who gets them in `slots`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.farm_settings import FarmSettings
from ancestra_farm.scheduler.placement import Make, hosts_on, makes_of, needs_of

#: Slots may be parts of a GPU: three thirds have to fit on one.
ROUNDING = 1e-9
#: The bays of a farm without node types.
CPUS, GPUS = "CPU", "GPU"


@dataclass(slots=True, eq=False)
class Supply:
    """How nodes of one make come; what is read from that is decided in `supply`. Times are Unix seconds.

    ``nodes``: Ray's ids of those there are, ``came_at``: when the last of them came, ``spot_came_at``: the last of the
    spot market. ``scarce_until``: spot nodes do not come, others are taken for every class. ``dry_until``: none come at
    all, so that others do what can be done elsewhere; since ``dry_since``, found so ``droughts`` times in a row.
    """

    nodes: frozenset[str] = frozenset()
    came_at: float = -inf
    spot_came_at: float = -inf
    scarce_until: float = -inf
    dry_since: float = inf
    dry_until: float = -inf
    droughts: int = 0


@dataclass(slots=True, eq=False)
class Bay:
    """Slots of one kind. ``slots``: there are so many now; ``planned``: there are to be so many; ``used``: by hosts.

    ``on_spot``: of ``slots``, those on nodes of the spot market.
    ``make``: of the nodes they are on, None: whatever Ray has. ``each``: slots of one node; ``most`` and ``most_spot``:
    what as many nodes as there may be come to, of all types and of those of the spot market, ``spot``. ``closed`` and
    ``closed_spot``: of nodes that are up and take no hosts; they count as nodes there are. ``supply``: how its nodes
    come, shared with the other bay of its make.
    """

    name: str
    on_gpu: bool
    make: Make | None = None
    each: float = 1.0
    most: float = 0.0
    most_spot: float = 0.0
    spot: tuple[str, ...] = ()
    closed: float = 0.0
    closed_spot: float = 0.0
    slots: float = 0.0
    on_spot: float = 0.0
    planned: float = 0.0
    used: float = 0.0
    supply: Supply = field(default_factory=Supply)

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the node types it is on; none: whatever Ray has."""
        return () if self.make is None else self.make.types

    @property
    def all(self) -> float:
        """Slots that hosts may be asked for on."""
        return max(self.slots, self.planned)

    @property
    def unused(self) -> float:
        """Slots that no host holds."""
        return self.all - self.used

    def holds(self, slots_each: float) -> int:
        """How many hosts of that size it could ever hold at once."""
        return whole(max(self.all, self.most) / slots_each)

    def use(self, slots: float) -> None:
        """A host takes slots, or gives them back (negative)."""
        self.used += slots
        if abs(self.used) < ROUNDING:
            self.used = 0.0


def whole(number: float) -> int:
    """The whole hosts or nodes in a number, thirds added up."""
    return int(number + ROUNDING)


def plain_bays() -> dict[str, Bay]:
    """The bays of a farm without node types."""
    return {CPUS: Bay(CPUS, on_gpu=False), GPUS: Bay(GPUS, on_gpu=True)}


def bays_of(farm: FarmSettings, cards: Iterable[ModelCard]) -> dict[str, Bay]:
    """The bays of a farm: of GPUs and of nodes without any by price, then what CPUs are left beside GPUs.

    ``cards``: models whose hosts hold GPUs take CPUs too, the most that any of them takes for each GPU.
    """
    if not farm.node_types:
        return plain_bays()
    cards = list(cards)
    bays, spare = [], []
    for make in makes_of(farm.node_types):
        kind = make.kind
        if not kind.gpus:
            bays.append(_bay(make.name, farm, make, kind.cpus))
            continue
        bays.append(_bay(make.name, farm, make, kind.gpus, on_gpu=True))
        taken = max((_cpus_beside(card) for card in cards if hosts_on(needs_of(card), kind)), default=1.0)
        if (left := kind.cpus - taken * kind.gpus) >= 1:
            spare.append(_bay(f"{make.name} CPUs", farm, make, left))
            spare[-1].supply = bays[-1].supply
    return {bay.name: bay for bay in bays + spare}


def _bay(name: str, farm: FarmSettings, make: Make, each: float, *, on_gpu: bool = False) -> Bay:
    spot = tuple(name for name in make.types if farm.node_types[name].market == "spot")
    most, most_spot = (sum(farm.node_types[name].max_nodes for name in names) for names in (make.types, spot))
    return Bay(name, on_gpu, make, each, each * most, each * most_spot, spot)


def _cpus_beside(card: ModelCard) -> float:
    """CPUs that the hosts on one GPU take; those without a GPU are what the rest is for."""
    return card.cpus / (card.share or card.gpus) if card.gpus else 0.0


def sizes_in(bays: Mapping[str, Bay], card: ModelCard, slots_each: float) -> dict[str, float]:
    """In which bays hosts of a model can be, the cheapest first, and how many slots one takes there.

    Of nodes whose memory or CPUs hold fewer hosts than there are slots, each takes its part of the node. CPUs beside
    GPUs are for models that nothing else could run.
    """
    needs, sizes, spare = needs_of(card), {}, {}
    for bay in bays.values():
        if bay.on_gpu != (card.gpus > 0):
            continue
        if bay.make is None:
            sizes[bay.name] = slots_each
        elif bay.on_gpu or not bay.make.kind.gpus:
            if number := hosts_on(needs, bay.make.kind):
                sizes[bay.name] = bay.each / number
        elif number := hosts_on(needs, bay.make.kind.model_copy(update={"cpus": bay.each})):
            spare[bay.name] = bay.each / number
    return sizes or spare


def stand(bays: Mapping[str, Bay], nodes: Iterable[str], closed: Iterable[str] = ()) -> None:
    """Take note of which nodes there are, each by the name of its type. ``closed``: those that take no hosts."""
    there, shut = Counter(nodes), Counter(closed)
    for bay in bays.values():
        if bay.make is not None:
            bay.slots = bay.each * sum(there[name] for name in bay.types)
            bay.on_spot = bay.each * sum(there[name] for name in bay.spot)
            bay.closed = bay.each * sum(shut[name] for name in bay.types)
            bay.closed_spot = bay.each * sum(shut[name] for name in bay.spot)


def bay_on(bays: Mapping[str, Bay], node_type: str, *, on_gpu: bool) -> Bay | None:
    """The bay that a node of this type is in; None: it is in none."""
    return next(
        (bay for bay in bays.values() if bay.on_gpu == on_gpu and bay.make is not None and node_type in bay.make.types),
        None,
    )
