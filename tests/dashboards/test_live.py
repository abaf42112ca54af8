import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ancestra_farm.api.people import everybody
from ancestra_farm.api.tls import own_certificate
from ancestra_farm.batch.farm_settings import FARM_SCHEMA, FarmSettings
from ancestra_farm.farm.run import checked_submission
from ancestra_farm.ledger.liveness import who_is_alive
from ancestra_farm.ledger.read import read_table
from ancestra_farm.ledger.store import Store
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.scheduler.prices import price_of
from ancestra_farm.telemetry.boards.board import Board, Panel, Query
from tests.api.door import OpenDoor
from tests.dashboards.asked import filled, panels, selectors
from tests.dashboards.live import FARM, FailingHands, Sample, Watch, last_scrape_has, watched
from tests.dashboards.programs import needs_prometheus
from tests.farm.batches import batch_document, with_clips, write_batch
from tests.farm.processes import wait_for

# One worker: the farm that all of these look at runs for a quarter of a minute.
pytestmark = [needs_prometheus, pytest.mark.xdist_group("live")]

PRICE_PER_HOUR = 7200.0
DRAFTS = {"size": [128, 128], "draft": {"promote": 0.5, "size": [64, 64]}}
SETTINGS = {
    "schema": FARM_SCHEMA,
    "currency": "EUR",
    "node_types": {
        "box": {"cpus": 2, "memory_gib": 4, "price_per_hour": PRICE_PER_HOUR, "max_nodes": 1, "market": "spot"}
    },
    "show_caps": {"anc": {"max_money": 1_000_000}},
}


@dataclass
class Seen:
    """A farm that was watched to its end. ``at``: Unix seconds of the look that is compared with the tables."""

    watch: Watch
    store: Store
    at: float

    def table(self, name: str) -> list[dict[str, Any]]:
        return list(read_table(self.store, name).to_pylist())

    def ask(self, query: Query) -> list[Sample]:
        return self.watch.ask(filled(query.expr), self.at)


def submit(door: OpenDoor, folder: Path, document: dict[str, Any]) -> None:
    submission = checked_submission(write_batch(folder, document), "tester")
    body = {"document": submission.document, "cards": dict(submission.cards)}
    answer = door.ask("POST", "/v1/batches", body)
    assert answer.status == 200, answer.data


@contextmanager
def farm_at_work(folder: Path) -> Iterator[Seen]:
    """Two batches, one to its end and one until people have to pick, watched from the middle of the first."""
    store = Store.open(str(folder / "store"), create=True)
    whole = with_clips(batch_document(2, candidates=96, wave=24, keep="all"), candidates=4)
    picked = {
        **batch_document(2, candidates=24, wave=12, select="close", **DRAFTS),
        "batch": "picked",
        "priority": "backfill",
    }
    picked["budget"] = {"candidates": 240}
    with OpenDoor(store, hands=FailingHands) as door:
        assert door.ask("POST", "/v1/farm_settings", {"document": json.dumps(SETTINGS)}).status == 200
        submit(door, folder, whole)
        submit(door, folder, picked)
        door.until(lambda status: status["commit"] > 10 and sum(s["survivors"] for s in stages(status)) > 4)
        # Held until somebody looks: on a busy machine all would be done before, and nothing be seen to grow.
        batches = [document["batch"] for document in (whole, picked)]
        for batch in batches:
            assert door.give({"order": "pause", "batch": batch}).status == 200
        with watched(store, folder) as watch:
            for batch in batches:
                assert door.give({"order": "unpause", "batch": batch}).status == 200
            door.until(lambda status: all(s["state"] != "running" for s in status["shots"]), 200)
            branch = next(iter(door.scheduler.state.batches["picked"].branches.values()))
            pick = {"order": "pick", "batch": "picked", "shot": branch.opened.shot, "stage": "still"}
            assert door.give({**pick, "candidate_id": branch.survivor_ids()[0]}).status == 200
            told = door.ask("GET", "/v1/metrics").data.decode()
            events = next(
                float(line.split()[1]) for line in told.splitlines() if line.startswith("ancestra_events_total")
            )
            at = last_scrape_has(watch, "ancestra_events_total", events)
            seen = Seen(watch, store, at)
            door.close()
            yield seen


