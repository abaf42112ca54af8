import pickle

import numpy as np
import pytest

from ancestra_farm.filters import registry
from ancestra_farm.filters.cascade import Cascade, FilterFailed, FilterRefused
from ancestra_farm.filters.hashes import phash
from ancestra_farm.filters.motion_match import flow_through
from ancestra_farm.filters.pixels import BadFrames
from ancestra_farm.filters.sampling import in_full
from ancestra_farm.filters.settings import DEFAULT_ORDER, SCORES
from tests.filters import pictures

GOOD = pictures.still(pictures.bright_petals)
BLACK = np.zeros((1, 64, 64, 3), np.uint8)
INSIDE = next(f"id-{number}" for number in range(1000) if in_full(f"id-{number}", 0.1))
OUTSIDE = next(f"id-{number}" for number in range(1000) if not in_full(f"id-{number}", 0.1))


def cascade(order=DEFAULT_ORDER, settings=None, full_sample=0.1):
    return Cascade(order, settings or {}, full_sample)


def test_a_good_still_survives_with_every_score_of_a_still():
    judgement = cascade().judge(OUTSIDE, GOOD)
    assert judgement.passed
    assert judgement.reasons == ()
    assert judgement.message == ""
    assert set(judgement.scores) == set(SCORES) - {"frozen_share", "flicker_share", "cut_jump", "motion_match"}
    assert tuple(judgement.filter_s) == DEFAULT_ORDER
    assert all(seconds >= 0 for seconds in judgement.filter_s.values())


def test_a_good_clip_survives_with_every_score():
    clip = pictures.drifting(pictures.bright_petals)
    judgement = cascade().judge(OUTSIDE, clip, flow_through(clip))
    assert judgement.passed, judgement.message
    assert set(judgement.scores) == set(SCORES)


def test_the_cascade_stops_at_the_first_rejection():
    judgement = cascade(("uniform", "black", "quality")).judge(OUTSIDE, BLACK)
    assert judgement.reasons == ("uniform",)
    assert tuple(judgement.filter_s) == ("uniform",)
    assert not judgement.in_full


def test_a_candidate_of_the_full_sample_meets_every_filter_in_the_given_order():
    judgement = cascade(("uniform", "noise", "black", "quality")).judge(INSIDE, BLACK)
    assert judgement.reasons == ("uniform", "black")
    assert tuple(judgement.filter_s) == ("uniform", "noise", "black", "quality")
    assert judgement.in_full


def test_the_message_says_with_figures_why():
    judgement = cascade(("black",)).judge(OUTSIDE, BLACK)
    assert judgement.message == "1 of 1 frames are black: nothing brighter than level 0"


@pytest.mark.parametrize("order", [DEFAULT_ORDER, ("quality", "blur", "nan"), ("blur",)])
@pytest.mark.parametrize("candidate", [INSIDE, OUTSIDE])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nothing_but_nan_judges_frames_that_are_not_finite(order, candidate, value):
    frames = GOOD.astype(np.float32) / 255
    frames[0, 5, 7, 1] = value
    judgement = cascade(order).judge(candidate, frames)
    assert judgement.reasons == ("nan",)
    assert tuple(judgement.filter_s) == ("nan",)
    assert 0 < judgement.scores["nan_share"] < 1e-4
    assert 0 <= judgement.phash < 2**64


def test_float_frames_are_judged_as_the_bytes_that_are_written():
    written = cascade().judge(INSIDE, GOOD)
    floating = cascade().judge(INSIDE, GOOD.astype(np.float32) / 255)
    assert (floating.scores, floating.phash) == (written.scores, written.phash)


def test_survivors_have_their_quality_even_where_it_was_switched_off():
    assert 0 < cascade(("black",)).judge(OUTSIDE, GOOD).scores["quality"] <= 1
    assert "quality" not in cascade(("black",)).judge(OUTSIDE, BLACK).scores


def test_the_hash_is_always_there():
    assert cascade(()).judge(OUTSIDE, GOOD).phash == phash(GOOD)
    assert cascade().judge(OUTSIDE, BLACK).phash == phash(BLACK)


def test_judging_changes_no_pixel():
    frames = pictures.drifting(pictures.dark_womb)
    before = frames.copy()
    cascade(full_sample=1.0).judge("x", frames)
    assert (frames == before).all()


def test_settings_change_the_verdict():
    womb = pictures.still(pictures.dark_womb)
    assert cascade().judge(OUTSIDE, womb).passed
    assert cascade(settings={"black": {"min_level": 200}}).judge(OUTSIDE, womb).reasons == ("black",)


@pytest.mark.parametrize(
    ("order", "settings", "full_sample", "sentence"),
    [
        (("blurr",), {}, 0.1, "no filter named 'blurr'; there are nan, black"),
        (("blur",), {"blurr": {}}, 0.1, "no filter named 'blurr'"),
        (("blur", "nan", "blur"), {}, 0.1, "a filter stands twice"),
        (("blur",), {"blur": {"width": 1.0}}, 0.1, "filter 'blur' has no setting 'width'; its settings: max_width"),
        (("blur",), {"blur": {"max_width": "wide"}}, 0.1, "'max_width' of filter 'blur' is a float, not 'wide'"),
        (("blur",), {"blur": {"max_width": True}}, 0.1, "is a float, not True"),
        (("quality",), {"quality": {"weight": 1}}, 0.1, "it has none"),
        (("blur",), {}, 1.5, "between 0 and 1, not 1.5"),
    ],
)
def test_what_does_not_exist_is_refused(order, settings, full_sample, sentence):
    with pytest.raises(FilterRefused, match=sentence):
        Cascade(order, settings, full_sample)


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        (np.zeros((64, 64, 3), np.uint8), "array \\[T, H, W, 3\\]"),
        (np.zeros((1, 64, 64, 4), np.uint8), "array \\[T, H, W, 3\\]"),
        (np.zeros((1, 64, 64, 3), np.float64), "uint8 or float32, not float64"),
        (np.zeros((0, 64, 64, 3), np.uint8), "at least one frame"),
        (np.zeros((1, 4, 64, 3), np.uint8), "8×8"),
        ("frames", "array"),
    ],
)
def test_what_is_not_frames_is_an_error_and_no_verdict(frames, sentence):
    with pytest.raises(BadFrames, match=sentence):
        cascade().judge(OUTSIDE, frames)


def test_a_filter_that_raises_is_an_error_that_names_it(monkeypatch):
    def torn(frames, settings):
        raise ZeroDivisionError("torn")

    broken = registry.Check("blur", False, {"max_width": 1.0}, torn)
    monkeypatch.setattr(registry, "_FILTERS", {**registry.all_filters(), "blur": broken})
    with pytest.raises(FilterFailed, match="filter 'blur' failed: ZeroDivisionError: torn") as raised:
        cascade().judge(INSIDE, GOOD)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    copy = pickle.loads(pickle.dumps(raised.value))
    assert (str(copy), copy.name) == (str(raised.value), "blur")


def test_a_cascade_travels_between_processes():
    copy = pickle.loads(pickle.dumps(cascade()))
    assert copy.judge(INSIDE, GOOD).scores == cascade().judge(INSIDE, GOOD).scores
