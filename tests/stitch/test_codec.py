"""Stills and clips come back bit for bit, and damaged bytes never pass for a picture."""

import io
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.stitch import codec
from ancestra_farm.stitch.codec import FramesError, MediumError

RATES = [Fraction(16), Fraction(24), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(121, 5), Fraction(240)]
shapes = st.tuples(st.integers(1, 6), st.integers(2, 41), st.integers(2, 41))


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


@settings(max_examples=40, deadline=None)
@given(shape=shapes, rate=st.sampled_from(RATES), seed=st.integers(0, 2**32))
def test_a_clip_comes_back_bit_for_bit_at_its_exact_rate(shape, rate, seed):
    frames = noise(shape, seed)
    data = codec.encode_clip(frames, rate)
    decoded, decoded_rate = codec.decode_clip(data)
    assert decoded_rate == rate
    assert np.array_equal(decoded, frames)
    assert codec.clip_rate(data) == (rate, shape[0])


@settings(max_examples=40, deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**32))
def test_a_still_comes_back_bit_for_bit(shape, seed):
    frame = noise(shape[1:], seed)
    assert np.array_equal(codec.decode_still(codec.encode_still(frame)), frame)


def test_the_same_frames_give_the_same_bytes():
    frames = noise((5, 36, 64))
    assert codec.encode_clip(frames, Fraction(24)) == codec.encode_clip(frames.copy(), Fraction(24))
    assert codec.encode_still(frames[0]) == codec.encode_still(frames[0].copy())


def test_one_frame_is_a_still_and_several_are_a_clip():
    frames = noise((3, 8, 8))
    still, still_suffix = codec.encode_frames(frames[:1], Fraction(24))
    clip, clip_suffix = codec.encode_frames(frames, Fraction(24))
    assert (still_suffix, codec.kind_of(still)) == ("png", "still")
    assert (clip_suffix, codec.kind_of(clip)) == ("mkv", "clip")
    assert np.array_equal(codec.decode_frames(still), frames[:1])
    assert np.array_equal(codec.decode_frames(clip), frames)


def test_float_frames_are_rounded_and_clipped_by_the_stated_rule():
    levels = np.array([-0.5, 0.0, 0.4 / 255, 0.6 / 255, 0.5, 1.0, 1.7], dtype=np.float32)
    assert codec.to_uint8(levels).tolist() == [0, 0, 0, 1, 128, 255, 255]
    every_level = np.arange(256, dtype=np.float32) / np.float32(255)
    assert codec.to_uint8(every_level).tolist() == list(range(256))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_frames_with_values_that_are_no_picture_are_refused(value):
    frames = np.full((2, 4, 4, 3), 0.5, dtype=np.float32)
    frames[1, 2, 3, 0] = value
    with pytest.raises(FramesError, match="1 of 96 values are NaN or infinite"):
        codec.encode_clip(frames, Fraction(24))
    with pytest.raises(FramesError, match="NaN or infinite"):
        codec.encode_still(frames[1])


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 4, 4), np.uint8),
        np.zeros((0, 4, 4, 3), np.uint8),
        np.zeros((2, 4, 0, 3), np.uint8),
        np.zeros((2, 4, 4, 4), np.uint8),
    ],
)
def test_frames_of_a_wrong_shape_are_refused(frames):
    with pytest.raises(FramesError, match="shape"):
        codec.encode_clip(frames, Fraction(24))


def test_a_clip_one_pixel_wide_is_refused():
    with pytest.raises(FramesError, match="at least 2 × 2"):
        codec.encode_clip(np.zeros((2, 4, 1, 3), np.uint8), Fraction(24))


def test_frames_of_a_wrong_type_are_refused():
    with pytest.raises(FramesError, match="int64"):
        codec.encode_clip(np.zeros((2, 4, 4, 3), np.int64), Fraction(24))


def test_a_clip_of_fewer_frames_than_announced_is_refused_by_writer_and_reader():
    frames = noise((3, 8, 8))
    target = io.BytesIO()
    with pytest.raises(FramesError, match="3 frames came where 4"):
        codec.write_clip(target, iter(frames), frames=4, size=(8, 8), rate=Fraction(24))
    with pytest.raises(MediumError, match="no seal"):
        codec.decode_clip(target.getvalue())


@pytest.mark.parametrize("kind", ["still", "clip"])
def test_no_flipped_bit_changes_a_picture_unnoticed(kind):
    frames = noise((1 if kind == "still" else 3, 24, 32))
    data, _ = codec.encode_frames(frames, Fraction(24))
    rng = np.random.default_rng(7)
    for place in rng.integers(0, len(data), 150):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(8))
        try:
            decoded = codec.decode_frames(bytes(damaged))
        except MediumError:
            continue
        assert np.array_equal(decoded, frames)


@pytest.mark.parametrize("kind", ["still", "clip"])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_a_file_cut_short_is_refused(kind, part):
    frames = noise((1 if kind == "still" else 5, 24, 32))
    data, _ = codec.encode_frames(frames, Fraction(24))
    with pytest.raises(MediumError):
        codec.decode_frames(data[: int(len(data) * part)])
    with pytest.raises(MediumError):
        codec.decode_frames(data[:-1])


def test_bytes_of_another_format_are_refused():
    with pytest.raises(MediumError, match="neither"):
        codec.decode_frames(b"GIF89a")
    with pytest.raises(MediumError):
        codec.decode_still(codec.encode_clip(noise((2, 8, 8)), Fraction(24)))


def test_a_long_clip_is_read_frame_by_frame_from_a_file(tmp_path):
    frames = noise((6, 16, 16))
    path = tmp_path / "clip.mkv"
    with path.open("w+b") as target:
        codec.write_clip(target, iter(frames), frames=6, size=(16, 16), rate=Fraction(24))
    assert path.read_bytes() == codec.encode_clip(frames, Fraction(24))
    with path.open("rb") as source:
        assert all(np.array_equal(read, made) for read, made in zip(codec.iter_clip(source), frames, strict=True))
