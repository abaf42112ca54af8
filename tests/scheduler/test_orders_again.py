"""More candidates, candidates tried again, rejects restored."""

import pytest

from ancestra_farm.ledger.tables import Projection
from ancestra_farm.plan.events import CandidateGivenUp, OrderGiven, StageClosed, StitchPlanned, WaveReleased
from ancestra_farm.scheduler import Tunables, folded
from ancestra_farm.scheduler.world import Order, OrderRefused
from tests.scheduler.world import CLIPS, STILLS, Fate, World, batch_of, finished, number_of

WAITING = STILLS.replace("wave: 10", "wave: 10, select: close")
KEEPING = STILLS.replace("wave: 10", "wave: 10, keep: 6")
LONG = "{role: text_to_video, model: test/clips, candidates: 12, wave: 4, beam: 2, keep: 2}"


def give(world, order, shot="s000", **fields):
    """An order of bea's about a shot."""
    world.tell(Order(OrderGiven("b", order, fields.pop("who", "bea"), world.now, shot=shot, **fields)))


def stage(world, name="still"):
    return world.scheduler.state.batches["b"].shots["s000"].stages[name]


def outcomes(world, name="still"):
    """Full results by candidate id."""
    branches = stage(world, name).branches.values()
    return {r.candidate_id: r for branch in branches for r in branch.results["full"].values()}


def rejects(world, name="still"):
    return [c for c, r in outcomes(world, name).items() if r.outcome == "rejected"]


# ---- more ----------------------------------------------------------------------------------------------------------


def test_more_candidates_go_on_where_the_file_ended():
    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1))
    before, tried = world.survivors()["s000", "still"], dict(world.attempts)
    give(world, "more", candidates=15)
    assert world.run()
    after = world.survivors()["s000", "still"]
    assert after[: len(before)] == before
    assert len(world.attempts) == len(tried) + 15
    assert all(world.attempts[candidate] == 1 for candidate in world.attempts)
    larger = finished(batch_of(f"{{still: {STILLS.replace('40', '55')}}}", shots=1))
    assert after == larger.survivors()["s000", "still"]


@pytest.mark.parametrize("seed", range(6))
def test_more_leaves_given_up_what_was_given_up_in_a_wave_past_the_stop(seed):
    drafts = STILLS.replace("wave: 10", "wave: 4, keep: 1, draft: {promote: 0.5}")
    fate = Fate(passing=0.7, trouble=lambda c, n: "exception" if number_of(c, "guilty") < 0.3 else None)
    world = World(seed=seed, fate=fate)
    world.submit(batch_of(f"{{still: {drafts}}}", shots=1))
    assert world.run()
    give(world, "more", candidates=9)
    assert world.run()
    given_up = {(e.position, e.rung) for e in world.log if isinstance(e, CandidateGivenUp)}
    branch = next(iter(stage(world).branches.values()))
    assert given_up
    assert max(world.attempts.values()) == Tunables().strikes
    assert {branch.results[rung][position].outcome for position, rung in given_up} <= {"quarantined", "skipped"}
    projection = Projection()
    for event in world.log:
        projection.apply(event)
    assert projection.undecided() == (0, [])


@pytest.mark.parametrize("orders", [(11,), (3, 10)])
def test_strikes_count_though_the_candidate_was_skipped_when_they_came_back(orders):
    """A candidate that is good at its fourth try is not made by having been ahead of a stop."""
    drafts = STILLS.replace("40, wave: 10", "30, wave: 10, keep: 6, draft: {promote: 0.4}")
    fate = Fate(trouble=lambda c, n: "exception" if n <= 3 and number_of(c, "trouble") < 0.1 else None)

    def outcomes_at(seed, cpus, crash_rate):
        world = World(seed=seed, cpus=cpus, fate=fate, crash_rate=crash_rate)
        world.submit(batch_of(f"{{still: {drafts}}}", shots=1))
        assert world.run()
        for candidates in orders:
            give(world, "more", candidates=candidates)
            assert world.run()
        return {c: r.outcome for c, r in outcomes(world).items()}

    calm = outcomes_at(0, 1, 0.0)
    assert "quarantined" in calm.values()
    for seed in range(12):
        assert outcomes_at(seed, 1 + seed % 7, 0.05) == calm


