"""``ancestra watch --farm``: the whole farm on one screen: pools, queues, hosts, batches, rates, money.

Everything is asked of the controller: how things stand, and its metrics. Nothing is counted here but rates, from one
look to the next. Shares of time are of the last minute where hosts have told of one, else of all time.
"""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from ancestra_farm.batch.numbers import counted
from ancestra_farm.cli.display import totals_line, totals_of
from ancestra_farm.cli.failures import CommandFailed, on_terminal
from ancestra_farm.cli.follow import Rate
from ancestra_farm.cli.hosts import HostRow, host_rows, trouble_of
from ancestra_farm.cli.listing import column, number, row_lines
from ancestra_farm.cli.ls import batch_rows
from ancestra_farm.cli.nodes import NodeRow, node_rows
from ancestra_farm.cli.summary import duration

if TYPE_CHECKING:
    from ancestra_farm.api.wire import Status
    from ancestra_farm.cli.live import Live

#: What a host's time is made of; the parts add up to the whole.
PARTS = ("busy", "loading", "starved", "idle")
#: Shares of time are taken over so many seconds.
WINDOW_S = 60.0
#: Hosts and batches with a line of their own; the others are counted. A terminal shows some tens of lines.
MOST_HOSTS = 16
MOST_BATCHES = 16
#: Seconds between two screens of a log.
LOG_EVERY_S = 10.0

#: Value of each series: by metric, then by its labels.
Samples = Mapping[str, Mapping[tuple[tuple[str, str], ...], float]]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


@dataclass(frozen=True, slots=True)
class PoolRow:
    """The hosts of one model and what waits for them. ``busy`` to ``idle``: shares of their time, which add up to 1."""

    model: str = column("pool")
    ready: int = column("ready", number)
    starting: int = column("starting", number, quiet=True)
    tickets: int = column("tickets", number)
    queued: int = column("queued", number)
    queue: str = column("of it", quiet=True)
    busy: float | None = column("busy", _percent)
    loading: float | None = column("loading", _percent)
    starved: float | None = column("starved", _percent)
    idle: float | None = column("idle", _percent)


@dataclass(frozen=True, slots=True)
class WorkRow:
    """One batch that is not finished. ``rate``: judged candidates per second."""

    batch: str = column("batch")
    show: str = column("show")
    owner: str = column("owner")
    priority: str = column("class")
    state: str = column("state", lambda state: state.replace("_", " "))
    shots: str = column("shots")
    ended: int = column("candidates", number)
    wanted: int = column("of", number)
    survivors: int = column("survivors", number)
    rate: float = column("per s", number)
    to_go: str = column("to go")


@dataclass(frozen=True, slots=True)
class Overview:
    """One look at a farm. ``trouble``: what keeps hosts from their work."""

    head: str
    pools: Sequence[PoolRow]
    hosts: Sequence[HostRow]
    nodes: Sequence[NodeRow]
    batches: Sequence[WorkRow]
    finished: int
    waiting: Sequence[str]
    stuck: Sequence[str]
    trouble: Sequence[str] = ()

    def lines(self) -> list[str]:
        """As a screen or a log shows it."""
        lines = [self.head, "", *(row_lines(PoolRow, self.pools) or ["no model has work or hosts"])]
        if self.hosts:
            lines += ["", *row_lines(HostRow, self.hosts[:MOST_HOSTS])]
            lines += _rest(len(self.hosts) - MOST_HOSTS, "hosts")
        going = [one for one in self.nodes if one.state != "in use"]
        if going:
            lines += ["", *row_lines(NodeRow, going[:MOST_HOSTS])]
            lines += _rest(len(going) - MOST_HOSTS, "nodes")
        if self.batches:
            lines += ["", *row_lines(WorkRow, self.batches[:MOST_BATCHES])]
            lines += _rest(len(self.batches) - MOST_BATCHES, "batches")
        if self.finished:
            lines += ["", f"{counted(self.finished, 'batch', 'batches')} finished"]
        if self.waiting:
            lines += ["", "waiting for people: " + ", ".join(self.waiting[:MOST_BATCHES])]
            lines += _rest(len(self.waiting) - MOST_BATCHES, "stages")
        said = [*self.trouble, *(f"stuck: {why}" for why in self.stuck if why not in self.trouble)]
        return [*lines, *(["", *said] if said else [])]


def _rest(count: int, of: str) -> list[str]:
    return [f"… and {count:,} more {of}"] if count > 0 else []


