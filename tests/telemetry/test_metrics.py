import json
import urllib.request
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from ancestra_farm.plan.events import (
    AttemptEnded,
    BatchSubmitted,
    BranchClosed,
    BranchOpened,
    CandidateGivenUp,
    Event,
    OrderGiven,
    StitchEnded,
    StitchPlanned,
    WaveClosed,
    WaveReleased,
)
from ancestra_farm.plan.farm_events import HostNoted, HostTimed, NodeNoticed, NodeOrdered, NodesPaid, SettingsGiven
from ancestra_farm.telemetry.catalogue import CATALOGUE, LABELS
from ancestra_farm.telemetry.exporter import PortTaken, serve
from ancestra_farm.telemetry.metrics import Metrics

BRANCH = "anc_010_0010/still/0"
STAGE = {"show": "ancestra", "class": "shot", "stage": "still", "model": "procedural/stills"}
SHOW = {"show": "ancestra", "class": "shot"}
GAUGES = [row.name for row in CATALOGUE if row.name.startswith("ancestra_candidates_") and row.type == "gauge"]


def submitted(batch: str = "demo", model: str = "procedural/stills", shot_model: str | None = None) -> BatchSubmitted:
    still = {"role": "text_to_image", "model": model, "candidates": 10}
    shot = {"shot": "anc_010_0010", "frames": 96, "prompt": {"text": "the sea"}}
    if shot_model:
        shot["stages"] = {"still": {"model": shot_model}}
    document = {
        "schema": "ancestra/v1",
        "batch": batch,
        "show": "ancestra",
        "stages": {"still": still},
        "shots": [shot],
    }
    return BatchSubmitted(batch, "d" * 64, json.dumps(document), {}, "ada", 1.0)


def opened(generation: int = 0) -> BranchOpened:
    return BranchOpened("demo", BRANCH, "anc_010_0010", "still", 0, generation, ((),), None, 2.0)


def released(start: int, stop: int, wave: int = 0, **more: object) -> WaveReleased:
    return WaveReleased("demo", BRANCH, wave, more.pop("rung", "full"), start, stop, ("blur",), 3.0, **more)


def attempt(position: int, **more: object) -> AttemptEnded:
    fields = {"rung": "full", "cause": "judged", "passed": True, "at": 4.0, "device_s": 2.0} | more
    return AttemptEnded("demo", BRANCH, position, candidate_id=f"{position:032x}", **fields)


def closed(wave: int = 0, **more: object) -> WaveClosed:
    fields = {"rung": "full", "survivors": (), "duplicates": {}, "promoted": (), "skipped": (), "at": 5.0} | more
    return WaveClosed("demo", BRANCH, wave, **fields)


def folded(*events: Event) -> Metrics:
    metrics = Metrics()
    metrics.fold_commit(1, events)
    return metrics


def standing(metrics: Metrics) -> Counter[str]:
    """How many candidates stand in each gauge, whatever the labels."""
    totals: Counter[str] = Counter()
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.name in GAUGES:
                assert sample.value >= 0, sample
                totals[sample.name.removeprefix("ancestra_candidates_")] += int(sample.value)
    return +totals


def test_a_wave_is_counted_by_outcome_and_reason() -> None:
    metrics = folded(
        submitted(),
        opened(),
        released(0, 6),
        attempt(0),
        attempt(1, passed=False, reasons=("blur", "noise")),
        attempt(2),
        attempt(3, cause="exception", passed=False),
        CandidateGivenUp("demo", BRANCH, 3, "full", "quarantined", "three strikes", 4.5),
        attempt(4),
        closed(survivors=(0,), duplicates={2: f"{0:032x}"}, skipped=(4, 5)),
    )
    assert standing(metrics) == {"survivor": 1, "rejected": 2, "quarantined": 1, "skipped": 2}
    assert metrics.value("ancestra_candidates_released_total", **STAGE) == 6
    assert metrics.value("ancestra_candidates_rejected", **STAGE, filter="blur") == 1
    assert metrics.value("ancestra_candidates_rejected", **STAGE, filter="duplicate") == 1
    assert metrics.value("ancestra_candidates_quarantined", **STAGE, cause="exception") == 1
    assert metrics.value("ancestra_rejections_total", **STAGE, filter="noise") == 1
    assert metrics.value("ancestra_attempts_total", **STAGE, cause="judged") == 4


