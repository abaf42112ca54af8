"""What people order of nodes and hosts: drain, block, forgive. Decides whether an order can be taken.

A node is named by Ray's id of it, or the beginning of one that the farm knows. A block stands until it is forgiven, a
drain of a node for good; the next controller begins with both. A single host that is drained is replaced.
"""

from dataclasses import replace

from ancestra_farm.plan.farm_events import NodeOrdered
from ancestra_farm.scheduler.dispatch import Dispatcher
from ancestra_farm.scheduler.hosts import Host
from ancestra_farm.scheduler.ordered import node_order_digest, taken_before
from ancestra_farm.scheduler.state import FarmState
from ancestra_farm.scheduler.waves import Emit
from ancestra_farm.scheduler.world import BlockNodes, DrainNode, Instruction, OrderRefused

#: Digits of Ray's id of a node, and how many name one well enough.
NODE_DIGITS = 56
FEW_DIGITS = 4


def order(state: FarmState, dispatcher: Dispatcher, given: NodeOrdered, emit: Emit, now: float) -> list[Instruction]:
    """Take an order, or raise OrderRefused. Taken before, under the same id, it changes nothing.

    ``given.node``, ``host`` or ``model`` says what it is about; exactly one of them.
    """
    if not given.who.strip():
        raise OrderRefused("an order needs the name of the person who gives it")
    if taken_before(state, given.order_id, node_order_digest(given)):
        return []
    if sum(map(bool, (given.node, given.host, given.model))) != 1:
        raise OrderRefused("say which node, which host, or (to forgive) which model: one of them")
    if given.model:
        return _of_model(dispatcher, given, emit)
    if given.host and given.order == "drain":
        return _drain_host(dispatcher, given, emit)
    node = _node_of_host(dispatcher, given.host) if given.host else _node(state, dispatcher, given.node)
    named = replace(given, node=node, host="")
    if given.order == "drain":
        return _drain_node(dispatcher, named, emit, now)
    if given.order == "block":
        return _block(state, dispatcher, named, emit, now)
    return _forgive(state, dispatcher, named, emit)


def standing(state: FarmState, dispatcher: Dispatcher, now: float) -> list[Instruction]:
    """What is to be done about orders that stand when a controller begins. Nodes that are gone do not mind."""
    for given in state.nodes.values():
        dispatcher.departures.begin(given.node, None, _said(given), now, blocked=given.order == "block")
    drains = [DrainNode(given.node, _said(given)) for given in state.nodes.values() if given.order == "drain"]
    return [*([BlockNodes(blocked)] if (blocked := _blocked(state)) else []), *drains]


def _of_model(dispatcher: Dispatcher, given: NodeOrdered, emit: Emit) -> list[Instruction]:
    if given.order != "forgive":
        raise OrderRefused(f"a model is only forgiven; to {given.order}, name a node or a host")
    pools = [pool for pool in dispatcher.fleet.pools.values() if pool.model == given.model]
    if not pools:
        models = sorted({pool.model for pool in dispatcher.fleet.pools.values()})
        raise OrderRefused(f"no batch here needs the model {given.model}; there are: {', '.join(models) or 'none'}")
    failed = [pool for pool in pools if pool.start_failures]
    if not failed:
        raise OrderRefused(f"no host of {given.model} has failed to start since the last that came up")
    emit(given)
    for pool in failed:
        pool.start_failures = 0
    dispatcher.fleet.stale = True
    return []


def _drain_host(dispatcher: Dispatcher, given: NodeOrdered, emit: Emit) -> list[Instruction]:
    host = _host(dispatcher, given.host)
    if host.stopping and not host.surplus:
        raise OrderRefused(f"{host.name} is on its way out already")
    emit(given)
    host.surplus, host.why = False, _said(given)
    return list(dispatcher.slots.stop(host, running=False))


def _drain_node(dispatcher: Dispatcher, given: NodeOrdered, emit: Emit, now: float) -> list[Instruction]:
    going = dispatcher.departures.going.get(given.node)
    if going is not None and not going.blocked:
        raise OrderRefused(f"node {given.node[:8]} goes away already: {going.why}")
    emit(given)
    left = dispatcher.departures.notice(given.node, None, _said(given), now, emit)
    return [*left, DrainNode(given.node, _said(given))]


def _block(state: FarmState, dispatcher: Dispatcher, given: NodeOrdered, emit: Emit, now: float) -> list[Instruction]:
    if (before := state.nodes.get(given.node)) is not None and before.order == "block":
        raise OrderRefused(f"node {given.node[:8]} is blocked already, by {before.who}")
    if (going := dispatcher.departures.going.get(given.node)) is not None:
        raise OrderRefused(f"node {given.node[:8]} goes away anyhow: {going.why}")
    emit(given)
    _, left = dispatcher.departures.begin(given.node, None, _said(given), now, blocked=True)
    return [*left, BlockNodes(_blocked(state))]


def _forgive(state: FarmState, dispatcher: Dispatcher, given: NodeOrdered, emit: Emit) -> list[Instruction]:
    before = state.nodes.get(given.node)
    if before is None:
        blocked = ", ".join(node[:8] for node in _blocked(state)) or "none"
        raise OrderRefused(f"node {given.node[:8]} is not blocked; blocked are: {blocked}")
    if before.order == "drain":
        raise OrderRefused(f"node {given.node[:8]} was drained by {before.who}, which Ray does not undo")
    emit(given)
    dispatcher.departures.forgive(given.node)
    return [BlockNodes(_blocked(state))]


def _blocked(state: FarmState) -> tuple[str, ...]:
    return tuple(node for node, given in state.nodes.items() if given.order == "block")


def _host(dispatcher: Dispatcher, name: str) -> Host:
    host = dispatcher.fleet.hosts.get(name)
    if host is None:
        raise OrderRefused(f"there is no host {name!r}; `ancestra hosts` lists them")
    return host


def _node_of_host(dispatcher: Dispatcher, name: str) -> str:
    host = _host(dispatcher, name)
    if host.node is None:
        raise OrderRefused(f"{name} is not placed on a node yet; say it again in a moment")
    return host.node


def _node(state: FarmState, dispatcher: Dispatcher, said: str) -> str:
    """The node whose id begins so. A whole id is taken even of a node that has no host."""
    if not set(said) <= set("0123456789abcdef") or not FEW_DIGITS <= len(said) <= NODE_DIGITS:
        raise OrderRefused(f"{said!r} is no node: say {FEW_DIGITS} to {NODE_DIGITS} hex digits of Ray's id of it")
    known = {host.node for host in dispatcher.fleet.hosts.values() if host.node is not None}
    known |= {*state.nodes, *dispatcher.departures.going}
    found = sorted(node for node in known if node.startswith(said))
    if len(found) == 1:
        return found[0]
    if not found and len(said) == NODE_DIGITS:
        return said
    if not found:
        names = ", ".join(sorted(node[:8] for node in known)[:8]) or "none"
        raise OrderRefused(f"no node with hosts begins with {said}; there are: {names}. Or say the whole id")
    raise OrderRefused(f"{said} begins several nodes: {', '.join(node[: len(said) + 4] for node in found[:8])}")


def _said(given: NodeOrdered) -> str:
    done = {"drain": "drained", "block": "blocked", "forgive": "forgiven"}[given.order]
    return f"{done} by {given.who}{f': {given.note}' if given.note else ''}"
