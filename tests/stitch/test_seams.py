"""Every planted fault gives its seam away, and clean joins pass."""

import cv2
import numpy as np
import pytest

from ancestra_farm.stitch.seams import FLOORS, PROXY_WIDTH, pair_numbers, proxy, score_seam
from tests.stitch.scenes import SCENES, pan, sea, shoot

FRAMES, SEAM = 26, 13


def levels(frames):
    return np.rint(np.clip(frames, 0, 255)).astype(np.uint8)


def softened(frames):
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 1.2) for frame in frames])


def moments(after):
    """Moments of a take whose second half runs as ``after`` says, frame by frame from the seam on."""
    return [*range(SEAM), *(after(k) for k in range(FRAMES - SEAM))]


FAULTS = {
    "gain jump of 2 %": lambda take, clean: np.concatenate([clean[:SEAM], levels(clean[SEAM:] * 1.02)]),
    "hue": lambda take, clean: np.concatenate([clean[:SEAM], levels(clean[SEAM:] * np.array([1.03, 1, 0.97]))]),
    "shift of 2 pixels": lambda take, clean: np.concatenate([clean[:SEAM], np.roll(clean[SEAM:], 2, axis=2)]),
    "flash": lambda take, clean: np.concatenate([clean[:SEAM], levels(clean[SEAM:][:1] * 1.15), clean[SEAM + 1 :]]),
    "blur": lambda take, clean: np.concatenate([clean[:SEAM], softened(clean[SEAM:])]),
    "cut": lambda take, clean: np.concatenate([clean[:SEAM], clean[SEAM:, :, ::-1]]),
    "repeated frame": lambda take, clean: take(moments(lambda k: SEAM - 1 + k)),
    "frames left out": lambda take, clean: take(moments(lambda k: SEAM + 3 + k)),
    "twice the speed": lambda take, clean: take(moments(lambda k: SEAM + 2.0 * k)),
    "motion that stops": lambda take, clean: take(moments(lambda k: SEAM)),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scene", [pan, sea])
@pytest.mark.parametrize("grain", [0.0, 2.0])
def test_a_planted_fault_gives_the_seam_away(fault, scene, grain):
    drawn = scene(5, (160, 90), 1.5)

    def take(at):
        return shoot(drawn, at, grain, seed=1)

    seam = score_seam(FAULTS[fault](take, take(range(FRAMES))), SEAM)
    assert not seam.ok, f"{fault}: {seam.severity}"
    assert seam.failed[0] in seam.sentence()
    assert max(seam.scores().values()) > 1


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("grain", [0.0, 1.5, 4.0])
def test_clean_joins_pass(scene, grain):
    for seed in range(3):
        speed = (0.5, 1.0, 2.0)[seed]
        seam = score_seam(shoot(SCENES[scene](seed, (160, 90), speed), range(FRAMES), grain, seed), SEAM)
        assert seam.ok, seam.sentence()
        assert seam.sentence() == ""


def test_a_frozen_clip_has_no_seam_to_see():
    frames = np.repeat(shoot(pan(1), [0]), 12, axis=0)
    assert score_seam(frames, 6).ok


def test_a_pair_of_two_frames_alone_is_judged_by_what_can_be_seen_at_all():
    same = np.repeat(shoot(pan(1), [0]), 2, axis=0)
    seam = score_seam(same, 1)
    assert (seam.pairs, seam.ok) == (0, True)
    assert not score_seam(np.stack([same[0], 255 - same[0]]), 1).ok


@pytest.mark.parametrize("seam", [0, 12, -1])
def test_a_pair_that_is_not_there_is_refused(seam):
    with pytest.raises(ValueError, match="no pair"):
        score_seam(np.zeros((12, 8, 8, 3), np.uint8), seam)


@pytest.mark.parametrize("size", [(2, 2), (16, 9), (64, 36), (90, 160)])
def test_small_and_upright_pictures_are_judged_too(size):
    numbers = pair_numbers(shoot(pan(2, size=size), range(6)))
    assert set(numbers) == set(FLOORS)
    assert all(series.shape == (5,) and np.isfinite(series).all() for series in numbers.values())


def test_a_proxy_keeps_the_aspect_and_leaves_small_pictures_alone():
    assert proxy(np.zeros((1080, 1920, 3), np.uint8)).shape == (180, PROXY_WIDTH, 3)
    small = np.zeros((90, 160, 3), np.uint8)
    assert proxy(small) is small