def test_a_failed_attempt_that_is_tried_again_leaves_no_failure_behind() -> None:
    events = [submitted(), opened(), released(0, 1), attempt(0, cause="crash", passed=False)]
    assert standing(folded(*events)) == {"failed": 1}
    metrics = folded(*events, attempt(0), closed(survivors=(0,)))
    assert standing(metrics) == {"survivor": 1}
    assert metrics.value("ancestra_attempts_total", **STAGE, cause="crash") == 1


def test_drafts_end_as_promoted_or_not() -> None:
    metrics = folded(
        submitted(),
        opened(),
        released(0, 3, rung="draft"),
        *(attempt(n, rung="draft") for n in range(3)),
        closed(rung="draft", promoted=(1,)),
        released(1, 2, positions=(1,)),
        attempt(1),
        closed(survivors=(1,)),
    )
    assert standing(metrics) == {"promoted": 1, "not_promoted": 2, "survivor": 1}
    assert metrics.value("ancestra_survivors_total", **STAGE) == 1


def test_what_passes_is_counted_at_once_and_what_survives_when_its_wave_closes() -> None:
    metrics = folded(
        submitted(), opened(), released(0, 3), attempt(0), attempt(1, passed=False, reasons=("blur",)), attempt(2)
    )
    assert metrics.value("ancestra_passes_total", **STAGE) == 2
    assert metrics.value("ancestra_survivors_total", **STAGE) == 0
    metrics.fold_commit(2, [closed(survivors=(0,), duplicates={2: "c0"})])
    assert metrics.value("ancestra_passes_total", **STAGE) == 2
    assert metrics.value("ancestra_survivors_total", **STAGE) == 1


def test_device_seconds_per_survivor_count_what_failed_too() -> None:
    metrics = folded(
        submitted(),
        opened(),
        released(0, 3),
        attempt(0),
        attempt(1, passed=False, reasons=("blur",)),
        attempt(2, cause="exception", passed=False, device_s=4.0),
        attempt(2),
    )
    assert metrics.registry.get_sample_value("ancestra_device_seconds_per_survivor", STAGE) is None
    metrics.fold_commit(2, [closed(survivors=(0, 2))])
    assert metrics.value("ancestra_candidate_device_seconds_total", **STAGE) == pytest.approx(10.0)
    assert metrics.value("ancestra_device_seconds_per_survivor", **STAGE) == pytest.approx(5.0)


def test_a_shot_that_changes_the_model_is_counted_under_it() -> None:
    metrics = folded(submitted(shot_model="procedural/other"), opened(), released(0, 2))
    assert metrics.value("ancestra_candidates_released_total", **(STAGE | {"model": "procedural/other"})) == 2


def test_a_new_revision_supersedes_what_stood_and_counts_reused_survivors_once() -> None:
    first = [submitted(), opened(), released(0, 2), attempt(0), attempt(1, passed=False, reasons=("blur",))]
    metrics = folded(*first, closed(survivors=(0,)), submitted(), opened(), released(0, 2), closed(survivors=(0,)))
    assert standing(metrics) == {"superseded": 2, "survivor": 1, "reused": 1}
    assert metrics.value("ancestra_survivors_total", **STAGE) == 1
    assert metrics.value("ancestra_batches", **SHOW) == 1


def test_a_new_round_supersedes_every_branch_of_the_stage_before() -> None:
    other = BranchOpened("demo", "anc_010_0010/still/1", "anc_010_0010", "still", 1, 2, ((),), None, 2.0)
    metrics = folded(submitted(), opened(1), released(0, 3), attempt(0), closed(survivors=(0,)), other)
    assert standing(metrics) == {"superseded": 3}


def test_a_superseded_branch_leaves_the_gauges_of_its_survivors() -> None:
    superseded = BranchClosed("demo", BRANCH, "superseded", (), 6.0)
    metrics = folded(submitted(), opened(), released(0, 1), attempt(0), closed(survivors=(0,)), superseded, attempt(0))
    assert standing(metrics) == {"superseded": 1}


