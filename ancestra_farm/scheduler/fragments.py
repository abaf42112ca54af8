"""Room for a host on one node, where what is free lies scattered over several.

Slots are counted over a whole bay, and on which node a host comes up is Ray's decision. A host that holds several slots
may so wait for ever, though as many are free: one here, one there, beside hosts that have work. Where such a host has
waited for longer than Ray takes to place one, and no node is to come, hosts of its own class or lower ones make way on
the node on which the least is lost, and nobody of these classes comes up in this bay until it stands. Those who made
way come up on what is free elsewhere: so it costs a load, and nobody a slot. Where all that could are of a higher class
and have work, it waits, and others use what is free. Which hosts there should be, and that slots are free at all, is
decided in `slots`.

Where nodes are to come and none does (`supply`), slots are free that are on no node, and who has such a slot would wait
for ever while lower classes run. There it is these alone that make way, since nobody finds room elsewhere; and those of
them that wait for a node themselves go too, as they would take the room that is made.

Only of farms with node types is it known what a node holds.
"""

from collections.abc import Iterable, Iterator
from math import ceil

from ancestra_farm.scheduler.bays import ROUNDING, Bay
from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.hosts import Host
from ancestra_farm.scheduler.pools import Pool

#: Ray places what has room within a second, on a busy head within some.
PLACING_S = 10.0


def cramped(fleet: Fleet, bay: Bay, now: float) -> Host | None:
    """The host, of the highest class, that waits in a bay for room on one node; None where nobody does."""
    if bay.make is None or (bay.planned > bay.slots + ROUNDING and not bay.supply.droughts):
        return None  # a node is to come
    waiting = [host for host in _waiting(fleet, bay) if now - host.asked_at > PLACING_S]
    host = min(waiting, key=lambda host: host.pool.rank, default=None)
    if host is None or any(_has_room(bay, hosts, host) for hosts in _by_node(fleet, bay).values()):
        return None
    return host


def in_its_way(fleet: Fleet, bay: Bay, cramped: Host) -> list[Host] | None:
    """The hosts that are to go so that it has room: all on one node, those that are least missed.

    None of them: room is being made already. None: there is no node on which it could be. While the make is dry, also
    those of lower classes that wait for a node.
    """
    rank = cramped.pool.rank + bool(bay.supply.droughts)
    best: list[Host] | None = None
    for hosts in _by_node(fleet, bay).values():
        left = [host for host in hosts if not host.stopping]
        chosen: list[Host] = []
        for host in sorted(_may_go(left, cramped.pool, rank), key=_missed):
            if _has_room(bay, left, cramped):
                break
            chosen.append(host)
            left.remove(host)
        if _has_room(bay, left, cramped) and (best is None or _lost(chosen) < _lost(best)):
            best = chosen
    if best is None or not bay.supply.droughts:
        return best
    return best + [host for host in _waiting(fleet, bay) if host.pool.rank >= rank]


def _waiting(fleet: Fleet, bay: Bay) -> Iterator[Host]:
    """The hosts of a bay that are on no node yet."""
    for host in fleet.starting.values():
        if host.bay == bay.name and host.node is None and not host.stopping:
            yield host


def _by_node(fleet: Fleet, bay: Bay) -> dict[str, list[Host]]:
    """The hosts on each node of a bay that takes any."""
    closed = set(fleet.told.closed)
    nodes: dict[str, list[Host]] = {
        node: [] for node, kind in fleet.told.nodes if kind in bay.types and node not in closed
    }
    for host in fleet.hosts.values():
        if host.bay == bay.name and host.node in nodes:
            nodes[host.node].append(host)
    return nodes


def _has_room(bay: Bay, hosts: Iterable[Host], host: Host) -> bool:
    """Whether a node that holds these hosts has room for another.

    Whoever needs a whole GPU finds none where a part is taken: parts that a pool's hosts hold share GPUs, as Ray fills
    those that are begun first.
    """
    held: dict[str, float] = {}
    for other in hosts:
        held[other.pool.digest] = held.get(other.pool.digest, 0.0) + other.slots
    whole = bay.on_gpu and host.slots >= 1
    taken = sum(ceil(slots - ROUNDING) if whole else slots for slots in held.values())
    return bay.each - taken >= host.slots - ROUNDING


def _may_go(hosts: Iterable[Host], pool: Pool, rank: int) -> Iterator[Host]:
    """Hosts that a host of this pool need not wait for: of classes from ``rank`` on, or with nothing to do."""
    for host in hosts:
        if host.pool is not pool and (host.pool.rank >= rank or (host.idle and not host.pool.queued)):
            yield host


def _missed(host: Host) -> tuple[bool, int]:
    return (not host.idle, -host.pool.rank)


def _lost(hosts: list[Host]) -> tuple[int, int, int]:
    """How much goes with these hosts: those at work, the highest class of any, and how many they are."""
    at_work = [host for host in hosts if not host.idle]
    return (len(at_work), -min((host.pool.rank for host in at_work), default=0), len(hosts))
