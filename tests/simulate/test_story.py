from dataclasses import replace

import pytest

from ancestra_farm.plan.events import AttemptEnded, CandidateGivenUp, OrderGiven
from ancestra_farm.plan.farm_events import HostNoted
from ancestra_farm.simulate.book import Book, LawBroken
from ancestra_farm.simulate.run import simulate, told
from ancestra_farm.simulate.scenario import Autoscaling, NodeKind, ScenarioRefused
from tests.simulate.films import CLIP, STILL, faults, plan, scenario

SLOW = {"procedural/stills": 5.0, "procedural/clips": 20.0}


def plain(report):
    """A report without what the wall clock says."""
    return replace(report, wall_s=0.0)


def causes(farm):
    return {event.cause for event in farm.log if isinstance(event, AttemptEnded)}


def test_the_same_seed_tells_the_same_story_and_another_seed_another():
    stormy = scenario(faults=faults(crash=0.02, host_losses_per_hour=20.0), seconds=SLOW, seed=3)
    one, report = told(stormy)
    other, again = told(stormy)
    assert one.log == other.log
    assert plain(report) == plain(again)
    assert told(replace(stormy, seed=4))[0].log != one.log


def test_more_hosts_do_not_change_what_becomes_of_a_candidate():
    few, _ = told(scenario(hosts=1, per_node=1))
    many, _ = told(scenario(hosts=12))
    assert few.survivors() == many.survivors()
    assert few.chains() == many.chains()


def test_a_film_without_faults_is_delivered_and_every_slot_second_is_accounted_for():
    report = simulate(scenario(seconds=SLOW, price_per_device_hour=3.0))
    assert report.ended
    assert report.delivered == report.shots == 2
    assert report.released == report.judged == 80 + 2 * 2 * 4
    assert not report.retries
    whole = next(use for use in report.use if use.pool == "all")
    assert whole.slot_hours == pytest.approx(report.up_hours)
    assert whole.busy + whole.loading + whole.starved + whole.idle + whole.empty == pytest.approx(1.0)
    assert report.up_hours == pytest.approx(4 * report.makespan_s / 3600)
    assert report.cost == pytest.approx(3.0 * report.up_hours)
    for number, width in enumerate({len(curve.seconds) for curve in report.slots_over_time}):
        assert number == 0
        assert width > 10


def test_what_a_device_costs_follows_its_seconds():
    quick = simulate(scenario(seconds=SLOW, spread=0.0))
    slow = simulate(scenario(seconds=SLOW, spread=0.0, kinds=(NodeKind("old", 1.0, 3.0),)))
    assert slow.busy_hours == pytest.approx(3 * quick.busy_hours)


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("exception", "exception"),
        ("crash", "crash"),
        ("exit", "crash"),
        ("hang", "deadline"),
        ("out_of_memory", "out_of_memory"),
    ],
)
def test_what_goes_wrong_with_candidates_is_told_by_its_cause_and_done_again(name, cause):
    wrong, _ = told(scenario(faults=faults(**{name: 0.1, "persistent": 0.0})))
    assert cause in causes(wrong)
    assert not [event for event in wrong.log if isinstance(event, CandidateGivenUp)]
    assert wrong.survivors() == told(scenario())[0].survivors()


def test_candidates_that_always_fail_are_given_up_and_the_film_is_made():
    _, report = told(scenario(faults=faults(exception=0.1, persistent=1.0)))
    assert report.given_up["quarantined"] > 0
    assert report.ended
    assert report.delivered == 2
    assert set(report.retries) == {"exception"}


@pytest.mark.parametrize(
    "rates",
    [
        {"host_losses_per_hour": 60.0},
        {"node_losses_per_hour": 60.0},
        {"preemptions_per_hour": 60.0, "notice_s": 5.0},
        {"dropped_replies": 0.05},
        {"late_replies": 0.1, "late_s": 20.0},
        {"failed_starts": 0.2},
        {"slow_hosts": 0.5, "slow_factor": 20.0},
        {"controller_losses_per_hour": 60.0},
        {"failed_stitches": 0.3},
    ],
    ids=lambda rates: next(iter(rates)),
)
def test_what_goes_wrong_with_machines_changes_no_survivor(rates):
    quiet, _ = told(scenario(seconds=SLOW))
    farm, report = told(scenario(seconds=SLOW, faults=faults(**rates)))
    assert report.ended
    assert farm.survivors() == quiet.survivors()
    assert farm.chains() == quiet.chains()


