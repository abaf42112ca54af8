"""Submissions, picks and closing."""

from dataclasses import replace
from itertools import pairwise

import pytest

from ancestra_farm.plan.events import (
    AttemptEnded,
    BatchSubmitted,
    OrderGiven,
    StitchEnded,
    StitchPlanned,
    SubmissionRepeated,
)
from ancestra_farm.scheduler import folded
from ancestra_farm.scheduler.chains import selected_chains
from ancestra_farm.scheduler.world import Order, OrderRefused, Record, StitchReturned, Submit, TicketEnded
from tests.scheduler.world import CARDS, CLIPS, STILLS, Fate, World, batch_of, finished, submission

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


def test_a_submission_asked_for_again_undoes_nothing_that_others_did_since():
    first = replace(submission(batch_of(f"{{still: {STILLS}}}", shots=1)), order_id="of-the-first")
    world = World()
    world.tell(first)
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=1, seed=8))
    world.tell(Order(OrderGiven("b", "cancel", "bea", world.now)))
    before = list(world.log)
    for scheduler in (world.scheduler, folded(world.log)):
        assert not [one for one in scheduler.handle(first, world.now) if isinstance(one, Record)]
    assert world.log == before
    world.tell(replace(first, order_id="of-another"))
    assert [e.digest for e in world.log if isinstance(e, BatchSubmitted)].count(before[0].digest) == 2
    for other in (replace(first, who="bea"), submission(batch_of(f"{{still: {STILLS}}}"))):
        with pytest.raises(OrderRefused, match="given to another order"):
            world.tell(replace(other, order_id="of-the-first"))


def test_nor_does_one_that_changed_nothing_at_first():
    again = replace(submission(batch_of(f"{{still: {STILLS}}}", shots=1)), order_id="of-the-second")
    world = World()
    world.tell(replace(again, order_id=""))
    world.tell(again)
    world.tell(Order(OrderGiven("b", "cancel", "bea", world.now)))
    assert [type(e) for e in world.log].count(SubmissionRepeated) == 1
    for scheduler in (world.scheduler, folded(world.log)):
        assert not [one for one in scheduler.handle(again, world.now) if isinstance(one, Record)]


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
    stricter = STILLS.replace("wave: 10", "wave: 10, filters: {blur: {threshold: 3}}")
    world.submit(batch_of(f"{{still: {stricter}}}", shots=1))
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


def test_the_very_same_batch_again_in_the_middle_of_the_work_queues_nothing_twice():
    batch = batch_of(f"{{still: {STILLS}}}")
    world = World()
    for _ in range(8):
        world.submit(batch)  # the world checks after each that nothing is both leased and queued
        world.run(2)
    assert world.run()
    assert set(world.attempts.values()) == {1}


def test_a_stitch_of_a_shot_that_a_revision_dropped_comes_back_to_nobody():
    world = World()
    world.submit(batch_of(f"{{still: {STILLS}}}"))
    while not any(isinstance(e, StitchPlanned) and e.shot == "s001" for e in world.log):
        world.run(1)
    planned = next(e for e in world.log if isinstance(e, StitchPlanned) and e.shot == "s001")
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=1))
    world.tell(StitchReturned(StitchEnded("b", "s001", planned.stitch_id, planned.version, True, 1, world.now)))
    assert world.run()
    assert [shot.state for shot in world.scheduler.progress()] == ["done"]


def test_what_a_ticket_cost_that_a_revision_took_back_is_on_record():
    world = World(cpus=1)
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=1))
    world.run(1)
    ((host, (ticket, *_)),) = world.hosts.items()
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=1, seed=8))
    late = tuple(Fate().attempt(ticket, p, host, world.now, 1, 1) for p in ticket.positions)
    world.tell(TicketEnded(host, ticket.ticket, late))
    assert world.scheduler.state.batches["b"].device_s == pytest.approx(0.1 * len(late))
    assert not [e for e in world.log if isinstance(e, AttemptEnded) and e.cause == "judged"]
    assert folded(world.log).state.batches["b"].device_s == pytest.approx(0.1 * len(late))


def test_nothing_is_picked_from_a_stage_that_has_not_begun():
    keys = "{role: first_last_frame, model: test/clips, from: still, candidates: 6, join: keyframes}"
    world = World()
    world.submit(batch_of(f"{{still: {WAITING}, animate: {keys}}}", shots=1, frames=60))
    world.run()
    for order in ("pick", "close"):
        with pytest.raises(OrderRefused, match="animate has nothing to pick from yet: still has no result"):
            world.order(order, "s000", "animate", "x")