def stages(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [stage for shot in status["shots"] for stage in shot["stages"]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.delenv("ANCESTRA_TOKEN", raising=False)
        with farm_at_work(tmp_path_factory.mktemp("farm")) as watched_farm:
            yield watched_farm


# ---- every panel returns data ----------------------------------------------------------------------------------------

#: What this farm had none of, and why.
NOTHING = {
    "GPUs with a host": "it has no GPU",
    "Running": "nothing runs at the end",
    "Starved or failed": "every shot found survivors",
    "Oldest wave, by class": "every wave is closed",
    "Verdicts made void": "no host was sick",
    "Stitches that failed, by cause": "none did",
    "Shots done": "the batch that is done is shown no more",
    "Tickets, by how long they took": "only Ray's own hands take the time",
    "Quarantined": "one failure of a candidate is no three strikes",
    "Lost": "nobody lost a host",
    "Candidates that stand failed": "all were tried again",
}
OURS = [
    (board, panel)
    for board, panel in panels()
    if board.uid != "ancestra-look"
    and all(one.metric.startswith(("ancestra_", "ALERTS")) for query in panel.queries for one in selectors(query.expr))
]


@pytest.mark.parametrize(("board", "panel"), OURS, ids=lambda one: getattr(one, "title", None))
def test_every_panel_has_data_unless_there_is_nothing_to_show(seen: Seen, board: Board, panel: Panel) -> None:
    answers = [sample for query in panel.queries for sample in seen.ask(query)]
    assert all(math.isfinite(sample.value) for sample in answers), answers
    assert bool(answers) == (panel.title not in NOTHING), answers


# ---- what the tables say ---------------------------------------------------------------------------------------------


def near(value: float) -> Any:
    return pytest.approx(value, rel=0.01, abs=1e-9)


def named(seen: Seen, uid: str, title: str, query: int = 0) -> dict[tuple[str, ...], float]:
    """What a panel shows: values by those labels that tell its lines apart, in the order of their names."""
    (panel,) = [panel for board, panel in OURS if (board.uid, panel.title) == (uid, title)]
    answer = seen.ask(panel.queries[query])
    return {tuple(sample.labels[name] for name in sorted(sample.labels)): sample.value for sample in answer}


def of_stage(row: dict[str, Any]) -> frozenset[tuple[str, str]]:
    ranks = {"tiny": "shot", "picked": "backfill"}
    told = {"show": row["show"], "class": ranks[row["batch"]], "stage": row["stage"], "model": row["model"]}
    return frozenset((told | {"farm": FARM}).items())


def expected_series(seen: Seen) -> dict[str, Counter[frozenset[tuple[str, str]]]]:
    """What the tables make of metrics that both know."""
    found: dict[str, Counter[frozenset[tuple[str, str]]]] = defaultdict(Counter)
    for row in seen.table("candidates"):
        labels = of_stage(row)
        found["ancestra_candidates_released_total"][labels] += 1
        found["ancestra_candidate_device_seconds_total"][labels] += row["device_s"]
        found["attempts"][labels] += row["attempts"]
        if row["outcome"] == "survivor":
            found["ancestra_survivors_total"][labels] += 1
        if row["outcome"] == "rejected":
            found["ancestra_candidates_rejected"][labels | {("filter", row["reasons"][0])}] += 1
        else:
            found[f"ancestra_candidates_{row['outcome']}"][labels] += 1
        if row["passed"] is not None:
            found["ancestra_attempts_total"][labels | {("cause", "judged")}] += 1
    return found


def last_values(seen: Seen, metric: str) -> dict[frozenset[tuple[str, str]], float]:
    given = {"instance", "job"}
    answer = seen.watch.ask(metric, seen.at)
    return {frozenset((k, v) for k, v in one.labels.items() if k not in given): one.value for one in answer}


def test_every_series_that_the_tables_know_is_as_they_say(seen: Seen) -> None:
    expected = expected_series(seen)
    tried = expected.pop("attempts")
    assert {"ancestra_survivors_total", "ancestra_candidates_rejected", "ancestra_candidates_survivor"} <= set(expected)
    for metric, series in expected.items():
        told = last_values(seen, metric)
        for labels, value in series.items():
            assert told[labels] == near(value), (metric, labels)
    attempts: Counter[frozenset[tuple[str, str]]] = Counter()
    for labels, value in last_values(seen, "ancestra_attempts_total").items():
        attempts[frozenset(one for one in labels if one[0] != "cause")] += value
    assert attempts == tried


def test_film_and_people_are_as_the_tables_say(seen: Seen) -> None:
    stitches = [row for row in seen.table("stitches") if row["state"] == "done"]
    clips = named(seen, "ancestra-batch", "Published", 0)
    frames = named(seen, "ancestra-batch", "Published", 1)
    assert clips == {(): len(stitches)}
    assert frames == {(): near(sum(row["frames"] for row in stitches))}
    picks = [row for row in seen.table("picks") if row["withdrawn_at"] is None]
    assert named(seen, "ancestra-batch", "Picks that stand") == {("anc",): len(picks)}
    assert named(seen, "ancestra-batch", "Batches, by class") == {("backfill",): 1, ("shot",): 1}


def test_yields_are_as_the_tables_say(seen: Seen) -> None:
    rows = seen.table("candidates")

    def part(label: str) -> dict[str, Any]:
        judged = Counter(row[label] for row in rows if row["passed"] is not None)
        survived = Counter(row[label] for row in rows if row["outcome"] == "survivor")
        return {name: near(survived[name] / count) for name, count in judged.items()}

    stages = named(seen, "ancestra-batch", "Survivors of what was judged, by stage")
    assert {stage: value for (_, stage), value in stages.items()} == part("stage")
    models = named(seen, "ancestra-batch", "Survivors of what was judged, by model")
    assert {model: value for (model,), value in models.items()} == part("model")
    filters = Counter(row["reasons"][0] for row in rows if row["outcome"] == "rejected")
    shown = named(seen, "ancestra-batch", "Rejected, by first filter")
    assert {name: value for (name,), value in shown.items()} == {name: near(count) for name, count in filters.items()}


def test_device_time_a_survivor_is_as_the_tables_say(seen: Seen) -> None:
    rows = seen.table("candidates")
    spent: Counter[tuple[str, str]] = Counter()
    survived: Counter[tuple[str, str]] = Counter()
    for row in rows:
        spent[row["model"], row["stage"]] += row["device_s"]
        survived[row["model"], row["stage"]] += row["outcome"] == "survivor"
    expected = {key: near(seconds / survived[key]) for key, seconds in spent.items()}
    assert named(seen, "ancestra-farm", "Device time per survivor, by stage") == expected
    by_model = {model: value for (model, _), value in expected.items()}
    assert {m: v for (m,), v in named(seen, "ancestra-farm", "Pools", 7).items()} == by_model


def test_shots_and_budgets_are_as_the_tables_say(seen: Seen) -> None:
    delivered = {(row["batch"], row["shot"]) for row in seen.table("deliveries")}
    rows = seen.table("candidates")
    waiting = {(row["batch"], row["shot"]) for row in rows} - delivered
    assert {batch for batch, _ in waiting} == {"picked"}, "the other is delivered, and shown no more"
    assert named(seen, "ancestra-batch", "Waiting for people") == {(): len(waiting)}
    assert named(seen, "ancestra-batch", "Batches with something left to do", 2) == {
        ("picked", "backfill", "anc"): len(waiting)
    }
    released = sum(row["batch"] == "picked" for row in rows)
    assert named(seen, "ancestra-batch", "Least budget left") == {(): near(1 - released / 240)}


def test_failures_are_as_the_tables_say(seen: Seen) -> None:
    failed: Counter[tuple[str, str]] = Counter()
    for row in seen.table("candidates"):
        failed["exception", row["model"]] += row["attempts"] - (row["passed"] is not None)
    shown = named(seen, "ancestra-trouble", "Failed attempts, by model and cause")
    assert shown == {key: near(count) for key, count in failed.items() if count}
    assert sum(failed.values()) > 5


def test_money_is_device_time_at_the_price_of_the_settings(seen: Seen) -> None:
    cards, farm = load_catalog(), FarmSettings.model_validate(SETTINGS, by_alias=True)
    paid = 0.0
    for row in seen.table("candidates"):
        price = price_of(cards[row["model"]], farm)
        assert price is not None
        paid += row["device_s"] * price.per_hour / 3600
    (spent,) = seen.watch.ask('sum(ancestra_spent_money_total{show="anc", currency="EUR"})', seen.at)
    assert spent.value == near(paid)
    survivors = sum(row["outcome"] == "survivor" for row in seen.table("candidates"))
    each = named(seen, "ancestra-batch", "Money per survivor, by show")
    assert each == {("EUR", "anc"): near(paid / survivors)}


def test_machines_cost_their_time_at_their_price(seen: Seen) -> None:
    where = '{node_type="box", market="spot"}'
    (seconds,) = seen.watch.ask(f"ancestra_node_seconds_total{where}", seen.at)
    (money,) = seen.watch.ask(f"ancestra_node_money_total{where}", seen.at)
    assert seconds.value > 0
    assert money.value == near(seconds.value * PRICE_PER_HOUR / 3600)
    assert named(seen, "ancestra-farm", "Machines, by type") == {("spot", "box"): 1}


# ---- what grew while it was watched ----------------------------------------------------------------------------------


def grown(seen: Seen, metric: str, **labels: str) -> float:
    """By how much a counter grew between the first look and the last, all series with these labels together."""
    return sum(
        samples[-1][1] - samples[0][1]
        for of, samples in seen.watch.raw(metric, seen.at).items()
        if labels.items() <= dict(of).items()
    )


#: Which comes first where Prometheus extrapolates: to go back to where the counter was nought, or half a step.
#: The former up to 2.5x (Debian 12 has 2.42), the latter since.
NOUGHT_FIRST = (True, False)


def increase(seen: Seen, metric: str, nought_first: bool, /, **labels: str) -> float:
    """What Prometheus calls the increase over the last hour, of all series with these labels together.

    Growth goes on at the same pace to either end of the hour where that is nearer than 1.1 times the time between two
    samples, else for half that time, though not to before the counter was nought (promql, extrapolatedRate).
    """
    whole = 0.0
    for of, samples in seen.watch.raw(metric, seen.at).items():
        if not labels.items() <= dict(of).items():
            continue
        (began, first), (ended, last) = samples[0], samples[-1]
        span, each = ended - began, (ended - began) / (len(samples) - 1)
        to_nought = span * first / (last - first) if last > first else math.inf
        before = near_end(to_nought, each) if nought_first else min(each / 2, to_nought)
        whole += (last - first) * (span + before + near_end(seen.at - ended, each)) / span
    return whole


def near_end(duration: float, each: float) -> float:
    """For how long growth goes on to an end that is so far away. ``each``: seconds between two samples."""
    return duration if duration < 1.1 * each else each / 2


def test_shares_of_a_pool_are_those_of_its_hosts_clocks_and_add_up(seen: Seen) -> None:
    parts = ("busy", "loading", "starved", "idle")
    whole: Counter[str] = Counter()
    for number, part in enumerate(parts, 2):
        for (model,), value in named(seen, "ancestra-farm", "Pools", number).items():
            clock = {name: f"ancestra_device_{name}_seconds_total" for name in (part, "wall")}
            shares = [
                increase(seen, clock[part], way, model=model) / increase(seen, clock["wall"], way, model=model)
                for way in NOUGHT_FIRST
            ]
            assert any(value == near(share) for share in shares), (value, shares)
            whole[model] += grown(seen, clock[part], model=model) / grown(seen, clock["wall"], model=model)
    assert whole
    assert all(value == near(1) for value in whole.values())


def test_what_grew_in_the_last_hour_is_what_the_tables_have_more(seen: Seen) -> None:
    survivors = sum(row["outcome"] == "survivor" for row in seen.table("candidates"))
    before = sum(samples[0][1] for samples in seen.watch.raw("ancestra_survivors_total", seen.at).values())
    assert grown(seen, "ancestra_survivors_total") == survivors - before > 0
    ((value),) = named(seen, "ancestra-farm", "Survivors, last hour").values()
    ways = [increase(seen, "ancestra_survivors_total", way) for way in NOUGHT_FIRST]
    assert any(value == near(one) for one in ways), (value, ways)


def test_machines_are_paid_by_the_survivor(seen: Seen) -> None:
    ((value),) = named(seen, "ancestra-farm", "Paid per survivor").values()
    ways = [
        increase(seen, "ancestra_node_money_total", way) / increase(seen, "ancestra_survivors_total", way)
        for way in NOUGHT_FIRST
    ]
    assert any(value == near(one) for one in ways), (value, ways)


def test_the_farm_was_reached_with_a_token_of_its_own_and_nobody_else_was_asked(seen: Seen) -> None:
    targets = seen.watch.targets()
    assert [target["labels"]["job"] for target in targets] == ["ancestra"]
    roles = [person.role for person, _ in everybody(seen.store).values() if person.name.startswith("prometheus")]
    assert roles == ["viewer"]


def test_a_farm_that_shows_a_certificate_is_scraped_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("ANCESTRA_TOKEN", raising=False)
    store = Store.open(str(tmp_path / "store"), create=True)
    with OpenDoor(store, shown=own_certificate()) as door:
        wait_for(lambda: who_is_alive(store), 60)
        with watched(store, tmp_path) as watch:
            (target,) = watch.targets()
            assert target["scrapeUrl"] == f"{door.endpoint}/v1/metrics"
            assert door.endpoint.startswith("https:")
            assert target["lastError"] == ""
