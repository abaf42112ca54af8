"""What nodes there are, as Ray's head knows them, and what slots they come to."""

import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import ray

from ancestra_farm.batch.farm_settings import NODE_TYPE_LABEL
from ancestra_farm.scheduler.world import SlotsChanged

#: A machine that is there takes a connection in milliseconds.
ANSWER_S = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """A node that is up. ``node``: Ray's id of it, in hex. ``node_type``: of its label, empty: it carries none.

    ``address`` and ``port``: where the Ray of the node listens.
    """

    node: str
    node_type: str
    cpus: float
    gpus: float
    address: str = ""
    port: int = 0


def nodes_up() -> tuple[Node, ...]:
    """Every node that Ray's head believes to be up, by id. One that was killed is believed up for some ten seconds."""
    found = []
    for entry in ray.nodes():
        if entry["Alive"]:
            labels, resources = entry.get("Labels") or {}, entry.get("Resources") or {}
            node_type = labels.get(NODE_TYPE_LABEL, "")
            cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
            address, port = entry["NodeManagerAddress"], entry["NodeManagerPort"]
            found.append(Node(entry["NodeID"], node_type, cpus, gpus, address, port))
    return tuple(sorted(found, key=lambda node: node.node))


def answers(node: Node, within_s: float = ANSWER_S) -> bool:
    """Whether the Ray of a node takes a connection. Waits so long at most; at once where its process is gone."""
    try:
        socket.create_connection((node.address, node.port), within_s).close()
    except OSError:
        return False
    return True


def slots_of(
    nodes: Iterable[Node], closed: Collection[str] = (), at_most: int | None = None, *, local: bool = False
) -> SlotsChanged:
    """The slots of these nodes. ``closed``: ids of those that hosts are not placed on. ``at_most``: on CPUs.

    ``local``: they are a Ray of our own on this machine, so that there are no others and never will be.
    """
    nodes = list(nodes)
    usable = [node for node in nodes if node.node not in closed]
    cpus = int(sum(node.cpus for node in usable))
    return SlotsChanged(
        cpu_slots=cpus if at_most is None else min(cpus, at_most),
        gpu_slots=int(sum(node.gpus for node in usable)),
        nodes=tuple((node.node, node.node_type) for node in nodes if node.node_type),
        closed=tuple(sorted(node.node for node in nodes if node.node in closed)),
        local=local,
    )
