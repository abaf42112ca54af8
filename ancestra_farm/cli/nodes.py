"""Orders about hosts and nodes: ``ancestra hosts drain``, ``block`` and ``forgive``; and which nodes there are."""

import datetime as dt
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import typer

from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.cli.listing import column, json_keys, number, print_json

if TYPE_CHECKING:
    from ancestra_farm.api.wire import NodeStanding
    from ancestra_farm.plan.farm_events import NodeOrdered

NodeOrderName = Literal["drain", "block", "forgive"]
TargetKind = Literal["node", "host", "model"]

#: Ray's id of a node, or how it begins. No host's name and no model's id looks like this.
_NODE = re.compile(r"[0-9a-f]{4,56}")
_DONE: dict[NodeOrderName, str] = {"drain": "draining", "block": "blocked", "forgive": "forgave"}


@dataclass(frozen=True, slots=True)
class NodeGiven:
    """An order that is in the log by ``commit``. ``kind``: what ``target`` is: a node, a host or a model."""

    order: NodeOrderName
    kind: TargetKind
    target: str
    who: str
    commit: int


EPILOG = (
    f"Of an order: {json_keys(NodeGiven)} "
    "drain: a host makes room for another; a node gets nothing more, and is given back to the cluster, for good, once "
    "it is empty. block: no host is placed on a node until it is forgiven. forgive: lifts a block, or tries a model "
    "again whose hosts failed to start. What runs is finished either way."
)


def _clock(at: float | None) -> str:
    return "–" if at is None else dt.datetime.fromtimestamp(at, dt.UTC).strftime("%H:%M:%S UTC")


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node. ``state``: in use, blocked or leaving, and ``why``. ``leaves_at``: Unix seconds, if anybody said.

    ``node_type``: as the node is labelled; empty where it is not. ``price_per_hour``: of its type, in ``currency``, by
    the farm's settings.
    """

    node: str = column("node")
    node_type: str = column("type", quiet=True)
    state: str = column("state")
    hosts: int = column("hosts", number)
    leaves_at: float | None = column("leaves at", _clock, quiet=True)
    why: str = column("why", quiet=True)
    price_per_hour: float | None = column("an hour", number, quiet=True)
    currency: str = column("in", quiet=True)


def node_rows(nodes: "Sequence[NodeStanding]") -> list[NodeRow]:
    """A row for each node."""
    return [
        NodeRow(one.node, one.node_type, one.state, one.hosts, one.leaves_at, one.why, one.price_per_hour, one.currency)
        for one in nodes
    ]


def order_node(store: str, order: NodeOrderName, target: str | None, who: str, note: str, *, as_json: bool) -> None:
    """Give an order about a node, a host or a model, to the controller that is at work."""
    from ancestra_farm.api.afar import farm_at
    from ancestra_farm.api.client import Client

    if not target:
        raise CommandFailed(f"say what to {order}: a host, or Ray's id of a node (`ancestra hosts --nodes` lists them)")
    kind, given = _given(order, target, who, note)
    opened = farm_at(store)
    client = Client.of(opened, who)
    if client is None:
        raise CommandFailed(f"{opened.url}: nobody is at work there, so there is nothing to {order}")
    with client:
        taken = client.order_node(given)
    answer = NodeGiven(order, kind, target, taken.orders[0].who, taken.commit)
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{_DONE[order]} {kind} {target} as {answer.who} (commit {answer.commit})")


def _given(order: NodeOrderName, target: str, who: str, note: str) -> "tuple[TargetKind, NodeOrdered]":
    from ancestra_farm.plan.farm_events import NodeOrdered

    at = time.time()
    if _NODE.fullmatch(target):
        return "node", NodeOrdered(order, who, at, node=target, note=note)
    if "/" in target:
        return "model", NodeOrdered(order, who, at, model=target, note=note)
    return "host", NodeOrdered(order, who, at, host=target, note=note)
