"""Whether the nodes come that hosts wait for, and what follows where they do not.

A cloud may be out of a kind of machine for minutes or for days, and tells nobody but Ray's autoscaler, which goes on
asking. What can be seen from here is that a host has waited for long and that no node of its make came. A host that
wished for a spot node then wishes for any; where that is in vain too, the make is dry: what can be done on nodes of
another make is done there. A dry make is tried again after as long as was waited in vain, with one node, and each time
that this one does not come after twice as long as before. Its first node ends that. Work that nothing else can take
asks for dry makes all the same, that which was dry first before the others.

How many nodes there should be is decided in `scaling`. That a cloud takes nodes away again is no want of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import inf

from ancestra_farm.batch.farm_settings import FarmSettings
from ancestra_farm.plan.moments import clock
from ancestra_farm.scheduler.bays import ROUNDING, Bay, Supply
from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.hosts import Host
from ancestra_farm.scheduler.warming import NODE_S

#: For so many target waits after no spot node came, others are taken for every class.
SCARCE_WAITS = 6
#: A make is left alone for as long as was waited in vain, twice as long each time, up to so many times: with waits of
#: ten minutes for 80, so that a kind of GPU that is sold out for a day is asked for some twenty times.
MOST_WAITS = 8


def patience_s(farm: FarmSettings) -> float:
    """Seconds after which a host has waited in vain: what is aimed at, and at least what two nodes take to boot."""
    return max(farm.scaling.target_wait_s, 2 * NODE_S)


def look(fleet: Fleet, now: float) -> None:
    """Take note of nodes that came, which end a drought, and of droughts that nobody has asked about for long."""
    patience = patience_s(fleet.farm)
    for bay in fleet.bays.values():
        supply, types = bay.supply, bay.types
        there = {node: node_type for node, node_type in fleet.told.nodes if node_type in types}
        if came := there.keys() - supply.nodes:
            supply.came_at = now
            if any(there[node] in bay.spot for node in came):
                supply.spot_came_at = now
            _forget(supply)
        elif supply.droughts and now > supply.dry_until + MOST_WAITS * patience:
            _forget(supply)
        supply.nodes = frozenset(there)


def waits_in_vain(fleet: Fleet, now: float) -> list[Host]:
    """Hosts that wait for a spot node and have for too long. Their make is scarce from now on, or found to be dry.

    Hosts for which any node of their make would do are let go with the slots that are not planned any more. Where no
    node is to come a host waits for room on those there are, which says nothing of how nodes come.
    """
    patience = patience_s(fleet.farm)
    found = []
    for host in fleet.starting.values():
        bay = fleet.bays.get(host.bay)
        if bay is None or bay.make is None or host.node is not None or host.stopping:
            continue
        supply = bay.supply
        if host.picky:
            if now - max(host.asked_at, supply.spot_came_at) > patience:
                supply.scarce_until = now + SCARCE_WAITS * fleet.farm.scaling.target_wait_s
                found.append(host)
            continue
        since = max(host.asked_at, supply.came_at, supply.dry_until)
        if bay.planned > bay.slots + ROUNDING and now - since > patience:
            supply.dry_since = min(supply.dry_since, since)
            supply.dry_until = now + patience * min(2**supply.droughts, MOST_WAITS)
            supply.droughts += 1
    return found


def need_wait_no_longer(fleet: Fleet) -> Iterator[Host]:
    """Hosts that wait for a spot node and may have any now, since work that came or was raised is urgent.

    As many as it needs beyond those that stand, or wait for any node. It says nothing of how spot nodes come.
    """
    for pool in fleet.pools.values():
        if pool.urgent:
            waiting = [host for host in pool.hosts.values() if host.picky and host.node is None and not host.stopping]
            yield from waiting[: max(0, pool.urgent - (pool.staying - len(waiting)))]


def offers(sizes: Iterable[str], bays: Mapping[str, Bay], rank: int, now: float) -> Iterator[tuple[Bay, float]]:
    """Bays in the order in which work of a class may have slots of them, each with how many may be planned there.

    ``sizes``: names of bays that will do, the cheapest first. Dry ones come up again at the end, with all they have.
    """
    own = [bays[name] for name in sizes]
    for bay in own:
        yield bay, min(_most(bay, rank, now), _at_hand(bay, now))
    for bay in sorted((bay for bay in own if bay.supply.droughts), key=lambda bay: bay.supply.dry_until):
        yield bay, _most(bay, rank, now)


def told(fleet: Fleet, now: float, sizes: Iterable[str] = ()) -> Iterator[str]:
    """What people are told of makes that do not come, a part of a sentence for each.

    ``sizes``: names of the bays that would do for somebody; none: all.
    """
    said_of: list[Supply] = []
    for name in sizes or fleet.bays:
        bay = fleet.bays[name]
        if not bay.supply.droughts or bay.supply in said_of:
            continue
        said_of.append(bay.supply)
        said = f"no node of type {' or '.join(bay.types)} has come since {clock(bay.supply.dry_since)}"
        if any(host.bay == name and host.node is None for host in fleet.starting.values()):
            yield f"{said}, and is asked for all the same"
        elif now < bay.supply.dry_until:
            yield f"{said}, so that it is asked for again at {clock(bay.supply.dry_until)}"
        else:
            yield f"{said}, and is asked for again when it is needed"


def _most(bay: Bay, rank: int, now: float) -> float:
    """The slots that a class may have planned in a bay: those of spot nodes, where it has any, unless it is urgent.

    Nodes that are up are used in any case, and on-demand ones among them take no spot node's place.
    """
    most = bay.most - bay.closed
    if rank == 0 or not bay.most_spot or now < bay.supply.scarce_until:
        return most
    others = max(0.0, bay.slots - bay.on_spot)
    return min(most, others + max(bay.on_spot, bay.most_spot - bay.closed_spot))


def _at_hand(bay: Bay, now: float) -> float:
    """The slots of a bay that can be counted on: those there are, and those of one node more where that is tried."""
    if not bay.supply.droughts:
        return inf
    return bay.slots if now < bay.supply.dry_until else bay.slots + bay.each


def _forget(supply: Supply) -> None:
    supply.dry_since, supply.dry_until, supply.droughts = inf, -inf, 0
