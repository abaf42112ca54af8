"""Who of a show goes first when the show holds as many slots as it may.

A cap on a batch is the batch's own affair; a cap on a show is shared by batches of several people, classes and models.
Without a rule whoever holds the slots would keep them, ticket after ticket. The rule: who holds slots gets nothing more
while another batch of the show, of no lower class, holds none and has a host that waits for work. So slots go round by
tickets. How many hosts each pool has is decided in `slots`.
"""

from ancestra_farm.batch.numbers import counted
from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.lines import Line
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.state import BatchState


def gives_way(fleet: Fleet, line: Line, own: Pool) -> bool:
    """Whether a batch gets no ticket of its pool now, so that another of its show, which has nothing, can begin.

    In its own pool that one begins on the very host; in another pool only where a host waits for it already.
    """
    if line.batch.show_cap is None or not fleet.held_by(line.batch.name):
        return False
    return any(
        _kept_out(fleet, pool, other, line)
        for pool in fleet.pools.values()
        if pool is own or pool.room[0].size
        for other in pool.waiting.values()
    )


def _kept_out(fleet: Fleet, pool: Pool, other: Line, line: Line) -> bool:
    """Whether it is the cap alone that keeps another batch of the show from beginning."""
    batch = other.batch
    if batch.show != line.batch.show or batch.name == line.batch.name or other.rank > line.rank:
        return False
    if fleet.held_by(batch.name) or fleet.purse.out_of_reach(pool, other):
        return False
    return (other.cap is None or pool.slots_each <= other.cap) and fleet.at_show_cap(other, pool)


def too_wide(pool: Pool, batch: BatchState) -> str | None:
    """Why a batch can hold no host of a pool at all, as a sentence: for its own cap, or its show's."""
    cap = batch.plan.batch.max_slots
    if cap is not None and pool.slots_each > cap:
        most = counted(cap, "slot")
        return f"{batch.name} may hold {most} at once (max_slots), and {pool.model} needs {pool.slots_each:g}"
    cap = batch.show_cap
    if cap is None or pool.slots_each <= cap:
        return None
    return (
        f"all batches of {batch.show} may hold {counted(cap, 'slot')} at once (show_caps), and {pool.model} needs "
        f"{pool.slots_each:g}"
    )