def test_a_commit_is_never_counted_twice() -> None:
    metrics = Metrics()
    assert metrics.fold_commit(7, [submitted()])
    assert not metrics.fold_commit(7, [submitted("other")])
    assert not metrics.fold_commit(6, [submitted("other")])
    assert metrics.value("ancestra_events_total") == 1


def test_device_seconds_of_a_pool_add_up() -> None:
    timings = [HostTimed("demo", "m", f"h{n}", 10.0, 6.1, 1.4, 0.5, 2.0, 5.0) for n in range(50)]
    metrics = folded(submitted(), *timings)
    parts = [
        metrics.value(f"ancestra_device_{part}_seconds_total", model="m")
        for part in ("busy", "loading", "starved", "idle")
    ]
    assert parts[0] == pytest.approx(305.0)
    assert sum(parts) == pytest.approx(metrics.value("ancestra_device_wall_seconds_total", model="m"), rel=0.01)


def test_stitches_and_picks_go_both_ways() -> None:
    def pick(order: str, who: str) -> OrderGiven:
        return OrderGiven("demo", order, who, 1.0, "anc_010_0010", "still", "c" * 32)

    planned = StitchPlanned("demo", "anc_010_0010", 0, "s" * 32, "v001", ("c" * 32,), picked=True, at=2.0)
    bad = StitchEnded(
        "demo", "anc_010_0010", "s" * 32, "v001", ok=False, frames=0, at=3.0, bad_pair=("a", "b"), seconds=1.5
    )
    good = StitchEnded("demo", "anc_010_0010", "s" * 32, "v001", ok=True, frames=112, at=4.0, seconds=2.5)
    metrics = folded(
        submitted(), pick("pick", "ada"), pick("pick", "ada"), pick("pick", "bo"), pick("unpick", "ada"), planned
    )
    assert metrics.value("ancestra_picks", **SHOW) == 1
    assert metrics.value("ancestra_stitches_waiting", **SHOW) == 1
    metrics.fold_commit(2, [bad, good])
    assert metrics.value("ancestra_stitches_waiting", **SHOW) == 0
    assert metrics.value("ancestra_stitches_failed_total", **SHOW, cause="seam") == 1
    assert metrics.value("ancestra_stitches_published_total", **SHOW) == 1
    assert metrics.value("ancestra_delivered_frames_total", **SHOW) == 112
    assert metrics.value("ancestra_stitch_seconds_total", **SHOW) == pytest.approx(4.0)


def test_every_exported_family_is_in_the_catalogue_and_its_labels_are_bounded() -> None:
    metrics = folded(submitted(), opened(), released(0, 2), attempt(0), HostTimed("demo", "m", "h", 1, 1, 0, 0, 0, 1.0))
    metrics.observe_commit(0.01)
    metrics.observe_ticket("m", "still", 2.0)
    metrics.set_queue("m", 3, 40)
    metrics.set_hosts("m", 2)
    metrics.set_look("ember", steps=20, wanted=400, loss=0.5, step_s=0.1, samples=4)
    assert metrics.value("ancestra_look_steps", look="ember") == 20
    assert metrics.value("ancestra_queue_candidates", model="m") == 40
    assert metrics.value("ancestra_hosts", model="m") == 2
    assert metrics.value("ancestra_ticket_seconds_count", model="m", stage="still") == 1
    assert metrics.value("ancestra_commit_seconds_sum") == pytest.approx(0.01)
    known = {row.name.removesuffix("_total"): row for row in CATALOGUE}
    for family in text_string_to_metric_families(metrics.render().decode()):
        row = known.pop(family.name)
        assert family.documentation == row.meaning
        assert family.type == row.type
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(row.labels)
    assert not known
    assert all(set(row.labels) <= set(LABELS) for row in CATALOGUE)


def test_a_candidate_that_is_tried_again_counts_by_the_cause_of_its_failure() -> None:
    metrics = folded(
        submitted(),
        opened(),
        released(0, 2),
        attempt(0, cause="crash", passed=False),
        attempt(0, cause="aborted", passed=False),
        attempt(1, cause="exception", passed=False),
        attempt(1, cause="out_of_memory", passed=False),
        attempt(1),
    )
    retries = {cause: metrics.value("ancestra_retries_total", **STAGE, cause=cause) for cause in ("crash", "exception")}
    assert retries == {"crash": 0, "exception": 1}, "what was taken back is not tried again"
    assert metrics.value("ancestra_retries_total", **STAGE, cause="out_of_memory") == 1


