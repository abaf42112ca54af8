"""A stage that is spent by yield tries the same candidates whoever is quicker, and tries more of what survives."""

from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.plan.events import OrderGiven, WaveClosed, WaveReleased
from ancestra_farm.scheduler.world import Order
from tests.scheduler.world import CLIPS, Fate, World, batch_of, finished, number_of

YIELD = "role: text_to_image, model: test/stills, candidates: 120, wave: 12, spend: by_yield"
BATCHES = {
    "everything": batch_of(f"{{still: {{{YIELD}}}, animate: {CLIPS}}}", shots=1),
    "stops early": batch_of(f"{{still: {{{YIELD}, keep: 24}}}}", shots=1),
    "drafts": batch_of(f"{{still: {{{YIELD}, draft: {{promote: 0.3}}}}}}", shots=1),
    "inputs": batch_of(
        "{still: {role: text_to_image, model: test/stills, candidates: 20, wave: 10}, animate: {role: image_to_video, "
        "model: test/clips, from: still, best: 3, candidates: 24, wave: 8, spend: by_yield}}",
        shots=1,
    ),
    "chained": batch_of(
        "{animate: {role: text_to_video, model: test/clips, candidates: 30, wave: 5, overlap_frames: 5, beam: 2, "
        "spend: by_yield}}",
        shots=1,
        frames=60,
    ),
    "a budget": batch_of(f"{{still: {{{YIELD}, draft: {{promote: 0.3}}}}}}", shots=1, budget={"candidates": 97}),
}


@dataclass
class ByWording(Fate):
    """Candidates of the wording with the word in it pass so much more often."""

    word: str = "dawn"
    passing: float = 0.05
    good: float = 0.6
    bare: Fate = field(default_factory=Fate)

    def attempt(self, ticket, position, host, now, number, of):
        recipe = ticket.space.recipe(position, ticket.rung)
        passing = self.good if self.word in recipe.prompt else self.passing
        attempt = super().attempt(ticket, position, host, now, number, of)
        if attempt.cause != "judged":
            return attempt
        passed = number_of(recipe.candidate_id, "pass") < passing
        return replace(
            attempt,
            passed=passed,
            reasons=() if passed else ("blur",),
            media=f"media/{recipe.candidate_id}.png" if passed else None,
        )


FATE = ByWording()
REFERENCE = {name: finished(batch, fate=FATE, cpus=1) for name, batch in BATCHES.items()}


def tried(world: World) -> dict[tuple[str, str], list[int]]:
    """Positions by branch and rung in the order of waves, without those past a stop."""
    skipped = {
        (event.branch, event.rung, event.wave, position)
        for event in world.log
        if isinstance(event, WaveClosed)
        for position in event.skipped
    }
    found: dict[tuple[str, str], list[int]] = {}
    released = [event for event in world.log if isinstance(event, WaveReleased)]
    for event in sorted(released, key=lambda event: event.wave):  # drafts may be decided ahead
        positions = range(event.start, event.stop) if event.positions is None else event.positions
        kept = [position for position in positions if (event.branch, event.rung, event.wave, position) not in skipped]
        found.setdefault((event.branch, event.rung), []).extend(kept)
    return found


def by_wording(world: World, branch: str, rung: str = "full") -> Counter[str]:
    space = world.scheduler.state.batches["b"].branches[branch].space
    return Counter(space.recipe(position, rung).prompt for position in tried(world)[branch, rung])


@pytest.mark.parametrize("name", BATCHES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), cpus=st.integers(1, 9), crash_rate=st.sampled_from([0.0, 0.1]))
def test_completion_order_host_count_and_lost_hosts_never_change_what_is_tried(name, seed, cpus, crash_rate):
    world = finished(BATCHES[name], fate=FATE, seed=seed, cpus=cpus, crash_rate=crash_rate)
    if any(type(event).__name__ == "CandidateGivenUp" for event in world.log):
        return  # five losses of one candidate: it is given up, and that is an honest difference
    assert tried(world) == tried(REFERENCE[name])
    assert world.survivors() == REFERENCE[name].survivors()
    assert world.results() == REFERENCE[name].results()


