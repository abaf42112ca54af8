"""What nodes cost: for how long those of each type were up, at the price that the farm's settings say.

Told as events, so that it is known after a restart: at once when nodes come or go, else once a minute. Nodes are looked
for every second, and one that came or went between two looks is charged for all of that second: a bill is never too
small, and too large by two seconds for each node at most. Time that has passed keeps its price when settings change.
What was up while no controller looked is in nobody's bill, and neither is the time a cloud charges before Ray runs on a
node, nor a node of a type that the settings do not name.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from ancestra_farm.batch.farm_settings import FarmSettings
from ancestra_farm.plan.events import NodesPaid
from ancestra_farm.scheduler.world import SlotsChanged

#: A crash of the controller loses at most so much of a bill; more often would only make the log longer.
TELL_S = 60.0


class Bill:
    """The time that nodes were up for and that was not told yet. One for each scheduler; nothing of it is folded."""

    def __init__(self) -> None:
        self._up: Counter[str] = Counter()
        self._owed_s: dict[str, float] = defaultdict(float)
        self._owed: dict[str, float] = defaultdict(float)
        self._prices: dict[str, float] = {}
        self._since: float | None = None
        self._told_at = 0.0

    def look(self, farm: FarmSettings, told: SlotsChanged, now: float, *, last: bool = False) -> Iterator[NodesPaid]:
        """Time has passed, or nodes came or went: what is to be told. ``last``: all of it."""
        up = Counter(node_type for _, node_type in told.nodes if node_type in farm.node_types)
        types = up.keys() | self._up.keys()
        prices = {name: kind.price_per_hour for name, kind in farm.node_types.items()}
        if self._since is None:
            self._told_at = now
        else:
            for node_type in types:
                seconds = max(up[node_type], self._up[node_type]) * (now - self._since)
                self._owed_s[node_type] += seconds
                self._owed[node_type] += seconds * self._prices.get(node_type, prices.get(node_type, 0.0)) / 3600
        changed = {node_type for node_type in types if up[node_type] != self._up[node_type]}
        self._since, self._up, self._prices = now, up, prices
        if last or now - self._told_at >= TELL_S:
            self._told_at = now
            changed |= {node_type for node_type, seconds in self._owed_s.items() if seconds > 0}
        for node_type in sorted(changed):
            seconds, cost = self._owed_s.pop(node_type, 0.0), self._owed.pop(node_type, 0.0)
            yield NodesPaid(node_type, up[node_type], seconds, cost, farm.currency, now)
