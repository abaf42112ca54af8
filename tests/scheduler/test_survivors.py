"""Whoever does the work and in whatever order it comes back, the same candidates survive."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.plan.events import WaveClosed, WaveReleased
from tests.scheduler.world import CLIPS, STILLS, Fate, World, batch_of, finished, number_of

KEEP = "{role: text_to_image, model: test/stills, candidates: 200, wave: 10, keep: 7}"
DRAFTS = "{role: text_to_image, model: test/stills, candidates: 40, wave: 10, draft: {promote: 0.3}}"
CHAIN = (
    "{role: image_to_video, model: test/clips, from: still, best: 2, candidates: 12, wave: 4, keep: 2, "
    "overlap_frames: 5}"
)
CHAIN_ALL = "{role: text_to_video, model: test/clips, candidates: 12, wave: 4, overlap_frames: 5}"
KEYS = "{role: first_last_frame, model: test/clips, from: still, best: 2, candidates: 6, wave: 4, join: keyframes}"

BATCHES = {
    "stills and clips": batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}"),
    "stops early": batch_of(f"{{still: {KEEP}}}"),
    "drafts": batch_of(f"{{still: {DRAFTS}, animate: {CLIPS}}}"),
    "chained": batch_of(f"{{still: {STILLS}, animate: {CHAIN}}}", frames=60),
    "every chain": batch_of(f"{{animate: {CHAIN_ALL}}}", frames=60),
    "keyframes": batch_of(f"{{still: {KEEP}, animate: {KEYS}}}", frames=60),
    "two that share a source": batch_of(f"{{still: {STILLS}, animate: {CLIPS}, other: {CLIPS}}}"),
}
FATE = Fate(passing=0.4, hashes=300)
REFERENCE = {name: finished(batch, fate=FATE, cpus=1) for name, batch in BATCHES.items()}


@pytest.mark.parametrize("name", BATCHES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), cpus=st.integers(1, 9), crash_rate=st.sampled_from([0.0, 0.1]))
def test_completion_order_host_count_and_lost_hosts_never_change_the_survivors(name, seed, cpus, crash_rate):
    world = finished(BATCHES[name], fate=FATE, seed=seed, cpus=cpus, crash_rate=crash_rate)
    lost = [event for event in world.log if type(event).__name__ == "CandidateGivenUp"]
    if lost:
        return  # five losses of one candidate: it is given up, and that is an honest difference
    assert world.survivors() == REFERENCE[name].survivors()
    assert world.results() == REFERENCE[name].results()


@pytest.mark.parametrize("name", BATCHES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), kills=st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_a_controller_killed_anywhere_comes_back_to_the_same_survivors(name, seed, kills):
    world = World(seed=seed, fate=FATE)
    world.submit(BATCHES[name])
    for steps in kills:
        world.run(steps)
        world.start()
    assert world.run() is not None
    assert world.survivors() == REFERENCE[name].survivors()
    assert world.results() == REFERENCE[name].results()


@pytest.mark.parametrize("name", BATCHES)
def test_every_released_candidate_has_exactly_one_end(name):
    world = REFERENCE[name]
    for batch in world.scheduler.state.batches.values():
        for branch in batch.branches.values():
            assert branch.closed is not None
            assert not branch.phases
    released = {
        (e.branch, e.rung, p)
        for e in world.log
        if isinstance(e, WaveReleased)
        for p in (e.positions or range(e.start, e.stop))
    }
    for branch, rung, position in released:
        assert world.scheduler.state.batches["b"].branches[branch].result(position, rung).ended


def test_a_stage_stops_at_enough_distinct_survivors_and_skips_what_lies_past():
    world = finished(batch_of(f"{{still: {KEEP}}}", shots=1), fate=Fate(passing=0.3, hashes=40))
    (stage,) = world.scheduler.progress()[0].stages
    assert 7 <= stage.survivors < 7 + 10
    assert stage.released < 200
    assert stage.released == stage.survivors + stage.rejected + stage.skipped
    branch = next(iter(world.scheduler.state.batches["b"].branches.values()))
    hashes = [branch.results["full"][p].phash for p in branch.survivors]
    assert len(set(hashes)) == len(hashes)
    assert branch.closed.why == "kept_enough"


def test_near_duplicates_are_rejected_for_the_one_with_the_lower_index():
    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1), fate=Fate(passing=1.0, hashes=5))
    (stage,) = world.scheduler.progress()[0].stages
    assert stage.survivors == 5
    closings = [e for e in world.log if isinstance(e, WaveClosed)]
    branch = next(iter(world.scheduler.state.batches["b"].branches.values()))
    first = {result.candidate_id: position for position, result in branch.results["full"].items()}
    for closing in closings:
        assert all(first[original] < position for position, original in closing.duplicates.items())


def test_stages_that_start_from_pictures_keep_siblings_that_resemble_each_other():
    world = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1), fate=Fate(passing=1.0, hashes=3))
    still, animate = world.scheduler.progress()[0].stages
    assert still.survivors == 3
    assert animate.survivors == animate.released


def test_the_best_fraction_of_each_wave_of_drafts_is_made_in_full():
    world = finished(BATCHES["drafts"], fate=Fate(passing=0.5))
    batch = world.scheduler.state.batches["b"]
    drafts = [e for e in world.log if isinstance(e, WaveClosed) and e.rung == "draft"]
    assert drafts
    for closing in drafts:
        branch = batch.branches[closing.branch]
        results = {p: r for p, r in branch.results["draft"].items() if p // 10 == closing.wave}
        passing = sorted((p for p, r in results.items() if r.passed), key=lambda p: -results[p].rank)
        assert set(closing.promoted) == set(passing[:3])
        assert {r.outcome for r in results.values()} <= {"promoted", "not_promoted", "rejected"}


def test_a_draft_and_its_full_candidate_share_the_seed_and_nothing_else():
    world = REFERENCE["drafts"]
    ticket = next(t for t in world.dispatched if t.rung == "full" and "still" in t.branch)
    position = ticket.positions[0]
    draft, full = ticket.space.recipe(position, "draft"), ticket.space.recipe(position, "full")
    assert draft.seed == full.seed
    assert draft.candidate_id != full.candidate_id
    assert (draft.parameters["steps"], full.parameters["steps"]) == (3, 8)


def test_later_stages_start_from_the_best_of_the_earlier():
    world = REFERENCE["stills and clips"]
    for shot in ("s000", "s001"):
        stills = world.results()[shot, "still"]
        root = world.scheduler.state.batches["b"].branches[f"{shot}/animate/0"]
        assert root.opened.inputs == stills[:3]
        scores = [number_of(chain[0], "quality") for chain in stills]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("cpus", [1, 3, 9])
@pytest.mark.parametrize("seed", range(4))
def test_waves_of_drafts_without_a_passing_one_close_in_turn_and_hold_nothing_up(seed, cpus):
    drafts = DRAFTS.replace("wave: 10", "wave: 4")
    batch = batch_of(f"{{still: {drafts}}}")
    fate = Fate(passing=0.2)
    world = finished(batch, fate=fate, seed=seed, cpus=cpus)
    for branch in world.scheduler.state.batches["b"].branches.values():
        assert branch.waves_closed == branch.waves == 10
        assert not branch.decided
    assert world.survivors() == finished(batch, fate=fate, cpus=1).survivors()


def test_a_score_that_is_no_number_ranks_last():
    class Odd(Fate):
        def attempt(self, *args):
            attempt = super().attempt(*args)
            odd = number_of(attempt.candidate_id, "odd") < 0.5
            return replace(attempt, scores={"quality": float("nan")}) if odd else attempt

    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1), fate=Odd(passing=0.8))
    odd = [number_of(chain[0], "odd") < 0.5 for chain in world.results()["s000", "still"]]
    assert odd == sorted(odd)
    assert set(odd) == {False, True}