def test_losses_of_machines_are_seen_in_the_report():
    report = simulate(scenario(seconds=SLOW, faults=faults(node_losses_per_hour=60.0, controller_losses_per_hour=30.0)))
    assert report.node_losses > 0
    assert report.restarts > 0
    assert report.retries["host_lost"] > 0


def test_seams_that_fail_cost_the_pair_and_not_the_clips():
    chain = {"still": STILL, "animate": {**CLIP, "keep": 4, "overlap_frames": 5}}
    long = plan(stages=chain, shots=2).batch.model_copy(update={"handles": 100})
    film = plan(stages=chain)
    film = type(film).of(long, film.cards)
    _, report = told(scenario(film, faults=faults(bad_seams=0.3)))
    assert report.ended


def test_a_person_picks_and_closes_what_waits_after_a_while():
    film = plan(stages={"still": {**STILL, "select": "close"}, "animate": CLIP})
    farm, report = told(scenario(film))
    assert report.orders["close"] == 2
    assert report.orders["pick"] >= 2
    assert report.delivered == 2
    assert report.makespan_s > 20
    assert {event.who for event in farm.log if isinstance(event, OrderGiven)} == {"noor"}


def test_nodes_come_when_work_waits_and_go_when_they_are_empty():
    farm, report = told(scenario(seconds=SLOW, hosts=8, autoscaling=Autoscaling(floor=2, provision_s=10, idle_s=5)))
    assert report.ended
    assert farm.weather.came > 1
    assert report.up_hours < 8 * report.makespan_s / 3600


def test_nothing_of_a_lower_class_starts_once_dailies_wait():
    backfill = plan(priority="backfill", batch="night", shots=4)
    dailies = plan(priority="dailies", batch="today", shots=1)
    one = scenario(backfill, seconds=SLOW)
    late = replace(one, arrivals=(*one.arrivals, replace(scenario(dailies).arrivals[0], after_s=30.0)))
    report = simulate(late)
    waits = {(wait.priority, wait.what): wait.p100 for wait in report.waits}
    assert waits["dailies", "first ticket"] < waits["backfill", "first survivor"] + 30


def test_a_farm_that_stands_still_is_found_out(monkeypatch):
    monkeypatch.setattr("ancestra_farm.simulate.crew.VirtualCrew.start", lambda self, order: None)
    with pytest.raises(LawBroken, match="nothing has moved"):
        simulate(scenario())


def test_a_candidate_that_two_hosts_work_on_is_found_out(monkeypatch):
    monkeypatch.setattr(Book, "ended", lambda self, host, ticket: None)
    with pytest.raises(LawBroken, match="is handed to"):
        simulate(scenario(faults=faults(exception=0.2)))


def test_a_state_that_the_log_does_not_give_is_found_out():
    farm, _ = told(scenario())
    farm.scheduler.state.batches["film"].device_s += 1.0
    with pytest.raises(LawBroken, match="device_s"):
        farm.check_folding()


def test_a_sick_host_is_seen_in_what_it_rejects():
    sick, _ = told(scenario(seconds=SLOW, faults=faults(sick_hosts=1.0, sick_rejects=1.0)))
    assert not any(sick.survivors().values())
    assert not any(isinstance(e, HostNoted) and e.what == "drained" for e in sick.log)  # all alike: none departs


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hosts": 0}, "hosts must be at least 1"),
        ({"yields": {"stil": 0.1}}, "no batch has a stage stil; there are: animate, still"),
        ({"yields": {"still": 1.1}}, "the yield of still lies between 0 and 1"),
        ({"seconds": {"other/model": 1.0}}, "no batch uses a model other/model"),
        ({"seconds": {"procedural/stills": 0.0}}, "is more than 0"),
        ({"arrivals": ()}, "nothing is submitted"),
        ({"people_s": -1.0}, "people_s must not be negative"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused_in_words(fields, words):
    with pytest.raises(ScenarioRefused, match=words):
        replace(scenario(), **fields)


def test_two_batches_of_one_name_are_refused():
    with pytest.raises(ScenarioRefused, match="several batches are named film"):
        scenario(plan(), plan())
