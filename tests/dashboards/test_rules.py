import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from ancestra_farm.telemetry.boards.files import BOARDS, all_files, write_files
from ancestra_farm.telemetry.boards.rules import ALERTS, RECORDINGS, Alert
from ancestra_farm.telemetry.boards.scrape import RULES
from tests.dashboards.cases import CASES, STAGE, Case, Series, device
from tests.dashboards.programs import needs_promtool, promtool


@pytest.fixture(scope="session")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    write_files(folder, all_files())
    return folder / "prometheus" / RULES


def told(series: Series, minutes: int, expr: str, samples: list[dict[str, Any]], every: int = 1) -> dict[str, Any]:
    """One test as promtool wants it. ``every``: minutes from one value of a series to the next."""
    return {
        "interval": f"{every}m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": expr, "eval_time": f"{minutes}m", "exp_samples": samples}],
    }


def firing(case: Case, series: Series, count: int) -> dict[str, Any]:
    expr = f'count(ALERTS{{alertname="{case.alert}", alertstate="firing"}})'
    return told(series, case.at, expr, [{"labels": "{}", "value": count}] if count else [], case.every)


def run(folder: Path, rules: Path, tests: list[dict[str, Any]]) -> None:
    """Rules are looked at once a minute; where a day goes by, every ten minutes."""
    of_hours = [test for test in tests if len(test["promql_expr_test"][0]["eval_time"]) > 3]
    for every, some in (("1m", [test for test in tests if test not in of_hours]), ("10m", of_hours)):
        file = folder / f"tests-{every}.yml"
        file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": every, "tests": some}))
        promtool("test", "rules", file)


@needs_promtool
def test_the_rules_are_sound(rules: Path) -> None:
    promtool("check", "rules", rules)


@needs_promtool
def test_every_alert_fires_when_it_should(rules: Path, tmp_path: Path) -> None:
    run(tmp_path, rules, [firing(case, case.fires, 1) for case in CASES])


@needs_promtool
def test_no_alert_fires_when_it_should_not(rules: Path, tmp_path: Path) -> None:
    run(tmp_path, rules, [firing(case, case.quiet, 0) for case in CASES])


@needs_promtool
def test_nothing_fires_in_a_farm_that_does_well(rules: Path, tmp_path: Path) -> None:
    quiet = {name: values for case in CASES for name, values in case.quiet.items() if case.alert in WELL}
    every = 'count(ALERTS{alertname=~"Ancestra.*", alertstate="firing"})'
    run(tmp_path, rules, [told(quiet, 40, every, [])])


WELL = {"AncestraFarmAbsent", "AncestraPaidButIdle", "AncestraHostsStarved", "AncestraNoHosts", "AncestraBudgetBurning"}


@needs_promtool
def test_the_recorded_shares_of_a_pool_add_up_to_its_time(rules: Path, tmp_path: Path) -> None:
    parts = {"busy": 42, "loading": 6, "starved": 3, "idle": 9}
    series = {device(part): f"0+{seconds}x60" for part, seconds in parts.items()} | {device("wall"): "0+60x60"}
    whole = " + ".join(f"farm_model:ancestra_device_{part}:share15m" for part in parts)
    tests = [told(series, 40, whole, [{"labels": '{farm="a", model="m"}', "value": 1}])]
    name = 'farm_model:ancestra_device_busy:share15m{farm="a", model="m"}'
    tests.append(told(series, 40, "farm_model:ancestra_device_busy:share15m", [{"labels": name, "value": 0.7}]))
    run(tmp_path, rules, tests)


@needs_promtool
def test_what_else_is_recorded_is_what_grew(rules: Path, tmp_path: Path) -> None:
    series = {
        f"ancestra_survivors_total{{{STAGE}}}": "0+10x320",
        f'ancestra_attempts_total{{{STAGE}, cause="judged"}}': "0+50x320",
        'ancestra_spent_money_total{farm="a", show="s", currency="EUR"}': "0+15x320",
        'ancestra_node_money_total{farm="a", node_type="n", market="spot", currency="EUR"}': "0+20x320",
    }
    expected = {
        "farm:ancestra_survivors:increase1h": 120,
        "farm_show:ancestra_spent_money:increase1h": 180,
        "farm:ancestra_node_money:increase1h": 240,
        "farm_stage:ancestra_survivors:yield30m": 0.2,
        "farm_stage:ancestra_survivors:yield1d": 0.2,
    }
    tests = [told(series, 1600, f"sum({name})", [{"labels": "{}", "value": v}], 5) for name, v in expected.items()]
    run(tmp_path, rules, tests)
    assert expected.keys() == {rule.name for rule in RECORDINGS if "_device_" not in rule.name}


def test_every_alert_has_its_case() -> None:
    assert sorted(case.alert for case in CASES) == sorted(alert.name for alert in ALERTS)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_says_what_is_so_what_to_do_and_where_to_look(alert: Alert) -> None:
    assert alert.name.startswith("Ancestra")
    assert re.fullmatch(r"\d+[mh]", alert.held)
    assert alert.summary.endswith(".")
    assert alert.board in {board.uid for board in BOARDS}
    assert f"| `{alert.name}` |" in all_files()["RUNBOOK.md"]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_commands_that_a_runbook_names_exist(alert: Alert) -> None:
    from ancestra_farm.cli.main import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    for words in re.findall(r"`ancestra ([a-z]+)", alert.runbook):
        assert words in commands


def test_labels_in_a_summary_are_labels_of_its_expression() -> None:
    import promql_parser as promql

    for alert in ALERTS:
        asked = set(re.findall(r"\$labels\.(\w+)", alert.summary))
        node = promql.parse(alert.expr)
        if asked:
            assert asked <= set(re.findall(r"\w+", node.prettify())) | {"farm", "instance", "batch", "show", "budget"}