def test_hosts_and_machines_are_counted_by_what_happened_to_them() -> None:
    metrics = folded(
        HostNoted("procedural/stills", "h1", "ready", "", 1.0),
        HostNoted("procedural/stills", "h2", "ready", "", 1.0),
        HostNoted("procedural/stills", "h1", "drained", "sick", 2.0),
        NodeNoticed("ab", "spot interruption", ("h2",), 120.0, 3.0),
        NodeNoticed("cd", "drained by noor", (), None, 3.0),
        HostNoted("procedural/stills", "h3", "lost", "its node is gone", 3.0, node="ef"),
        HostNoted("procedural/stills", "h4", "lost", "its node is gone", 3.0),
        NodeOrdered("drain", "noor", 3.0, node="cd"),
    )
    changes = {
        what: metrics.value("ancestra_host_changes_total", model="procedural/stills", change=what)
        for what in ("ready", "drained", "lost")
    }
    assert changes == {"ready": 2, "drained": 1, "lost": 2}
    assert metrics.value("ancestra_node_notices_total", cause="preempted") == 1
    assert metrics.value("ancestra_node_notices_total", cause="drained") == 1
    assert metrics.value("ancestra_node_notices_total", cause="lost") == 1
    assert metrics.value("ancestra_node_orders_total", order="drain") == 1


def test_machines_cost_what_their_bills_say_under_the_market_of_their_type() -> None:
    kinds = {"a100": {"cpus": 8, "memory_gib": 64, "market": "spot", "price_per_hour": 2.0, "max_nodes": 4}}
    farm = {"schema": "ancestra/farm/v1", "currency": "EUR", "node_types": kinds}
    metrics = folded(
        SettingsGiven("farm", "", json.dumps(farm), "ada", 1.0),
        NodesPaid("a100", 2, 90.0, 0.05, "EUR", 60.0),
        NodesPaid("a100", 0, 30.0, 0.02, "EUR", 75.0),
        NodesPaid("gone", 1, 10.0, 0.0, "EUR", 75.0),
    )
    of = {"node_type": "a100", "market": "spot"}
    assert metrics.value("ancestra_node_seconds_total", **of) == 120
    assert metrics.value("ancestra_node_money_total", **of, currency="EUR") == pytest.approx(0.07)
    assert metrics.value("ancestra_node_seconds_total", node_type="gone", market="") == 10


def test_the_cost_of_machines_begins_at_nought_so_that_its_growth_is_seen() -> None:
    kinds = {"a100": {"cpus": 8, "memory_gib": 64, "price_per_hour": 2.0, "max_nodes": 4}}
    metrics = folded(
        SettingsGiven("farm", "", json.dumps({"schema": "ancestra/farm/v1", "node_types": kinds}), "a", 1.0)
    )
    of = {"node_type": "a100", "market": "on_demand"}
    assert metrics.registry.get_sample_value("ancestra_node_money_total", {**of, "currency": "USD"}) == 0
    assert metrics.registry.get_sample_value("ancestra_node_seconds_total", of) == 0


def test_the_oldest_wave_is_the_one_that_waits_longest_and_not_paused() -> None:
    def oldest(*events: Event) -> float | None:
        metrics = folded(submitted(), opened(), released(0, 2), *events)
        return metrics.registry.get_sample_value("ancestra_oldest_wave_timestamp_seconds", SHOW)

    later = WaveReleased("demo", BRANCH, 1, "full", 2, 4, ("blur",), 9.0)
    order = {"who": "noor", "at": 10.0}
    assert oldest(later) == 3.0
    assert oldest(later, closed()) == 9.0
    assert oldest(closed()) is None
    assert oldest(OrderGiven("demo", "pause", **order)) is None
    assert oldest(OrderGiven("demo", "pause", shot="anc_010_0010", **order)) is None
    assert oldest(OrderGiven("demo", "pause", **order), OrderGiven("demo", "unpause", **order)) == 3.0
    assert oldest(BranchClosed("demo", BRANCH, "cancelled", (), 10.0)) is None
    assert oldest(opened(1)) is None


