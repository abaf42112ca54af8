"""Files of motion paths and cameras: what they say, and where they are wrong."""

import json

import pytest

from ancestra_farm.batch.load import load_camera_path, load_motion_path
from ancestra_farm.batch.problems import BatchRefused

PATH = {
    "schema": "ancestra/motion_path/v1",
    "tracks": [{"name": "bird", "points": [{"at_s": 0, "x": 0.1, "y": 0.5}, {"at_s": 2.5, "x": 0.9, "y": 0.4}]}],
}
HERE = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
CAMERA = {
    "schema": "ancestra/camera/v1",
    "rate": "24000/1001",
    "frames": [{"matrix": HERE, "focal_mm": 35}, {"matrix": HERE, "focal_mm": 35.5}],
}


@pytest.fixture
def written(tmp_path):
    def write(document):
        file = tmp_path / "path.json"
        file.write_text(document if isinstance(document, str) else json.dumps(document, indent=1))
        return file

    return write


def refused(load, file):
    with pytest.raises(BatchRefused) as told:
        load(file)
    return [str(problem).replace(str(file), "path.json") for problem in told.value.problems]


def test_a_motion_path_is_read_with_its_tracks(written):
    path = load_motion_path(written(PATH))
    assert [point.x for point in path.tracks[0].points] == [0.1, 0.9]
    assert path.tracks[0].radius is None
    assert path.seconds == 2.5


def test_a_camera_is_read_with_its_exact_rate(written):
    path = load_camera_path(written(CAMERA))
    assert str(path.rate) == "24000/1001"
    assert path.frames[1].focal_mm == 35.5
    assert path.sensor_width_mm == 36
    assert path.seconds == pytest.approx(1001 / 24000)


def test_json_written_with_tabs_and_on_one_line_is_read(written):
    assert load_motion_path(written(json.dumps(PATH, indent="\t"))) == load_motion_path(written(json.dumps(PATH)))


def test_a_fault_is_told_with_its_line(written):
    tracks = [{"points": [{"at_s": 0, "x": 0.1, "y": "0.5"}, {"at_s": 1, "x": 40, "z": 1}]}]
    assert refused(load_motion_path, written({**PATH, "tracks": tracks})) == [
        (
            "path.json:9: tracks[0].points[0].y: the text '0.5' stands where a number belongs "
            "(write a number without quotes and leading zeros)"
        ),
        (
            "path.json:11: tracks[0].points[1].y: is missing (tracks[0].points[1] needs it; share of the picture's "
            "height, from the top)"
        ),
        "path.json:13: tracks[0].points[1].x: 40 is too large (at most 11.0)",
        "path.json:14: tracks[0].points[1].z: there is no key 'z' here (keys: at_s, x and y)",
    ]


def test_points_that_go_back_in_time_are_refused(written):
    points = [{"at_s": 1, "x": 0, "y": 0}, {"at_s": 1, "x": 1, "y": 0}]
    (problem,) = refused(load_motion_path, written({**PATH, "tracks": [{"points": points}]}))
    assert "the points are not in order of time: 1 s comes after 1 s" in problem


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        ([[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]], "scales or shears"),
        ([[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "mirrors"),
        ([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [3, 4, 5, 1]], "the place of the camera is in the last column"),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], "is missing"),
    ],
)
def test_a_matrix_that_is_no_camera_is_refused(written, matrix, said):
    camera = {**CAMERA, "frames": [{"matrix": matrix, "focal_mm": 35}]}
    assert any(said in problem for problem in refused(load_camera_path, written(camera)))


def test_half_a_file_is_refused_with_its_line(written):
    text = json.dumps(PATH, indent=1)
    assert "path.json:" in refused(load_motion_path, written(text[: len(text) // 2]))[0]


def test_a_file_of_the_other_kind_is_refused(written):
    assert any("ancestra/camera/v1" in problem for problem in refused(load_camera_path, written(PATH)))