@pytest.mark.parametrize("step", [0, 3, 9, 15, 30, 10_000])
def test_it_does_not_matter_when_more_was_ordered(step):
    def ordered_after(steps, seed):
        world = World(seed=seed)
        world.submit(batch_of(f"{{still: {KEEPING}}}", shots=1))
        world.run(steps)
        give(world, "more", candidates=7, stage="still")
        assert world.run()
        return world

    late = ordered_after(10_000, 0)
    assert ordered_after(step, 5).survivors() == late.survivors()
    kept = finished(batch_of(f"{{still: {KEEPING}}}", shots=1))
    stopped = next(iter(stage(kept).branches.values())).tried
    assert sum(r.outcome != "skipped" for r in outcomes(late).values()) == stopped + 7


def test_more_than_is_kept_is_tried_exactly():
    world = finished(batch_of(f"{{still: {KEEPING}}}", shots=1))
    (branch,) = stage(world).branches.values()
    stopped = branch.tried
    assert stopped < 40
    for count in (3, 4):
        give(world, "more", candidates=count)
        assert world.run()
    assert branch.tried == stopped + 7
    world.start()
    world.run()
    assert next(iter(stage(world).branches.values())).tried == stopped + 7


def test_more_goes_beyond_a_budget_in_candidates():
    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1, budget={"candidates": 12}))
    assert len(world.attempts) == 12
    give(world, "more", candidates=5)
    assert world.run()
    assert len(world.attempts) == 17


def test_more_is_for_the_stage_that_waits_for_people_or_else_the_first():
    world = World()
    world.submit(batch_of(f"{{still: {STILLS}, animate: {CLIPS.replace('4}', '4, select: close}')}}}", shots=1))
    world.run()
    give(world, "more", candidates=2)
    assert [event.stage for event in world.log if isinstance(event, OrderGiven)] == ["animate"]
    assert world.run().waiting_for_people
    assert len(outcomes(world, "animate")) == 3 * 6
    world = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1))
    give(world, "more", candidates=2)
    assert stage(world).extra == 2


def test_a_stage_closed_by_people_waits_for_them_when_more_has_survived():
    world = World()
    world.submit(batch_of(f"{{still: {WAITING}, animate: {CLIPS}}}", shots=1))
    world.run()
    stills = world.survivors()["s000", "still"]
    world.order("pick", "s000", "still", stills[0])
    world.order("close", "s000", "still")
    world.run()
    clips = world.survivors()["s000", "animate"]
    give(world, "more", candidates=20, stage="still")
    assert world.run().waiting_for_people == (("b", "s000", "still"),)
    assert world.survivors()["s000", "animate"] == clips  # what they picked before goes on
    fresh = next(c for c in world.survivors()["s000", "still"] if c not in stills)
    world.order("pick", "s000", "still", fresh)
    world.order("close", "s000", "still")
    assert world.run().waiting_for_people == ()
    assert stage(world, "animate").generation == 2
    assert set(clips) < set(world.survivors()["s000", "animate"])


def test_consumers_begin_a_new_round_when_more_stills_come_out_ahead():
    world = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1))
    assert stage(world, "animate").generation == 1
    give(world, "more", candidates=200, stage="still")
    world.run(3)
    assert stage(world).reopened
    assert stage(world, "animate").closed is not None  # goes on with what it had
    assert world.run()
    assert stage(world, "animate").generation == 2
    assert len([event for event in world.log if isinstance(event, StageClosed) and event.stage == "still"]) == 2
    assert all(count == 1 for count in world.attempts.values())


