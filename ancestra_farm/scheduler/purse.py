"""What may still be spent, of a show's money and a batch's device-hours: bound when a ticket is given out.

A cap on a show's money (`max_money` of `show_caps`) is held at two doors. A wave is released only while what is
released already, and the wave itself, would be paid for; one alone is released in any case. And a ticket is given out
only where what the show has spent, what its tickets that are out are expected to cost, and this ticket come to no more
than the cap; a ticket is made smaller where only a part of it would be paid for. So the cap is passed by no more than
what tickets that are out cost beyond what was expected of them: nobody ends a candidate in its middle for that.

Expected are the measured seconds of what is made, else the card's first guess, at the price of the node that the host
stands on; where no host is chosen yet, where the model is dearest. What a ticket did cost is counted when it ends, also
where it failed or was taken back. What nodes cost while models load and hosts wait is in no show's money: it passes
while nothing of a show runs, so that no cap could hold it (`bills` counts it for the farm).

A batch's budget in device-hours has the second of these doors (`releases` has the first): a ticket is given out only
where what the batch has spent, what its tickets that are out are expected to take, and this ticket come to no more than
the budget. Where nothing of it is out, one candidate is given out as long as anything is left, so that a batch ends by
what it spent and not by what was thought of it. So the budget is passed by less than one candidate, and by what tickets
that are out take beyond what was expected of them. What waits when it is spent is given up (`budget.beyond_hours`).
What people restored is made whatever is left.

Whose turn it is, is not decided here; nor is anything that the log rests on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ancestra_farm.scheduler.hosts import Host, Lease
from ancestra_farm.scheduler.lines import Line, Lot, kind_of
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.settings import Settings
from ancestra_farm.scheduler.state import BatchState, Branch
from ancestra_farm.scheduler.waves import first_rung, next_size


@dataclass(slots=True)
class Tab:
    """What tickets that are out are expected to ``cost`` together: a show in money, a batch in device-seconds."""

    tickets: int = 0
    cost: float = 0.0


class Purse:
    """What tickets are out for, counted in step: that of shows and batches without a bound too, one may come.

    ``tabs``: money, by show; ``hours``: device-seconds, by batch.
    """

    def __init__(self) -> None:
        self.tabs: dict[str, Tab] = {}
        self.hours: dict[str, Tab] = {}

    # ---- tickets -----------------------------------------------------------------------------------------------------

    def bind(self, host: Host, lease: Lease) -> None:
        """A ticket is given out: what it is expected to cost is not there for others."""
        lease.show = lease.lot.line.batch.show
        lease.cost = _cost(host, lease)
        _put(self.tabs, lease.show, lease.cost)
        _put(self.hours, lease.ticket.batch, lease.expected_s)

    def settle(self, lease: Lease) -> None:
        """A ticket is back. What it did cost is in the log."""
        _take(self.tabs, lease.show, lease.cost)
        _take(self.hours, lease.ticket.batch, lease.expected_s)

    def price_anew(self, leases: Iterable[tuple[Host, Lease]]) -> None:
        """Prices have changed: so has what tickets that are out will cost."""
        for host, lease in leases:
            cost = _cost(host, lease)
            self.tabs[lease.show].cost += cost - lease.cost
            lease.cost = cost

    def free(self, batch: BatchState) -> float | None:
        """What the show of a batch has for further tickets, below nought where running ones cost more; None: no cap."""
        left = batch.settings.money_left(batch.show)
        if left is None:
            return None
        tab = self.tabs.get(batch.show)
        return left if tab is None else left - tab.cost

    def free_s(self, lot: Lot) -> float | None:
        """Device-seconds a lot's batch has for further tickets of it, below nought as of `free`; None: no bound."""
        batch = lot.line.batch
        if batch.budget_s is None or lot.phase.by_word:
            return None
        tab = self.hours.get(batch.name)
        return batch.budget_s - batch.device_s - (0.0 if tab is None else tab.cost)

    def pays(self, pool: Pool, lot: Lot) -> bool:
        """Whether there is enough of both for one more candidate of a lot, wherever that is made."""
        return self._in_money(pool, lot) and self._in_hours(pool, lot)

    def _in_money(self, pool: Pool, lot: Lot) -> bool:
        batch = lot.line.batch
        free = self.free(batch)
        return free is None or _at_most(batch.settings, pool, lot.kind) <= free

    def _in_hours(self, pool: Pool, lot: Lot) -> bool:
        free_s = self.free_s(lot)
        if free_s is None:
            return True
        least_s = pool.seconds_each(lot.kind) if lot.line.batch.name in self.hours else 0.0
        return free_s > 0 and least_s <= free_s

    def out_of_reach(self, pool: Pool, line: Line) -> bool:
        """Whether a batch gets no ticket of a pool now, for its show's money or its own device-hours."""
        return bool(line.lots) and not self.pays(pool, line.lots[0])

    def out_of_hours(self, pool: Pool, line: Line) -> bool:
        """Whether a batch gets no ticket of a pool now, for its device-hours."""
        return bool(line.lots) and not self._in_hours(pool, line.lots[0])

    def most(self, pool: Pool, lot: Lot, host: Host) -> int | None:
        """How many candidates of a lot that `pays` one host may be given at once; None: as many as there are."""
        batch = lot.line.batch
        each_s = pool.seconds_each(lot.kind)
        each = each_s * batch.settings.price_per_s(pool.card, host.name)
        bounds = ((self.free(batch), each), (self.free_s(lot), each_s))
        return min((max(1, int(free / one)) for free, one in bounds if free is not None and one > 0), default=None)

    # ---- waves -------------------------------------------------------------------------------------------------------

    def reserved(self, lines: Iterable[tuple[Pool, Line]], batch: BatchState) -> float:
        """What is released and not ended of a batch's show is expected to cost at most. ``lines``: those that can run.

        For what one candidate is too dear of, nothing is reserved: it would keep others from what they can pay for.
        """
        left = batch.settings.money_left(batch.show)
        found = 0.0
        for pool, line in lines:
            if line.batch.show == batch.show:
                for counts, most in ((line.waiting, left), (line.running, None)):
                    for kind, number in counts.items():
                        each = _at_most(batch.settings, pool, kind)
                        found += number * each if most is None or each <= most else 0.0
        return found

    def keeps_back(self, pool: Pool, branch: Branch, reserved: float) -> bool:
        """Whether the next wave of a branch waits, as it might not be paid for. ``reserved``: by what is released."""
        batch = branch.stage.batch
        left = batch.settings.money_left(batch.show)
        if left is None or reserved <= 0:
            return False
        return reserved + next_size(branch) * _at_most(batch.settings, pool, kind_of(branch, first_rung(branch))) > left

    def short(self, settings: Settings, lines: Iterable[tuple[Pool, Line]]) -> Mapping[str, str]:
        """Shows whose money reaches for nothing that waits, while nothing of theirs is out, each with a sentence.

        ``lines``: those that can run. Those who are known to be short are left out.
        """
        capped = {
            show
            for show, cap in settings.farm.show_caps.items()
            if cap.max_money is not None and show not in settings.short and show not in self.tabs
        }
        if not capped:
            return {}
        found: dict[str, tuple[float, str]] = {}
        reach: set[str] = set()
        for pool, line in lines:
            show = line.batch.show
            if show in capped and line.lots:
                if self._in_money(pool, line.lots[0]):
                    reach.add(show)
                else:
                    each = _at_most(settings, pool, line.lots[0].kind)
                    found[show] = min(found.get(show, (each, pool.model)), (each, pool.model))
        return {
            show: f"one more candidate of {model} may cost {each:,.4g} {settings.farm.currency}"
            for show, (each, model) in found.items()
            if show not in reach
        }


def _put(tabs: dict[str, Tab], name: str, cost: float) -> None:
    tab = tabs.setdefault(name, Tab())
    tab.tickets += 1
    tab.cost += cost


def _take(tabs: dict[str, Tab], name: str, cost: float) -> None:
    tab = tabs[name]
    tab.tickets -= 1
    tab.cost -= cost
    if not tab.tickets:
        del tabs[name]  # no rounding stays behind


def _at_most(settings: Settings, pool: Pool, kind: str) -> float:
    """What one candidate is expected to cost where its model is dearest."""
    return pool.seconds_each(kind) * settings.most_per_s(pool.card)


def _cost(host: Host, lease: Lease) -> float:
    """What a ticket is expected to cost on its host."""
    pool, settings = host.pool, lease.lot.line.batch.settings
    return lease.expected_s * settings.price_per_s(pool.card, host.name)
