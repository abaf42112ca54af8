"""A farm at work with everything real but Ray, watched by a real Prometheus through its door."""

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ancestra_farm.api.scraped import find, scrape_token
from ancestra_farm.ledger.store import Store
from ancestra_farm.scheduler.world import SlotsChanged, TicketEnded
from ancestra_farm.telemetry.boards.files import prometheus_files, write_files
from ancestra_farm.telemetry.boards.scrape import FARMS, targets_of
from tests.dashboards.programs import PROMETHEUS
from tests.farm.processes import wait_for
from tests.farm.threads import NODE, ThreadHands

FARM = "live"


class FailingHands(ThreadHands):
    """Its one node is of a type; the first attempt at one candidate in eight fails."""

    def slots(self) -> SlotsChanged:
        return replace(super().slots(), nodes=((NODE, "box"),))

    def _ended(self, reply: TicketEnded) -> TicketEnded:
        seen = self.__dict__.setdefault("_seen", set())
        attempts = []
        for attempt in reply.attempts:
            fails = int(attempt.candidate_id[:4], 16) % 8 == 0 and attempt.candidate_id not in seen
            seen.add(attempt.candidate_id)
            failed = replace(attempt, cause="exception", passed=False, reasons=(), message="in on purpose")
            attempts.append(failed if fails else attempt)
        return super()._ended(replace(reply, attempts=tuple(attempts)))


@dataclass(frozen=True)
class Sample:
    """One line of an answer. ``labels``: without the metric's name."""

    labels: dict[str, str]
    value: float


class Watch:
    """A Prometheus on its own data, which scrapes every second."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, expr: str, at: float | None = None) -> list[Sample]:
        fields = {"query": expr} | ({} if at is None else {"time": f"{at:.3f}"})
        found = self._get("/api/v1/query?" + urllib.parse.urlencode(fields))["data"]
        if found["resultType"] == "scalar":
            return [Sample({}, float(found["result"][1]))]
        return [
            Sample({k: v for k, v in one["metric"].items() if k != "__name__"}, float(one["value"][1]))
            for one in found["result"]
        ]

    def raw(self, metric: str, at: float, window: str = "1h") -> dict[frozenset[tuple[str, str]], list[Any]]:
        """Every sample of a metric, as (time, value), by labels."""
        query = urllib.parse.urlencode({"query": f"{metric}[{window}]", "time": f"{at:.3f}"})
        found = self._get(f"/api/v1/query?{query}")["data"]["result"]
        return {
            frozenset((k, v) for k, v in one["metric"].items() if k != "__name__"): [
                (float(then), float(value)) for then, value in one["values"]
            ]
            for one in found
        }

    def targets(self) -> list[dict[str, Any]]:
        return list(self._get("/api/v1/targets")["data"]["activeTargets"])

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.loads(answer.read())


@contextmanager
def watched(store: Store, folder: Path) -> Iterator[Watch]:
    """Prometheus on the very files that `ancestra dash` writes, only more often, until the farm has been seen."""
    token = scrape_token(store, folder / "prometheus")
    found = find(store, token, folder / "prometheus")
    assert found.endpoint, found.why
    targets = json.dumps(targets_of(found.endpoint, FARM))
    write_files(
        folder, prometheus_files(found.certificate, str(folder / "ray.json")) | {f"prometheus/{FARMS}": targets}
    )
    config = folder / "prometheus" / "prometheus.yml"
    settings = yaml.safe_load(config.read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config.write_text(yaml.safe_dump(settings))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(PROMETHEUS),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    watch = Watch(f"http://127.0.0.1:{port}")
    try:
        wait_for(lambda: process.poll() is None and _is_up(watch), 60)
        yield watch
    finally:
        process.terminate()
        process.wait(30)


def _is_up(watch: Watch) -> bool:
    try:
        return bool(watch.ask('up{job="ancestra"} == 1'))
    except OSError:
        return False


def last_scrape_has(watch: Watch, expr: str, value: float) -> float:
    """Wait until Prometheus has seen a value; when, as Unix seconds."""
    wait_for(lambda: any(one.value == value for one in watch.ask(expr)), 60)
    return time.time()
