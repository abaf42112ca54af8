from math import sqrt
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.models.procedural.faults import (
    CLIP_MIX,
    STILL_MIX,
    FaultKind,
    fault_rng,
    kept_frames,
    pictured_seed,
    plant,
    planted_fault,
)
from tests.models.recipes import CARDS, frames_of, recipe, steps

KINDS = get_args(FaultKind)


@pytest.fixture(scope="module")
def still():
    return frames_of(recipe(seed=3, size=(256, 144)))


@pytest.fixture(scope="module")
def clip():
    return frames_of(recipe(seed=3, role="text_to_video", frames=33))


def sharpness(frames):
    return np.abs(np.diff(frames.astype(np.float32), axis=2)).mean()


def test_black_leaves_nothing(still):
    assert plant(still, "black", 1.0, fault_rng(1)).max() == 0
    assert plant(still, "black", 0.0, fault_rng(1)).max() <= 51


def test_blur_takes_the_detail_and_grows(still):
    levels = [sharpness(plant(still, "blur", severity, fault_rng(1))) for severity in (0.0, 0.5, 1.0)]
    assert sharpness(still) > levels[0] > levels[1] > levels[2]
    assert levels[2] < 0.5 * sharpness(still)


def test_banding_leaves_few_levels_a_channel(still):
    for severity, levels in ((0.0, 48), (0.5, 12), (1.0, 3)):
        banded = plant(still, "banding", severity, fault_rng(1))
        assert max(len(np.unique(banded[..., channel])) for channel in range(3)) <= levels


def test_clipping_puts_the_stated_fraction_at_pure_white_or_black(still):
    ends = set()
    for seed in range(12):
        for severity in (0.0, 1.0):
            clipped = plant(still, "clipped", severity, fault_rng(seed))
            white, black = (clipped.min(axis=3) >= 254).mean(), (clipped.max(axis=3) <= 1).mean()
            assert max(white, black) > 0.9 * (0.15 + 0.65 * severity)
            ends.add(white > black)
    assert ends == {True, False}


def test_noise_has_the_stated_sigma():
    grey = np.full((1, 144, 256, 3), 128, np.uint8)
    for severity, sigma in ((0.0, 5.1), (1.0, 51.0)):
        assert plant(grey, "noise", severity, fault_rng(1)).std() == pytest.approx(sigma, rel=0.05)


def test_nan_covers_from_a_pixel_to_the_frame(still):
    one, all_of_it = (np.isnan(plant(still, "nan", severity, fault_rng(1))) for severity in (0.0, 1.0))
    assert one[..., 0].sum() in range(1, 9)
    assert all_of_it.all()
    whole = plant(still, "nan", 0.0, fault_rng(1))
    assert whole.dtype == np.float32
    assert np.nanmax(whole) <= 1.0


def test_frozen_frames_stand_still(clip):
    still_steps = [(steps(plant(clip, "frozen", severity, fault_rng(1))) == 0).sum() for severity in (0.0, 1.0)]
    assert (steps(clip) == 0).sum() == 0
    assert still_steps[0] == 7
    assert still_steps[1] == 32


def test_duplicated_frames_repeat(clip):
    repeated = [(steps(plant(clip, "duplicate", severity, fault_rng(1))) == 0).sum() for severity in (0.0, 1.0)]
    assert repeated == [5, 23]


def test_flicker_alternates(clip):
    mean = plant(clip, "flicker", 1.0, fault_rng(1)).mean(axis=(1, 2, 3))
    assert (np.diff(np.sign(np.diff(mean))) != 0).all()
    assert np.abs(np.diff(mean)).min() > 5 * np.abs(np.diff(clip.mean(axis=(1, 2, 3)))).max()


def test_a_cut_is_one_step_that_stands_out(clip):
    for seed in range(6):
        moved = steps(plant(clip, "cut", 1.0, fault_rng(seed)))
        assert moved.max() > 5 * np.median(moved)
        assert (moved > 2 * steps(clip).max()).sum() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_kept_frames_stay_bit_for_bit(clip, kind):
    for severity in (0.0, 1.0):
        out = plant(clip, kind, severity, fault_rng(2), (5, 1))
        clean = clip / np.float32(255) if kind == "nan" else clip
        assert np.array_equal(out[:5], clean[:5])
        assert np.array_equal(out[-1:], clean[-1:])
        assert not np.array_equal(out, clean)


