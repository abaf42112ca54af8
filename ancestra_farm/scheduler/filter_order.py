"""In which order a wave's filters run. Decides the order only; the filters themselves live elsewhere."""

from collections.abc import Mapping

from ancestra_farm.scheduler.counts import FilterCost

#: As if every filter had been seen twice, once rejecting: a filter that happened to reject nothing yet stays finite.
PRIOR_RUNS = 2.0
PRIOR_REJECTIONS = 0.5


def cheapest_rejection_first(costs: Mapping[str, FilterCost]) -> tuple[str, ...]:
    """Filter names by measured seconds per rejection, cheapest first; empty where nothing was measured yet.

    Running independent tests in ascending order of cost over rejection probability minimises the expected cost until
    the first rejection (Hellerstein and Stonebraker, "Predicate migration", SIGMOD 1993). An empty order means: the
    filters' own default order.
    """

    def seconds_per_rejection(name: str) -> float:
        cost = costs[name]
        seconds = cost.seconds / max(cost.runs, 1)
        rate = (cost.rejections + PRIOR_REJECTIONS) / (cost.runs + PRIOR_RUNS)
        return seconds / rate

    return tuple(sorted(costs, key=lambda name: (seconds_per_rejection(name), name)))