@dataclass(slots=True)
class Watcher:
    """Looks at one farm again and again. ``seen``: (Unix seconds, samples) of the looks of the last `WINDOW_S`."""

    live: "Live"
    seen: list[tuple[float, Samples]] = field(default_factory=list)
    rates: dict[str, Rate] = field(default_factory=dict)

    def look(self) -> Overview:
        """As things stand now. Raises EndpointGone."""
        status = self.live.look()
        samples = samples_of(self.live.client.metrics())
        self.seen.append((status.at, samples))
        while len(self.seen) > 2 and self.seen[1][0] < status.at - WINDOW_S:
            self.seen.pop(0)
        staff = self.live.client.hosts()
        batches, finished = self._batches(status)
        return Overview(
            head=self._head(status, samples),
            pools=[
                PoolRow(
                    one.model,
                    one.ready,
                    one.starting,
                    one.tickets,
                    one.queued,
                    _classes(samples, one.model),
                    **shares(self.seen[0][1], samples, one.model),
                )
                for one in status.hosts
            ],
            hosts=host_rows(staff.hosts),
            nodes=node_rows(staff.nodes),
            batches=batches,
            finished=finished,
            waiting=[f"{one.shot} {one.stage} ({one.batch})" for one in status.waiting],
            stuck=status.stuck,
            trouble=trouble_of(staff),
        )

    def _head(self, status: "Status", samples: Samples) -> str:
        at = dt.datetime.fromtimestamp(status.at, dt.UTC).strftime("%H:%M:%S")
        rate = self.rates.setdefault("", Rate()).of(status.shots, status.at)
        parts = [
            f"{at}  {self.live.store.url}: {self.live.client.presence} is at work",
            totals_line(totals_of(status.shots), rate),
        ]
        there, held = samples.get("ancestra_slots", {}), samples.get("ancestra_slots_held", {})
        for labels, count in sorted(there.items()):
            device = dict(labels).get("device", "")
            if count:
                parts.append(f"{held.get(labels, 0.0):g} of {count:g} {device.upper()} slots held")
        for labels, count in sorted(samples.get("ancestra_nodes", {}).items()):
            if count:
                parts.append(f"{count:g} × {dict(labels).get('node_type', '')}")
        for labels, money in sorted(samples.get("ancestra_spent_money_total", {}).items()):
            named = dict(labels)
            parts.append(f"{named.get('show', '')}: {money:,.2f} {named.get('currency', '')}".strip())
        return "\n".join(parts[:2]) + (f"\n{'; '.join(parts[2:])}" if parts[2:] else "")

    def _batches(self, status: "Status") -> tuple[list[WorkRow], int]:
        """Batches that are not finished, and how many are."""
        rows, finished = [], 0
        for row in batch_rows(self.live):
            shots = [shot for shot in status.shots if shot.batch == row.batch]
            rate = self.rates.setdefault(f"batch {row.batch}", Rate()).of(shots, status.at)
            if row.state in {"done", "cancelled", "failed"}:
                finished += 1
                continue
            eta_s = totals_of(shots).eta_s(rate)
            rows.append(
                WorkRow(
                    batch=row.batch,
                    show=row.show,
                    owner=row.owner,
                    priority=row.priority,
                    state=row.state,
                    shots=f"{row.done:,} of {row.shots:,}",
                    ended=row.ended,
                    wanted=row.wanted,
                    survivors=row.survivors,
                    rate=rate,
                    to_go=duration(eta_s),
                )
            )
        return rows, finished


def samples_of(text: str) -> Samples:
    """Metrics in the text format of Prometheus, by name and labels."""
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def shares(before: Samples, now: Samples, model: str) -> dict[str, float | None]:
    """The share of each of `PARTS` in the time of a pool's hosts between two looks, else since the beginning.

    In whole hundredths that add up to 1; None where its hosts have not told of any time yet.
    """

    def seconds(samples: Samples, part: str) -> float:
        return samples.get(f"ancestra_device_{part}_seconds_total", {}).get((("model", model),), 0.0)

    for spent in (
        {part: max(seconds(now, part) - seconds(before, part), 0.0) for part in PARTS},
        {part: seconds(now, part) for part in PARTS},
    ):
        whole = sum(spent.values())
        if whole > 0:
            return _in_hundredths({part: spent[part] / whole for part in PARTS})
    return dict.fromkeys(PARTS)


def _in_hundredths(exact: Mapping[str, float]) -> dict[str, float | None]:
    """Shares as whole hundredths: rounded down, and what that leaves goes to those that lost most."""
    hundredths = {part: int(share * 100) for part, share in exact.items()}
    lost_most = sorted(exact, key=lambda part: hundredths[part] - exact[part] * 100)
    for part in lost_most[: 100 - sum(hundredths.values())]:
        hundredths[part] += 1
    return {part: number / 100 for part, number in hundredths.items()}


def _classes(samples: Samples, model: str) -> str:
    """``dailies 12, shot 96``: what waits for a pool, by class."""
    waiting = samples.get("ancestra_class_queue_candidates", {})
    by_class = {
        dict(labels)["class"]: count
        for labels, count in waiting.items()
        if dict(labels).get("model") == model and count > 0
    }
    return ", ".join(f"{name} {count:,.0f}" for name, count in sorted(by_class.items()))


def watch_farm(url: str, interval_s: float, *, once: bool) -> None:
    """Show the farm that is at work in a store until it has ended, or Ctrl-C."""
    from ancestra_farm.api.client import EndpointGone
    from ancestra_farm.cli.live import live

    found = live(url)
    if found is None:
        raise CommandFailed(f"{url}: nobody is at work there; `ancestra ls` shows its batches")
    watcher = Watcher(found)
    try:
        if once:
            _say(watcher.look())
        elif on_terminal():
            _on_screen(watcher, interval_s)
        else:
            while True:
                _say(watcher.look())
                time.sleep(max(interval_s, LOG_EVERY_S))
    except KeyboardInterrupt:  # how a person stops watching
        return
    except EndpointGone as gone:
        if gone.presence is not None:
            raise
        typer.echo("the farm has ended")


def _say(seen: Overview) -> None:
    for line in [*seen.lines(), ""]:
        typer.echo(line)


def _on_screen(watcher: Watcher, interval_s: float) -> None:
    from rich.live import Live as Screen
    from rich.text import Text

    with Screen(Text(""), screen=True, auto_refresh=False) as screen:
        while True:
            text = Text("\n".join(watcher.look().lines()), no_wrap=True, overflow="crop")
            screen.update(text, refresh=True)
            time.sleep(interval_s)
