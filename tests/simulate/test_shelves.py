"""A store that takes nothing for a while, over a whole film: it costs time, and nobody's good name."""

import pytest

from ancestra_farm.plan.events import AttemptEnded, CandidateGivenUp
from ancestra_farm.simulate.clock import BEGIN_S
from ancestra_farm.simulate.run import told
from ancestra_farm.simulate.shelves import Shelves
from tests.simulate.films import faults, scenario

SECONDS = {"procedural/stills": 5.0, "procedural/clips": 20.0}


def film(**troubles):
    return told(scenario(seconds=SECONDS, faults=faults(**troubles), seed=3))


def test_a_store_in_trouble_charges_nobody_and_changes_nothing():
    troubled, report = film(store_troubles_per_hour=60.0, store_trouble_s=60.0)
    causes = {event.cause for event in troubled.log if isinstance(event, AttemptEnded)}
    assert "store" in causes
    assert causes <= {"judged", "store", "aborted"}
    assert not [event for event in troubled.log if isinstance(event, CandidateGivenUp)]
    calm, _ = film()
    assert troubled.survivors() == calm.survivors()
    assert troubled.chains() == calm.chains()
    assert report.ended
    assert troubled.ended_at > calm.ended_at


@pytest.mark.parametrize("seed", range(4))
def test_the_store_is_in_trouble_for_about_as_much_time_as_the_profile_says(seed):
    shelves = Shelves(scenario(faults=faults(store_troubles_per_hour=30.0, store_trouble_s=60.0), seed=seed))
    took = [shelves.take(BEGIN_S + second) for second in range(0, 360_000, 7)]
    part = shelves.refused / len(took)
    assert part == pytest.approx(1 / 3, abs=0.03)  # one minute in three: two of peace on average, then one
