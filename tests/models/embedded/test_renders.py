import numpy as np
import pytest

from ancestra_farm.models.embedded import renders
from ancestra_farm.models.embedded.renders import PATHS, Camera
from ancestra_farm.models.embedded.words import SUBJECTS, Facts, lights_of
from ancestra_farm.models.procedural.canvas import plane
from ancestra_farm.models.procedural.motion import flow_between


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_render_is_made_of_its_facts_and_seed_alone(subject):
    facts = Facts(subject, "dusk", "near", None, "drift_left")
    one, again = renders.still(facts, 4), renders.still(facts, 4)
    assert np.array_equal(one, again)
    assert one.shape == (64, 96, 3)
    assert not np.array_equal(one, renders.still(facts, 5))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_clip_begins_with_its_still_and_moves_on(subject):
    facts = Facts(subject, "day", "near", None, "push_in")
    clip = renders.clip(facts, 6, frames=9)
    assert np.array_equal(clip[0], renders.still(facts, 6))
    assert np.abs(clip[8].astype(int) - clip[0]).mean() > 1


def test_lights_differ_in_any_subject():
    for subject in SUBJECTS:
        means = [
            renders.still(Facts(subject, light, "far"), 3).reshape(-1, 3).mean(axis=0) for light in lights_of(subject)
        ]
        apart = [np.abs(a - b).max() for at, a in enumerate(means) for b in means[:at]]
        assert min(apart) > 4, (subject, np.round(means))


def test_flow_is_what_the_camera_says():
    camera = Camera(0.2 + 0.3j, 0.1 - 0.05j)
    at = plane(96, 64)
    z = at.x + 1j * at.y
    assert np.allclose(camera.source(z + camera.flow(z, 0.5), 0.5), z, atol=1e-5)


def test_drifting_left_carries_the_picture_right():
    clip = renders.clip(Facts("cells", "day", "near", None, "drift_left"), 2, frames=3)
    flow = flow_between(clip[0].mean(axis=2).astype(np.uint8), clip[2].mean(axis=2).astype(np.uint8))
    expected = PATHS["drift_left"].beta.real * 32 * 2 / 8
    assert np.median(flow[..., 0]) == pytest.approx(expected, rel=0.4)


def test_a_subject_that_is_not_drawn_is_refused():
    with pytest.raises(ValueError, match="no picture of the subject"):
        renders.still(Facts(), 1)