def test_more_brings_more_tails_in_proportion():
    world = finished(batch_of(f"{{animate: {LONG}}}", shots=1, frames=60), fate=Fate(passing=0.9))
    before = world.results()["s000", "animate"]
    give(world, "more", candidates=12)
    assert world.run()
    after = world.results()["s000", "animate"]
    assert set(before) < set(after)
    segments = len(stage(world, "animate").plan.segments)
    enough = stage(world, "animate").enough
    for segment in range(1, segments):
        assert sum(1 for _ in stage(world, "animate").segment(segment)) <= enough[segment] + 2
    assert any(sum(1 for _ in stage(world, "animate").segment(k)) > enough[k] for k in range(1, segments))


def test_more_keeps_its_count_through_a_revision():
    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1))
    give(world, "more", candidates=15)
    world.run()
    before = world.survivors()["s000", "still"]
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=2))
    assert world.run()
    assert world.survivors()["s000", "still"] == before
    assert all(count == 1 for count in world.attempts.values())


# ---- retry ---------------------------------------------------------------------------------------------------------


def sick(candidate_id, _attempt):
    """A quarter of the candidates fail, until somebody mends what was wrong."""
    return "exception" if sick.on and number_of(candidate_id, "sick") < 0.25 else None


def thrice(candidate_id, attempt):
    """A quarter of the candidates fail as often as they may, and would be good after that."""
    return "exception" if attempt <= Tunables().strikes and number_of(candidate_id, "sick") < 0.25 else None


@pytest.fixture(autouse=True)
def _sick():
    sick.on = True


def test_what_failed_is_tried_again():
    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1), fate=Fate(trouble=sick))
    failed = [c for c, r in outcomes(world).items() if r.outcome == "quarantined"]
    assert failed
    sick.on = False
    before = world.survivors()["s000", "still"]
    give(world, "retry", cause="exception")
    assert world.run()
    assert not [r for r in outcomes(world).values() if r.outcome == "quarantined"]
    well = finished(batch_of(f"{{still: {STILLS}}}", shots=1))
    after = world.survivors()["s000", "still"]
    assert set(before) <= set(after)
    assert sorted(after) == sorted(well.survivors()["s000", "still"])
    assert [event.again for event in world.log if isinstance(event, WaveReleased)][-1]
    assert folded(world.log).state.batches["b"].shots["s000"].stages["still"].closed.chains == (
        stage(world).closed.chains
    )


def test_a_candidate_tried_again_has_its_strikes_back():
    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1), fate=Fate(trouble=sick))
    (failed, *_) = [c for c, r in outcomes(world).items() if r.outcome == "quarantined"]
    tries = world.attempts[failed]
    give(world, "retry", cause="quarantined", stage="still")
    assert world.run()
    assert outcomes(world)[failed].outcome == "quarantined"
    assert world.attempts[failed] == tries + Tunables().strikes


def test_a_retry_in_the_middle_of_the_work_comes_to_the_same_whatever_the_pace():
    def survivors(seed, cpus):
        world = World(seed=seed, cpus=cpus, fate=Fate(trouble=thrice, hashes=30))
        world.submit(batch_of(f"{{still: {STILLS}}}", shots=1))
        while next(iter(stage(world).branches.values())).waves_closed != 2:
            world.run(1)
        assert any(r.outcome == "quarantined" for r in outcomes(world).values())
        give(world, "retry")
        assert world.run()
        return world.survivors()

    first = survivors(0, 3)
    assert [survivors(seed, cpus) for seed, cpus in ((1, 1), (2, 8), (3, 2))] == [first] * 3


def test_what_a_filter_rejected_is_judged_again():
    class Blind(Fate):
        """A filter that rejects everything until it is mended."""

        on = True

        def attempt(self, ticket, position, *args):
            self.passing = 0.0 if self.on else 0.4
            return super().attempt(ticket, position, *args)

    fate = Blind()
    world = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1), fate=fate)
    assert world.scheduler.progress()[0].state == "starved"
    fate.on = False
    with pytest.raises(OrderRefused, match="nothing of s000/still was rejected by noise"):
        give(world, "retry", filter="noise", stage="still")
    give(world, "retry", filter="blur", stage="still")
    assert world.run()
    assert world.scheduler.progress()[0].state == "done"
    well = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1))
    assert world.survivors() == well.survivors()


