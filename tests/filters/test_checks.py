"""Each check on pictures that are no procedural model's: what it must leave alone, and what it rejects."""

import cv2
import numpy as np
import pytest

from ancestra_farm.filters.cascade import Cascade
from ancestra_farm.filters.registry import all_filters
from ancestra_farm.filters.settings import DEFAULT_ORDER, DEFAULTS
from tests.filters import pictures

CASCADE = Cascade(DEFAULT_ORDER, {}, 0.0)
SIZES = ((64, 64), (128, 80), (256, 144), (1024, 576))


def judged(name, frames, **settings):
    return all_filters()[name].judge(frames, {**DEFAULTS[name], **settings})


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("picture", pictures.LEGITIMATE, ids=lambda picture: picture.__name__)
def test_a_legitimate_picture_passes_every_filter_at_every_size(picture, size):
    for seed in range(3):
        judgement = CASCADE.judge("x", pictures.still(picture, *size, seed))
        assert judgement.passed, judgement.message


@pytest.mark.parametrize("picture", pictures.LEGITIMATE, ids=lambda picture: picture.__name__)
def test_a_slow_camera_over_a_legitimate_picture_passes_every_filter(picture):
    judgement = CASCADE.judge("x", pictures.drifting(picture, width=256, height=144))
    assert judgement.passed, judgement.message


def test_one_black_frame_in_a_clip_is_enough():
    clip = pictures.drifting(pictures.bright_petals)
    clip[6] = 2
    verdict = judged("black", clip)
    assert not verdict.passed
    assert verdict.reason == "1 of 9 frames are black: nothing brighter than level 2"


@pytest.mark.parametrize("grain", [0, 6])
def test_a_flat_frame_shows_nothing_with_or_without_grain(grain):
    noise = np.random.default_rng(1).normal(0, grain, (1, 144, 256, 3))
    flat = np.clip(130 + noise, 0, 255).astype(np.uint8)
    assert not judged("uniform", flat).passed


@pytest.mark.parametrize(("level", "side"), [(255, "white"), (0, "black")])
def test_lost_light_names_its_side_and_its_share(level, side):
    frames = pictures.still(pictures.soft_gradient)
    frames[:, :36] = level
    verdict = judged("clipped", frames)
    assert verdict.reason == f"25% of the picture is cut off to {side}"
    assert judged("clipped", frames, **{f"max_{side}_share": 0.3}).passed


def test_the_width_of_blur_grows_with_the_blur_and_not_with_the_size():
    widths = {}
    for width, height in SIZES[2:]:
        sharp = pictures.still(pictures.grainy_film, width, height)[0]
        for sigma in (0.014, 0.028, 0.056):
            soft = cv2.GaussianBlur(sharp, (0, 0), sigma * height)[None]
            widths[sigma, height] = judged("blur", soft).scores["blur_width"]
            assert not judged("blur", soft).passed
    assert widths[0.014, 144] < widths[0.028, 144] < widths[0.056, 144]
    for sigma in (0.014, 0.028, 0.056):
        assert widths[sigma, 576] == pytest.approx(widths[sigma, 144], rel=0.35)


@pytest.mark.parametrize("sigma", [8, 16, 32])
def test_noise_is_measured_in_levels(sigma):
    noise = np.random.default_rng(1).normal(0, sigma, (1, 144, 256, 3))
    frames = np.clip(128 + noise, 0, 255).astype(np.uint8)
    assert judged("noise", frames).scores["noise_levels"] == pytest.approx(sigma, rel=0.25)


def test_grain_that_all_channels_share_counts_by_half():
    rng = np.random.default_rng(1)
    film = np.repeat(rng.normal(128, 12, (1, 144, 256, 1)), 3, axis=3).astype(np.uint8)
    assert judged("noise", film).scores["noise_levels"] == pytest.approx(6, rel=0.25)


@pytest.mark.parametrize("levels", [48, 24, 8, 3])
def test_gradients_in_steps_are_banding(levels):
    frames = pictures.still(pictures.soft_gradient).astype(np.float32) / 255
    steps = np.rint(np.rint(frames * (levels - 1)) / (levels - 1) * 255).astype(np.uint8)
    assert not judged("banding", steps).passed


def test_a_picture_stretched_twofold_has_gaps_and_no_banding():
    dim = np.rint(pictures.still(pictures.soft_gradient) / 2.0)
    assert judged("banding", (2 * dim).clip(0, 255).astype(np.uint8)).passed


def test_one_repeated_frame_in_nine_is_found():
    clip = pictures.drifting(pictures.glittering_sea)
    clip[5] = clip[4]
    verdict = judged("frozen", clip)
    assert verdict.reason == "1 of 8 frames repeat the one before"


def test_a_clip_that_stands_still_under_fresh_grain_is_frozen():
    rng = np.random.default_rng(1)
    still = pictures.still(pictures.bright_petals).astype(np.float64)
    clip = np.clip(still + rng.normal(0, 1.0, (9, *still.shape[1:])), 0, 255).astype(np.uint8)
    assert not judged("frozen", clip).passed


def test_a_fade_is_no_flicker_and_a_pulse_is():
    clip = pictures.drifting(pictures.grainy_film).astype(np.float64)
    fade = clip * np.linspace(1.0, 0.5, 9)[:, None, None, None]
    pulse = clip * (1 + 0.03 * (-1) ** np.arange(9))[:, None, None, None]
    assert judged("flicker", fade.clip(0, 255).astype(np.uint8)).passed
    verdict = judged("flicker", pulse.clip(0, 255).astype(np.uint8))
    assert verdict.reason.startswith("flickers: brightness alternates by ±3.")


def test_a_cut_names_its_frame():
    clip = np.concatenate([pictures.drifting(pictures.dark_womb)[:4], pictures.drifting(pictures.glittering_sea)[:5]])
    verdict = judged("cut", clip)
    assert verdict.reason.startswith("cuts at frame 4: a jump ")


def test_two_frames_are_a_clip():
    clip = pictures.drifting(pictures.grainy_film)[:2]
    assert CASCADE.judge("x", clip).passed


@pytest.mark.parametrize("picture", pictures.LEGITIMATE, ids=lambda picture: picture.__name__)
def test_quality_falls_with_every_fault_that_it_knows(picture):
    frames = pictures.still(picture)
    quality = judged("quality", frames).scores["quality"]
    rng = np.random.default_rng(1)
    grey = np.repeat(frames.mean(axis=3, keepdims=True), 3, axis=3)
    worse = {
        "blurred": cv2.GaussianBlur(frames[0], (0, 0), 4)[None],
        "dark": frames * 0.15,
        "noisy": frames + rng.normal(0, 20, frames.shape),
        "flat": 128 + (frames - 128.0) * 0.2,
        "grey and flat": 128 + (grey - 128) * 0.3,
    }
    for name, spoilt in worse.items():
        verdict = judged("quality", np.clip(spoilt, 0, 255).astype(np.uint8))
        assert 0 <= verdict.scores["quality"] < quality <= 1, name


def test_quality_never_rejects():
    assert judged("quality", np.zeros((1, 64, 64, 3), np.uint8)).passed
