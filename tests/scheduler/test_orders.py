"""Submissions, picks and closing."""

import pytest

from ancestra_farm.plan.events import BatchSubmitted, StitchPlanned
from ancestra_farm.scheduler.world import OrderRefused, Submit
from tests.scheduler.world import CLIPS, STILLS, Fate, World, batch_of, finished, submission

WAITING = STILLS.replace("wave: 10", "wave: 10, select: close")


def waiting_world():
    world = World()
    world.submit(batch_of(f"{{still: {WAITING}, animate: {CLIPS}}}", shots=1))
    done = world.run()
    assert done.waiting_for_people == (("b", "s000", "still"),)
    return world


def test_a_stage_that_waits_goes_on_with_what_people_picked():
    world = waiting_world()
    stills = world.survivors()["s000", "still"]
    picked = [stills[4], stills[1]]
    for candidate in picked:
        world.order("pick", "s000", "still", candidate)
    world.order("close", "s000", "still")
    assert world.run()
    root = world.scheduler.state.batches["b"].branches["s000/animate/0"]
    assert {parents[0] for parents in root.opened.inputs} == set(picked)
    assert world.scheduler.progress()[0].state == "done"


def test_a_candidate_that_more_people_picked_comes_first():
    world = waiting_world()
    stills = world.survivors()["s000", "still"]
    world.order("pick", "s000", "still", stills[0])
    for who in ("bea", "cem"):
        world.order("pick", "s000", "still", stills[5], who=who)
    world.order("close", "s000", "still")
    stage = world.scheduler.state.batches["b"].shots["s000"].stages["still"]
    assert stage.closed.selected == ((stills[5],), (stills[0],))
    assert stage.closed.by == "bea"


def test_only_picked_shots_get_a_version_number():
    world = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1))
    planned = [e for e in world.log if isinstance(e, StitchPlanned)]
    assert [p.version[:5] for p in planned] == ["auto-"]
    clip = world.results()["s000", "animate"][1][0]
    world.order("pick", "s000", "animate", clip)
    world.order("close", "s000", "animate")
    world.run()
    planned = [e for e in world.log if isinstance(e, StitchPlanned)]
    assert (planned[-1].version, planned[-1].chain, planned[-1].picked) == ("v001", (clip,), True)


def test_later_picks_open_a_new_round_and_the_next_version():
    world = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1))
    first, second = (chain[0] for chain in world.results()["s000", "animate"][:2])
    world.order("pick", "s000", "animate", first)
    world.order("close", "s000", "animate")
    world.run()
    world.order("unpick", "s000", "animate", first)
    world.order("pick", "s000", "animate", second)
    world.order("close", "s000", "animate")
    world.run()
    assert [p.version for p in world.log if isinstance(p, StitchPlanned) and p.picked] == ["v001", "v002"]


def test_new_picks_of_stills_supersede_the_clips_of_the_old_ones_and_reuse_those_that_stay():
    world = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1))
    before = dict(world.attempts)
    kept = world.results()["s000", "still"][0][0]
    fresh = world.results()["s000", "still"][6][0]
    for candidate in (kept, fresh):
        world.order("pick", "s000", "still", candidate)
    world.order("close", "s000", "still")
    world.run()
    stage = world.scheduler.state.batches["b"].shots["s000"].stages["animate"]
    assert stage.generation == 2
    assert stage.counts.reused == 4  # the four clips of the still that stayed
    assert all(count == 1 for count in world.attempts.values())
    assert len(world.attempts) == len(before) + 4
    assert world.scheduler.progress()[0].state == "done"


@pytest.mark.parametrize(
    ("order", "shot", "stage", "candidate", "who", "says"),
    [
        ("pick", "s000", "still", "nobody", "bea", "not a survivor"),
        ("pick", "s009", "still", "x", "bea", "no shot 's009'; it has: s000"),
        ("pick", "s000", "stil", "x", "bea", "no stage 'stil'; it has: animate, still"),
        ("unpick", "s000", "still", "x", "bea", "has not picked"),
        ("close", "s000", "still", "", "bea", "nothing stands picked"),
        ("close", "s000", "still", "", "  ", "needs the name"),
    ],
)
def test_an_order_that_cannot_be_taken_says_why_and_leaves_no_trace(order, shot, stage, candidate, who, says):
    world = waiting_world()
    before = list(world.log)
    with pytest.raises(OrderRefused, match=says):
        world.order(order, shot, stage, candidate, who)
    assert world.log == before


def test_the_same_pick_twice_and_the_same_closing_twice_are_refused():
    world = waiting_world()
    candidate = world.survivors()["s000", "still"][0]
    world.order("pick", "s000", "still", candidate)
    with pytest.raises(OrderRefused, match="has picked"):
        world.order("pick", "s000", "still", candidate)
    world.order("close", "s000", "still")
    with pytest.raises(OrderRefused, match="these very picks"):
        world.order("close", "s000", "still")


def test_picks_and_versions_survive_a_restart():
    world = waiting_world()
    candidate = world.survivors()["s000", "still"][2]
    world.order("pick", "s000", "still", candidate)
    world.start()
    world.run()
    world.order("close", "s000", "still")
    assert world.run()
    assert world.scheduler.state.batches["b"].branches["s000/animate/0"].opened.inputs == ((candidate,),)


def test_the_very_same_batch_again_changes_nothing():
    batch = batch_of(f"{{still: {STILLS}}}")
    world = finished(batch)
    before = list(world.log)
    world.submit(batch)
    world.run()
    assert world.log == before
    assert world.done is not None


def test_an_edited_batch_reuses_every_unchanged_candidate():
    world = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}"))
    tries = dict(world.attempts)
    edited = batch_of(f"{{still: {STILLS.replace('40', '60')}, animate: {CLIPS}}}", shots=3)
    world.submit(edited)
    assert world.run()
    assert {c: world.attempts[c] for c in tries} == tries
    assert all(count == 1 for count in world.attempts.values())
    fresh = finished(edited)
    assert world.survivors() == fresh.survivors()
    assert len([e for e in world.log if isinstance(e, BatchSubmitted)]) == 2


def test_another_setting_of_a_filter_judges_anew():
    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1))
    world.submit(
        batch_of("{still: %s}" % STILLS.replace("wave: 10", "wave: 10, filters: {blur: {threshold: 3}}"), shots=1)
    )
    assert world.run()
    assert set(world.attempts.values()) == {2}


def test_a_revision_in_the_middle_of_the_work_takes_back_what_is_not_wanted_any_more():
    world = World(seed=3)
    world.submit(batch_of(f"{{still: {STILLS}}}"))
    world.run(5)
    world.submit(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", seed=8))
    assert world.run()
    fresh = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", seed=8))
    assert world.survivors() == fresh.survivors()


def test_what_is_no_batch_is_refused():
    world = World()
    with pytest.raises(OrderRefused):
        world.tell(Submit("{}", {}, "ann"))
    request = submission(batch_of(f"{{still: {STILLS}}}"))
    with pytest.raises(OrderRefused):
        world.tell(Submit(request.document, {}, "ann"))
    assert world.log == []


def test_a_batch_without_anything_that_passes_ends_starved():
    world = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1), fate=Fate(passing=0.0))
    (shot,) = world.scheduler.progress()
    assert shot.state == "starved"
    assert any(
        "cannot begin: still ended without a survivor" in sentence for sentence in world.scheduler.explain("b", "s000")
    )
