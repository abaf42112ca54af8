"""Telling a history again: the same facts lead to the same decisions. What is told after damage is in tests/ledger."""

import pytest

from ancestra_farm.plan.events import AttemptEnded, BatchSubmitted, StageClosed, WaveClosed
from ancestra_farm.scheduler import Scheduler
from ancestra_farm.scheduler.retell import DECISIONS, retell
from tests.scheduler.world import CLIPS, STILLS, Fate, World, batch_of, finished, number_of

DRAFTS = "{role: text_to_image, model: test/stills, candidates: 40, wave: 10, keep: 6, draft: {promote: 0.5}}"


def trouble(candidate_id: str, attempt: int) -> str | None:
    fate = number_of(candidate_id, "trouble")
    return "exception" if fate < 0.05 or (fate < 0.15 and attempt == 1) else None


def told(world: World, cut: int) -> World:
    """The world as a farm has it that was told everything after ``cut`` again."""
    retold = retell(world.log[:cut], world.log[cut:], 2000.0)
    assert retold.lost == []
    return World(seed=9, fate=world.fate, check=True, log=[*world.log[:cut], *retold.events])


@pytest.mark.parametrize("still", [STILLS, DRAFTS], ids=["plain", "drafts"])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_a_whole_history_told_again_comes_to_the_same_and_leaves_nothing_to_do(still: str, share: float):
    world = finished(batch_of(f"{{still: {still}, animate: {CLIPS}}}"), seed=3, fate=Fate(trouble=trouble))
    again = told(world, round(len(world.log) * share))
    again.run()
    assert again.dispatched == []
    assert again.results() == world.results()
    assert again.survivors() == world.survivors()


def test_people_s_orders_are_told_again_in_their_place():
    world = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1), seed=3)
    clip = world.survivors()["s000", "animate"][1]
    world.order("pick", "s000", "animate", clip)
    world.order("close", "s000", "animate")
    world.run()
    again = told(world, 1)
    assert again.results() == world.results()
    closed = [event for event in again.log if isinstance(event, StageClosed) and event.by]
    assert [(event.by, event.selected) for event in closed] == [("bea", ((clip,),))]


def test_facts_that_come_before_their_release_wait_for_it():
    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1), seed=3)
    submission = [event for event in world.log if isinstance(event, BatchSubmitted)]
    facts = [event for event in world.log if isinstance(event, AttemptEnded)]
    retold = retell([], [*submission, *reversed(facts)], 2000.0)
    assert retold.lost == []
    scheduler = Scheduler()
    for event in retold.events:
        scheduler.apply(event)
    kept = [c for b in scheduler.state.batches["b"].branches.values() for c in b.survivor_ids()]
    assert kept == world.survivors()["s000", "still"]


def test_facts_of_what_nobody_submitted_are_given_back():
    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1), seed=3)
    facts = [event for event in world.log if isinstance(event, AttemptEnded)]
    retold = retell([], facts, 2000.0)
    assert retold.events == []
    assert [event for event, _ in retold.lost] == facts
    assert not any(isinstance(event, DECISIONS) for event, _ in retold.lost)
    assert any(isinstance(event, WaveClosed) for event in world.log)
