"""Random small farms, told with every check on. A failure names its seed and the command that tells it again."""

import pytest

from ancestra_farm.simulate.trial import scenario_of, survived_alike, tried

CHUNK = 25


def failures(told, seeds):
    """Every seed that fails, with what it says; all of them, so that one run shows whether they are one fault."""
    found = []
    for seed in seeds:
        try:
            told(seed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed is what counts
            found.append(f"seed {seed}: {type(error).__name__}: {error}")
    return found


@pytest.mark.parametrize("first", range(0, 300, CHUNK))
def test_no_law_is_broken_on_random_farms(first):
    assert not failures(tried, range(first, first + CHUNK))


@pytest.mark.parametrize("first", range(0, 100, CHUNK))
def test_the_same_survive_in_a_storm_on_many_hosts_as_in_peace_on_one(first):
    alike = []
    assert not failures(lambda seed: alike.append(survived_alike(seed)), range(first, first + CHUNK))
    assert sum(alike) > CHUNK / 2  # where a candidate was lost five times with its host, nothing is compared


def test_random_farms_are_of_every_kind():
    scenarios = [scenario_of(seed) for seed in range(300)]
    stages = [stage for s in scenarios for a in s.arrivals for stage in a.plan.batch.stages.values()]
    assert {stage.join for stage in stages} == {"chain", "keyframes"}
    assert {stage.draft is None for stage in stages} == {True, False}
    assert {stage.select for stage in stages} == {"auto", "close"}
    assert {stage.spend for stage in stages} == {"evenly", "by_yield"}
    assert len({s.faults for s in scenarios}) > 10
    batches = [a.plan.batch for s in scenarios for a in s.arrivals]
    assert {b.priority for b in batches} == {"dailies", "shot", "backfill"}
    assert any(b.budget.candidates for b in batches)
    assert any(b.budget.device_hours for b in batches)
    assert any(b.max_slots for b in batches)
    assert any(s.faults.controller_losses_per_hour for s in scenarios)
    assert any(s.orders_per_hour for s in scenarios)
    assert any(s.autoscaling for s in scenarios)