def test_what_descends_from_a_stage_that_is_made_anew_is_superseded_at_once():
    class Worse(Fate):
        """From some time on no clip passes."""

        now = False

        def attempt(self, ticket, *args):
            attempt = super().attempt(ticket, *args)
            fails = self.now and ticket.space.stage == "animate"
            return replace(attempt, passed=False, media=None) if fails else attempt

    extend = "{role: extend, model: test/clips, from: animate, candidates: 40}"
    fate = Worse(passing=0.9)
    world = World(cpus=1, fate=fate)
    world.submit(batch_of(f"{{still: {STILLS}, animate: {CLIPS}, more: {extend}}}", shots=1))
    stages = world.scheduler.state.batches["b"].shots["s000"].stages
    while not stages["more"].branches:
        world.run(1)
    fate.now = True
    used = {parent for (parent,) in world.scheduler.state.batches["b"].branches["s000/animate/0"].opened.inputs}
    fresh = next(c for c in world.survivors()["s000", "still"] if c not in used)
    world.order("pick", "s000", "still", fresh)
    world.order("close", "s000", "still")
    assert {branch.closed.why for branch in stages["more"].branches.values()} == {"superseded"}
    assert world.run()
    (shot,) = world.scheduler.progress()
    assert [stage.state for stage in shot.stages] == ["done", "starved", "starved"]
    assert shot.state == "starved"


def test_picked_segments_are_filled_up_only_from_the_same_keys():
    keys = "{role: first_last_frame, model: test/clips, from: still, best: 2, candidates: 6, join: keyframes}"
    world = finished(batch_of(f"{{still: {STILLS}, animate: {keys}}}", shots=1, frames=60), fate=Fate(passing=0.7))
    stage = world.scheduler.state.batches["b"].shots["s000"].stages["animate"]
    first = next(stage.segment(0))
    assert len(first.opened.inputs) == 2
    for candidate in first.survivor_ids():
        stage.picks = {candidate: {"bea"}}
        for chain in selected_chains(stage):
            assert chain[0] == candidate
            assert chain in stage.closed.chains or _keys_meet(stage, chain)


def _keys_meet(stage, chain):
    keys = []
    for branch, candidate in zip(stage.branches.values(), chain, strict=True):
        (position,) = (p for p in branch.survivors if branch.results["full"][p].candidate_id == candidate)
        keys.append(branch.opened.inputs[position % len(branch.opened.inputs)])
    return all(left[-1] == right[0] for left, right in pairwise(keys))


def test_a_pick_whose_stitch_failed_is_forgiven_when_another_is_picked():
    def fate(stitch):
        job = stitch.job
        if job.version == "v001":
            return StitchEnded(job.batch, job.shot, job.stitch_id, job.version, False, 0, 0.0, message="disk full")
        return None

    world = World(stitch_fate=fate)
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=1))
    world.run()
    first, second = (chain[0] for chain in world.results()["s000", "still"][:2])
    world.order("pick", "s000", "still", first)
    world.order("close", "s000", "still")
    world.run()
    assert world.scheduler.progress()[0].state == "failed"
    world.order("unpick", "s000", "still", first)
    world.order("pick", "s000", "still", second)
    world.order("close", "s000", "still")
    world.run()
    assert world.scheduler.progress()[0].state == "done"


def test_other_weights_under_the_same_name_are_made_by_other_hosts():
    world = World(cpus=1)
    batch = batch_of(f"{{still: {STILLS}}}", shots=1)
    world.submit(batch)
    world.run(1)
    (old,) = world.hosts
    card = CARDS["test/stills"].model_copy(update={"revision": "2"})
    request = submission(batch)
    world.tell(replace(request, cards={**request.cards, "test/stills": card.model_dump_json(by_alias=True)}))
    assert world.run()
    fresh = {t.space.model_digest for t in world.dispatched} - {world.dispatched[0].space.model_digest}
    assert len(fresh) == 1
    by = {e.host for e in world.log if isinstance(e, AttemptEnded) and e.cause == "judged" and e.host != old}
    made = {t.ticket for t in world.dispatched if t.space.model_digest in fresh}
    assert by
    assert all(e.host != old for e in world.log if isinstance(e, AttemptEnded) and e.ticket in made)


def test_explain_says_what_people_still_have_to_do():
    world = waiting_world()
    assert "pick some and close it" in world.scheduler.explain("b", "s000")[0]
    stills = world.survivors()["s000", "still"]
    world.order("pick", "s000", "still", stills[0])
    assert "1 picked so far; close it" in world.scheduler.explain("b", "s000")[0]
    world.order("close", "s000", "still")
    world.run()
    assert "closed by bea" in world.scheduler.explain("b", "s000")[0]
    assert "Picks have changed" not in world.scheduler.explain("b", "s000")[0]
    world.order("pick", "s000", "still", stills[1])
    assert "Picks have changed since; close it again" in world.scheduler.explain("b", "s000")[0]
    for still in stills[:2]:
        world.order("unpick", "s000", "still", still)
    assert "All picks have been taken back since" in world.scheduler.explain("b", "s000")[0]
