"""Guides of a recipe as its model is given them: at its size, rate and length."""

from fractions import Fraction

import numpy as np
import pytest

from ancestra_farm.batch.checks.materials import Length
from ancestra_farm.batch.schema import Guide
from ancestra_farm.models.guides.check import faults_of
from ancestra_farm.models.guides.errors import GuideUnreadable
from ancestra_farm.models.guides.frames import guide_frames, moving_guide, references_of
from tests.models.guides.files import (
    camera,
    from_folder,
    guided,
    motion_path,
    numbered,
    numbers,
    said,
    write_clip,
    write_picture,
)

PICTURE = np.zeros((60, 80, 3), np.uint8)
PICTURE[:, 40:] = 220


def test_a_clip_is_given_at_the_recipes_size_rate_and_length(tmp_path):
    write_clip(tmp_path / "a.mkv", numbered(12), 24, "ffv1")
    recipe = guided(said("previz", "a.mkv"), frames=5, rate=Fraction(12))
    found = guide_frames(recipe, from_folder(tmp_path))
    assert found["previz"].shape == (5, 64, 96, 3)
    assert numbers(found["previz"]) == [0, 2, 4, 6, 8]


def test_a_later_segment_is_given_its_own_part(tmp_path):
    write_clip(tmp_path / "a.mkv", numbered(12), 24, "ffv1")
    recipe = guided(said("depth", "a.mkv", start_s=Fraction(4, 24)), frames=5)
    assert numbers(guide_frames(recipe, from_folder(tmp_path))["depth"]) == [4, 5, 6, 7, 8]
    handles = guided(said("depth", "a.mkv", start_s=Fraction(-2, 24)), frames=5)
    assert numbers(guide_frames(handles, from_folder(tmp_path))["depth"]) == [0, 0, 0, 1, 2]


def test_a_still_of_what_steers_every_frame_stands_for_all_and_others_are_one(tmp_path):
    write_picture(tmp_path / "a.png", PICTURE)
    recipe = guided(said("depth", "a.png"), said("first_frame", "a.png"), said("mask", "a.png"))
    found = guide_frames(recipe, from_folder(tmp_path))
    assert {way: len(frames) for way, frames in found.items()} == {"depth": 9, "first_frame": 1, "mask": 1}
    assert all(frames.shape[1:] == (64, 96, 3) for frames in found.values())


def test_references_come_whole_each_in_its_own_shape_and_in_order(tmp_path):
    """A face at the top of a tall photograph is not cut off, whatever the shape of the clip."""
    for name, (width, height), level in (("a.png", (40, 30), 10), ("b.png", (100, 400), 200)):
        write_picture(tmp_path / name, np.full((height, width, 3), level, np.uint8))
    recipe = guided(said("reference", "b.png"), said("depth", "a.png"), said("reference", "a.png"))
    tall, small = references_of(recipe, from_folder(tmp_path))
    assert (tall.shape, small.shape) == ((1, 96, 24, 3), (1, 30, 40, 3))
    assert (tall.mean(), small.mean()) == (200, 10)
    assert list(guide_frames(recipe, from_folder(tmp_path))) == ["depth"]


def test_a_mask_is_white_where_the_model_may_paint_and_black_elsewhere(tmp_path):
    write_picture(tmp_path / "a.png", PICTURE)
    mask = guide_frames(guided(said("mask", "a.png")), from_folder(tmp_path))["mask"]
    assert set(np.unique(mask)) == {0, 255}
    assert mask[0, 30, 80].tolist() == [255] * 3
    write_clip(tmp_path / "a.mkv", np.repeat(PICTURE[None], 4, axis=0), 24, "ffv1")
    assert len(guide_frames(guided(said("mask", "a.mkv")), from_folder(tmp_path))["mask"]) == 9


def test_paths_are_rendered_as_what_the_model_takes(tmp_path):
    motion_path(tmp_path / "a.json", {"points": [(0, 0.2, 0.5), (0.5, 0.5, 0.5)]})
    camera(tmp_path / "b.json", [(0, 0, -0.1 * n) for n in range(9)])
    found = guide_frames(
        guided(said("motion_path", "a.json", "flow"), said("camera", "b.json", "depth")), from_folder(tmp_path)
    )
    assert {way: frames.shape for way, frames in found.items()} == {"flow": (9, 64, 96, 3), "depth": (9, 64, 96, 3)}


