"""Orders that stand: pausing, cancelling, class and weight; and orders that come twice."""

import pytest

from ancestra_farm.plan.events import BranchClosed, OrderGiven, StageClosed, StitchEnded, StitchPlanned
from ancestra_farm.scheduler.ordered import ORDER_IDS
from ancestra_farm.scheduler.world import Order, OrderRefused, StitchReturned
from tests.scheduler.world import CLIPS, STILLS, World, batch_of, finished, submission

WAITING = STILLS.replace("wave: 10", "wave: 10, select: close")


def give(world, order, shot="", **fields):
    """An order of bea's about the batch, or about one shot of it."""
    world.tell(Order(OrderGiven("b", order, fields.pop("who", "bea"), world.now, shot=shot, **fields)))


def begun(steps=6, **fields):
    """A world in the middle of its work."""
    world = World(**fields)
    world.submit(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}"))
    world.run(steps)
    return world


def batch(world):
    return world.scheduler.state.batches["b"]


@pytest.mark.parametrize("shot", ["", "s000"])
def test_what_was_paused_comes_to_the_same_survivors_once_it_goes_on(shot):
    world = begun()
    give(world, "pause", shot)
    done = world.run()
    assert done is not None
    assert [sentence.split(" since")[0] for sentence in done.stuck] == [
        f"{'s000 of b' if shot else 'b'} is paused by bea"
    ]
    states = [one.state for one in world.scheduler.progress()]
    assert states == (["paused", "done"] if shot else ["paused", "paused"])
    give(world, "unpause", shot)
    assert world.run().stuck == ()
    assert world.survivors() == finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}")).survivors()


def test_nothing_of_a_paused_batch_is_handed_out():
    world = begun()
    give(world, "pause")
    before = len(world.dispatched)
    world.run()
    assert len(world.dispatched) == before


def test_a_pause_survives_a_restart_and_a_revision():
    world = begun()
    give(world, "pause", "s001", note="wrong lens")
    world.start()
    world.submit(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=3))
    done = world.run()
    assert [sentence for sentence in done.stuck if "(wrong lens)" in sentence]
    assert [one.state for one in world.scheduler.progress()] == ["done", "paused", "done"]


def test_a_paused_shot_is_not_stitched():
    world = World()
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=1))
    while not any(isinstance(event, StageClosed) for event in world.log):
        give(world, "pause", "s000")
        give(world, "unpause", "s000")
        world.run(1)
    world = World(log=[e for e in world.log if not isinstance(e, StitchPlanned | StitchEnded)], epoch=1)
    give(world, "pause", "s000")
    world.start()
    assert world.run().stuck
    assert not [event for event in world.log if isinstance(event, StitchEnded)]
    give(world, "unpause", "s000")
    world.run()
    assert [event.ok for event in world.log if isinstance(event, StitchEnded)] == [True]


def test_a_cancelled_shot_ends_at_once_and_delivers_nothing_more():
    world = begun(20)
    give(world, "cancel", "s000", note="cut from the film")
    shot = batch(world).shots["s000"]
    assert {branch.closed.why for stage in shot.stages.values() for branch in stage.branches.values()} <= {
        "cancelled",
        "tried_all",
    }
    assert world.run().stuck == ()
    assert [one.state for one in world.scheduler.progress()] == ["cancelled", "done"]
    assert not [event for event in world.log if isinstance(event, StitchPlanned) and event.shot == "s000"]
    (said, *_) = world.scheduler.explain("b", "s000")
    assert "cancelled by bea at" in said
    assert "cut from the film" in said


def test_a_cancelled_batch_is_taken_up_by_submitting_it_again():
    world = begun(20)
    give(world, "cancel")
    assert world.run()
    assert {one.state for one in world.scheduler.progress()} == {"cancelled"}
    judged = dict(world.attempts)
    request = submission(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}"))
    world.tell(request)
    assert world.run()
    assert world.survivors() == finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}")).survivors()
    tries = sum(world.attempts.values())
    assert tries - len(world.attempts) <= sum(judged.values()) - len(judged) + 60  # the open tickets alone
    before = list(world.log)
    world.tell(request)
    assert world.log == before


def test_a_cancelled_batch_keeps_what_is_done():
    world = begun(100_000)
    with pytest.raises(OrderRefused, match="nothing of b is left to cancel: everything is done"):
        give(world, "cancel")
    with pytest.raises(OrderRefused, match="nothing of s000 of b is left"):
        give(world, "cancel", "s000")
    world = World()
    world.submit(batch_of(f"{{still: {WAITING}, animate: {CLIPS}}}", shots=1))
    world.run()
    give(world, "cancel")
    assert [event.why for event in world.log if isinstance(event, StageClosed)] == ["cancelled"]
    assert [event.why for event in world.log if isinstance(event, BranchClosed)] == ["tried_all"]


