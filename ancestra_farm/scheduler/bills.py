"""What nodes cost: for how long those of each type were up, at the price that the farm's settings say.

Told as events, so that it is known after a restart: at once when nodes come or go, else once a minute, and every five
minutes while nothing runs, since each telling is a commit then that nothing else asked for. Nodes are looked for every
second, and one that came or went between two looks is charged for all of that second: a bill is never too small, and
too large by two seconds for each node at most. Time that has passed keeps its price when settings change.

The log names the nodes that are up, so that whoever begins finds out what passed since that was last told: of those
that are still there all of it, also while no controller looked; of those that are gone as much as passes between two
tellings at work, since nobody knows when they went. So a controller may be killed at any time, and no bill is lost with
it. In nobody's bill are the time a cloud charges before Ray runs on a node, and nodes of types that the settings do not
name.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ancestra_farm.batch.farm_settings import FarmSettings
from ancestra_farm.plan.farm_events import NodesPaid
from ancestra_farm.scheduler.state import NodesTold
from ancestra_farm.scheduler.world import SlotsChanged

#: While something runs, metrics are to show what is paid as it is paid, and commits are made anyway.
TELL_S = 60.0
#: While nothing runs. Panels and alerts look back ten minutes at least, so they see it grow all the same.
QUIET_TELL_S = 300.0

_NOTHING_TOLD: Mapping[str, NodesTold] = MappingProxyType({})


class Bill:
    """The time that nodes were up for and that was not told yet. One for each scheduler; nothing of it is folded."""

    def __init__(self) -> None:
        self._up: dict[str, frozenset[str]] = {}
        self._owed_s: dict[str, float] = defaultdict(float)
        self._owed: dict[str, float] = defaultdict(float)
        self._prices: dict[str, float] = {}
        self._since: float | None = None
        self._told_at = 0.0
        self._named: dict[str, frozenset[str]] = {}

    def look(
        self,
        farm: FarmSettings,
        told: SlotsChanged,
        now: float,
        before: Mapping[str, NodesTold] = _NOTHING_TOLD,
        *,
        last: bool = False,
        quiet: bool = False,
    ) -> Iterator[NodesPaid]:
        """Time has passed, or nodes came or went: what is to be told. ``last``: all of it. ``quiet``: nothing runs.

        ``before``: what the log told last, by node type; looked at the first time only.
        """
        up = _by_type(farm, told)
        prices = {name: kind.price_per_hour for name, kind in farm.node_types.items()}
        changed = {name for name in up.keys() | self._up.keys() if up.get(name) != self._up.get(name)}
        if self._since is None:
            self._told_at = now
            self._take_up(up, before, prices, now)
            changed |= before.keys()
        else:
            for name in up.keys() | self._up.keys():
                number = len(up.get(name, frozenset()) | self._up.get(name, frozenset()))
                self._owe(name, number * max(0.0, now - self._since), self._prices.get(name, prices.get(name, 0.0)))
        self._since, self._up, self._prices = now, up, prices
        if last or now - self._told_at >= (QUIET_TELL_S if quiet else TELL_S):
            self._told_at = now
            changed |= {name for name, seconds in self._owed_s.items() if seconds > 0}
        for name in sorted(changed):
            seconds, cost = self._owed_s.pop(name, 0.0), self._owed.pop(name, 0.0)
            there = up.get(name, frozenset())
            ids = None if self._named.get(name) == there else tuple(sorted(there))
            self._named[name] = there
            yield NodesPaid(name, len(there), seconds, cost, farm.currency, now, ids)

    def _take_up(
        self,
        up: Mapping[str, frozenset[str]],
        before: Mapping[str, NodesTold],
        prices: Mapping[str, float],
        now: float,
    ) -> None:
        """Go on where another controller left off."""
        for name, nodes in before.items():
            passed_s = max(0.0, now - nodes.at)  # clocks of two machines may differ
            still = len(up.get(name, frozenset()).intersection(nodes.ids))
            gone = len(nodes.ids) - still
            self._owe(name, still * passed_s + gone * min(passed_s, TELL_S), prices.get(name, 0.0))

    def _owe(self, name: str, seconds: float, price_per_hour: float) -> None:
        self._owed_s[name] += seconds
        self._owed[name] += seconds * price_per_hour / 3600


def _by_type(farm: FarmSettings, told: SlotsChanged) -> dict[str, frozenset[str]]:
    """Ray's ids of the nodes that are up, by type; of types that the settings name."""
    found: dict[str, set[str]] = defaultdict(set)
    for node, node_type in told.nodes:
        if node_type in farm.node_types:
            found[node_type].add(node)
    return {name: frozenset(nodes) for name, nodes in found.items()}
