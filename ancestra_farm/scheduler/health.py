"""Which hosts are sick: those whose candidates fail, or are rejected, unlike those of the rest of their pool.

A host is compared with the other hosts of its pool over the same candidates: of the same wave of the same branch at
the same rung, returned at the same time. Under the hypothesis that it is as they are, which of those candidates it
happened to get is chance, so the number of bad ones among its own follows a hypergeometric distribution for each wave,
and their sum is tested exactly: Fisher's test, stratified (J. J. Gart, "Point and interval estimation of the common
odds ratio in the combination of 2×2 tables with fixed marginals", Biometrika 57, 1970). What befalls a whole farm at
once (a bucket that is away, a wording that nothing survives) befalls the others as well, and says nothing about any
host.

Two steps, so that the moment at which trouble reaches one host first is not taken for its own fault. A host that
departs with a probability below `SUSPECT` is only suspected. What it and the others return *from then on* decides: it
is drained if that departs with a probability below `FALSE_ALARM`, and acquitted otherwise. So a healthy host that is
suspected is drained with a probability of at most `FALSE_ALARM`; suspicion comes over at most 1 in 80 in each window of
`WINDOW` candidates. Nothing is decided here about candidates, nor what becomes of the host.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import exp, lgamma, sqrt
from typing import Literal

from ancestra_farm.plan.events import AttemptEnded

Stratum = tuple[str, str, int, str]
"""(batch, branch, wave, rung): candidates that are alike but for their seed and wording."""

Sign = Literal["fails", "rejects", "passes"]

#: Candidates after which a host is looked at: every doubling, up to a window.
LOOKS = (8, 16, 32, 64)
WINDOW = LOOKS[-1]
#: Probability below which a look makes a host suspected.
SUSPECT = 1e-3
#: Probability, over all looks together, with which a healthy suspect is drained.
FALSE_ALARM = 1e-4
#: Departures smaller than so many standard deviations are not worth an exact test.
WORTH_A_TEST = 2.0
#: Waves whose counts are kept for each pool; of older ones little can still come back.
KEPT = 256
#: That a host passes more than the others says something about it only where these are several: else they are sick.
OTHERS = 3

_DOING: dict[Sign, str] = {"fails": "failed", "rejects": "were rejected", "passes": "passed"}
_FAILED = frozenset({"exception", "out_of_memory", "crash", "deadline"})


@dataclass(slots=True)
class Tally:
    """Candidates that came back: ``tried``, of which ``failed``; ``judged``, of which ``rejected``."""

    tried: int = 0
    failed: int = 0
    judged: int = 0
    rejected: int = 0

    def add(self, other: "Tally") -> None:
        """Count more."""
        self.tried += other.tried
        self.failed += other.failed
        self.judged += other.judged
        self.rejected += other.rejected

    def of(self, sign: Sign) -> tuple[int, int]:
        """(all, bad ones) as the sign counts them."""
        if sign == "fails":
            return self.tried, self.failed
        return self.judged, self.rejected if sign == "rejects" else self.judged - self.rejected


@dataclass(frozen=True, slots=True)
class Table:
    """One stratum: a host's own candidates and bad ones, and those of the others."""

    own: int
    own_bad: int
    others: int
    others_bad: int


@dataclass(slots=True)
class Chart:
    """What is known of one host. ``own``: since its window began; ``others_before``: the others' counts then.

    ``suspected``: of what, since its window began anew. ``next_look``: when so many candidates are in.
    """

    own: dict[Stratum, Tally] = field(default_factory=dict)
    others_before: dict[Stratum, Tally] = field(default_factory=dict)
    seen: int = 0
    next_look: int = LOOKS[0]
    suspected: Sign | None = None

    def begin(self, suspected: Sign | None) -> None:
        """A new window."""
        self.own.clear()
        self.others_before.clear()
        self.seen, self.next_look, self.suspected = 0, LOOKS[0], suspected