@pytest.mark.parametrize("name", BATCHES)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), kills=st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_a_controller_killed_anywhere_goes_on_with_the_same_wave(name, seed, kills):
    world = World(seed=seed, fate=FATE)
    world.submit(BATCHES[name])
    for steps in kills:
        world.run(steps)
        world.start()
    assert world.run() is not None
    assert tried(world) == tried(REFERENCE[name])
    assert world.survivors() == REFERENCE[name].survivors()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_log_cut_anywhere_goes_on_to_the_same_end(seed, data):
    """Even between two events that one decision made."""
    name = data.draw(st.sampled_from(["drafts", "a budget"]))
    whole = REFERENCE[name].log
    world = World(seed=seed, fate=FATE, log=list(whole[: data.draw(st.integers(3, len(whole)))]))
    assert world.run() is not None or not world.todo
    assert tried(world) == tried(REFERENCE[name])
    assert world.survivors() == REFERENCE[name].survivors()


def test_most_of_the_candidates_are_of_the_wording_that_survives():
    world = REFERENCE["everything"]
    counts = by_wording(world, "s000/still/0")
    assert sum(counts.values()) == 120
    assert counts["the sea at dawn"] > 85
    assert counts["the sea"] >= 12  # the first two waves are even


def test_every_wording_goes_on_where_it_left_off():
    world = REFERENCE["inputs"]
    branch = world.scheduler.state.batches["b"].branches["s000/animate/0"]
    positions = tried(world)["s000/animate/0", "full"]
    assert len(positions) == len(set(positions)) == branch.wanted == branch.released == 72
    for variant in (0, 1):
        mine = sorted(position for position in positions if branch.space.variant_of(position) == variant)
        assert mine == [branch.space.of_variant(variant, number) for number in range(len(mine))]
    assert max(positions) >= 72  # a wording needed more than half of the indices


def test_an_even_stage_releases_ranges_and_one_by_yield_names_positions():
    waves = [event for event in REFERENCE["everything"].log if isinstance(event, WaveReleased)]
    for wave in waves:
        assert (wave.positions is not None) == ("still" in wave.branch)
        assert wave.positions is None or list(wave.positions) == sorted(set(wave.positions))


def test_near_duplicates_count_against_a_wording():
    """A wording whose candidates all pass but show a few pictures only brings fewer distinct ones."""

    class Alike(ByWording):
        def attempt(self, ticket, position, *args):
            attempt = super().attempt(ticket, position, *args)
            dawn = "dawn" in ticket.space.recipe(position, ticket.rung).prompt
            return replace(attempt, phash=7 if dawn else attempt.phash)

    batch = batch_of(f"{{still: {{{YIELD}}}}}", shots=1)
    world = finished(batch, fate=Alike(passing=0.3, good=1.0))
    counts = by_wording(world, "s000/still/0")
    assert counts["the sea"] > 2 * counts["the sea at dawn"]


def test_a_budget_in_candidates_holds_to_the_last_one():
    world = REFERENCE["a budget"]
    released = sum(
        len(event.positions) if event.positions is not None else event.stop - event.start
        for event in world.log
        if isinstance(event, WaveReleased)
    )
    assert released <= 97
    for branch in world.scheduler.state.batches["b"].branches.values():
        assert branch.released == branch.limit < branch.wanted
        assert branch.closed.why == "budget"


def test_a_shot_with_one_wording_is_spent_as_if_evenly():
    one = batch_of(f"{{still: {{{YIELD}, prompt: {{text: the sea}}}}}}", shots=1)
    world = finished(one, fate=FATE)
    assert [event.positions for event in world.log if isinstance(event, WaveReleased)] == [None] * 10


def test_progress_counts_towards_what_is_tried_in_all():
    (stage,) = (stage for stage in REFERENCE["everything"].scheduler.progress()[0].stages if stage.stage == "still")
    assert stage.wanted == stage.released == 120


@pytest.mark.parametrize("name", ["everything", "stops early", "drafts"])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), cpus=st.integers(1, 9), steps=st.integers(0, 120))
def test_when_more_is_ordered_changes_nothing(name, seed, cpus, steps):
    def with_more(world: World, steps: int) -> World:
        world.submit(BATCHES[name])
        world.run(steps)
        world.done = None
        world.tell(Order(OrderGiven("b", "more", "bea", world.now, "s000", "still", candidates=30)))
        assert world.run() is not None
        return world

    world = with_more(World(seed=seed, cpus=cpus, fate=FATE), steps)
    late = with_more(World(cpus=1, fate=FATE), 1_000_000)
    assert {key: sorted(found) for key, found in tried(world).items() if "still" in key[0]} == {
        key: sorted(found) for key, found in tried(late).items() if "still" in key[0]
    }
    assert world.survivors()["s000", "still"] == late.survivors()["s000", "still"]
