"""How well a clip follows its guide: near 1 where it does, near 0 where it does not, below where it goes back."""

import numpy as np
import pytest

from ancestra_farm.filters.cascade import Cascade
from ancestra_farm.filters.motion_match import correlation, flow_through, motion_match, shrunk
from ancestra_farm.filters.settings import DEFAULT_ORDER, DEFAULTS, ranking_scores
from tests.filters import pictures

WIDE = pictures.still(pictures.grainy_film, 320, 180)[0]


def panning(step, count=8, size=(160, 90)):
    """A window over a picture that moves by ``step`` = (x, y) pixels a frame, uint8 [T, H, W, 3]."""
    x, y = (40 if along >= 0 else 120 for along in step)
    width, height = size
    return np.stack([WIDE[y // 2 + n * step[1] :, x + n * step[0] :][:height, :width] for n in range(count)])


def score(clip, guide):
    return motion_match(clip, flow_through(guide), DEFAULTS["motion_match"]).scores.get("motion_match")


def test_a_clip_that_moves_as_its_guide_matches_and_one_that_goes_back_does_not():
    there, back, down = panning((3, 0)), panning((-3, 0)), panning((0, 2))
    assert score(there, there) > 0.99
    assert score(there, panning((2, 0))) > 0.9
    assert score(back, there) < -0.9
    assert abs(score(down, there)) < 0.3


def test_moving_at_the_wrong_moment_matches_less():
    guide = np.concatenate([panning((3, 0), 6), np.repeat(panning((3, 0), 6)[-1:], 6, axis=0)])
    late = np.concatenate([np.repeat(panning((3, 0), 6)[:1], 6, axis=0), panning((3, 0), 6)])
    assert score(guide, guide) > 0.99
    assert score(late, guide) < 0.3


def test_a_clip_that_rests_matches_nothing_and_a_guide_that_rests_says_nothing():
    rest = np.repeat(panning((3, 0), 1), 8, axis=0)
    assert score(rest, panning((3, 0))) == pytest.approx(0.0, abs=0.05)
    assert score(panning((3, 0)), rest) is None


def test_flow_at_another_size_or_length_is_compared_as_far_as_it_goes():
    clip = flow_through(panning((3, 0)))
    steady = np.zeros((20, 300, 500, 2), np.float32)
    steady[..., 0] = -9.0
    assert correlation(clip, steady) > 0.9
    assert correlation(clip, shrunk(steady[:3])) > 0.9
    assert correlation(clip, steady[:0]) is None


def test_pictures_of_any_shape_have_flow():
    for size in ((8, 8), (300, 9), (9, 200)):
        assert flow_through(np.zeros((3, size[1], size[0], 3), np.uint8)).shape[0] == 2
    assert flow_through(np.zeros((1, 32, 32, 3), np.uint8)).shape[0] == 0


def cascade(**settings):
    return Cascade(DEFAULT_ORDER, {"motion_match": settings}, 0.0)


def test_the_score_is_among_the_scores_and_rejects_nothing_unless_asked():
    there, flow = panning((3, 0)), flow_through(panning((-3, 0)))
    judged = cascade().judge("x", there, flow)
    assert judged.scores["motion_match"] < -0.9
    assert "motion_match" not in judged.reasons
    refused = Cascade(("motion_match",), {"motion_match": {"min_match": 0.5}}, 0.0).judge("x", there, flow)
    assert refused.reasons == ("motion_match",)
    assert "does not move as its guide does: a match of -" in refused.message


def test_without_a_guide_there_is_no_score_and_no_verdict_against_it():
    judged = cascade(min_match=0.9).judge("x", panning((3, 0)))
    assert "motion_match" not in judged.scores
    assert "motion_match" not in judged.reasons
    assert "motion_match" in ranking_scores()
