"""Where spending by yield changes nothing, a sentence says so and why; nothing is refused for it."""

import pytest

from ancestra_farm.plan.spending import idle_by_yield

STILL = {"role": "text_to_image", "model": "test/stills", "candidates": 1000, "wave": 100, "spend": "by_yield"}
TWO = {"text": "the {time} sea", "axes": {"time": ["dawn", "dusk"]}}


@pytest.fixture
def notes(make_plan):
    def of(prompts=(TWO,), **stage):
        shots = [
            {"shot": f"s{n}", "frames": 17, "handles": 0, "rate": 16, "prompt": prompt}
            for n, prompt in enumerate(prompts)
        ]
        return idle_by_yield(make_plan(stages={"still": {**STILL, **stage}}, shots=shots))

    return of


def test_nothing_is_said_where_it_can_choose(notes):
    assert notes() == ()
    assert notes(prompts=[{"text": "the sea"}], spend="evenly") == ()


def test_one_wording_leaves_nothing_to_choose(notes):
    (note,) = notes(prompts=[{"text": "the sea"}])
    assert note == "still: s0 has one wording, so that by_yield has nothing to choose from"


def test_shots_are_counted_not_listed(notes):
    (note,) = notes(prompts=[{"text": "a"}, TWO, {"text": "b"}, {"text": "c"}])
    assert note.startswith("still: s0 and 2 more shots have one wording")


@pytest.mark.parametrize(("candidates", "told"), [(100, True), (200, True), (201, False)])
def test_two_waves_are_always_even(notes, candidates, told):
    found = notes(candidates=candidates)
    assert bool(found) == told
    if told:
        assert "waves of 100, and the first two waves are always even: by_yield changes nothing" in found[0]
        assert f"(with wave: {candidates // 10} it could)" in found[0]
