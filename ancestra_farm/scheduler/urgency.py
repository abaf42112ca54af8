"""Which tickets are taken back before they start, so that urgent work never waits behind them and no host idles.

Three reasons. A higher class waits and no free host could take it: what lower classes have not started goes back, so
that none of it starts where the higher could run. A host is idle while another has a ticket waiting behind a running
one: the idle host gets that ticket. (The third, work that was paused, cancelled or decided without, is `dispatch`'s.)
Within a class nothing is revoked for anybody's sake: fair shares even out over a few tickets.

It decides from counts and touches each ticket once; nothing here is linear in hosts, except the moment a higher class
arrives.
"""

from collections.abc import Iterator
from itertools import islice

from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.hosts import Host, Lease
from ancestra_farm.scheduler.lines import Line
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.world import Revoke

#: Waiting tickets that are looked at to find the one that would wait longest. The newest were given to hosts that had
#: just begun a ticket, so they are the likeliest.
LOOKED_AT = 16

Taken = tuple[Host, Lease]


def served_first(fleet: Fleet, pool: Pool, rank: int) -> int:
    """Tickets of higher classes that idle hosts are kept for: they wait behind others, or are on their way back."""
    return sum(
        line.unserved
        for line in pool.lines.values()
        if line.rank < rank and line.unserved and not fleet.at_cap(line, pool)
    )


def may_serve(fleet: Fleet, pool: Pool, rank: int, held: int) -> bool:
    """Whether a class may be given a ticket now, to an idle host or (``held`` 1) behind a running one."""
    first = served_first(fleet, pool, rank)
    return first == 0 or pool.room[0].size - (held == 0) >= first


def for_the_idle(fleet: Fleet, pool: Pool, now: float, tunables: Tunables) -> Iterator[Taken]:
    """Tickets that wait behind running ones while hosts are idle, highest class first, longest wait first.

    Where nothing else is left for the idle hosts, only those whose wait is worth the way back and forth.
    """
    lines = sorted((line for line in pool.lines.values() if line.behind or line.coming), key=lambda line: line.rank)
    spare = pool.room[0].size - sum(line.coming for line in lines)
    least_s = 0.0 if pool.waiting else tunables.steal_s
    for line in lines:
        if fleet.at_cap(line, pool):
            continue
        while spare > 0 and line.behind:
            newest = islice(reversed(line.behind.values()), LOOKED_AT)
            host, lease = max(newest, key=lambda taken: _wait_s(taken[0], now))
            if _wait_s(host, now) < least_s:
                break
            yield host, lease
            spare -= 1


def _wait_s(host: Host, now: float) -> float:
    """Seconds until the host's first ticket is probably done. One that is late may take as long again as it took."""
    first = host.leases[0]
    if first.started_at is None:
        return first.expected_s
    took = now - first.started_at
    return first.expected_s - took if took < first.expected_s else took


def for_a_higher_class(fleet: Fleet, pool: Pool, tickets_of: dict[Line, int]) -> Iterator[Taken]:
    """Unstarted tickets of lower classes that must make way. ``tickets_of``: tickets that still wait, by line.

    What waits behind a running ticket would start whenever that one ends, so all of it goes back; of what is just about
    to start on an idle host only as much as is needed.
    """
    active = sorted(
        (line for line in pool.lines.values() if line.unstarted or line.coming or line in tickets_of),
        key=lambda line: line.rank,
    )
    if not active or active[0].rank == active[-1].rank:
        return
    higher, same, rank = 0, 0, active[0].rank
    idle = pool.room[0].size
    free = idle + sum(line.freeing for line in active)
    for line in active:
        if line.rank > rank:
            higher, same, rank = higher + same, 0, line.rank
        if higher > idle:  # a host that is being freed is free only once it says so
            yield from list(line.behind.values())
        if higher > free:
            for host, lease in list(line.unstarted.values()):
                if higher <= free:
                    break
                yield host, lease
                free += 1
        if not fleet.at_cap(line, pool):
            same += line.unserved + tickets_of.get(line, 0)


def revoke(taken: Iterator[Taken]) -> Iterator[Revoke]:
    """Take tickets back."""
    for host, lease in taken:
        if not lease.revoked:
            host.pool.revoke(host, lease)
            yield Revoke(host.name, lease.ticket.ticket)
