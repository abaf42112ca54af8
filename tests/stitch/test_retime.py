"""Frames between frames lie where their exact positions say."""

from fractions import Fraction

import numpy as np
import pytest

from ancestra_farm.stitch.conform import Layout
from ancestra_farm.stitch.retime import Retimed, retimed
from tests.stitch.scenes import SCENES, pan, shoot


def layout(source, frames, model_rate, rate):
    return Layout((source,), 0, frames, Fraction(model_rate), Fraction(rate), held=False)


@pytest.mark.parametrize("scene", SCENES)
def test_drawn_frames_are_nearer_to_the_truth_than_a_dissolve(scene):
    drawn = SCENES[scene](3, (192, 108), 2.5)
    source = shoot(drawn, range(9))
    plan = layout(9, 13, 16, 24)
    done = Retimed()
    frames = np.stack(list(retimed(iter(source), plan, done)))
    truth = shoot(drawn, [float(plan.position(k)) for k in range(13)])
    between = [k for k in range(13) if k % 3]
    plain = []
    for k in between:
        whole, part = divmod(float(plan.position(k)), 1)
        plain.append(source[int(whole)] * (1 - part) + source[int(whole) + 1] * part)
    error = np.abs(frames[between].astype(float) - truth[between]).mean()
    assert error < np.abs(np.stack(plain) - truth[between]).mean()
    assert (done.exact, done.drawn) == (5, 8)


def test_whole_positions_pass_bit_for_bit():
    source = shoot(pan(1), range(10))
    frames = np.stack(list(retimed(iter(source), layout(10, 5, 48, 24), Retimed())))
    assert np.array_equal(frames, source[::2])


def test_equal_rates_pass_everything_bit_for_bit():
    source = shoot(pan(1), range(6))
    assert np.array_equal(np.stack(list(retimed(iter(source), layout(6, 6, 24, 24), Retimed()))), source)


def test_where_flow_is_no_evidence_a_dissolve_shows():
    rng = np.random.default_rng(0)
    source = rng.integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    done = Retimed()
    frames = list(retimed(iter(source), layout(2, 3, 1, 2), done))
    assert done.trust[0] < 0.3
    plain = source.astype(float).mean(axis=0)
    assert np.abs(frames[1] - plain).mean() < 0.5 * np.abs(source[0] - plain).mean()


def test_a_clip_that_ends_too_early_is_an_error_and_not_a_shorter_shot():
    source = shoot(pan(1), range(3))
    with pytest.raises(RuntimeError, match="ended before"):
        list(retimed(iter(source), layout(9, 13, 16, 24), Retimed()))