def test_drafts_that_failed_are_tried_again_and_promoted():
    drafts = STILLS.replace("wave: 10", "wave: 10, draft: {promote: 0.2, by: quality}")
    world = finished(batch_of(f"{{still: {drafts}}}", shots=1), fate=Fate(trouble=sick))
    (branch,) = stage(world).branches.values()
    failed = [p for p, r in branch.results["draft"].items() if r.outcome == "quarantined"]
    assert failed
    sick.on = False
    give(world, "retry", cause="quarantined")
    assert world.run()
    results = [branch.results["draft"][p].outcome for p in failed]
    assert set(results) <= {"promoted", "not_promoted", "rejected"}
    assert branch.closed is not None


def test_a_whole_batch_is_tried_again_at_once():
    world = finished(batch_of(f"{{still: {STILLS}}}"), fate=Fate(trouble=sick))
    sick.on = False
    give(world, "retry", "")
    assert world.run()
    assert world.scheduler.state.batches["b"].shots["s001"].stages["still"].counts.failed == 0
    assert stage(world).counts.failed == 0


def test_a_cancelled_shot_is_taken_up_by_a_retry_and_by_more():
    for order, fields in (("retry", {}), ("more", {"candidates": 5, "stage": "still"})):
        world = World()
        world.submit(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1))
        world.run(12)
        give(world, "cancel")
        world.run()
        assert world.scheduler.progress()[0].state == "cancelled"
        give(world, order, **fields)
        assert world.run()
        assert world.scheduler.progress()[0].state == "done"
        assert len(outcomes(world)) == 40 + fields.get("candidates", 0)
        if order == "retry":
            well = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1))
            assert world.survivors() == well.survivors()


# ---- restore -------------------------------------------------------------------------------------------------------


def test_a_restored_reject_is_made_again_and_can_be_picked():
    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1))
    before = world.survivors()["s000", "still"]
    reject = rejects(world)[3]
    with pytest.raises(OrderRefused, match="only survivors are picked"):
        world.order("pick", "s000", "still", reject)
    give(world, "restore", stage="still", candidate_id=reject)
    assert world.run()
    assert world.attempts[reject] == 2
    assert sorted(world.survivors()["s000", "still"]) == sorted([*before, reject])
    assert outcomes(world)[reject].reason == "restored by bea"
    world.order("pick", "s000", "still", reject)
    world.order("close", "s000", "still")
    assert world.run()
    assert [p.chain for p in world.log if isinstance(p, StitchPlanned) and p.picked] == [(reject,)]


def test_a_restored_reject_changes_nothing_for_the_others():
    def survivors(restore):
        world = World(seed=2, fate=Fate(hashes=12))
        world.submit(batch_of(f"{{still: {KEEPING}}}", shots=1))
        while not next(iter(stage(world).branches.values())).waves_closed:
            world.run(1)
        if restore:
            for reject in rejects(world)[:3]:
                give(world, "restore", stage="still", candidate_id=reject)
        assert world.run()
        return [c for c, r in outcomes(world).items() if r.outcome == "survivor" and "restored" not in r.reason]

    assert survivors(True) == survivors(False)


def test_a_duplicate_whose_medium_is_there_is_not_made_again():
    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1), fate=Fate(hashes=8))
    duplicate = next(c for c, r in outcomes(world).items() if r.reason.startswith("duplicate"))
    give(world, "restore", stage="still", candidate_id=duplicate)
    assert duplicate in world.survivors()["s000", "still"]
    assert world.run()
    assert world.attempts[duplicate] == 1


