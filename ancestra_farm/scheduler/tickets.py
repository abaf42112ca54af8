"""Tickets: how many candidates of a lot go to a host at once, and what it has to know about them."""

from collections.abc import Sequence

from ancestra_farm.scheduler.lines import Line, Lot
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.state import Branch
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.waves import goes_on, next_size
from ancestra_farm.scheduler.world import Ticket

#: Only one wave runs ahead: if the last tickets of a wave were as large as its first, hosts would have handed out the
#: next one too before they return, and stand idle.
AT_A_WAVES_END = 3


def ticket_size(pool: Pool, lot: Lot, tunables: Tunables) -> int:
    """How many candidates the next ticket of a lot holds.

    Enough for ``ticket_s`` seconds of work, so that cheap work comes in large tickets and dear work in small ones; but
    near the end of the queue no more than a fair share, so that no host is left with all of the rest, and never so few
    that giving them out costs more than making them, or that so many hosts return them faster than one controller
    can take them in. Where the next wave follows, the end of a wave is not that of the queue: tickets shrink to a third
    of an even split there, and no further. What nobody has measured yet begins with a few.
    """
    each = max(pool.seconds_each(lot.kind), 1e-6)
    hosts = max(1, len(pool.hosts))
    least_s = max(tunables.ticket_least_s, hosts / tunables.tickets_per_s)
    rank, queued = lot.line.rank, lot.line.queued
    if len(pool.waiting) > 1:
        queued = sum(line.queued for line in pool.waiting.values() if line.rank == rank)
    if goes_on(lot.branch):
        queued = max(queued, (queued + next_size(lot.branch)) // AT_A_WAVES_END)
    fair = max(-(-queued // (2 * hosts)), int(least_s / each))
    most = tunables.ticket_max if lot.kind in pool.seconds else tunables.ticket_first
    return max(1, min(int(max(tunables.ticket_s, least_s) / each), fair, most))


def tickets_in(pool: Pool, line: Line, tunables: Tunables) -> int:
    """About how many tickets a line comes to: a ticket never holds candidates of two lots."""
    return max(len(line.lots), -(-line.queued // ticket_size(pool, line.lots[0], tunables)))


def take_ticket(pool: Pool, lot: Lot, name: str, epoch: int, tunables: Tunables, most: int | None = None) -> Ticket:
    """Take the next candidates of a lot out of line, as a ticket. ``most``: at most so many; None: no bound."""
    branch, spec = lot.branch, lot.branch.stage.plan.spec
    size = ticket_size(pool, lot, tunables)
    positions = pool.take(lot, size if most is None else min(size, most))
    expected_s = pool.seconds_each(lot.kind) * len(positions)
    return Ticket(
        ticket=name,
        epoch=epoch,
        batch=branch.opened.batch,
        branch=branch.key,
        rung=lot.rung,
        positions=positions,
        space=branch.space,
        filters=lot.phase.filters,
        settings={
            name: dict(value) if isinstance(value, dict) else {"enabled": value} for name, value in spec.filters.items()
        },
        full_sample=spec.full_sample,
        keep_rejects=spec.keep_rejects,
        parents=_parents(branch, positions),
        deadline_s=max(tunables.deadline_floor_s, tunables.deadline_factor * expected_s),
        by_word=lot.phase.by_word,
    )


def _parents(branch: Branch, positions: Sequence[int]) -> dict[str, str]:
    """Where the media of the positions' parents are. Parents are survivors, so each has a medium."""
    inputs = branch.opened.inputs
    known = branch.stage.batch.known
    paths: dict[str, str] = {}
    for index in {position % len(inputs) for position in positions}:
        for parent in inputs[index]:
            media = known[parent].media
            if media is None:
                raise AssertionError(f"parent {parent} has no medium")
            paths[parent] = media
    return paths
