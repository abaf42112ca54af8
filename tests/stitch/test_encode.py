"""A movie is the same bytes every time, at any size, and never passes for whole when it is not."""

from fractions import Fraction

import numpy as np
import pytest

from ancestra_farm.stitch.conform import frame_number
from ancestra_farm.stitch.encode import FileError, MasterWriter, MovieWriter, StillsWriter, check_movie, even_size
from tests.stitch.scenes import pan, shoot

RATE = Fraction(24)


@pytest.mark.parametrize("size", [(97, 55), (100, 56), (128, 64), (64, 36), (33, 2), (2, 33)])
def test_the_same_frames_give_the_same_movie_at_any_size(tmp_path, size):
    frames = shoot(pan(3, size=size), range(14), grain=1.0)
    made = set()
    for run in range(4):
        churn = [np.random.default_rng(run).bytes(50_000 + 997 * n) for n in range(40)]  # memory that was used before
        path = tmp_path / f"{run}.mp4"
        writer = MovieWriter(path, size=size, rate=RATE)
        for frame in frames:
            writer.write(frame)
        del churn
        writer.close()
        writer.check(14)
        made.add(path.read_bytes())
    assert len(made) == 1


def test_odd_sides_grow_by_one_pixel():
    assert even_size((97, 55)) == (98, 56)
    assert even_size((1920, 1080)) == (1920, 1080)


@pytest.mark.parametrize("kind", ["movie", "master", "stills"])
def test_an_abandoned_file_does_not_pass_for_a_whole_one(tmp_path, kind):
    frames = shoot(pan(3, size=(64, 36)), range(6))
    if kind == "movie":
        writer = MovieWriter(tmp_path / "shot.mp4", size=(64, 36), rate=RATE)
    elif kind == "master":
        writer = MasterWriter(tmp_path / "shot.mkv", size=(64, 36), rate=RATE, frames=12)
    else:
        writer = StillsWriter(tmp_path / "png", shot="shot")
    for frame in frames:
        writer.write(frame)
    writer.abandon()
    with pytest.raises(FileError):
        writer.check(12)


def test_a_movie_whose_index_is_at_the_end_is_found_out(tmp_path):
    path = tmp_path / "shot.mp4"
    path.write_bytes(b"\0\0\0\x20ftypisom" + b"\0" * 20 + b"\0\0\0\x08mdat" + b"\0" * 40)
    with pytest.raises(FileError, match="index"):
        check_movie(path, frames=1, size=(2, 2), rate=RATE)


def test_frame_numbers_begin_at_1001_with_the_head_handle():
    assert [frame_number(index) for index in (0, 8, 8998, 8999)] == ["1001", "1009", "9999", "10000"]
