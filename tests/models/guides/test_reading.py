"""Pictures and clips as guides: read as what they are, cropped about the centre, one frame for each moment."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from PIL import Image

from ancestra_farm.models.guides.clips import clip_at, clip_facts
from ancestra_farm.models.guides.errors import GuideUnreadable
from ancestra_farm.models.guides.fit import crop_of, fitted
from ancestra_farm.models.guides.pictures import read_picture
from tests.models.guides.files import numbered, numbers, write_clip, write_exr, write_picture

RNG = np.random.default_rng(5)
PICTURE = cv2.resize(RNG.integers(0, 255, (6, 8, 3), np.uint8), (80, 60), interpolation=cv2.INTER_CUBIC)


# ---- pictures --------------------------------------------------------------------------------------------------------


def test_a_png_is_read_as_it_is_and_a_jpeg_nearly(tmp_path):
    np.testing.assert_array_equal(read_picture(write_picture(tmp_path / "a.png", PICTURE), "a.png"), PICTURE)
    jpeg = read_picture(write_picture(tmp_path / "a.jpg", PICTURE), "a.jpg")
    assert np.abs(jpeg.astype(int) - PICTURE).mean() < 4


def test_material_without_a_suffix_is_read_by_its_name(tmp_path):
    write_picture(tmp_path / "a.png", PICTURE).rename(tmp_path / "0123")
    np.testing.assert_array_equal(read_picture(tmp_path / "0123", "still.PNG"), PICTURE)


def test_sixteen_bits_of_grey_keep_their_levels(tmp_path):
    grey = np.linspace(0, 65535, 80 * 60).reshape(60, 80).astype(np.uint16)
    read = read_picture(write_picture(tmp_path / "depth.png", grey), "depth.png")
    assert np.abs(read[..., 1].astype(float) - grey / 257.0).max() <= 0.51


def test_what_is_transparent_lies_over_black(tmp_path):
    whole = np.full((60, 80, 4), 200, np.uint8)
    whole[:, :40, 3], whole[:, 40:, 3] = 255, 0
    Image.fromarray(whole, "RGBA").save(tmp_path / "a.png")
    read = read_picture(tmp_path / "a.png", "a.png")
    assert (read[:, :40] == 200).all()
    assert (read[:, 40:] == 0).all()


def test_a_photograph_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    Image.fromarray(PICTURE).save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg", "a.jpg").shape == (80, 60, 3)


def test_linear_light_in_openexr_is_shown_as_srgb(tmp_path):
    values = np.zeros((16, 24, 3), np.float32)
    values[:, :8, 0], values[:, 8:16, 1], values[:, 16:, 2] = 0.2140, 1.0, 7.0
    read = read_picture(write_exr(tmp_path / "plate.exr", values), "plate.exr")
    assert read[0, 0].tolist() == [127, 0, 0]
    assert read[0, 10].tolist() == [0, 255, 0]
    assert read[0, 20].tolist() == [0, 0, 255]


def test_openexr_masks_are_taken_as_they_stand_and_depth_is_distance(tmp_path):
    values = np.full((8, 8, 3), 0.5, np.float32)
    assert read_picture(write_exr(tmp_path / "a.exr", values), "a.exr", "mask")[0, 0, 0] == 128
    values[:, :4], values[:, 4:] = 2.0, 50.0
    depth = read_picture(write_exr(tmp_path / "b.exr", values), "b.exr", "depth")
    assert depth[0, 0].tolist() == [255, 255, 255]
    assert depth[0, 7].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.exr"])
@pytest.mark.parametrize("data", [b"", b"not a picture", bytes(range(200))], ids=["nothing", "words", "bytes"])
def test_what_is_no_picture_is_refused_with_a_sentence(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(GuideUnreadable, match=f"{name} cannot be read as"):
        read_picture(tmp_path / name, name)


def test_half_a_picture_is_refused(tmp_path):
    file = write_picture(tmp_path / "a.png", PICTURE)
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(GuideUnreadable):
        read_picture(file, "a.png")


def test_a_picture_of_another_format_than_its_suffix_is_refused(tmp_path):
    write_picture(tmp_path / "a.jpg", PICTURE).rename(tmp_path / "a.png")
    with pytest.raises(GuideUnreadable):
        read_picture(tmp_path / "a.png", "a.png")


# ---- size ------------------------------------------------------------------------------------------------------------


def test_a_picture_is_cropped_about_its_centre_and_never_letterboxed():
    assert crop_of((200, 100), (100, 100)) == (50, 0, 100, 100)
    assert crop_of((100, 200), (200, 100)) == (0, 75, 100, 50)
    assert crop_of((100, 100), (64, 64)) == (0, 0, 100, 100)
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 40:80] = 200
    assert (fitted(wide, (20, 20)) == 200).all()


def test_pixels_that_are_not_square_are_made_so():
    assert crop_of((100, 100), (200, 100), Fraction(2)) == (0, 0, 100, 100)


def test_a_picture_of_the_right_size_is_not_touched():
    assert fitted(PICTURE, (80, 60)) is PICTURE


# ---- clips -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mov", "libx264"), ("a.mkv", "ffv1")])
def test_a_clip_says_how_many_frames_it_has_at_which_rate(tmp_path, name, codec):
    facts = clip_facts(write_clip(tmp_path / name, numbered(10), 25, codec), name)
    assert (facts.frames, facts.size) == (10, (64, 48))
    assert float(facts.rate) == pytest.approx(25, rel=0.01)
    assert float(facts.last_s) == pytest.approx(9 / 25, abs=0.002)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "ffv1")])
def test_each_moment_gets_the_frame_nearest_to_it(tmp_path, name, codec):
    file = write_clip(tmp_path / name, numbered(10), 24, codec)
    moments = [Fraction(n, 24) for n in range(10)]
    assert numbers(clip_at(file, name, moments, (64, 48))) == list(range(10))
    assert numbers(clip_at(file, name, [Fraction(n, 12) for n in range(5)], (64, 48))) == [0, 2, 4, 6, 8]
    slower = numbers(clip_at(file, name, [Fraction(n, 15) for n in range(6)], (64, 48)))
    assert slower == [0, 2, 3, 5, 6, 8]


def test_before_it_begins_and_after_its_end_a_clip_rests(tmp_path):
    file = write_clip(tmp_path / "a.mkv", numbered(5), 24, "ffv1")
    moments = [Fraction(n, 24) for n in range(-3, 8)]
    assert numbers(clip_at(file, "a.mkv", moments, (64, 48))) == [0, 0, 0, 0, 1, 2, 3, 4, 4, 4, 4]


def test_a_clip_is_made_as_large_as_it_is_asked_for(tmp_path):
    file = write_clip(tmp_path / "a.mp4", numbered(3, (120, 40)), 24)
    assert clip_at(file, "a.mp4", [Fraction(0), Fraction(1, 24)], (32, 32)).shape == (2, 32, 32, 3)


def test_colours_of_a_clip_come_back(tmp_path):
    frames = np.zeros((4, 48, 64, 3), np.uint8)
    frames[..., :] = (200, 60, 30)
    read = clip_at(write_clip(tmp_path / "a.mkv", frames, 24, "ffv1"), "a.mkv", [Fraction(0)], (64, 48))
    assert read[0, 20, 20].tolist() == [200, 60, 30]
    read = clip_at(write_clip(tmp_path / "a.mp4", frames, 24), "a.mp4", [Fraction(0)], (64, 48))
    assert np.abs(read[0, 20, 20].astype(int) - [200, 60, 30]).max() <= 4


def test_a_clip_that_is_cut_off_is_counted_as_it_is(tmp_path):
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 255, (12, 48, 64, 3), np.uint8)
    file = write_clip(tmp_path / "a.mkv", frames, 24, "ffv1")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert clip_facts(file, "a.mkv").frames < 8


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov"])
def test_what_is_no_clip_is_refused_with_a_sentence(tmp_path, name):
    (tmp_path / name).write_bytes(b"#EXTM3U\nfile:///etc/passwd\n" * 40)
    with pytest.raises(GuideUnreadable, match=f"{name} cannot be read as a clip"):
        clip_facts(tmp_path / name, name)


def test_one_frame_is_no_clip(tmp_path):
    with pytest.raises(GuideUnreadable, match="holds 1 frames; a clip has two or more"):
        clip_facts(write_clip(tmp_path / "a.mkv", numbered(1), 24, "ffv1"), "a.mkv")
