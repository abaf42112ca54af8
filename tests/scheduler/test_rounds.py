"""Picks over rounds and revisions: which versions they come to, and when a closing by people stands."""

import pytest

from ancestra_farm.plan.events import OrderGiven, StageClosed, StitchPlanned
from ancestra_farm.scheduler.world import Order, OrderRefused
from tests.scheduler.world import CLIPS, STILLS, World, batch_of, finished

WAITING = STILLS.replace("wave: 10", "wave: 10, select: close")
EARLY = f"{{still: {WAITING.replace('40', '400')}, animate: {CLIPS}}}"


def pick_only(world, *clips, stage="animate"):
    """Let these be all that stand picked, and close the stage."""
    standing = world.scheduler.state.batches["b"].shots["s000"].stages[stage].picks
    for candidate in set(standing) - set(clips):
        world.order("unpick", "s000", stage, candidate)
    for candidate in clips:
        if candidate not in standing:
            world.order("pick", "s000", stage, candidate)
    world.order("close", "s000", stage)
    world.run()


def versions(world):
    """(version, last clip) of every chain that people picked, in the order of their numbers."""
    return [(e.version, e.chain[-1]) for e in world.log if isinstance(e, StitchPlanned) and e.picked]


def two_clips():
    world = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1))
    first, second = (chain[0] for chain in world.results()["s000", "animate"][:2])
    return world, first, second


def test_a_chain_that_was_unpicked_and_is_picked_again_becomes_the_newest_version():
    world, first, second = two_clips()
    pick_only(world, first)
    pick_only(world, second)
    pick_only(world, first)
    assert versions(world) == [("v001", first), ("v002", second), ("v003", first)]
    assert world.scheduler.progress()[0].state == "done"
    world.start()
    world.run()
    assert len(versions(world)) == 3


def test_a_chain_that_stays_picked_keeps_its_version():
    world, first, second = two_clips()
    pick_only(world, first)
    pick_only(world, first, second)
    assert versions(world) == [("v001", first), ("v002", second)]
    pick_only(world, first)
    assert versions(world) == [("v001", first), ("v002", second)]


def test_a_pick_taken_back_and_given_again_before_closing_changes_nothing():
    world, first, _ = two_clips()
    pick_only(world, first)
    world.order("unpick", "s000", "animate", first)
    world.order("pick", "s000", "animate", first)
    with pytest.raises(OrderRefused, match="these very picks"):
        world.order("close", "s000", "animate")
    assert versions(world) == [("v001", first)]


def test_the_stitch_of_a_chain_that_is_not_picked_any_more_is_not_begun():
    world, first, second = two_clips()
    world.tell(Order(OrderGiven("b", "pause", "cem", world.now)))  # so that v001 waits
    pick_only(world, first)
    pick_only(world, second)
    world.tell(Order(OrderGiven("b", "unpause", "cem", world.now)))
    world.run()
    assert versions(world) == [("v001", first), ("v002", second)]
    (shot,) = world.scheduler.progress()
    assert (shot.state, shot.versions[-1]) == ("done", "v002")
    assert "v001" not in shot.versions


def close_early():
    """A world where people closed the stage of stills before everything was made."""
    world = World()
    world.submit(batch_of(EARLY, shots=1))
    while len(world.survivors()["s000", "still"]) < 6:
        world.run(1)
    pick_only(world, world.survivors()["s000", "still"][1], stage="still")
    world.run()
    assert world.scheduler.progress()[0].state == "done"
    return world


def test_a_revision_keeps_what_people_closed_where_nothing_about_it_changed():
    world = close_early()
    tried, clips = dict(world.attempts), world.survivors()["s000", "animate"]
    world.submit(batch_of(EARLY, shots=2))
    assert world.run().waiting_for_people == (("b", "s001", "still"),)
    stage = world.scheduler.state.batches["b"].shots["s000"].stages["still"]
    assert (stage.closed.by, len(stage.closed.selected)) == ("bea", 1)
    assert world.survivors()["s000", "animate"] == clips
    again = [c for c, count in world.attempts.items() if c in tried and count != tried[c]]
    assert not again
    made = [c for c in world.attempts if c not in tried]
    mine = {r.candidate_id for b in stage.branches.values() for r in b.results["full"].values()}
    assert len(mine.intersection(made)) <= 40  # at most the wave ahead, not the 400 that nobody wanted


def test_a_revision_that_changes_the_stage_asks_people_again():
    world = close_early()
    world.submit(batch_of(f"{{still: {WAITING.replace('40', '60')}, animate: {CLIPS}}}", shots=1))
    assert world.run().waiting_for_people == (("b", "s000", "still"),)
    stage = world.scheduler.state.batches["b"].shots["s000"].stages["still"]
    assert stage.picks  # which stand, for whoever closes it


def test_a_closed_delivery_keeps_its_version_through_a_revision():
    world, first, _ = two_clips()
    pick_only(world, first)
    world.submit(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=2))
    assert world.run()
    closed = [e for e in world.log if isinstance(e, StageClosed) and e.shot == "s000" and e.stage == "animate"]
    assert (closed[-1].by, closed[-1].selected) == ("bea", ((first,),))
    assert versions(world) == [("v001", first)]


def test_a_human_closing_survives_a_cancellation_and_its_end():
    world, first, _ = two_clips()
    pick_only(world, first)
    for order, fields in (("more", {"candidates": 4, "stage": "animate"}), ("cancel", {}), ("retry", {})):
        world.tell(Order(OrderGiven("b", order, "bea", world.now, "s000", **fields)))
        world.run(0 if order == "more" else 1_000)
    assert world.run()
    stage = world.scheduler.state.batches["b"].shots["s000"].stages["animate"]
    assert stage.closed.selected == ((first,),)
    assert versions(world) == [("v001", first)]
    assert len([r for b in stage.branches.values() for r in b.results["full"].values()]) == 3 * 8
