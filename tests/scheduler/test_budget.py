"""A budget in candidates is shared out in advance: it holds, and who goes short rests on nobody's pace."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.plan.events import WaveReleased
from ancestra_farm.scheduler.budget import promoted
from tests.scheduler.world import STILLS, Fate, World, batch_of, finished

DRAFTS = "{role: text_to_image, model: test/stills, candidates: 40, wave: 10, draft: {promote: 0.3}}"
KEYS = "{role: first_last_frame, model: test/clips, from: still, best: 2, candidates: 6, wave: 4, join: keyframes}"
CHAIN = "{role: text_to_video, model: test/clips, candidates: 12, wave: 4, overlap_frames: 5}"
CLIPS = "{role: image_to_video, model: test/clips, from: still, candidates: 4, wave: 4}"
EXTEND = "{role: extend, model: test/clips, from: animate, candidates: 2, overlap_frames: 5}"

SHORT = {
    "drafts": batch_of(f"{{still: {DRAFTS}}}", budget={"candidates": 37}),
    "keyframes": batch_of(f"{{still: {STILLS}, animate: {KEYS}}}", frames=60, budget={"candidates": 90}),
    "chains": batch_of(f"{{animate: {CHAIN}}}", frames=60, budget={"candidates": 41}),
    "hardly any": batch_of(f"{{still: {STILLS}, animate: {KEYS}}}", frames=60, budget={"candidates": 3}),
}
FATE = Fate(passing=0.5)
REFERENCE = {name: finished(batch, fate=FATE, cpus=1) for name, batch in SHORT.items()}


def released(world: World) -> int:
    return sum(
        len(event.positions) if event.positions else event.stop - event.start
        for event in world.log
        if isinstance(event, WaveReleased)
    )


@pytest.mark.parametrize("name", SHORT)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32), cpus=st.integers(1, 9))
def test_a_budget_cuts_drafts_segments_and_tails_at_the_same_place_whoever_is_quicker(name, seed, cpus):
    world = finished(SHORT[name], fate=FATE, seed=seed, cpus=cpus)
    assert world.results() == REFERENCE[name].results()
    assert world.survivors() == REFERENCE[name].survivors()
    assert released(world) <= SHORT[name].budget.candidates


def test_a_budget_holds_for_stages_whose_inputs_grow_from_stage_to_stage():
    stages = f"{{still: {STILLS.replace('40', '4')}, animate: {CLIPS}, more: {EXTEND}}}"
    for budget in (10, 34, 52, 1000):
        world = finished(batch_of(stages, shots=1, budget={"candidates": budget}), fate=Fate(passing=1.0))
        assert released(world) <= budget
        assert released(world) == 52 or budget < 52  # 4 stills, 4 clips of each, 2 that go on from each


def test_a_branch_that_a_budget_ended_says_so():
    branch = REFERENCE["drafts"].scheduler.state.batches["b"].branches["s000/still/0"]
    assert branch.closed.why == "budget"
    assert branch.released == branch.limit < branch.wanted == 40


@pytest.mark.parametrize(("drafts", "promote", "full"), [(10, 0.3, 3), (100, 0.07, 7), (10, 0.01, 1), (0, 0.5, 0)])
def test_the_promoted_fraction_is_rounded_up_but_not_by_a_rounding_error(drafts, promote, full):
    assert promoted(drafts, promote) == full
