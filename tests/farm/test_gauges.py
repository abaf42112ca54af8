from ancestra_farm.farm.gauges import live_totals, live_values
from ancestra_farm.scheduler.glance import BatchGlance, Glance
from ancestra_farm.telemetry.catalogue import CATALOGUE
from ancestra_farm.telemetry.metrics import Metrics

GLANCE = Glance(
    slots={"cpu": (4.0, 2.0), "gpu": (8.0, 7.5)},
    queues={("wan/2.2", "dailies"): 12},
    batches=(BatchGlance("ocean", "anc", "shot", {"running": 2, "done": 1}, 3600.0, {"money": 0.25}),),
    spent={"anc": 12.5},
    currency="EUR",
    nodes={("a100", "spot"): 3},
    nodes_least={("a100", "spot"): 1},
    planned={"gpu": 16.0},
)


def test_a_glance_is_shown_under_the_labels_of_the_catalogue() -> None:
    metrics = Metrics()
    metrics.show(live_values(GLANCE))
    for name, totals in live_totals(GLANCE).items():
        metrics.advance(name, totals)
    ocean = {"show": "anc", "class": "shot", "batch": "ocean"}
    assert metrics.value("ancestra_slots", device="gpu") == 8
    assert metrics.value("ancestra_slots_planned", device="gpu") == 16
    assert metrics.value("ancestra_slots_held", device="gpu") == 7.5
    assert metrics.value("ancestra_class_queue_candidates", model="wan/2.2", **{"class": "dailies"}) == 12
    assert metrics.value("ancestra_shots", **ocean, state="running") == 2
    assert metrics.value("ancestra_device_seconds_to_go", **ocean) == 3600
    assert metrics.value("ancestra_budget_left_ratio", **ocean, budget="money") == 0.25
    assert metrics.value("ancestra_nodes", node_type="a100", market="spot") == 3
    assert metrics.value("ancestra_nodes_least", node_type="a100", market="spot") == 1
    assert metrics.value("ancestra_spent_money_total", show="anc", currency="EUR") == 12.5


def test_shots_that_run_are_counted_for_a_farm_that_stays_and_come_to_nought_when_they_are_done() -> None:
    metrics = Metrics()
    metrics.show(live_values(GLANCE, stays=True))
    assert metrics.value("ancestra_shots_running") == 2
    metrics.show(live_values(Glance(), stays=True))
    assert b"\nancestra_shots_running 0.0\n" in metrics.render()
    metrics.show(live_values(GLANCE))
    assert metrics.value("ancestra_shots_running") == 0


def test_everything_that_is_shown_live_is_in_the_catalogue_and_marked_so() -> None:
    live = {row.name for row in CATALOGUE if row.live}
    assert live_values(GLANCE).keys() | live_totals(GLANCE).keys() <= live


def test_a_batch_with_nothing_left_ends_its_series() -> None:
    metrics = Metrics()
    metrics.show(live_values(GLANCE))
    metrics.show(live_values(Glance()))
    assert b"ocean" not in metrics.render()