def test_kept_rejects_are_not_made_again():
    kept = STILLS.replace("wave: 10", "wave: 10, keep_rejects: true")
    world = finished(batch_of(f"{{still: {kept}}}", shots=1))
    reject = rejects(world)[0]
    give(world, "restore", stage="still", candidate_id=reject)
    assert world.run()
    assert world.attempts[reject] == 1
    assert reject in world.survivors()["s000", "still"]


def test_a_restored_still_stays_restored_in_a_revision_and_after_a_restart():
    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1))
    reject = rejects(world)[0]
    give(world, "restore", stage="still", candidate_id=reject)
    world.start()
    assert world.run()
    assert reject in world.survivors()["s000", "still"]
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=2))
    assert world.run()
    assert reject in world.survivors()["s000", "still"]
    assert world.attempts[reject] == 2


def test_a_restored_clip_of_an_inner_segment_gets_a_chain():
    world = finished(batch_of(f"{{animate: {LONG}}}", shots=1, frames=60))
    first = next(stage(world, "animate").segment(0))
    reject = next(r.candidate_id for r in first.results["full"].values() if r.outcome == "rejected")
    before = set(world.results()["s000", "animate"])
    give(world, "restore", stage="animate", candidate_id=reject)
    assert world.run()
    assert reject in {branch.opened.tail for branch in stage(world, "animate").segment(1)}
    assert before <= set(world.results()["s000", "animate"])


def test_a_restored_draft_is_made_in_full():
    drafts = STILLS.replace("wave: 10", "wave: 10, draft: {promote: 0.2, by: quality}")
    world = finished(batch_of(f"{{still: {drafts}}}", shots=1))
    (branch,) = stage(world).branches.values()
    position = next(p for p, r in branch.results["draft"].items() if r.outcome == "rejected")
    give(world, "restore", stage="still", candidate_id=branch.results["draft"][position].candidate_id)
    assert world.run()
    assert branch.space.id_of(position, "full") in world.survivors()["s000", "still"]


@pytest.mark.parametrize(
    ("order", "fields", "says"),
    [
        ("more", {}, "say how many more candidates: 1 to 9,999,960, not 0"),
        ("more", {"candidates": -4}, "not -4"),
        ("more", {"candidates": 1, "stage": "stil"}, "has no stage 'stil'"),
        ("retry", {}, "nothing of s000 failed"),
        ("retry", {"cause": "sloth"}, "nothing fails for 'sloth'; say one of failed, quarantined"),
        ("retry", {"cause": "failed", "filter": "blur"}, "not both"),
        ("retry", {"stage": "nope"}, "has no stage 'nope'"),
        ("restore", {"stage": "still", "candidate_id": "x"}, "x is not among the candidates of s000/still"),
        ("restore", {"stage": "still"}, "is not among the candidates"),
    ],
)
def test_what_cannot_be_ordered_is_refused_in_a_sentence(order, fields, says):
    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1))
    before = list(world.log)
    with pytest.raises(OrderRefused, match=says):
        give(world, order, **fields)
    assert world.log == before


def test_survivors_and_what_is_restored_already_are_not_restored():
    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1))
    with pytest.raises(OrderRefused, match="is a survivor; only rejects are restored"):
        give(world, "restore", stage="still", candidate_id=world.survivors()["s000", "still"][0])
    reject = rejects(world)[0]
    give(world, "restore", stage="still", candidate_id=reject)
    for _ in range(2):
        with pytest.raises(OrderRefused, match="is restored already, by bea"):
            give(world, "restore", stage="still", candidate_id=reject, who="cem")
        world.run()


def test_a_batch_whose_device_hours_are_spent_makes_nothing_more():
    world = World()
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=1, budget={"device_hours": 0.0005}))
    world.run()
    for order, fields in (("more", {"candidates": 3}), ("retry", {})):
        with pytest.raises(OrderRefused, match="is spent; submit it with a larger one"):
            give(world, order, **fields)
