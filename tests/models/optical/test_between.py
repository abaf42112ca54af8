"""Frames between frames: nearer to the truth than repeating and than blending, and never across a cut."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from ancestra_farm.models.build import build_generator
from ancestra_farm.models.optical.between import frame_between, is_cut
from ancestra_farm.models.optical.flow import motion_between
from ancestra_farm.models.procedural import scenes as procedural
from ancestra_farm.models.protocol import Aborted
from ancestra_farm.plan.frames import Reading
from tests.models.optical.pictures import CARDS, MOVING, interpolated, made, psnr, recipe
from tests.stitch.scenes import shoot

FRAMES = 7


@pytest.fixture(scope="module")
def scenes():
    return {name: scene(3) if name == "passing" else scene(3, (256, 144), 2.5) for name, scene in MOVING.items()}


@pytest.mark.parametrize("target", [32, 24, "24000/1001"])
@pytest.mark.parametrize("name", MOVING)
def test_frames_in_between_are_nearer_to_the_truth_than_repeated_or_blended_ones(scenes, name, target):
    given = shoot(scenes[name], range(FRAMES))
    frames, positions = interpolated(given, 16, target)
    truth = shoot(scenes[name], positions)
    between = [n for n, position in enumerate(positions) if position.denominator != 1]
    repeated = [given[round(positions[n])] for n in between]
    blended = []
    for n in between:
        whole, part = divmod(float(positions[n]), 1)
        mixed = given[int(whole)] * (1 - part) + given[int(whole) + 1].astype(float) * part
        blended.append(np.rint(mixed).astype(np.uint8))
    ours = psnr(frames[between], truth[between])
    assert ours > psnr(np.stack(repeated), truth[between]) + 2
    assert ours > psnr(np.stack(blended), truth[between]) + 1


def test_what_a_thing_in_front_hides_is_taken_from_the_frame_that_shows_it(scenes):
    given = shoot(scenes["passing"], range(FRAMES))
    frames, positions = interpolated(given, 16, 32)
    truth = shoot(scenes["passing"], positions)
    between = [n for n, position in enumerate(positions) if position.denominator != 1]
    worst = np.percentile(np.abs(frames[between].astype(int) - truth[between]).max(axis=-1), 99)
    assert worst < 40  # of 255: a double edge of the disc would be 100 and more


def test_large_pictures_whose_flow_is_looked_for_at_a_smaller_size_are_drawn_as_well():
    scene = MOVING["pan"](3, (1280, 180), 9.0)
    given, truth = shoot(scene, [0, 1]), shoot(scene, [0.5])[0]
    drawn_there = frame_between(motion_between(*given), 0.5)
    assert psnr(drawn_there, truth) > psnr(np.rint(given.mean(axis=0)), truth) + 6


@pytest.mark.parametrize("target", [16, 24, 32, 48])
def test_the_first_frame_the_last_and_all_that_fall_on_a_frame_are_kept_bit_for_bit(scenes, target):
    given = shoot(scenes["pan"], range(FRAMES))
    frames, positions = interpolated(given, 16, target)
    assert len(frames) == (FRAMES - 1) * target // 16 + 1
    for frame, position in zip(frames, positions, strict=True):
        if position.denominator == 1:
            assert np.array_equal(frame, given[int(position)])
    assert positions[0] == 0
    assert positions[-1] == FRAMES - 1


def test_a_segment_may_begin_between_two_frames_of_its_parent(scenes):
    given = shoot(scenes["drift"], range(FRAMES))
    whole, positions = interpolated(given, 16, 24)
    reading = Reading(Fraction(2, 3), Fraction(2, 3))
    later = made(recipe("interpolate", frames=9, rate=24, reading=reading), given)
    assert [reading.position(n) for n in range(9)] == positions[1:]
    assert np.array_equal(later, whole[1:])


@pytest.mark.parametrize(("first", "then"), [("pan", "drift"), ("sea", "pan"), ("drift", "passing"), ("pan", "pan")])
def test_nothing_is_drawn_across_a_cut(scenes, first, then):
    second = MOVING[then](11) if then == "passing" else MOVING[then](11, (256, 144), 2.5)
    before, after = shoot(scenes[first], range(4)), shoot(second, range(4))
    given = np.concatenate([before, after])
    frames, positions = interpolated(given, 16, 48)
    across = [n for n, position in enumerate(positions) if 3 < position < 4]
    assert [bool(np.array_equal(frames[n], given[3])) for n in across] == [True, False]
    assert [bool(np.array_equal(frames[n], given[4])) for n in across] == [False, True]


@pytest.mark.parametrize("name", MOVING)
def test_motion_a_flash_and_a_fade_are_no_cut(scenes, name):
    one, other = shoot(scenes[name], [0, 2])
    assert not is_cut(motion_between(one, other))
    flash = np.clip(other.astype(int) * 3 // 2 + 20, 0, 255).astype(np.uint8)
    assert not is_cut(motion_between(one, flash))
    assert not is_cut(motion_between(one, other // 2))


@pytest.mark.parametrize("words", ["the ocean at dawn, flying forward", "light breaking like petals, unfolding"])
def test_the_fast_water_and_light_of_the_film_are_no_cut_and_their_takes_are(words):
    take = list(procedural.take(words, 5, (256, 144), 2, 16.0, moving=3.0))
    other = next(procedural.take(words, 77, (256, 144), 1, 16.0))
    assert not is_cut(motion_between(*take))
    assert is_cut(motion_between(take[0], other))


def test_flat_pictures_are_no_cut():
    flat = np.full((64, 96, 3), 9, np.uint8)
    assert not is_cut(motion_between(flat, flat + 3))


def test_where_flow_is_no_evidence_a_dissolve_shows(scenes):
    one, other = shoot(scenes["pan"], [0])[0], shoot(scenes["drift"], [0])[0]
    plain = (one.astype(float) + other) / 2
    shown = frame_between(motion_between(one, other), 0.5)
    assert np.abs(shown - plain).mean() < 0.25 * np.abs(one - plain).mean()


@settings(max_examples=25, deadline=None)
@drawn(
    height=st.integers(2, 90),
    width=st.integers(2, 90),
    moment=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["noise", "flat", "shift"]),
)
def test_any_two_pictures_give_one_of_their_size(height, width, moment, seed, kind):
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    if kind == "flat":
        one, other = np.full_like(one, 200), np.full_like(one, 3)
    if kind == "shift":
        other = np.roll(one, 3, axis=1)
    shown = frame_between(motion_between(one, other), moment)
    assert shown.shape == one.shape
    assert shown.dtype == np.uint8
    if kind == "flat":
        assert shown.min() >= 3
        assert shown.max() <= 200


def test_no_frames_between_are_wanted_of_a_clip_that_ends_before_them():
    given = np.zeros((3, 32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match=r"reach frame 2\.5 of a parent that has 3"):
        made(recipe("interpolate", size=(32, 32), frames=6, reading=Reading(Fraction(0), Fraction(1, 2))), given)


def test_an_interpolation_that_is_not_said_how_to_read_or_changes_the_size_is_refused():
    given = np.zeros((3, 32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match="where its frames lie"):
        made(recipe("interpolate", size=(32, 32), frames=5), given)
    with pytest.raises(ValueError, match="keeps the size of its clips, 32 × 32"):
        made(recipe("interpolate", frames=5, reading=Reading(Fraction(0), Fraction(1, 2))), given)


def test_an_interpolation_can_be_aborted_between_frames():
    given = np.zeros((9, 32, 32, 3), np.uint8)
    wanted = recipe("interpolate", size=(32, 32), frames=9, reading=Reading(Fraction(0), Fraction(1)))
    asked = iter([False, False, True])
    with pytest.raises(Aborted):
        list(build_generator(CARDS["optical/flow"]).generate([wanted], {"p": given}, lambda: next(asked)))