@pytest.mark.parametrize("kind", KINDS)
def test_planting_leaves_its_input_alone_and_repeats_itself(clip, kind):
    before = clip.copy()
    first, second = (plant(clip, kind, 0.7, fault_rng(4)) for _ in "ab")
    assert np.array_equal(clip, before)
    assert np.array_equal(first, second, equal_nan=True)


def test_an_unknown_fault_and_a_wild_severity_are_refused(still):
    with pytest.raises(ValueError, match="unknown fault 'mould'"):
        plant(still, "mould", 0.5, fault_rng(1))
    with pytest.raises(ValueError, match="severity"):
        plant(still, "blur", 1.5, fault_rng(1))


@pytest.mark.parametrize(("mix", "frames", "role"), [(STILL_MIX, 1, "text_to_image"), (CLIP_MIX, 33, "text_to_video")])
def test_faults_are_planted_at_their_rates(mix, frames, role):
    count = 20_000
    rng = np.random.default_rng(0)
    rate = 0.35
    planted = [
        planted_fault(recipe(seed=int(seed), role=role, frames=frames, fault_rate=rate))
        for seed in rng.integers(0, 2**63, count)
    ]
    kinds = [fault.kind for fault in planted if fault is not None]

    def expect(found, share):
        # Five standard deviations of a binomial: once in a million and a half by chance, and the seeds are fixed.
        assert abs(found - count * share) < 5 * sqrt(count * share * (1 - share))

    expect(len(kinds), rate)
    for kind, weight in mix.items():
        expect(kinds.count(kind), rate * weight / sum(mix.values()))
    severities = np.array([fault.severity for fault in planted if fault is not None])
    assert severities.min() >= 0
    assert severities.max() < 1
    assert abs(severities.mean() - 0.5) < 0.02


@given(st.integers(0, 2**63 - 1))
def test_the_ends_of_the_fault_rate_are_exact_and_only_fault_restricts(seed):
    assert planted_fault(recipe(seed=seed, fault_rate=0.0)) is None
    assert planted_fault(recipe(seed=seed, fault_rate=1.0, only_fault="blur")).kind == "blur"


def test_a_fault_the_role_cannot_have_is_refused():
    with pytest.raises(ValueError, match="'frozen' is not a fault of text_to_image"):
        planted_fault(recipe(only_fault="frozen"))


def test_the_cards_offer_exactly_the_faults_that_can_be_planted():
    assert set(CARDS["procedural/stills"].parameters["only_fault"].choices) == {"", *STILL_MIX}
    assert set(CARDS["procedural/clips"].parameters["only_fault"].choices) == {"", *CLIP_MIX}


@pytest.mark.parametrize("kind", CLIP_MIX)
def test_a_faulty_clip_from_a_picture_still_begins_with_it(kind):
    still = frames_of(recipe(seed=3))
    wanted = recipe(seed=5, role="image_to_video", frames=9, parents=("s",), fault_rate=1.0, only_fault=kind)
    assert kept_frames(wanted) == (1, 0)
    frames = frames_of(wanted, {"s": still})
    assert np.array_equal(frames[0], still[0] / np.float32(255) if kind == "nan" else still[0])


def test_duplicated_stills_show_one_of_few_pictures():
    wanted = [recipe(seed=seed, fault_rate=1.0, only_fault="duplicate") for seed in range(0, 30, 3)]
    assert len({pictured_seed(one, planted_fault(one)) for one in wanted}) == 1
    pictures = [frames_of(one)[0].astype(np.float32) for one in wanted[:4]]
    strangers = [frames_of(recipe(seed=seed))[0].astype(np.float32) for seed in range(4)]
    alike = max(np.abs(a - pictures[0]).mean() for a in pictures)
    assert alike < 0.5 * min(np.abs(a - pictures[0]).mean() for a in strangers)


def test_a_fault_is_in_the_pixels_of_the_candidate_that_has_it():
    faulty = recipe(seed=21, fault_rate=1.0, only_fault="noise")
    clean = recipe(seed=21)
    assert not np.array_equal(frames_of(faulty), frames_of(clean))


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.floats(0, 1),
    st.integers(1, 9),
    st.integers(0, 9),
    st.integers(0, 2),
    st.integers(0, 2**32),
)
def test_any_fault_keeps_shape_and_range(kind, severity, length, head, tail, seed):
    frames = np.random.default_rng(seed).integers(0, 256, (length, 24, 32, 3)).astype(np.uint8)
    out = plant(frames, kind, severity, fault_rng(seed), (head, tail))
    assert out.shape == frames.shape
    if out.dtype == np.float32:
        assert np.nanmin(out, initial=0) >= 0
        assert np.nanmax(out, initial=1) <= 1
