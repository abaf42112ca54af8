import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as grafana

from ancestra_farm.farm.gauges import live_totals, live_values
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.telemetry.boards.files import BOARDS, all_files, write_files
from ancestra_farm.telemetry.boards.grafana import WIDTH, dashboard_of
from ancestra_farm.telemetry.catalogue import CATALOGUE
from ancestra_farm.telemetry.metrics import Metrics
from tests.cli.small_farm import finished_store
from tests.dashboards.programs import needs_promtool, promtool
from tests.farm.test_gauges import GLANCE

FOLDER = Path(__file__).parents[2] / "dashboards"
DASHBOARDS = {board.uid: dashboard_of(board, BOARDS) for board in BOARDS}
#: Read by the Prometheus data source, of which Grafana's model of dashboards knows nothing.
DATA_SOURCES = [".annotations.list[0].titleFormat"]


@pytest.fixture(params=DASHBOARDS, ids=str)
def made(request: pytest.FixtureRequest) -> dict[str, Any]:
    return DASHBOARDS[request.param]


def flat(made: dict[str, Any]) -> list[dict[str, Any]]:
    return [inner for panel in made["panels"] for inner in (panel, *panel.get("panels", ()))]


@pytest.mark.parametrize("path", sorted(all_files()))
def test_the_files_in_dashboards_are_as_the_code_writes_them(path: str) -> None:
    assert (FOLDER / path).read_text(encoding="utf-8") == all_files()[path], (
        "run python -m ancestra_farm.telemetry.boards dashboards"
    )


def test_every_metric_has_its_line_in_the_table() -> None:
    table = (FOLDER / "METRICS.md").read_text(encoding="utf-8")
    assert all(f"| `{row.name}` |" in table for row in CATALOGUE)


def test_a_file_that_is_as_it_should_be_is_left_alone(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/b.json": "one"})
    before = (tmp_path / "a" / "b.json").stat().st_ino
    write_files(tmp_path, {"a/b.json": "one"})
    assert (tmp_path / "a" / "b.json").stat().st_ino == before
    write_files(tmp_path, {"a/b.json": "two"})
    assert (tmp_path / "a" / "b.json").read_text() == "two"
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b.json"]


def test_every_key_of_a_dashboard_is_one_of_grafanas(made: dict[str, Any]) -> None:
    register_default_plugins()
    read = json.loads(json.dumps(grafana.Dashboard.from_json(made), cls=JSONEncoder))
    assert list(dropped(made, read)) == DATA_SOURCES


def dropped(made: Any, read: Any, where: str = "") -> Any:
    """Paths of what Grafana's own model did not keep."""
    if isinstance(made, dict):
        for key, value in made.items():
            if not isinstance(read, dict) or (key not in read and value not in (None, [], {}, "")):
                yield f"{where}.{key}"
            elif key in read:
                yield from dropped(value, read[key], f"{where}.{key}")
    elif isinstance(made, list):
        for number, value in enumerate(made):
            yield from dropped(value, read[number], f"{where}[{number}]")
    elif made != read:
        yield f"{where}: {made!r} became {read!r}"


def test_panels_have_a_place_of_their_own(made: dict[str, Any]) -> None:
    places = [panel["gridPos"] for panel in flat(made)]
    for place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= WIDTH
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
    assert len({panel["id"] for panel in flat(made)}) == len(places)


def test_what_says_how_things_stand_is_asked_for_now(made: dict[str, Any]) -> None:
    """Of a range it would be the last value there was, for hours after the farm that told it is gone."""
    for panel in flat(made):
        if panel["type"] in {"stat", "bargauge", "table"}:
            assert all(target["instant"] and not target["range"] for target in panel["targets"]), panel["title"]
        if panel["type"] == "stat":
            assert panel["options"]["graphMode"] == "none", panel["title"]


def test_no_farm_at_work_is_nought_and_red() -> None:
    (number,) = [panel for panel in flat(DASHBOARDS["ancestra-farm"]) if panel["title"] == "Farms at work"]
    assert number["targets"][0]["expr"].endswith(" or vector(0)")
    assert number["fieldConfig"]["defaults"]["thresholds"]["steps"][0] == {"value": None, "color": "red"}


def test_every_panel_says_what_to_read_off_it(made: dict[str, Any]) -> None:
    titles = [panel["title"] for panel in flat(made) if panel["type"] != "row"]
    assert len(set(titles)) == len(titles)
    for panel in flat(made):
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]


def test_choices_that_are_asked_by_are_at_the_top(made: dict[str, Any]) -> None:
    known = {variable["name"] for variable in made["templating"]["list"]} | {"__rate_interval"}
    text = json.dumps([panel.get("targets", []) for panel in flat(made)])
    assert set(re.findall(r"\$\{?(\w+)", text)) <= known
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(made)))
    assert {variable["name"] for variable in made["templating"]["list"]} <= used


def test_the_first_row_is_big_numbers_of_one_height(made: dict[str, Any]) -> None:
    first = [panel for panel in flat(made) if panel["type"] != "row" and panel["gridPos"]["y"] == 1]
    assert {panel["type"] for panel in first} == {"stat"}
    assert {panel["gridPos"]["h"] for panel in first} == {4}
    assert sum(panel["gridPos"]["w"] for panel in first) == WIDTH


@needs_promtool
def test_prometheus_takes_the_configuration(tmp_path: Path) -> None:
    write_files(tmp_path, all_files())
    (tmp_path / "prometheus" / "token").write_text("secret")
    promtool("check", "config", tmp_path / "prometheus" / "prometheus.yml")


@needs_promtool
def test_prometheus_has_nothing_to_say_about_our_metrics(tmp_path: Path) -> None:
    metrics = Metrics()
    for commit in read_commits(finished_store(tmp_path)):
        metrics.fold_commit(commit.number, commit.events)
    metrics.show(live_values(GLANCE))
    for name, totals in live_totals(GLANCE).items():
        metrics.advance(name, totals)
    metrics.observe_commit(0.02)
    metrics.observe_ticket("procedural/stills", "still", 12.0)
    promtool("check", "metrics", stdin=metrics.render())
