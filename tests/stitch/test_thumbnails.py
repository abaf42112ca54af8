"""Thumbnails: each where its rectangle says, as it was, and refused when damaged."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.stitch import thumbnails
from ancestra_farm.stitch.codec import FramesError, MediumError


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), min_size=1, max_size=12))
def test_every_thumbnail_lies_where_its_rectangle_says(sizes):
    tiles = [
        thumbnails.thumbnail(np.full((height, width, 3), 40 + 10 * index, np.uint8))
        for index, (height, width) in enumerate(sizes)
    ]
    data, places = thumbnails.thumbnail_sheet(tiles)
    sheet = thumbnails.decode_sheet(data)
    assert len(places) == len(tiles)
    for tile, (x, y, width, height) in zip(tiles, places, strict=True):
        assert width <= thumbnails.TILE_WIDTH
        assert height <= thumbnails.TILE_HEIGHT
        assert np.abs(sheet[y : y + height, x : x + width].astype(int) - tile).max() <= 1


def test_a_thumbnail_keeps_the_aspect():
    assert thumbnails.thumbnail(np.zeros((1080, 1920, 3), np.uint8)).shape == (72, 128, 3)
    assert thumbnails.thumbnail(np.zeros((1920, 1080, 3), np.uint8)).shape == (128, 72, 3)
    assert thumbnails.thumbnail(np.zeros((40, 60, 3), np.uint8)).shape == (40, 60, 3)


def test_a_clip_is_shown_by_its_middle_frame():
    frames = np.random.default_rng(3).integers(0, 256, (5, 20, 20, 3), np.uint8)
    assert np.array_equal(thumbnails.thumbnail(frames), frames[2])


def test_a_broken_picture_still_has_a_thumbnail():
    frame = np.full((4, 4, 3), 0.5, np.float32)
    frame[1, 1, 0] = np.nan
    tile = thumbnails.thumbnail(frame)
    assert tile[1, 1].tolist() == [255, 0, 255]
    assert tile[0, 0].tolist() == [128, 128, 128]


def test_neighbours_do_not_bleed_into_one_another():
    tiles = [np.full((37, 61, 3), level, np.uint8) for level in (0, 255, 0, 255)]
    data, places = thumbnails.thumbnail_sheet(tiles)
    sheet = thumbnails.decode_sheet(data)
    for tile, (x, y, width, height) in zip(tiles, places, strict=True):
        assert np.abs(sheet[y : y + height, x : x + width].astype(int) - tile).max() <= 1


def test_a_picture_looks_the_same_small(scene):
    tile = thumbnails.thumbnail(scene)
    data, [(x, y, width, height)] = thumbnails.thumbnail_sheet([tile])
    shown = thumbnails.decode_sheet(data)[y : y + height, x : x + width]
    error = np.mean((shown.astype(float) - tile) ** 2)
    assert 10 * np.log10(255**2 / error) > 35.0


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(5)
    coarse = rng.random((9, 16, 3), np.float32)
    return cv2.resize(coarse, (512, 288), interpolation=cv2.INTER_CUBIC).clip(0.0, 1.0)


def test_a_damaged_sheet_is_refused(scene):
    data, _ = thumbnails.thumbnail_sheet([thumbnails.thumbnail(scene)])
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 4
    for damaged in (bytes(flipped), data[:-1], data[: len(data) // 2], b""):
        with pytest.raises(MediumError):
            thumbnails.decode_sheet(damaged)


def test_a_sheet_of_nothing_is_refused():
    with pytest.raises(FramesError, match="at least one"):
        thumbnails.thumbnail_sheet([])
