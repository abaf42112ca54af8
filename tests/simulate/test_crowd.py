import pytest

from ancestra_farm.plan.estimate import estimate
from ancestra_farm.simulate.crowd import crowd
from ancestra_farm.simulate.scenario import ScenarioRefused
from tests.simulate.films import plan


def test_one_file_alone_is_the_file_itself():
    film = plan()
    (arrival,) = crowd([film])
    assert arrival.plan is film
    assert arrival.after_s == 0


def test_copies_have_names_and_seeds_of_their_own_and_come_one_after_another():
    arrivals = crowd([plan()], copies=50, every_s=10.0, seed=3)
    batches = [arrival.plan.batch for arrival in arrivals]
    assert len({batch.batch for batch in batches}) == len({batch.seed for batch in batches}) == 50
    times = [arrival.after_s for arrival in arrivals]
    assert times[0] == 0
    assert times == sorted(times)
    assert 5 < times[-1] / 49 < 20
    assert [a.after_s for a in crowd([plan()], copies=50, every_s=10.0, seed=3)] == times


def test_a_scaled_film_has_so_many_times_the_shots_and_the_budget():
    film = plan(shots=2, budget={"candidates": 50, "device_hours": 2.0})
    (arrival,) = crowd([film], scale=10)
    batch = arrival.plan.batch
    assert len({shot.shot for shot in batch.shots}) == 20
    assert (batch.budget.candidates, batch.budget.device_hours) == (500, 20.0)
    assert estimate(arrival.plan).candidates == 10 * estimate(film).candidates
    assert not list(arrival.plan.problems())


def test_classes_are_mixed_by_their_weights():
    arrivals = crowd([plan()], copies=200, mix={"dailies": 1, "backfill": 3})
    classes = [arrival.plan.batch.priority for arrival in arrivals]
    assert set(classes) == {"dailies", "backfill"}
    assert 0.1 < classes.count("dailies") / 200 < 0.4


@pytest.mark.parametrize("wrong", [{"copies": 0}, {"scale": 0}, {"mix": {"urgent": 1.0}}, {"mix": {"shot": 0.0}}])
def test_a_crowd_that_cannot_be_is_refused(wrong):
    with pytest.raises(ScenarioRefused):
        crowd([plan()], **wrong)
