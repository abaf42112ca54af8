"""How Ray is asked for a host: resources, label selectors with what to fall back on, and a group for several GPUs.

Node types are labels of nodes (`ancestra/node-type`). Ray places an actor on a node that the selector fits, else on one
that the first fallback fits; one that fits nowhere waits, and that is the demand its autoscaler brings nodes for. Ray
groups have one selector and no fallback, so that a host of several GPUs names all types that will do at once.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ancestra_farm.batch.farm_settings import NODE_TYPE_LABEL
from ancestra_farm.farm.draining import away_from
from ancestra_farm.scheduler.world import StartHost

#: Ray labels nodes by itself with the kind of their GPUs.
ACCELERATOR_LABEL = "ray.io/accelerator-type"
GIB = 2**30


def selectors_of(order: StartHost, avoided: Iterable[str] = ()) -> list[dict[str, str]]:
    """What labels a host's node must have, the first wish first; one empty selector: any node will do.

    ``avoided``: Ray's ids of nodes that no host is placed on. Node types have the right kind of GPU already.
    """
    avoided = tuple(avoided)
    if order.node_types:
        wishes = [{NODE_TYPE_LABEL: _one_of(types)} for types in (order.node_types, order.or_on) if types]
    elif order.accelerators:
        wishes = [{ACCELERATOR_LABEL: _one_of(order.accelerators)}]
    else:
        wishes = [{}]
    return [away_from(wish, avoided) for wish in wishes]


def resources_of(order: StartHost) -> dict[str, float]:
    """What a host holds while it is up, as Ray counts it: CPUs, GPUs, bytes of memory."""
    wanted = {"CPU": order.cpus, "GPU": order.gpus, "memory": float(int(order.memory_gib * GIB))}
    return {name: number for name, number in wanted.items() if number}


def options_of(order: StartHost, avoided: Iterable[str] = ()) -> tuple[dict[str, Any], PlacementGroup | None]:
    """Options for the actor of a host, and the group it is in, which is to be given back with it."""
    resources, selectors = resources_of(order), selectors_of(order, avoided)
    options: dict[str, Any] = {
        "num_cpus": order.cpus,
        "num_gpus": int(order.gpus) if order.gpus >= 1 else order.gpus,
        "memory": int(resources.get("memory", 0)) or None,
    }
    if order.gpus <= 1:
        if selectors[0]:
            options["label_selector"] = selectors[0]
        if selectors[1:]:
            options["fallback_strategy"] = [{"label_selector": selector} for selector in selectors[1:]]
        return options, None
    types = order.node_types + order.or_on
    selector = away_from({NODE_TYPE_LABEL: _one_of(types)}, avoided) if types else selectors[0]
    group = placement_group([resources], "STRICT_PACK", bundle_label_selector=[selector] if selector else None)
    options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
    return options, group


def give_back(group: PlacementGroup | None) -> None:
    """Give a group back, whether or not it ever came to be."""
    if group is not None and ray.is_initialized():
        remove_placement_group(group)


def _one_of(values: Sequence[str]) -> str:
    """A selector's value: any of these."""
    return values[0] if len(values) == 1 else f"in({','.join(values)})"
