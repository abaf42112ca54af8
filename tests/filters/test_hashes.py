import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.filters.hashes import dhash, distance, phash
from tests.filters import pictures, truth

BITS = st.integers(0, 2**64 - 1)


@given(BITS, BITS, BITS)
def test_distance_is_a_metric_on_64_bits(a, b, c):
    assert distance(a, a) == 0
    assert distance(a, b) == distance(b, a) <= 64
    assert distance(a, c) <= distance(a, b) + distance(b, c)


@pytest.mark.parametrize("hashed", [phash, dhash])
def test_a_hash_is_64_unsigned_bits_of_any_picture(hashed):
    for frames in (np.zeros((1, 8, 8, 3), np.uint8), np.full((3, 64, 200, 3), 1.0, np.float32)):
        assert 0 <= hashed(frames) < 2**64


def test_the_hash_of_a_clip_is_that_of_its_middle_frame():
    clip = pictures.drifting(pictures.bright_petals, frames=9)
    assert phash(clip) == phash(clip[4:5])


def test_bytes_and_floats_of_a_picture_have_one_hash():
    still = pictures.still(pictures.glittering_sea)
    assert phash(still) == phash(still.astype(np.float32) / 255)


def test_the_hash_of_a_known_picture_stays_for_ever():
    y, x = np.mgrid[0:96, 0:160]
    plane = (128 + 60 * np.sin(x / 17) + 50 * np.cos(y / 11) * np.sin(x / 41)).astype(np.uint8)
    assert f"{phash(np.repeat(plane[None, ..., None], 3, axis=3)):016x}" == "e13fc0c03fc03fc5"


def test_near_duplicates_are_close_and_siblings_are_far():
    twins, siblings = [], []
    for wording in range(len(truth.WORDINGS)):
        first, second = (truth.clean_still(truth.GATE, 70_000 + 20 * n + wording, (128, 80)).frames for n in range(2))
        twins.append(distance(phash(first), phash(truth.near_duplicate(first, np.random.default_rng(wording)))))
        siblings.append(distance(phash(first), phash(second)))
    assert np.quantile(twins, 0.9) <= 6
    assert np.quantile(siblings, 0.1) >= 16