def test_a_stitch_that_was_running_when_its_shot_was_cancelled_is_on_record():
    world = World()
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=1))
    while not any(isinstance(event, StitchPlanned) for event in world.log):
        world.run(1)
    planned = next(event for event in world.log if isinstance(event, StitchPlanned))
    give(world, "cancel")
    world.tell(StitchReturned(StitchEnded("b", "s000", planned.stitch_id, planned.version, True, 36, world.now)))
    world.run()
    (shot,) = world.scheduler.progress()
    assert (shot.state, shot.versions) == ("cancelled", (planned.version,))


def test_a_batch_is_ranked_by_order_until_its_file_says_otherwise():
    world = begun()
    give(world, "priority", priority="dailies")
    give(world, "priority", weight=3.0)
    assert (batch(world).priority, batch(world).weight) == ("dailies", 3.0)
    world.submit(batch_of(f"{{still: {STILLS}}}", weight=2.0))
    assert (batch(world).priority, batch(world).weight) == ("dailies", 2.0)
    world.submit(batch_of(f"{{still: {STILLS}}}", weight=2.0, priority="backfill"))
    assert (batch(world).priority, batch(world).weight) == ("backfill", 2.0)
    world.start()
    assert (batch(world).priority, batch(world).weight) == ("backfill", 2.0)


@pytest.mark.parametrize(
    ("first", "order", "fields", "says"),
    [
        ((), "pause", {"shot": "s009"}, "has no shot 's009'; it has: s000, s001"),
        (("pause", ""), "pause", {}, "b is paused already, by bea"),
        (("pause", "s000"), "pause", {"shot": "s000"}, "s000 of b is paused already, by bea"),
        ((), "unpause", {}, "b is not paused"),
        (("pause", "s000"), "unpause", {}, "b is not paused as a whole; paused in it: s000"),
        (("pause", ""), "unpause", {"shot": "s000"}, "paused with its whole batch, by bea; unpause b"),
        (("cancel", "s000"), "cancel", {"shot": "s000"}, "s000 was cancelled already, by bea"),
        (("cancel", ""), "cancel", {}, "nothing of b is left to cancel.*cancelled already, by bea"),
        (("cancel", "s000"), "pause", {"shot": "s000"}, "s000 was cancelled already, by bea"),
        (("cancel", ""), "close", {"shot": "s000", "stage": "still"}, "s000 was cancelled by bea and delivers nothing"),
        ((), "priority", {"priority": "urgent"}, "no class 'urgent'; there are: dailies, shot, backfill"),
        ((), "priority", {"priority": "shot"}, "b is of class shot with weight 1 already"),
        ((), "priority", {"weight": 0.0}, "above 0 and at most 1000, not 0"),
        ((), "priority", {"weight": float("nan")}, "above 0 and at most 1000, not nan"),
        ((), "priority", {}, "say which class"),
        ((), "priority", {"shot": "s000", "priority": "shot"}, "the class is that of the batch"),
        ((), "pause", {"who": " "}, "needs the name"),
    ],
)
def test_an_order_that_cannot_be_taken_says_why_and_leaves_no_trace(first, order, fields, says):
    world = begun()
    if first:
        give(world, *first)
    before = list(world.log)
    with pytest.raises(OrderRefused, match=says):
        give(world, order, **fields)
    assert world.log == before


def test_an_order_of_an_unknown_batch_names_those_there_are():
    world = begun()
    with pytest.raises(OrderRefused, match="no batch 'c' here; there are: b"):
        world.tell(Order(OrderGiven("c", "pause", "bea", world.now)))


def test_an_order_that_comes_twice_under_one_id_is_taken_once():
    world = begun()
    give(world, "pause", order_id="7f")
    give(world, "unpause")
    before = list(world.log)
    give(world, "pause", order_id="7f")  # its answer was lost
    assert [event for event in world.log[len(before) :] if isinstance(event, OrderGiven)] == []
    assert not batch(world).paused
    world.start()
    give(world, "pause", order_id="7f")
    assert not batch(world).paused
    with pytest.raises(OrderRefused, match="the id 7f was given to another order before"):
        give(world, "pause", "s000", order_id="7f")


def test_the_ids_of_old_orders_are_forgotten():
    world = begun()
    world.check = False
    state = world.scheduler.state
    for number in range(ORDER_IDS):
        state.orders[f"old-{number}"] = ""
    give(world, "pause", order_id="new")
    assert len(state.orders) == ORDER_IDS
    assert "new" in state.orders
    assert "old-0" not in state.orders
