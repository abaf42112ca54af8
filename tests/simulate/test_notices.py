"""Preemptions with notice, over a whole film: what is lost is time, never a candidate's good name."""

import pytest

from ancestra_farm.plan.events import AttemptEnded, CandidateGivenUp
from ancestra_farm.plan.farm_events import NodeNoticed
from ancestra_farm.simulate.run import told
from tests.simulate.films import faults, scenario

SECONDS = {"procedural/stills": 5.0, "procedural/clips": 20.0}


def farm(**weather):
    return told(
        scenario(seconds=SECONDS, hosts=6, per_node=1, faults=faults(away_s=20.0, **weather), check="every", seed=5)
    )


@pytest.mark.parametrize("notice_s", [8.0, 30.0, 120.0])
def test_preempted_nodes_charge_nobody_and_change_nothing(notice_s):
    stormy, report = farm(preemptions_per_hour=30.0, notice_s=notice_s)
    assert stormy.weather.node_losses > 3
    assert [event for event in stormy.log if isinstance(event, NodeNoticed)]
    assert {event.cause for event in stormy.log if isinstance(event, AttemptEnded)} <= {"judged", "aborted"}
    assert not [event for event in stormy.log if isinstance(event, CandidateGivenUp)]
    calm, _ = farm()
    assert stormy.survivors() == calm.survivors()
    assert stormy.chains() == calm.chains()
    assert report.ended


def test_notice_that_is_long_enough_for_what_runs_wastes_nothing_that_ran():
    _, warned = farm(preemptions_per_hour=30.0, notice_s=60.0)
    _, surprised = farm(node_losses_per_hour=30.0)
    assert warned.retries.get("host_lost", 0) == 0
    assert surprised.retries.get("host_lost", 0) > 0
