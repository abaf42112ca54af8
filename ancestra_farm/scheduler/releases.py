"""When waves are released: late, so that a batch of millions fills neither log nor memory before its turn comes.

And only as far as they would be paid for: a batch's budget in device-hours and its show's money are reserved by what is
released, and settled as it ends. Which candidates a wave holds is decided in `waves`; who works on them in `dispatch`.
"""

from collections.abc import Iterator

from ancestra_farm.scheduler import show_caps
from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.lines import Line
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.slots import Slots
from ancestra_farm.scheduler.state import BatchState, Branch
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.waves import Emit, may_release, release


class Releases:
    """Decides when the next wave of a branch is released. Nothing is kept from one call to the next."""

    def __init__(self, fleet: Fleet, slots: Slots, tunables: Tunables) -> None:
        self.fleet = fleet
        self.slots = slots
        self.tunables = tunables
        self._reserved: dict[str, float] = {}

    def release_waves(self, emit: Emit, now: float) -> bool:
        """Release waves where a batch runs low in a pool. True if any was.

        Waves are released late, so that a batch of millions neither fills the log nor the memory before its turn comes;
        a lower class releases nothing while a higher one has enough that it could run. A batch whose budget in
        device-hours, or whose show's money, is all reserved waits until some of it is settled.
        """
        released = False
        self._reserved.clear()
        for pool in self.fleet.pools.values():
            if pool.hungry:
                for line in pool.in_turn(pool.hungry, now, self.tunables.ageing_s):
                    released |= self._release(pool, line, emit, now)
        return released

    def _release(self, pool: Pool, line: Line, emit: Emit, now: float) -> bool:
        released = False
        rank = line.batch.rank
        higher = sum(
            other.queued
            for other in pool.waiting.values()
            if other.rank < rank and not self.fleet.kept_out(other, pool)
        )
        enough = self._low_water(pool, line)
        while line.ready and line.queued < enough and higher < enough:
            branch = line.ready[0][1]
            stage = branch.stage
            wanted = stage.branches.get(branch.key) is branch and not stage.held and may_release(branch)
            if wanted and (self._reserved_out(line.batch) or self._unpaid_for(pool, branch)):
                break
            del line.ready[0]
            if wanted:
                release(branch, emit, now)
                self._reserved.pop(line.batch.show, None)
                released = True
        if not line.ready:
            pool.hungry.pop(line.batch.name, None)
        return released

    def _low_water(self, pool: Pool, line: Line) -> int:
        """Queued candidates below which a batch gets more."""
        each = min(pool.seconds.values(), default=pool.card.seconds_per_candidate)
        ticket = max(1, min(self.tunables.ticket_max, int(self.tunables.ticket_s / max(each, 1e-6))))
        hosts = float(self.fleet.slots(pool))
        if len(pool.waiting) > 1:
            weights = sum(other.batch.share_weight for other in pool.waiting.values() if other is not line)
            hosts *= line.batch.share_weight / (line.batch.share_weight + weights)
        return int(ticket * self.tunables.queued_tickets_per_host * max(1.0, hosts))

    def _reserved_out(self, batch: BatchState) -> bool:
        """Whether spent and reserved device-seconds reach the budget. What is released is reserved until it ends.

        What cannot run is not reserved for: nobody should wait for it.
        """
        budget_s = batch.budget_s
        if budget_s is None:
            return False
        lines = ((pool, pool.lines.get(batch.name)) for pool in self.fleet.pools.values())
        reserved = sum(pool.work_s(line) for pool, line in lines if line is not None and self._is_able(pool, line))
        return reserved > 0 and batch.device_s + reserved >= budget_s

    def _unpaid_for(self, pool: Pool, branch: Branch) -> bool:
        """Whether the next wave of a branch waits until it is sure to be paid for, with all that is released."""
        batch = branch.stage.batch
        if batch.settings.money_left(batch.show) is None:
            return False
        if batch.show not in self._reserved:
            self._reserved[batch.show] = self.fleet.purse.reserved(self.able(), batch)
        return self.fleet.purse.keeps_back(pool, branch, self._reserved[batch.show])

    def able(self) -> Iterator[tuple[Pool, Line]]:
        """What batches have in pools that can have hosts, and in which they may hold one."""
        for pool in self.fleet.pools.values():
            yield from ((pool, line) for line in pool.lines.values() if self._is_able(pool, line))

    def _is_able(self, pool: Pool, line: Line) -> bool:
        return self.slots.blocked(pool) is None and show_caps.too_wide(pool, line.batch) is None
