"""Sizes that follow from other stages, as `check` sees them."""

import pytest

from ancestra_farm.batch.sizes import size_of
from tests.batch.catalogue import CARDS
from tests.batch.test_check import ANIMATE, SHOT, STILL, batch, card, problems

UP = {"role": "upscale", "model": "optical/upscale", "from": "animate", "candidates": 1}
BETWEEN = {"role": "interpolate", "model": "optical/flow", "from": "animate", "candidates": 1}


def staged(**stages):
    return batch(stages={"still": STILL, "animate": ANIMATE, **stages}, size=[256, 144])


@pytest.mark.parametrize(
    "stages",
    [
        {"up": UP},
        {"up": {**UP, "size": [480, 270]}},
        {"up": {**UP, "from": "still", "size": [1024, 576]}},
        {"between": BETWEEN},
        {"up": UP, "between": {**BETWEEN, "from": "up"}},
        {"between": BETWEEN, "up": {**UP, "from": "between"}},
    ],
    ids=["twice", "as it says", "a still", "between", "larger, then between", "between, then larger"],
)
def test_upscales_and_interpolations_are_good_whatever_the_size_of_the_batch(stages):
    assert problems(staged(**stages)) == []


@pytest.mark.parametrize("size", [[256, 144], [128, 80], [512, 128]])
def test_an_upscale_that_makes_nothing_larger_is_refused(size):
    assert problems(staged(up={**UP, "size": size})) == [
        "stages.up.size: an upscale makes pictures larger, and animate makes 256 × 144 already"
    ]


def test_an_interpolation_that_is_told_another_size_is_refused():
    assert problems(staged(between={**BETWEEN, "size": [256, 144]})) == []
    assert problems(staged(between={**BETWEEN, "size": [512, 288]})) == [
        "stages.between.size: an interpolation keeps the size of its clips, and animate makes 256 × 144"
    ]


def test_an_upscaler_of_a_fixed_factor_is_held_to_it():
    cards = {**CARDS, "test/clips": card(roles=["upscale"], scale=4, sizes={**SIZES, "max": 4096})}
    fixed = {**UP, "model": "test/clips"}
    assert problems(staged(up=fixed), cards) == []
    assert problems(staged(up={**fixed, "size": [512, 288]}), cards) == [
        "stages.up.size: test/clips makes pictures 4 times larger: of 256 × 144, 1024 × 576"
    ]


SIZES = {"multiple_of": 8, "min": 64, "max": 512, "default": [64, 64]}


def test_a_size_that_follows_has_to_be_one_that_the_model_makes():
    cards = {**CARDS, "test/clips": card(roles=["upscale"], sizes=SIZES)}
    twice = {**UP, "model": "test/clips"}
    assert problems(staged(up=twice, more={**twice, "from": "up"}), cards) == [
        "stages.more.model: 1024 × 576 is no size of test/clips (stage more), which makes multiples of 8 from 64 to 512"
    ]


def test_a_shot_that_changes_a_size_is_blamed_for_what_follows_from_it():
    shots = [SHOT, {**SHOT, "shot": "b", "stages": {"animate": {"size": [512, 288]}}}]
    value = {**staged(up={**UP, "size": [480, 270]}), "shots": shots}
    assert problems(value) == ["stages.up.size: an upscale makes pictures larger, and animate makes 512 × 288 already"]


def test_an_odd_size_that_follows_cannot_be_delivered_as_mp4():
    value = {**staged(up={**UP, "size": [481, 271]}), "deliver": {"stage": "up"}}
    assert problems(value) == ["stages.up.size: 481 × 271 cannot be delivered as MP4, which takes even sizes only"]
    assert problems({**value, "deliver": {"stage": "up", "mp4": False}}) == []


def test_no_size_is_made_up_where_sources_are_missing_or_go_in_a_circle():
    from ancestra_farm.batch.schema import Stage

    specs = {
        name: Stage.model_validate({**UP, "from": source}) for name, source in (("a", "b"), ("b", "a"), ("c", "x"))
    }
    assert [size_of(name, specs, CARDS, (64, 64)) for name in specs] == [None, None, None]


def test_what_a_model_that_draws_nothing_of_its_own_would_ignore_is_refused():
    asked = {**UP, "candidates": 4, "prompt": {"text": "the sea"}, "draft": {"promote": 0.5, "size": [320, 180]}}
    assert problems(staged(up=asked)) == [
        "stages.up.candidates: optical/upscale makes the same of what it is given every time",
        "stages.up.draft: optical/upscale has nothing to try beforehand",
        "stages.up.prompt: optical/upscale reads no words",
    ]
