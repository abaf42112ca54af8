"""Colours of a segment come to those of the one before it, and only where they should."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.stitch.colour import IDENTITY, match_colour
from tests.stitch.scenes import pan, shoot


def tinted(frames, matrix, offset):
    mixed = frames.astype(np.float64) @ np.asarray(matrix).T + offset
    return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)


def test_equal_copies_stay_bit_for_bit():
    frames = shoot(pan(1), range(4))
    found = match_colour(frames, frames)
    assert found == IDENTITY
    assert found.apply(frames) is frames


@settings(max_examples=25, deadline=None)
@given(gains=st.tuples(*[st.floats(0.85, 1.15)] * 3), lift=st.floats(-10, 10), seed=st.integers(0, 20))
def test_a_drift_of_gain_and_lift_is_undone(gains, lift, seed):
    reference = shoot(pan(seed, size=(64, 36)), range(3))
    drifted = tinted(reference, np.diag(gains), lift)
    back = match_colour(reference, drifted).apply(drifted)
    assert np.abs(back.astype(int) - reference).mean() < 1.5


def test_the_map_beats_doing_nothing_by_far_on_copies_that_moved_apart():
    reference = shoot(pan(3), range(5))
    moved = tinted(shoot(pan(3), np.arange(5) + 0.6), [[1.05, 0.02, 0], [0, 0.97, 0.02], [0.03, 0, 0.94]], 3.0)
    back = match_colour(reference, moved).apply(moved)

    def off(frames):
        return np.abs(frames.mean(axis=(0, 1, 2)) - reference.mean(axis=(0, 1, 2))).max()

    assert off(back) < off(moved) / 10


@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_pictures_are_shifted_and_not_stretched(level):
    reference = np.full((2, 8, 8, 3), level, np.uint8)
    moving = np.full((2, 8, 8, 3), abs(level - 6), np.uint8)
    assert np.array_equal(match_colour(reference, moving).apply(moving), reference)


def test_another_picture_is_not_taken_for_a_drift():
    reference = shoot(pan(1), range(3))
    found = match_colour(reference, tinted(reference, np.eye(3) * 0.4, 0))
    assert found.is_identity
    assert "too much to be a drift" in found.why_not
