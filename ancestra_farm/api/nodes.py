"""What the door does about nodes: tells who is on them and which of them go away, and takes orders about them."""

import time
import uuid
from collections import Counter
from math import isfinite
from typing import TYPE_CHECKING, Literal

from ancestra_farm.api import incoming, questions, wire
from ancestra_farm.api.answers import acting
from ancestra_farm.api.desk import answered
from ancestra_farm.api.people import noted
from ancestra_farm.api.reach import somebody
from ancestra_farm.plan.farm_events import NodeOrdered
from ancestra_farm.scheduler import supply
from ancestra_farm.scheduler.scheduler import Scheduler

if TYPE_CHECKING:
    from ancestra_farm.api.routes import Call


async def hosts(call: "Call") -> wire.Hosts:
    """All hosts and nodes, of one moment."""
    return await answered(call.desk.ask(whereabouts))


def whereabouts(scheduler: Scheduler) -> wire.Hosts:
    """Hosts, nodes, which nodes do not come, what the store fails, and what no host can take."""
    dispatcher, waits = scheduler.dispatcher, scheduler.dispatcher.store_waits
    failed = (waits.told(list(dispatcher.fleet.hosts.values())), waits.told_stitches())
    return wire.Hosts(
        hosts=questions.hosts(scheduler),
        nodes=standing(scheduler),
        dry=tuple(supply.told(dispatcher.fleet, dispatcher.now)),
        unstored=tuple(why for why in failed if why is not None),
        blocked=dispatcher.stuck(),
    )


async def order(call: "Call") -> wire.Taken:
    """Whether there is such a node, host or model is for the loop to say."""
    body: incoming.NodeOrderIn = call.body
    person = somebody(call.person)
    who, by = acting(person, body.who)
    given = NodeOrdered(
        order=body.order,
        who=who,
        at=time.time(),
        node=body.node,
        host=body.host,
        model=body.model,
        note=noted(body.note, by),
        order_id=body.order_id or uuid.uuid4().hex,
    )
    commit = await answered(call.desk.order_node(given))
    taken = wire.Acknowledged(order_id=given.order_id, order=given.order, who=who, by=by)
    return wire.Taken(commit=commit, epoch=call.desk.health.epoch, at=given.at, orders=(taken,))


def standing(scheduler: Scheduler) -> list[wire.NodeStanding]:
    """Every node that is up and has hosts, carries the label of a node type, or is closed to hosts; by id.

    Those that people blocked are there from the order on, before Ray's side has told that they are closed.
    """
    fleet, going = scheduler.dispatcher.fleet, scheduler.dispatcher.departures.going
    hosts = Counter(host.node for host in fleet.hosts.values() if host.node is not None)
    found, types = [], dict(fleet.told.nodes)
    blocked = {node for node, departure in going.items() if departure.blocked}
    for node in sorted({*hosts, *blocked, *fleet.told.closed, *types}):
        kind, departure = fleet.farm.node_types.get(types.get(node, "")), going.get(node)
        state: Literal["in use", "blocked", "leaving"] = "in use"
        if departure is not None:
            state = "blocked" if departure.blocked else "leaving"
        price = 0.0 if kind is None else kind.price_per_hour
        found.append(
            wire.NodeStanding(
                node=node,
                state=state,
                hosts=hosts[node],
                node_type=types.get(node, ""),
                why="" if departure is None else departure.why,
                leaves_at=departure.at if departure is not None and isfinite(departure.at) else None,
                price_per_hour=price or None,
                currency=fleet.farm.currency if price else "",
            )
        )
    return found
