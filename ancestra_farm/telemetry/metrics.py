"""The farm's metrics: counters rebuilt by folding the log, and what the running process measures itself.

`Metrics.fold` is given committed events only, each once, in order: the whole log at start, then every commit as it
becomes durable. So a restart shows the same totals, and nothing is counted that did not happen. Decides nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ancestra_farm import __version__
from ancestra_farm.plan.events import Event
from ancestra_farm.plan.farm_events import HostChange, HostNoted, HostTimed, NodeNoticed, NodeOrdered, NodeOrderKind
from ancestra_farm.plan.plain import Codec
from ancestra_farm.telemetry.catalogue import CATALOGUE, MetricRow
from ancestra_farm.telemetry.tallied import Labels, Tallied
from ancestra_farm.telemetry.tally import Tally

_Family = Counter | Gauge | Histogram


@dataclass(frozen=True, slots=True)
class _Folded:
    """All that was folded into metrics. ``commit``: the last; ``totals``: what every series has come to."""

    commit: int
    totals: dict[tuple[str, Labels], float]
    tallied: Tallied


_FOLDED = Codec(_Folded)

#: Counters of one label, and what it can say.
_KNOWN = {
    "ancestra_store_errors_total": ("commit", "tables"),
    "ancestra_node_notices_total": ("preempted", "drained", "lost"),
    "ancestra_node_orders_total": get_args(NodeOrderKind),
}


def _family(row: MetricRow) -> _Family:
    if row.type == "counter":
        return Counter(row.name, row.meaning, row.labels, registry=None)
    if row.type == "gauge":
        return Gauge(row.name, row.meaning, row.labels, registry=None)
    return Histogram(row.name, row.meaning, row.labels, buckets=row.buckets, registry=None)


class Metrics(Collector):
    """All families of `CATALOGUE`, registered as one collector. Scraping from another thread is safe.

    ``registry``: where it registers itself; a fresh one by default, so that several can live in one process.
    """

    #: Of what `dump` writes: only code that names the same one can `load` it.
    #: The number goes up when an event comes to be counted otherwise than before.
    dump_version: ClassVar[str] = _FOLDED.digest(__version__, "4")

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._families = {row.name: _family(row) for row in CATALOGUE}
        self._amounts: dict[tuple[str, Labels], float] = defaultdict(float)
        self._tally = Tally(self._count)
        self._totals: dict[tuple[str, Labels], float] = defaultdict(float)
        self._folded_commit = 0
        self._shown: dict[str, frozenset[Labels]] = {}
        self._advanced: dict[tuple[str, Labels], float] = {}
        # There from the start: Prometheus sees no growth in a series that begins with its first count.
        for name, values in _KNOWN.items():
            for value in values:
                self._count(name, (value,), 0)
        self._publish()
        self.registry.register(self)

    # ---- from the log ----------------------------------------------------------------------------------------------

    def fold(self, event: Event) -> None:
        """Count one committed event."""
        self._take(event)
        self._publish()

    def fold_commit(self, number: int, events: Iterable[Event]) -> bool:
        """Count a commit's events unless one with this or a later number was counted; whether it was counted now."""
        if number <= self._folded_commit:
            return False
        self._folded_commit = number
        for event in events:
            self._take(event)
        self._publish()
        return True

    def dump(self) -> list[Any]:
        """What was folded, as plain data; nothing that is folded later changes it."""
        data: list[Any] = _FOLDED.write(_Folded(self._folded_commit, dict(self._totals), self._tally.tallied))
        return data

    def load(self, data: list[Any]) -> None:
        """Show what was dumped, as if it had been folded here. For metrics that have folded nothing yet.

        Raises ValueError, TypeError, KeyError or IndexError for what this version has not written; nothing is shown.
        """
        folded: _Folded = _FOLDED.read(data)
        if any(name not in self._families for name, _ in folded.totals):
            raise KeyError("a metric that there is not")
        self._folded_commit = folded.commit
        self._tally.take_over(folded.tallied)
        self._amounts.update(folded.totals)
        self._publish()

    def _take(self, event: Event) -> None:
        self._count("ancestra_events_total", (), 1)
        match event:
            case HostTimed():
                self._fold_timing(event)
            case HostNoted():
                for what in get_args(HostChange):
                    self._count("ancestra_host_changes_total", (event.pool, what), what == event.what)
                if event.node:
                    self._count("ancestra_node_notices_total", ("lost",), 1)
            case NodeNoticed():
                cause = "drained" if event.leaves_at is None else "preempted"
                self._count("ancestra_node_notices_total", (cause,), 1)
            case NodeOrdered():
                self._count("ancestra_node_orders_total", (event.order,), 1)
            case _:
                self._tally.fold(event)

    def _count(self, name: str, labels: Labels, amount: float) -> None:
        """Counted in a plain dict first: a commit of hundreds of attempts then touches each series once."""
        self._amounts[name, labels] += amount

    def _fold_timing(self, timing: HostTimed) -> None:
        parts = {
            "wall": timing.wall_s,
            "busy": timing.busy_s,
            "loading": timing.loading_s,
            "starved": timing.starved_s,
            "idle": timing.idle_s,
        }
        for part, seconds in parts.items():
            self._count(f"ancestra_device_{part}_seconds_total", (timing.pool,), max(seconds, 0.0))

    def _publish(self) -> None:
        for (name, labels), amount in self._amounts.items():
            child = self._child(name, labels)
            assert not isinstance(child, Histogram)
            child.inc(amount)
            self._totals[name, labels] += amount
        self._amounts.clear()
        if self._tally.epoch is not None:
            self._set("ancestra_epoch", (), self._tally.epoch)
        for labels, seconds in self._tally.take_ratios():
            self._set("ancestra_device_seconds_per_survivor", labels, seconds)
        if (oldest := self._tally.take_oldest_waves()) is not None:
            self.replace("ancestra_oldest_wave_timestamp_seconds", oldest)

    # ---- measured by this process ----------------------------------------------------------------------------------

    def set_queue(self, pool: str, tickets: int, candidates: int) -> None:
        """Work in front of a pool now: tickets with hosts, and released candidates that have not ended."""
        self._set("ancestra_queue_tickets", (pool,), tickets)
        self._set("ancestra_queue_candidates", (pool,), candidates)

    def set_hosts(self, pool: str, hosts: int, starting: int = 0) -> None:
        """How many hosts of a pool are up now, and how many are asked for."""
        self._set("ancestra_hosts", (pool,), hosts)
        self._set("ancestra_hosts_starting", (pool,), starting)

    def replace(self, name: str, values: Mapping[Labels, float]) -> None:
        """Give a gauge these series and no others: those of before that are not among them end."""
        family = self._families[name]
        assert isinstance(family, Gauge)
        for labels in self._shown.get(name, frozenset()) - values.keys():
            family.remove(*labels)
        for labels, value in values.items():
            self._set(name, labels, value)
        self._shown[name] = frozenset(values)

    def show(self, values: Mapping[str, Mapping[Labels, float]]) -> None:
        """`replace` several gauges, by name."""
        for name, of in values.items():
            self.replace(name, of)

    def advance(self, name: str, totals: Mapping[Labels, float]) -> None:
        """Let a counter that is kept elsewhere come to these totals; where one is lower than before it stays."""
        for labels, amount in totals.items():
            known = self._advanced.get((name, labels), 0.0)
            if amount > known:
                child = self._child(name, labels)
                assert isinstance(child, Counter)
                child.inc(amount - known)
                self._advanced[name, labels] = amount

    def count_store_errors(self, part: str, number: int = 1) -> None:
        """So many times a ``part`` of our work (``commit``, ``tables``) could not be done since the store failed."""
        child = self._child("ancestra_store_errors_total", (part,))
        assert isinstance(child, Counter)
        child.inc(number)

    def observe_commit(self, seconds: float) -> None:
        """One commit became durable ``seconds`` after it was begun."""
        self._observe("ancestra_commit_seconds", (), seconds)

    def observe_ticket(self, pool: str, stage: str, seconds: float) -> None:
        """One ticket ended ``seconds`` after it was dispatched."""
        self._observe("ancestra_ticket_seconds", (pool, stage), seconds)

    def set_look(self, look: str, *, steps: int, wanted: int, loss: float, step_s: float, samples: int) -> None:
        """How far a look in training is: steps done and wanted, and what they came to."""
        of = (look,)
        self._set("ancestra_look_steps", of, steps)
        self._set("ancestra_look_steps_wanted", of, wanted)
        self._set("ancestra_look_loss", of, loss)
        self._set("ancestra_look_step_seconds", of, step_s)
        self._set("ancestra_look_samples", of, samples)

    # ---- out -------------------------------------------------------------------------------------------------------

    def collect(self) -> Iterable[Metric]:
        """The families for a scrape, without the ``_created`` twins that the client adds to every counter."""
        for family in self._families.values():
            for metric in family.collect():
                metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
                yield metric

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)

    def value(self, name: str, **labels: str) -> float:
        """The present value of one series, 0.0 where there is none yet. For tests and for `status`."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def _child(self, name: str, labels: Labels) -> _Family:
        family = self._families[name]
        return family.labels(*labels) if labels else family

    def _set(self, name: str, labels: Labels, value: float) -> None:
        child = self._child(name, labels)
        assert isinstance(child, Gauge)
        child.set(value)

    def _observe(self, name: str, labels: Labels, seconds: float) -> None:
        child = self._child(name, labels)
        assert isinstance(child, Histogram)
        child.observe(seconds)