def test_flow_rests_outside_its_clip(tmp_path):
    frames = np.full((4, 48, 64, 3), 60, np.uint8)
    write_clip(tmp_path / "a.mkv", frames, 24, "ffv1")
    found = guide_frames(guided(said("flow", "a.mkv", start_s=Fraction(-2, 24))), from_folder(tmp_path))["flow"]
    assert [int(frame.mean()) for frame in found] == [255, 255, 60, 60, 60, 60, 255, 255, 255]


def test_the_same_guide_is_read_once_for_all_candidates(tmp_path):
    write_picture(tmp_path / "a.png", PICTURE)
    recipe = guided(said("depth", "a.png"), size=(56, 40))
    first = guide_frames(recipe, from_folder(tmp_path))["depth"]
    (tmp_path / "a.png").unlink()
    again = guide_frames(recipe, from_folder(tmp_path))["depth"]
    assert again is first
    assert not first.flags.writeable


def test_a_guide_that_cannot_be_read_says_so(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(GuideUnreadable, match=r"bad\.png"):
        guide_frames(guided(said("depth", "bad.png")), from_folder(tmp_path))


def test_the_guide_that_a_clip_is_to_follow_is_the_one_that_moves(tmp_path):
    write_picture(tmp_path / "a.png", PICTURE)
    write_clip(tmp_path / "a.mkv", numbered(12), 24, "ffv1")
    still, clip, mask = said("previz", "a.png"), said("depth", "a.mkv"), said("mask", "a.mkv")
    assert moving_guide(guided(still, mask), from_folder(tmp_path)) is None
    assert moving_guide(guided(still, clip), from_folder(tmp_path))[0] == "depth"
    assert moving_guide(guided(clip, frames=1), from_folder(tmp_path)) is None


# ---- at check --------------------------------------------------------------------------------------------------------

CUT = Length(12, Fraction(24), "the cut")


def faults(folder, kind, name, length=CUT, **more):
    guide = Guide.model_validate({"kind": kind, "source": f"guides/{name}", **more})
    return [
        f"{fault.message} ({fault.hint})" if fault.hint else fault.message
        for fault in faults_of(guide, folder / name, length)
    ]


def test_guides_that_can_be_used_have_no_faults(tmp_path):
    write_picture(tmp_path / "a.png", PICTURE)
    write_clip(tmp_path / "a.mp4", numbered(12), 24)
    motion_path(tmp_path / "a.json", {"points": [(0, 0.2, 0.5), (0.1, 0.5, 0.5)]})
    camera(tmp_path / "b.json", [(0, 0, 0)] * 12)
    given = [("depth", "a.png"), ("previz", "a.mp4"), ("motion_path", "a.json"), ("camera", "b.json")]
    assert [faults(tmp_path, kind, name) for kind, name in given] == [[], [], [], []]


def test_a_clip_at_another_rate_is_long_enough_when_its_time_is(tmp_path):
    write_clip(tmp_path / "a.mkv", numbered(8), 16, "ffv1")
    assert faults(tmp_path, "previz", "a.mkv") == []


def test_a_clip_or_camera_that_is_too_short_is_told_with_both_lengths(tmp_path):
    write_clip(tmp_path / "a.mp4", numbered(6), 24)
    camera(tmp_path / "b.json", [(0, 0, 0)] * 6)
    assert faults(tmp_path, "previz", "a.mp4") == [
        "a.mp4 has 6 frames at 24 per second; the cut lasts 12 frames at 24 per second (make it 0.25 s longer)"
    ]
    whole = Length(20, Fraction(24), "the shot with its handles")
    (said_,) = faults(tmp_path, "camera", "b.json", whole, covers="handles")
    assert "covers: cut makes it begin and end with the cut" in said_


def test_faults_inside_a_path_file_keep_their_own_lines(tmp_path):
    (tmp_path / "a.json").write_text('{"schema": "ancestra/motion_path/v1",\n "tracks": []}')
    (fault,) = faults_of(Guide(kind="motion_path", source="a.json"), tmp_path / "a.json", CUT)
    assert (fault.inside.line, fault.inside.path) == (2, "tracks")


def test_what_cannot_be_read_is_told_with_its_name(tmp_path):
    (tmp_path / "a.mkv").write_bytes(b"nothing")
    assert "a.mkv cannot be read as a clip" in faults(tmp_path, "previz", "a.mkv")[0]