class Ward:
    """The hosts of one pool."""

    def __init__(self) -> None:
        self._charts: dict[str, Chart] = {}
        self._all: dict[Stratum, Tally] = {}

    def forget(self, host: str) -> None:
        """A host is gone."""
        self._charts.pop(host, None)

    def returned(self, host: str, stratum: Stratum, attempts: Iterable[AttemptEnded], hosts: int) -> str | None:
        """Take in what a host returned. Why it is to be drained, as a sentence; None: it is not.

        ``hosts``: how many the pool has.
        """
        came = _tally(attempts)
        if not came.tried:
            return None
        everything = self._all.get(stratum)
        if everything is None:
            if len(self._all) >= KEPT:
                self._forget_stratum(next(iter(self._all)))
            everything = self._all[stratum] = Tally()
        chart = self._charts.setdefault(host, Chart())
        if stratum not in chart.own:
            chart.own[stratum] = Tally()
            chart.others_before[stratum] = Tally(
                everything.tried, everything.failed, everything.judged, everything.rejected
            )
        everything.add(came)
        chart.own[stratum].add(came)
        chart.seen += came.tried
        return self._look(host, chart, hosts) if chart.seen >= chart.next_look and hosts > 1 else None

    def _forget_stratum(self, stratum: Stratum) -> None:
        del self._all[stratum]
        for chart in self._charts.values():
            chart.own.pop(stratum, None)
            chart.others_before.pop(stratum, None)

    def _look(self, host: str, chart: Chart, hosts: int) -> str | None:
        chart.next_look = next((look for look in LOOKS if look > chart.seen), chart.seen + 1)
        if chart.suspected is None:
            signs: tuple[Sign, ...] = ("fails", "rejects", "passes") if hosts > OTHERS else ("fails", "rejects")
            worst = next((sign for sign in signs if _departs(self._tables(chart, sign), SUSPECT)), None)
            if worst is not None or chart.seen >= WINDOW:
                chart.begin(worst)
            return None
        tables = self._tables(chart, chart.suspected)
        own, others = sum(table.own for table in tables), sum(table.others for table in tables)
        if others < own:
            return None  # not enough to compare it with
        if _departs(tables, FALSE_ALARM / len(LOOKS)):
            return f"{host} {_sentence(tables, chart.suspected)}"
        if own >= WINDOW:
            chart.begin(None)
        return None

    def _tables(self, chart: Chart, sign: Sign) -> list[Table]:
        tables = []
        for stratum, tally in chart.own.items():
            own, own_bad = tally.of(sign)
            now, before = self._all[stratum].of(sign), chart.others_before[stratum].of(sign)
            others, others_bad = now[0] - before[0] - own, now[1] - before[1] - own_bad
            if own and others:
                tables.append(Table(own, own_bad, others, others_bad))
        return tables


def _tally(attempts: Iterable[AttemptEnded]) -> Tally:
    tally = Tally()
    for attempt in attempts:
        if attempt.cause == "judged":
            tally.judged += 1
            tally.rejected += not attempt.passed
        elif attempt.cause in _FAILED:
            tally.failed += 1
    tally.tried = tally.judged + tally.failed
    return tally


def _departs(tables: Sequence[Table], below: float) -> bool:
    """Whether so many bad ones, or more, come with a probability below this."""
    expected = variance = bad = 0.0
    for table in tables:
        size = table.own + table.others
        share = (table.own_bad + table.others_bad) / size
        bad += table.own_bad
        expected += table.own * share
        variance += table.own * share * (1 - share) * table.others / max(1, size - 1)
    if variance <= 0 or bad - expected < WORTH_A_TEST * sqrt(variance):
        return False
    return tail_probability(tables) < below


def tail_probability(tables: Sequence[Table]) -> float:
    """Probability that the host's bad ones come to as many as they did, or more, if it is like the others. 0 to 1."""
    sums = [1.0]
    for table in tables:
        sums = _convolved(sums, _hypergeometric(table))
    return min(1.0, sum(sums[sum(table.own_bad for table in tables) :]))


def _hypergeometric(table: Table) -> list[float]:
    """Probability of 0, 1, … bad ones among the host's own."""
    size, bad = table.own + table.others, table.own_bad + table.others_bad
    whole = _log_choose(size, table.own)
    masses = [0.0] * (table.own + 1)
    for own_bad in range(max(0, table.own - (size - bad)), min(table.own, bad) + 1):
        masses[own_bad] = exp(_log_choose(bad, own_bad) + _log_choose(size - bad, table.own - own_bad) - whole)
    return masses


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _convolved(left: Sequence[float], right: Sequence[float]) -> list[float]:
    sums = [0.0] * (len(left) + len(right) - 1)
    for i, one in enumerate(left):
        if one:
            for j, other in enumerate(right):
                sums[i + j] += one * other
    return sums


def _sentence(tables: Sequence[Table], sign: Sign) -> str:
    own, own_bad = sum(t.own for t in tables), sum(t.own_bad for t in tables)
    others, others_bad = sum(t.others for t in tables), sum(t.others_bad for t in tables)
    return (
        f"departs from its pool: {own_bad} of its {own} candidates {_DOING[sign]}, {others_bad} of the others' {others}"
    )
