"""Paths as clips: what is drawn moves as the path says, and flow in colours says so too."""

from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ancestra_farm.batch.load import load_camera_path, load_motion_path
from ancestra_farm.models.guides import camera as cameras
from ancestra_farm.models.guides import texture, tracks
from ancestra_farm.models.guides.colours import coloured, flow_of
from ancestra_farm.models.guides.errors import GuideUnreadable
from ancestra_farm.models.guides.rendering import rendered
from tests.models.guides.files import camera, motion_path, said

SIZE = (192, 128)
MOMENTS = [Fraction(n, 24) for n in range(9)]
SECONDS = [float(moment) for moment in MOMENTS]


def measured(frames):
    """Optical flow from frame to frame, float32 [T − 1, H, W, 2]."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.stack([engine.calc(a, b, np.zeros((*a.shape, 2), np.float32)) for a, b in pairwise(grey)])


def correlation(one, other):
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum()))


def on_dots(frames, flow):
    """Flow where a dot shows, away from the edges: elsewhere nothing can be measured."""
    bright = frames[:-1, 12:-12, 12:-12].max(axis=3) > 120
    return flow[:, 12:-12, 12:-12][bright]


# ---- colours ---------------------------------------------------------------------------------------------------------


def test_flow_comes_back_from_its_colours():
    angles = np.linspace(-3.1, 3.0, 64)
    flow = np.stack([np.cos(angles), np.sin(angles)], axis=-1)[None, :, :].astype(np.float32)
    flow = np.concatenate([flow * length for length in (0.25, 0.5, 0.75, 1.0)])
    back = flow_of(coloured(flow * 7.0))
    assert np.abs(back - flow).max() < 0.03


def test_rest_is_white_and_a_clip_has_one_measure():
    assert (coloured(np.zeros((4, 4, 2), np.float32)) == 255).all()
    flow = np.zeros((2, 4, 4, 2), np.float32)
    flow[0, ..., 0], flow[1, ..., 0] = 8.0, 4.0
    lengths = np.linalg.norm(flow_of(coloured(flow)), axis=-1)
    assert lengths[0].mean() == pytest.approx(1.0, abs=0.01)
    assert lengths[1].mean() == pytest.approx(0.5, abs=0.02)


@settings(max_examples=30, deadline=None)
@given(arrays.arrays(np.float32, (3, 4, 2), elements=st.floats(-50, 50, width=32)))
def test_any_flow_has_colours_that_say_where_to(flow):
    back = flow_of(coloured(flow)) * max(float(np.linalg.norm(flow, axis=-1).max()), 0.5)
    fast = np.linalg.norm(flow, axis=-1) > 0.2 * np.abs(flow).max()
    towards = (back * flow).sum(axis=-1)[fast]
    own = np.linalg.norm(flow, axis=-1)[fast] * np.linalg.norm(back, axis=-1)[fast]
    assert (towards > 0.95 * own - 1e-4).all()


# ---- motion paths ----------------------------------------------------------------------------------------------------


def test_a_track_without_a_radius_moves_the_whole_picture(tmp_path):
    file = motion_path(tmp_path / "a.json", {"points": [(0, 0.2, 0.5), (0.5, 0.5, 0.5)]})
    moved = tracks.carried(load_motion_path(file), SECONDS, SIZE)
    step = 0.3 * SIZE[0] * 2 / 24
    assert moved.flows[..., 0] == pytest.approx(np.full_like(moved.flows[..., 0], step), rel=0.02)
    assert np.abs(moved.flows[..., 1]).max() < 0.05
    frames = tracks.drawn(moved.origins)
    assert frames.shape == (9, 128, 192, 3)
    assert np.median(on_dots(frames, measured(frames))[..., 0]) == pytest.approx(step, rel=0.1)


def test_what_is_drawn_moves_as_the_flow_says(tmp_path):
    file = motion_path(
        tmp_path / "a.json",
        {"points": [(0, 0.3, 0.4), (0.4, 0.6, 0.6)], "radius": 0.3},
        {"points": [(0, 0.8, 0.8), (0.4, 0.7, 0.4)], "radius": 0.2},
    )
    moved = tracks.carried(load_motion_path(file), SECONDS, SIZE)
    frames = tracks.drawn(moved.origins)
    assert correlation(on_dots(frames, measured(frames)), on_dots(frames, moved.flows)) > 0.9


def test_a_track_with_a_radius_leaves_what_is_far_away_alone(tmp_path):
    file = motion_path(tmp_path / "a.json", {"points": [(0, 0.15, 0.5), (0.3, 0.3, 0.5)], "radius": 0.1})
    moved = tracks.carried(load_motion_path(file), SECONDS, SIZE)
    assert np.abs(moved.flows[:, :, 130:]).max() < 0.05
    assert moved.flows[0, 64, 29, 0] > 3


def test_two_tracks_that_part_push_in_and_two_that_circle_turn_the_picture(tmp_path):
    part = motion_path(
        tmp_path / "a.json", {"points": [(0, 0.4, 0.5), (1, 0.2, 0.5)]}, {"points": [(0, 0.6, 0.5), (1, 0.8, 0.5)]}
    )
    flow = tracks.carried(load_motion_path(part), SECONDS, SIZE).flows[0]
    assert flow[64, 40, 0] == pytest.approx(-flow[64, 152, 0], rel=0.05)
    assert flow[64, 40, 0] < -0.5
    assert flow[20, 96, 1] < -0.5
    shape = SIZE[0] / SIZE[1]
    circle = motion_path(
        tmp_path / "b.json",
        *(
            {
                "points": [
                    (n / 8, 0.5 + side * 0.2 * np.cos(n / 8) / shape, 0.5 + side * 0.2 * np.sin(n / 8))
                    for n in range(9)
                ]
            }
            for side in (-1, 1)
        ),
    )
    flow = tracks.carried(load_motion_path(circle), SECONDS, SIZE).flows[2]
    assert flow[64, 152].tolist() == pytest.approx([0.0, 56 / 24], abs=0.15)  # a radian a second, 56 pixels away
    assert flow[20, 96, 0] > 0.5


def test_before_it_begins_and_after_its_end_everything_rests(tmp_path):
    file = motion_path(tmp_path / "a.json", {"points": [(0, 0.2, 0.5), (0.1, 0.5, 0.5)]})
    moved = tracks.carried(load_motion_path(file), [-0.2, -0.1, 0.0, 0.1, 0.2, 0.3], SIZE)
    assert [bool(np.abs(flow).max() > 0.5) for flow in moved.flows] == [False, False, True, False, False]


def test_a_segment_that_begins_later_goes_on_from_where_the_one_before_was(tmp_path):
    path = load_motion_path(
        motion_path(tmp_path / "a.json", {"points": [(0, 0.2, 0.5), (0.2, 0.5, 0.2), (1, 0.8, 0.8)], "radius": 0.4})
    )
    whole = tracks.carried(path, [n / 24 for n in range(24)], SIZE)
    later = tracks.carried(path, [n / 24 for n in range(12, 24)], SIZE)
    assert np.abs(later.origins - whole.origins[12:]).max() < 1.5
    np.testing.assert_allclose(later.flows, whole.flows[12:], atol=1e-3)


# ---- cameras ---------------------------------------------------------------------------------------------------------


def turned(degrees):
    def turn(number):
        return cv2.Rodrigues(np.array([0.0, np.radians(degrees * number), 0.0]))[0]

    return turn


def camera_in(file):
    return cameras.from_path(load_camera_path(file))


def test_a_camera_that_goes_forward_sees_everything_part_from_the_middle(tmp_path):
    view = camera_in(camera(tmp_path / "a.json", [(0, 0, -0.05 * n) for n in range(9)]))
    flow = cameras.flows(view, SECONDS, SIZE)[3]
    assert flow[64, 20, 0] < -0.1
    assert flow[64, 172, 0] > 0.1
    assert flow[10, 96, 1] < -0.1
    assert flow[118, 96, 1] > 0.1
    assert np.abs(flow[62:66, 94:98]).max() < 0.2


def test_a_camera_that_turns_left_sees_everything_go_right(tmp_path):
    view = camera_in(camera(tmp_path / "a.json", [(0, 0, 0)] * 9, turned(1.0)))
    flow = cameras.flows(view, SECONDS, SIZE)
    expected = np.radians(1.0) * SIZE[0]  # focal length = sensor width
    assert flow[0, 64, 96, 0] == pytest.approx(expected, rel=0.02)


def test_what_a_camera_sees_moves_as_its_flow_says(tmp_path):
    places = [(0.06 * n, 0.02 * n, -0.04 * n) for n in range(9)]
    view = camera_in(camera(tmp_path / "a.json", places, turned(0.4)))
    frames, flow = cameras.seen(view, SECONDS, SIZE), cameras.flows(view, SECONDS, SIZE)
    assert frames.std() > 5
    assert correlation(on_dots(frames, measured(frames)), on_dots(frames, flow)) > 0.9


def test_depth_is_how_far_in_front_of_the_camera_things_are(tmp_path):
    view = camera_in(camera(tmp_path / "a.json", [(0, 0, 0)] * 2, distance=4.0))
    depth = cameras.depths(view, [0.0], SIZE)[0]
    assert depth[64, 96] == pytest.approx(4.0)
    assert depth.max() == pytest.approx(4.0)
    assert depth.min() == pytest.approx(4.0)  # the wall in front is flat, and fills the view at this focal length


def test_between_two_frames_a_camera_moves_straight_and_turns_evenly(tmp_path):
    view = camera_in(camera(tmp_path / "a.json", [(0, 0, 0), (1, 0, 0)], turned(10), rate=1))
    pose = view.at(0.5)
    assert pose.place.tolist() == [0.5, 0, 0]
    assert np.degrees(np.linalg.norm(cv2.Rodrigues(pose.turn)[0])) == pytest.approx(5.0)
    assert view.at(9.0).place.tolist() == [1, 0, 0]


def test_a_camera_in_usd_is_the_camera_in_json(tmp_path):
    pytest.importorskip("pxr")
    from pxr import Gf, Usd, UsdGeom

    stage = Usd.Stage.CreateNew(str(tmp_path / "a.usda"))
    stage.SetStartTimeCode(1001)
    stage.SetEndTimeCode(1003)
    stage.SetTimeCodesPerSecond(24)
    made = UsdGeom.Camera.Define(stage, "/rig/camera")
    moved = UsdGeom.Xformable(stage.GetPrimAtPath("/rig/camera")).AddTransformOp()
    turns = [cv2.Rodrigues(np.array([0.1 * n, 0.2, 0.0]))[0] for n in range(3)]
    for number in range(3):
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = turns[number], (number, 2, 3)
        moved.Set(Gf.Matrix4d(*matrix.T.ravel().tolist()), 1001 + number)
    made.GetFocalLengthAttr().Set(35.0)
    made.GetHorizontalApertureAttr().Set(36.0)
    stage.Save()
    (tmp_path / "a.usda").rename(tmp_path / "0123")  # material has no suffix
    read = cameras.camera_of(tmp_path / "0123", "a.usda")
    assert read.rate == 24
    np.testing.assert_allclose(read.places, [(0, 2, 3), (1, 2, 3), (2, 2, 3)])
    np.testing.assert_allclose(read.turns, turns, atol=1e-9)
    np.testing.assert_allclose(read.focals, 35 / 36, rtol=1e-6)


def test_a_usd_file_that_refers_to_others_or_has_no_camera_is_refused(tmp_path):
    pytest.importorskip("pxr")
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.CreateNew(str(tmp_path / "a.usda"))
    UsdGeom.Xform.Define(stage, "/empty")
    stage.Save()
    with pytest.raises(GuideUnreadable, match="holds 0 cameras"):
        cameras.camera_of(tmp_path / "a.usda", "a.usda")
    stage.GetRootLayer().subLayerPaths.append("/etc/other.usda")
    stage.Save()
    with pytest.raises(GuideUnreadable, match="refers to other files"):
        cameras.camera_of(tmp_path / "a.usda", "a.usda")
    (tmp_path / "b.usd").write_bytes(b"no usd")
    with pytest.raises(GuideUnreadable, match="cannot be read as USD"):
        cameras.camera_of(tmp_path / "b.usd", "b.usd")


def test_without_the_extra_usd_is_refused_with_what_to_install(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pxr", None)
    (tmp_path / "a.usdc").write_bytes(b"PXR-USDC")
    with pytest.raises(GuideUnreadable, match=r"pip install ancestra-farm\[usd\]"):
        cameras.camera_of(tmp_path / "a.usdc", "a.usdc")


# ---- what a model is given -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["flow", "previz", "depth"])
def test_a_camera_is_rendered_as_whatever_the_model_takes(tmp_path, way):
    file = camera(tmp_path / "a.json", [(0.1 * n, 0, -0.2 * n) for n in range(9)], focal_mm=24)
    frames = rendered(said("camera", "a.json", way), file, MOMENTS, SIZE)
    assert (frames.shape, frames.dtype) == ((9, 128, 192, 3), np.uint8)
    assert frames.std() > 5


def test_the_first_frame_of_drawn_flow_repeats_the_second_and_a_still_has_none(tmp_path):
    file = motion_path(tmp_path / "a.json", {"points": [(0, 0.2, 0.5), (0.5, 0.5, 0.5)]})
    frames = rendered(said("motion_path", "a.json", "flow"), file, MOMENTS, SIZE)
    np.testing.assert_array_equal(frames[0], frames[1])
    assert (flow_of(frames[4])[..., 0] > 0.9).all()
    assert (rendered(said("motion_path", "a.json", "flow"), file, MOMENTS[:1], SIZE) == 255).all()


def test_a_far_wall_is_as_bright_as_a_near_one():
    """What shrinks is averaged, so that dots do not flicker; and where they lie does not change with it."""
    v, u = np.mgrid[0:256, 0:256].astype(np.float32) / 256
    levels = [texture.dots_at(u, v, np.full_like(u, texels)).astype(np.float32) for texels in (1.0, 2.0, 2.5, 4.0)]
    assert [level.mean() for level in levels] == pytest.approx([levels[0].mean()] * 4, abs=0.5)
    soft = [cv2.GaussianBlur(level[..., 0] - level.mean(), (0, 0), 6) for level in levels]
    assert all(correlation(soft[0], other) > 0.99 for other in soft[1:])


@pytest.mark.parametrize("motion", ["drift_left", "sink", "push_in", "spiral"])
def test_a_motion_path_is_drawn_as_what_the_embedded_model_was_trained_to_follow(tmp_path, motion):
    from ancestra_farm.models.embedded.renders import PATHS, control

    size, rate = (96, 64), 8.0
    camera_ = PATHS[motion]
    way = []
    for start in (-0.5 + 0.2j, 0.4 - 0.3j):  # half picture heights from the middle
        seconds = [n / rate for n in range(10)]
        places = [start + complex(camera_.flow(np.array(start), at)) for at in seconds]
        points = [
            (at, 0.5 + z.real * 0.5 * size[1] / size[0], 0.5 + z.imag * 0.5)
            for at, z in zip(seconds, places, strict=True)
        ]
        way.append({"points": points})
    file = motion_path(tmp_path / "a.json", *way)
    drawn = rendered(said("motion_path", "a.json", "flow"), file, [Fraction(n, 8) for n in range(9)], size)
    wanted = control(camera_, size, 9, rate)
    assert drawn.shape == wanted.shape
    assert np.abs(flow_of(drawn) - flow_of(wanted))[:, 4:-4, 4:-4].max() < 0.05