def test_a_gauge_that_is_replaced_ends_the_series_that_are_gone() -> None:
    metrics = Metrics()
    metrics.show({"ancestra_shots": {("anc", "shot", "a", "running"): 2.0, ("anc", "shot", "b", "done"): 1.0}})
    metrics.show({"ancestra_shots": {("anc", "shot", "a", "done"): 2.0}})
    told = [line for line in metrics.render().decode().splitlines() if line.startswith("ancestra_shots{")]
    assert told == ['ancestra_shots{batch="a",class="shot",show="anc",state="done"} 2.0']


@given(st.lists(st.floats(0, 1e6), max_size=20))
def test_a_total_that_is_kept_elsewhere_never_falls(totals: list[float]) -> None:
    metrics = Metrics()
    for total in totals:
        metrics.advance("ancestra_spent_money_total", {("anc", "EUR"): total})
    value = metrics.value("ancestra_spent_money_total", show="anc", currency="EUR")
    assert value == pytest.approx(max(totals, default=0.0))


def test_store_errors_are_there_before_the_first_so_that_it_is_seen_as_a_step() -> None:
    metrics = Metrics()
    assert metrics.registry.get_sample_value("ancestra_store_errors_total", {"part": "commit"}) == 0
    metrics.count_store_errors("commit", 2)
    assert metrics.value("ancestra_store_errors_total", part="commit") == 2


def test_names_carry_their_unit_and_counters_end_in_total() -> None:
    for row in CATALOGUE:
        assert row.name.startswith("ancestra_")
        assert row.name.endswith("_total") == (row.type == "counter")
        assert not row.unit or row.unit in row.name
    assert len({row.name for row in CATALOGUE}) == len(CATALOGUE)


def test_the_exporter_answers_on_loopback_and_frees_its_port() -> None:
    exporter = serve(folded(submitted()), 0)
    try:
        assert exporter.port > 0
        with urllib.request.urlopen(exporter.url, timeout=10) as answer:
            assert b'ancestra_batches{class="shot",show="ancestra"} 1.0' in answer.read()
        with pytest.raises(PortTaken, match=str(exporter.port)):
            serve(Metrics(), exporter.port)
    finally:
        exporter.close()
    serve(Metrics(), exporter.port).close()


_POSITIONS = st.integers(0, 7)
_RUNGS = st.sampled_from(["draft", "full"])
_EVENTS = st.one_of(
    st.just(submitted()),
    st.just(opened()),
    st.builds(
        attempt,
        _POSITIONS,
        rung=_RUNGS,
        passed=st.booleans(),
        cause=st.sampled_from(["judged", "judged", "exception", "crash", "aborted"]),
        reasons=st.sampled_from([(), ("blur",), ("noise", "blur")]),
    ),
    st.builds(lambda p, r: CandidateGivenUp("demo", BRANCH, p, r, "lost", "", 1.0), _POSITIONS, _RUNGS),
    st.builds(
        closed,
        wave=st.integers(0, 1),
        rung=_RUNGS,
        survivors=st.sets(_POSITIONS, max_size=3).map(tuple),
        promoted=st.sets(_POSITIONS, max_size=3).map(tuple),
        skipped=st.sets(_POSITIONS, max_size=3).map(tuple),
        duplicates=st.dictionaries(_POSITIONS, st.just("a" * 32), max_size=2),
    ),
    st.just(BranchClosed("demo", BRANCH, "superseded", (), 1.0)),
)


@given(st.lists(_EVENTS, max_size=30))
@settings(max_examples=150, deadline=None)
def test_every_released_candidate_stands_in_exactly_one_gauge(events: list[Event]) -> None:
    waves = [released(0, 4), released(4, 8, wave=1), released(0, 4, rung="draft")]
    story = [submitted(), opened(), *waves, *events, *([opened(1), released(0, 4)] if len(events) % 2 else [])]
    metrics = folded(*story)
    assert sum(standing(metrics).values()) == metrics.value("ancestra_candidates_released_total", **STAGE)
    again = Metrics()
    for event in story:
        again.fold(event)
    assert again.render() == metrics.render()
