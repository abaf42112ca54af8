"""What place in line may be asked for by whoever may not change priorities."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.batch.schema import Batch, Priority
from ancestra_farm.plan.events import OrderGiven
from ancestra_farm.plan.plan import Plan
from ancestra_farm.scheduler.precedence import beyond_ceiling, ceiling, weights_raised
from ancestra_farm.scheduler.share import RANKS
from ancestra_farm.scheduler.world import Order
from tests.scheduler.test_settings import farm_given, show_document, show_given
from tests.scheduler.world import CARDS, STILLS, World, batch_of

CLASSES = st.sampled_from(get_args(Priority))
WEIGHTS = st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0, 1000.0])


def asked(priority: Priority = "shot", weight: float = 1.0, **fields: Any) -> Batch:
    return batch_of(f"{{still: {STILLS}}}", shots=1, priority=priority, weight=weight, **fields)


def refused(world: World, batch: Batch) -> list[str]:
    return beyond_ceiling(Plan.of(batch, CARDS), world.scheduler.state)


def ordered(world: World, **what: Any) -> None:
    world.tell(Order(OrderGiven("b", "priority", "wendy", world.now, **what)))


def test_a_batch_goes_no_further_up_than_a_file_that_says_nothing_unless_settings_let_it():
    world = World()
    assert refused(world, asked()) == []
    assert refused(world, asked("backfill", 0.5)) == []
    assert refused(world, asked("dailies", 1.5)) == [
        "class dailies, where batches of s are of class shot at most",
        "weight 1.5, where batches of s weigh 1 at most",
    ]


def test_the_farm_sets_the_ceiling_and_a_show_may_have_one_of_its_own():
    world = World()
    world.tell(farm_given(submitting={"max_class": "backfill", "max_weight": 2.0}))
    assert ceiling(world.scheduler.state.settings, "s") == ("backfill", 2.0)
    assert len(refused(world, asked("shot", 2.5))) == 2
    caps = {"s": {"max_class": "dailies"}, "t": {"max_weight": 1000}}
    world.tell(farm_given(submitting={"max_class": "backfill", "max_weight": 2.0}, show_caps=caps))
    assert ceiling(world.scheduler.state.settings, "s") == ("dailies", 2.0)
    assert ceiling(world.scheduler.state.settings, "t") == ("backfill", 1000.0)
    assert refused(world, asked("dailies", 2.0)) == []


def test_a_revision_goes_no_further_up_than_its_batch_was_put():
    world = World()
    world.submit(asked())
    assert refused(world, asked("dailies"))
    ordered(world, priority="dailies", weight=3.0)
    assert refused(world, asked(seed=8)) == [], "what was ordered stands"
    assert refused(world, asked("dailies", 3.0)) == []
    assert refused(world, asked("dailies", 4.0))
    ordered(world, priority="backfill")
    assert refused(world, asked("dailies")), "and so does that it was taken back"


def test_what_somebody_entitled_handed_in_is_revised_as_it_stands_and_once_lowered_it_stays_low():
    world = World()
    world.submit(asked("dailies", 5.0))
    assert refused(world, asked("dailies", 5.0, seed=8)) == []
    world.submit(asked("backfill", 1.0))
    assert refused(world, asked("dailies", 5.0)) == [
        "class dailies, where batches of s are of class shot at most",
        "weight 5, where batches of s weigh 1 at most",
    ]


def test_a_weight_that_was_given_low_in_line_is_not_carried_up():
    world = World()
    world.submit(asked("backfill"))
    ordered(world, weight=50.0)
    assert refused(world, asked("backfill", seed=8)) == []
    assert refused(world, asked("shot")) == ["weight 50, where batches of s weigh 1 at most"]


@given(st.lists(st.tuples(CLASSES, WEIGHTS, st.booleans()), max_size=6), CLASSES, WEIGHTS)
def test_whatever_was_handed_in_and_ordered_nobody_gets_further_up_than_the_ceiling_or_the_last_grant(
    history: list[tuple[Priority, float, bool]], most_class: Priority, most_weight: float
):
    """``history``: class, weight, and whether somebody entitled says so; others only hand in, as far as they may."""
    world = World()
    world.tell(farm_given(submitting={"max_class": most_class, "max_weight": most_weight}))
    granted_rank, granted_weight = RANKS[most_class], most_weight
    for number, (priority, weight, entitled) in enumerate(history):
        batch = asked(priority, weight, seed=number)
        if not entitled and refused(world, batch):
            continue
        world.submit(batch)
        standing = world.scheduler.state.batches["b"]
        if entitled:
            granted_rank = min(granted_rank, RANKS[standing.priority])
            granted_weight = max(granted_weight, standing.weight)
        assert RANKS[standing.priority] >= granted_rank
        assert standing.weight <= granted_weight


def test_a_show_is_made_no_heavier_by_its_own_people():
    world = World()
    settings = world.scheduler.state.settings
    assert weights_raised("s", show_document(weights={"shot": 1.0, "backfill": 0.1}), settings) == []
    assert weights_raised("s", show_document(weights={"shot": 1.5}), settings) == [
        "1.5 in class shot, where it weighs 1"
    ]
    world.tell(show_given(weights={"shot": 8.0, "dailies": 0.5}))
    assert weights_raised("s", show_document(weights={"shot": 8.0, "dailies": 1.0}), settings) == []
    assert weights_raised("s", show_document(weights={"shot": 9.0, "dailies": 2.0}), settings) == [
        "2 in class dailies, where it weighs 0.5",
        "9 in class shot, where it weighs 8",
    ]


@pytest.mark.parametrize("document", ["{", "[]", "[" * 100_000, json.dumps({"schema": "ancestra/show/v1"})])
def test_what_is_no_settings_raises_nothing_here(document: str):
    assert weights_raised("s", document, World().scheduler.state.settings) == []
