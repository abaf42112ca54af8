"""What work asks of one bay: how many hosts each batch could use there, of each model.

Hosts that other bays have for a model are not asked for twice. What a batch or a show may hold at once it may hold over
all bays together, so that where such hosts are, only what is left of the cap is asked for. Only while a node of a dry
make is tried does that not count: else nobody would find out that it comes again. Who gets the slots is decided in
`share`, which hosts come up in `slots`.
"""

from collections.abc import Iterable, Iterator

from ancestra_farm.scheduler.bays import ROUNDING, Bay, whole
from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.lines import Line
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.share import Demand


def demands_in(fleet: Fleet, bay: Bay, pools: Iterable[Pool]) -> Iterator[Demand]:
    """What the batches that have work in these pools ask of a bay."""
    for pool in pools:
        for line, most in _lacking(fleet, bay, pool):
            yield Demand(
                pool=pool.digest,
                batch=line.batch.name,
                rank=line.rank,
                weight=line.batch.share_weight,
                cap=line.cap,
                work_s=pool.work_s(line),
                most_hosts=most,
                slots_each=pool.sizes[bay.name],
                show=line.batch.show,
                show_cap=line.batch.show_cap,
            )


def usable(fleet: Fleet, pool: Pool, line: Line) -> int:
    """How many hosts a batch could have tickets for. What its show's money does not reach for is for none."""
    return line.going + (0 if fleet.purse.out_of_reach(pool, line) else line.queued)


def _lacking(fleet: Fleet, bay: Bay, pool: Pool) -> Iterator[tuple[Line, int]]:
    """The lines of a pool that have work, each with how many more hosts it could use than stand in other bays.

    Those are counted for the highest class first, each once.
    """
    elsewhere = pool.staying - pool.standing.get(bay.name, 0)
    tried = bool(bay.supply.droughts) and bay.planned > bay.slots + ROUNDING
    bound = pool.bound
    capped = elsewhere > 0 and not tried  # else the caps are held where slots are shared
    left_of_show: dict[str, int] = {}
    for line in sorted(pool.lines.values(), key=lambda line: line.rank):
        if not line.busy or (line.cap is not None and pool.slots_each > line.cap):
            continue
        most = usable(fleet, pool, line)
        if capped and line.cap is not None:
            most = min(most, whole(line.cap / pool.slots_each))
        if capped and line.batch.show_cap is not None:
            left = left_of_show.get(line.batch.show, whole(line.batch.show_cap / pool.slots_each))
            most = min(most, left)
            left_of_show[line.batch.show] = left - most
        if bound is not None:
            most = min(most, bound)
            bound -= most
        there = min(most, elsewhere)
        elsewhere -= there
        yield line, most - there
