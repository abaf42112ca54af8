"""Where a model's hosts can stand: what a card needs against what a type of node has.

It says what fits and why the rest does not. How many nodes there should be is decided in `scaling`; which node a host
comes up on is Ray's decision, within the node types named here. Nothing here knows hosts, queues or clocks.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.farm_settings import NodeType
from ancestra_farm.batch.numbers import counted


@dataclass(frozen=True, slots=True)
class Needs:
    """What one host of a model holds while it is up.

    ``gpus``: whole ones, or a part of one (0 < gpus < 1). ``vram_gib``: on each GPU. ``memory_gib``: main memory, 0:
    whatever there is. ``accelerators``: kinds of GPU that will do, empty: any.
    """

    gpus: float
    vram_gib: float
    cpus: float
    memory_gib: float
    accelerators: tuple[str, ...]


def needs_of(card: ModelCard) -> Needs:
    """What a host of this model needs. Memory of a GPU is asked for only by hosts that hold one."""
    gpus = float(card.gpus) if card.share is None else card.share
    return Needs(gpus, card.vram_gib if gpus else 0.0, card.cpus, card.memory_gib, card.accelerators)


def fits(needs: Needs, node_type: NodeType) -> str | None:
    """Why an empty node of this type could not hold such a host, as the end of a sentence about it; None if it could.

    Whoever takes a part of a GPU has that part of its memory.
    """
    return next(_lacks(needs, node_type), None)


def _lacks(needs: Needs, node_type: NodeType) -> Iterator[str]:
    if needs.gpus > 0:
        yield from _lacks_of_gpus(needs, node_type)
    if needs.cpus > node_type.cpus:
        yield f"has {node_type.cpus:g} CPUs, and {needs.cpus:g} are needed"
    if needs.memory_gib > node_type.memory_gib:
        yield f"has {node_type.memory_gib:g} GiB of memory, and {needs.memory_gib:g} GiB are needed"


def _lacks_of_gpus(needs: Needs, node_type: NodeType) -> Iterator[str]:
    if node_type.gpus == 0:
        yield "has no GPU"
    elif needs.gpus > node_type.gpus:
        yield f"has {counted(node_type.gpus, 'GPU')}, and {needs.gpus:g} are needed"
    if needs.accelerators and node_type.accelerator not in needs.accelerators:
        kind = f"GPUs of the kind {node_type.accelerator}" if node_type.accelerator else "GPUs of no stated kind"
        yield f"has {kind}, and {' or '.join(needs.accelerators)} is needed"
    part = min(1.0, needs.gpus)
    if needs.vram_gib > part * node_type.vram_gib:
        whole = f"GPUs with {node_type.vram_gib:g} GiB"
        given = whole if part == 1 else f"{whole}, of which {part:g} is {part * node_type.vram_gib:g} GiB"
        yield f"has {given}, and {needs.vram_gib:g} GiB are needed"


def places(needs: Needs, node_types: Mapping[str, NodeType]) -> tuple[str, ...]:
    """The names of the node types that could hold such a host, in the order they are given."""
    return tuple(name for name, shape in node_types.items() if fits(needs, shape) is None)


def nowhere(needs: Needs, node_types: Mapping[str, NodeType]) -> str | None:
    """Why no type of node could hold such a host, as a sentence; None if one could, or if no types are given.

    A farm whose types of nodes nobody has stated has whatever Ray has.
    """
    if not node_types:
        return None
    reasons = {name: fits(needs, shape) for name, shape in node_types.items()}
    if None in reasons.values():
        return None
    each = "; ".join(f"{name} {reason}" for name, reason in reasons.items())
    return f"no node type has {_wanted(needs, node_types.values())} ({each})"


def hosts_on(needs: Needs, node_type: NodeType) -> int:
    """How many such hosts an empty node of this type holds: as many as its scarcest resource allows, 0 where none fit.

    Parts of GPUs are not put together: of a GPU that is shared in parts of 0.4, two are used.
    """
    if fits(needs, node_type) is not None:
        return 0
    counts = [int(node_type.cpus / needs.cpus + 1e-9)]
    if needs.gpus >= 1:
        counts.append(int(node_type.gpus // needs.gpus))
    elif needs.gpus > 0:
        counts.append(node_type.gpus * int(1 / needs.gpus + 1e-9))
    if needs.memory_gib > 0:
        counts.append(int(node_type.memory_gib / needs.memory_gib + 1e-9))
    return min(counts)


@dataclass(frozen=True, slots=True)
class Make:
    """Node types that are alike in everything but market and price: a host that fits on one fits on all of them.

    ``types``: their names, those of the spot market first, then the cheapest. ``kind``: any one of them.
    """

    name: str
    types: tuple[str, ...]
    kind: NodeType


def makes_of(node_types: Mapping[str, NodeType]) -> tuple[Make, ...]:
    """The makes there are among these types of nodes, those with the cheapest GPU, or the cheapest CPU, first."""
    alike = sorted(node_types, key=lambda name: (_make_of(node_types[name]), name))
    makes = []
    for _, names in groupby(alike, key=lambda name: _make_of(node_types[name])):
        types = tuple(sorted(names, key=lambda name: _order(node_types[name])))
        makes.append(Make(types[0], types, node_types[types[0]]))
    return tuple(sorted(makes, key=lambda make: (min(_price(node_types[name]) for name in make.types), make.name)))


def _make_of(kind: NodeType) -> tuple[int, float, float, str, float]:
    return (kind.gpus, kind.cpus, kind.memory_gib, kind.accelerator or "", kind.vram_gib)


def _order(kind: NodeType) -> tuple[bool, float]:
    return (kind.market != "spot", kind.price_per_hour)


def _price(kind: NodeType) -> float:
    """Of one slot of a node."""
    return kind.price_per_hour / (kind.gpus or kind.cpus)


def _wanted(needs: Needs, shapes: Iterable[NodeType]) -> str:
    """What to ask the farm's keeper for: the first thing that is on no node at all, else all of it together."""
    shapes = list(shapes)
    whole = max(1.0, needs.gpus)
    if needs.gpus > 0 and all(shape.gpus < whole for shape in shapes):
        return "a GPU" if whole == 1 else f"{whole:g} GPUs"
    of_kind = [shape for shape in shapes if not needs.accelerators or shape.accelerator in needs.accelerators]
    kinds = " or ".join(needs.accelerators)
    if needs.gpus > 0 and not of_kind:
        return f"a GPU of the kind {kinds}"
    least = needs.vram_gib / min(1.0, needs.gpus) if needs.gpus > 0 else 0.0
    if needs.gpus > 0 and all(shape.vram_gib < least for shape in shapes):
        return f"a GPU with {least:g} GiB"
    if all(shape.cpus < needs.cpus for shape in shapes):
        return f"{needs.cpus:g} CPUs"
    if all(shape.memory_gib < needs.memory_gib for shape in shapes):
        return f"{needs.memory_gib:g} GiB of memory"
    return "all that is needed at once"
