"""Upscaling: nearer to the truth than plain bicubic, without flicker, without overshooting, to any larger size."""

import cv2
import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from ancestra_farm.models.optical.enlarge import enlarged
from ancestra_farm.models.procedural import scenes
from tests.models.optical.pictures import made, psnr, recipe, ssim
from tests.stitch.scenes import pan, shoot

WORDS = ["the ocean at dawn", "layers of tissue", "cells dividing", "stars and dust", "light breaking like petals"]
SIZE = (256, 144)


def reduced(picture, times):
    height, width = picture.shape[:2]
    return cv2.resize(picture, (width // times, height // times), interpolation=cv2.INTER_AREA)


def bicubic(picture, size):
    return cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def stills():
    return {words: [scenes.still(words, seed, SIZE) for seed in (5, 6)] for words in WORDS}


@pytest.mark.parametrize("times", [2, 4])
@pytest.mark.parametrize("words", WORDS)
def test_rendered_scenes_come_back_nearer_than_by_bicubic(stills, words, times):
    for truth in stills[words]:
        small = reduced(truth, times)
        ours, plain = enlarged(small, SIZE), bicubic(small, SIZE)
        assert psnr(ours, truth) > psnr(plain, truth)
        assert ssim(ours, truth) > ssim(plain, truth)


def test_reduced_again_it_is_what_was_given(stills):
    small = reduced(stills[WORDS[0]][0], 2)
    again = reduced(enlarged(small, SIZE), 2)
    assert np.abs(again.astype(int) - small).mean() < 1.0


def test_edges_do_not_overshoot():
    step = np.full((48, 64, 3), 60, np.uint8)
    step[:, 32:] = 180
    large = enlarged(step, (256, 192), sharpen=1.0)
    assert large.min() >= 60 - 16
    assert large.max() <= 180 + 16


def test_a_clip_flickers_no_more_than_bicubic_makes_it():
    truth = shoot(pan(4, (256, 144), 1.5), range(8))
    small = np.stack([reduced(frame, 2) for frame in truth])
    ours = made(recipe("upscale", size=SIZE, frames=8), small)
    plain = np.stack([bicubic(frame, SIZE) for frame in small])

    def unrest(frames):
        """What a second difference in time has beyond the truth's: comes and goes from frame to frame."""
        error = frames.astype(float) - truth
        return np.abs(error[2:] - 2 * error[1:-1] + error[:-2]).mean()

    assert unrest(ours) < 1.05 * unrest(plain)
    brightness = ours.mean(axis=(1, 2, 3)) - truth.mean(axis=(1, 2, 3))
    assert np.abs(np.diff(brightness)).max() < 0.1


def test_a_frame_of_a_clip_is_what_it_is_as_a_still():
    small = shoot(pan(4, (128, 72)), range(3))
    clip = made(recipe("upscale", size=SIZE, frames=3), small)
    still = made(recipe("upscale", size=SIZE, frames=1), small[1:2])
    assert np.array_equal(clip[1], still[0])


def test_another_shape_is_filled_and_cut_off_evenly_never_stretched():
    square = np.zeros((100, 100, 3), np.uint8)
    cv2.circle(square, (50, 50), 20, (255, 255, 255), -1)
    wide = enlarged(square, (320, 180))
    white = wide[..., 0] > 127
    rows, columns = np.flatnonzero(white.any(axis=1)), np.flatnonzero(white.any(axis=0))
    assert abs(len(rows) - len(columns)) <= 1
    assert abs(rows.mean() - 89.5) < 2
    assert abs(columns.mean() - 159.5) < 2


@settings(max_examples=25, deadline=None)
@drawn(
    height=st.integers(2, 40),
    width=st.integers(2, 40),
    more=st.tuples(st.integers(0, 90), st.integers(0, 90)),
    sharpen=st.floats(0, 1),
    level=st.integers(0, 255),
)
def test_any_larger_size_is_met_and_a_flat_picture_stays_flat(height, width, more, sharpen, level):
    size = (width + more[0], height + more[1])
    large = enlarged(np.full((height, width, 3), level, np.uint8), size, sharpen)
    assert large.shape == (size[1], size[0], 3)
    assert np.abs(large.astype(int) - level).max() <= 1


def test_a_smaller_size_is_refused_and_the_same_is_passed_on():
    picture = np.zeros((40, 60, 3), np.uint8)
    assert enlarged(picture, (60, 40)) is picture
    with pytest.raises(ValueError, match="50 × 80 is smaller than the 60 × 40"):
        enlarged(picture, (50, 80))


def test_a_parent_with_other_frames_than_are_wanted_is_refused():
    with pytest.raises(ValueError, match="5 frames are wanted of a parent that has 3"):
        made(recipe("upscale", frames=5), np.zeros((3, 32, 32, 3), np.uint8))
