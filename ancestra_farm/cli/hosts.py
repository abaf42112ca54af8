"""``ancestra hosts``: who works on what, now, and where; orders about hosts and nodes are in `nodes`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.cli.listing import column, json_keys, number, print_rows
from ancestra_farm.cli.nodes import EPILOG as ORDERS
from ancestra_farm.cli.nodes import NodeOrderName, NodeRow, node_rows, order_node
from ancestra_farm.cli.options import JsonOption, NoteOption, PersonOption, StoreOption, person

if TYPE_CHECKING:
    from ancestra_farm.api.wire import Hosts, HostStanding


@dataclass(frozen=True, slots=True)
class HostRow:
    """One host. ``state``: starting, idle, working, or leaving, and ``why``. ``node``: Ray's id of its node."""

    host: str = column("host")
    model: str = column("model")
    state: str = column("state")
    tickets: tuple[str, ...] = column("tickets")
    node: str | None = column("node", lambda node: node[:8] if node else "–")
    why: str = column("why", quiet=True)


@dataclass(frozen=True, slots=True)
class QueueRow:
    """The hosts of one model and what waits for them, in candidates."""

    model: str = column("model")
    ready: int = column("ready", number)
    starting: int = column("starting", number)
    tickets: int = column("tickets", number)
    queued: int = column("queued", number)


EPILOG = f"{json_keys(HostRow)} With --queues: {json_keys(QueueRow)} With --nodes: {json_keys(NodeRow)} {ORDERS}"


def hosts(
    store: StoreOption,
    order: Annotated[NodeOrderName | None, typer.Argument(help="What is wanted; nothing: a list.")] = None,
    target: Annotated[
        str | None, typer.Argument(help="A host, Ray's id of a node (or how it begins), or a model's id.")
    ] = None,
    queues: Annotated[bool, typer.Option("--queues", help="By model, with what waits.")] = False,
    nodes: Annotated[bool, typer.Option("--nodes", help="By node, with those that go away.")] = False,
    who: PersonOption = "",
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the hosts of the farm that is at work; or drain, block or forgive a host or a node."""
    if order is not None:
        order_node(store, order, target, person(who), note, as_json=as_json)
        return
    from ancestra_farm.api.afar import farm_at
    from ancestra_farm.api.client import Client

    opened = farm_at(store)
    client = Client.of(opened)
    if client is None:
        if not as_json:
            raise CommandFailed(f"{opened.url}: nobody is at work there, so there are no hosts")
        print_rows(NodeRow if nodes else QueueRow if queues else HostRow, [], as_json=True)
        return
    with client:
        if nodes:
            found = client.hosts()
            print_rows(NodeRow, node_rows(found.nodes), as_json=as_json, none="no node has a host")
            _say(found, as_json=as_json)
            return
        if queues:
            counts = [
                QueueRow(one.model, one.ready, one.starting, one.tickets, one.queued) for one in client.status().hosts
            ]
            print_rows(QueueRow, counts, as_json=as_json, none="nothing waits and nobody works")
            return
        found = client.hosts()
    print_rows(HostRow, host_rows(found.hosts), as_json=as_json, none="no host is up")
    _say(found, as_json=as_json)


def _say(found: "Hosts", *, as_json: bool) -> None:
    for one in () if as_json else trouble_of(found):
        typer.echo(one)


def trouble_of(found: "Hosts") -> tuple[str, ...]:
    """What keeps hosts from their work: nodes that do not come, a store that takes nothing, work that none can take."""
    return (*found.dry, *found.unstored, *found.blocked)


def host_rows(hosts: "Sequence[HostStanding]") -> list[HostRow]:
    """A row for each host."""
    return [
        HostRow(
            one.host,
            one.model,
            _state(one.ready, one.stopping, one.working),
            tuple(one.tickets),
            one.node,
            one.why,
        )
        for one in hosts
    ]


def _state(ready: bool, stopping: bool, working: bool) -> str:
    if stopping:
        return "leaving"
    if not ready:
        return "starting"
    return "working" if working else "idle"
