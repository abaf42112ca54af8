"""Fair shares, as arithmetic: whose turn it is in a pool, and how many hosts each pool should have.

Classes are strict: nothing of a lower class is taken while a higher one could be. Within a class batches share by
device-seconds and weight, by start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng, "Start-time Fair Queuing",
SIGCOMM 1996) with several servers at once, as SFQ(D) (W. Jin, J. S. Chase, J. Kaur, "Interposed Proportional Sharing
for a Storage Service Utility", SIGMETRICS 2004): each batch has a *tag*, the virtual time up to which it has been
served, and the lowest tag is next. A ticket is charged when it is given out, by what it is expected to cost, and
settled by what it did cost. A batch that joins starts at the virtual time of the moment, with no credit for the past.

Slots are shared between batches by weighted max-min fairness (D. Bertsekas, R. Gallager, "Data Networks", 1992,
section 6.5.2), class after class. Nothing here knows hosts, tickets or clocks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf

from ancestra_farm.batch.schema import Priority

#: The order of the classes: the lowest rank is served first.
RANKS: dict[Priority, int] = {"dailies": 0, "shot": 1, "backfill": 2}

Turn = tuple[int, bool, float, int]
"""Sorts batches by whose turn it is; the lowest is next."""


@dataclass(slots=True)
class Account:
    """What one batch has had of one pool. ``tag``: virtual seconds it has been served up to, within class ``rank``.

    ``since``: when it last got a ticket, or began to wait; seconds since the epoch. ``active``: something of it waits
    or runs.
    """

    rank: int = 1
    tag: float = 0.0
    since: float = 0.0
    active: bool = False


@dataclass(slots=True)
class Clock:
    """The virtual time of each class in one pool: the tag of the ticket that was given out last, never falling."""

    times: list[float]

    @staticmethod
    def fresh() -> "Clock":
        """All classes at nought."""
        return Clock([0.0] * len(RANKS))

    def join(self, account: Account, rank: int, now: float) -> None:
        """A batch has work again, or changes its class: it goes on from now, with what it owes but without credit."""
        if account.active and account.rank == rank:
            return
        own = account.tag if account.rank == rank else 0.0
        account.tag = max(own, self.times[rank])
        account.rank, account.since, account.active = rank, now, True

    def charge(self, account: Account, seconds: float, weight: float, now: float) -> float:
        """Give a ticket of ``seconds`` device-seconds: moves the virtual time on. The virtual seconds charged."""
        self.times[account.rank] = max(self.times[account.rank], account.tag)
        charged = seconds / weight
        account.tag += charged
        account.since = now
        return charged


def settle(account: Account, charged: float, seconds: float, weight: float) -> None:
    """Put what a ticket did cost in place of what was ``charged`` for it."""
    account.tag += seconds / weight - charged


def turn(account: Account, number: int, now: float, ageing_s: float) -> Turn:
    """The place of a batch in line. One that has waited ``ageing_s`` for a ticket is next in its class, once."""
    aged = now - account.since >= ageing_s
    return (account.rank, not aged, account.since if aged else account.tag, number)


# ---- slots -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Demand:
    """What one batch could use in one pool. ``most_hosts``: more would have nothing to do; ``slots_each``: of a host.

    ``work_s``: device-seconds that wait or run. ``cap``: slots the batch may hold over all pools, None: all.
    ``show_cap``: slots that all batches of its ``show`` may hold together, None: all.
    """

    pool: str
    batch: str
    rank: int
    weight: float
    cap: float | None
    work_s: float
    most_hosts: int
    slots_each: float
    show: str = ""
    show_cap: float | None = None


def max_min(slots: float, most: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Weighted max-min fair parts of ``slots``: none is more than its ``most``; what one leaves goes to the others."""
    parts = [0.0] * len(most)
    order = sorted(range(len(most)), key=lambda i: most[i] / weights[i])
    left, weight_left = slots, float(sum(weights))
    for i in order:
        parts[i] = min(most[i], left * weights[i] / weight_left) if weight_left > 0 else 0.0
        left -= parts[i]
        weight_left -= weights[i]
    return parts


def hosts_by_pool(slots: float, demands: Iterable[Demand]) -> dict[str, int]:
    """How many hosts each pool should have, where it should have any.

    Class after class. Within a class the batches share what is left by weight, and each splits its part over its pools
    by work. A pool that gets a part gets at least one whole host, so the wholes may come to a little more than the
    ``slots``; who has a host then keeps it until its work is done.
    """
    hosts: dict[str, int] = {}
    left = slots
    demands = list(demands)
    left_of_show = {demand.show: demand.show_cap for demand in demands if demand.show_cap is not None}
    for _, group in groupby(sorted(demands, key=lambda d: d.rank), key=lambda d: d.rank):
        if left <= 0:
            break
        for pool, (part, most_hosts, slots_each) in _parts_of_pools(left, list(group), left_of_show).items():
            whole = min(round(part / slots_each), most_hosts)
            if not hosts.get(pool):
                whole = max(1, whole)
            hosts[pool] = hosts.get(pool, 0) + whole
            left -= whole * slots_each
    return hosts


def _parts_of_pools(
    slots: float, demands: Sequence[Demand], left_of_show: dict[str, float]
) -> dict[str, tuple[float, int, float]]:
    """For each pool its part of the slots, the most hosts it could use, and the slots of one host. One class only.

    What the batches of a show get is taken off what is left of its cap.
    """
    by_batch: dict[str, list[Demand]] = {}
    for demand in demands:
        if demand.slots_each <= slots and demand.most_hosts > 0:
            by_batch.setdefault(demand.batch, []).append(demand)
    batches = [own for own in by_batch.values() if left_of_show.get(own[0].show, inf) > 0]
    most = _most_by_show(batches, left_of_show)
    parts: dict[str, tuple[float, int, float]] = {}
    for own, part in zip(batches, max_min(slots, most, [own[0].weight for own in batches]), strict=True):
        if own[0].show in left_of_show:
            left_of_show[own[0].show] -= part
        useful = [d.most_hosts * d.slots_each for d in own]
        works = [max(d.work_s, 1e-9) for d in own]
        for demand, mine in zip(own, max_min(part, useful, works), strict=True):
            before, hosts, _ = parts.get(demand.pool, (0.0, 0, 0.0))
            parts[demand.pool] = (before + mine, hosts + demand.most_hosts, demand.slots_each)
    return parts


def _most_by_show(batches: Sequence[Sequence[Demand]], left_of_show: dict[str, float]) -> list[float]:
    """The most slots that each batch can use: within its own cap, and its fair part of what is left of its show's."""
    most = [min(_cap(own), sum(d.most_hosts * d.slots_each for d in own)) for own in batches]
    for show, left in left_of_show.items():
        of_show = [number for number, own in enumerate(batches) if own[0].show == show]
        weights = [batches[number][0].weight for number in of_show]
        for number, part in zip(of_show, max_min(left, [most[n] for n in of_show], weights), strict=True):
            most[number] = part
    return most


def _cap(own: Sequence[Demand]) -> float:
    return inf if own[0].cap is None else own[0].cap
