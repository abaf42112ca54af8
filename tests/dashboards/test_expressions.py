import inspect
import json
import re
from pathlib import Path

import promql_parser as promql
import pytest

from ancestra_farm.telemetry.boards import foreign
from ancestra_farm.telemetry.boards.asked import OF_CLUSTER, OF_NODE, OF_SESSION
from ancestra_farm.telemetry.boards.rules import RECORDINGS
from ancestra_farm.telemetry.catalogue import CATALOGUE
from tests.dashboards.asked import Asked, filled, of_panels, of_rules, selectors

ROWS = {row.name: row for row in CATALOGUE}
#: Given by Prometheus: by our discovery file, by every scrape, and inside histograms.
GIVEN = {"farm", "instance", "job", "le"}
EVERYTHING = of_panels() + of_rules()


def named(asked: Asked) -> str:
    return asked.where


def metric(name: str) -> str:
    """The metric of a series: a histogram's buckets are its own."""
    return name.removesuffix("_bucket") if name.endswith("_bucket") else name


def ours(name: str) -> bool:
    return name.startswith("ancestra_")


@pytest.mark.parametrize("asked", EVERYTHING, ids=named)
def test_what_is_asked_can_be_parsed(asked: Asked) -> None:
    promql.parse(filled(asked.expr))


@pytest.mark.parametrize("asked", EVERYTHING, ids=named)
def test_metrics_and_labels_that_are_asked_for_exist(asked: Asked) -> None:
    known = ROWS.keys() | foreign.RAY | foreign.DCGM | foreign.PROMETHEUS | {rule.name for rule in RECORDINGS}
    for one in selectors(asked.expr):
        assert metric(one.metric) in known, one
        if ours(one.metric):
            labels = {*ROWS[metric(one.metric)].labels, *GIVEN}
            assert one.labels <= labels, one
            assert one.by <= labels, one


@pytest.mark.parametrize("asked", EVERYTHING, ids=named)
def test_counters_are_rated_and_gauges_are_not(asked: Asked) -> None:
    for one in (one for one in selectors(asked.expr) if ours(one.metric)):
        kind = ROWS[metric(one.metric)].type
        rated = {"rate", "increase"} & set(one.inside)
        if kind == "gauge":
            assert not rated, one
        if one.metric.endswith("_bucket"):
            assert kind == "histogram", one
            assert rated, one


def test_every_metric_of_ours_is_shown_or_watched() -> None:
    asked = {metric(one.metric) for each in EVERYTHING for one in selectors(each.expr)}
    assert not ROWS.keys() - asked


def test_every_recorded_name_says_of_what_it_is() -> None:
    for rule in RECORDINGS:
        level, _, rest = rule.name.partition(":")
        assert re.fullmatch(r"farm(_[a-z]+)*", level)
        assert re.fullmatch(r"ancestra_[a-z_]+:[a-z0-9]+", rest)


def test_metrics_of_ray_are_those_of_the_installed_ray() -> None:
    import ray
    from ray.dashboard.modules.reporter import reporter_agent

    root = Path(ray.__file__).parent
    autoscaler = (root / "autoscaler" / "_private" / "prom_metrics.py").read_text()
    reporter = inspect.getsource(reporter_agent)
    for name in foreign.RAY:
        if name.startswith("autoscaler_"):
            assert f'"{name.removeprefix("autoscaler_")}"' in autoscaler, name
        else:
            assert f'"{name.removeprefix("ray_")}"' in reporter, name


def test_what_ray_calls_failed_nodes_are_those_that_it_is_ending() -> None:
    """So no panel shows them as failures. Where this fails, Ray counts something else by now."""
    from ray.autoscaler.v2.metrics_reporter import AutoscalerMetricsReporter

    said = inspect.getdoc(AutoscalerMetricsReporter.report_instances) or ""
    assert "recently_failed_nodes: Nodes that are being terminated." in said


def test_choices_of_ray_have_the_names_of_rays_own_dashboards() -> None:
    from ray.dashboard.modules import metrics

    base = Path(metrics.__file__).parent / "dashboards" / "default_grafana_dashboard_base.json"
    theirs = {one["name"]: one for one in json.loads(base.read_text())["templating"]["list"]}
    for variable in (OF_SESSION, OF_NODE, OF_CLUSTER):
        assert variable.every == theirs[variable.name]["allValue"]
        assert f", {variable.label})" in theirs[variable.name]["definition"]
    assert theirs["datasource"]["query"] == "prometheus"
