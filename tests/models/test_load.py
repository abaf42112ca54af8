"""procedural/load: pieces of one picture, each its own, with the faults that were planted."""

from dataclasses import replace

import numpy as np

from ancestra_farm.models.procedural.faults import planted_fault
from tests.models.recipes import CARDS, frames_of, recipe


def made_for(seed, **parameters):
    defaults = {name: parameter.default for name, parameter in CARDS["procedural/load"].parameters.items()}
    wanted = recipe(seed=seed, prompt="stars and dust", size=(64, 64), **{**defaults, **parameters})
    return replace(wanted, model="procedural/load")


def test_each_seed_has_a_piece_of_its_own_and_always_the_same():
    seeds = [7, 8, 640, 641, 10**9, 2**62]
    pieces = [frames_of(made_for(seed, fault_rate=0.0)) for seed in seeds]
    assert all(piece.shape == (1, 64, 64, 3) and piece.dtype == np.uint8 for piece in pieces)
    assert len({piece.tobytes() for piece in pieces}) == len(seeds)
    assert pieces[0].tobytes() == frames_of(made_for(7, fault_rate=0.0)).tobytes()


def test_a_planted_fault_changes_its_own_piece_and_no_other():
    clean = frames_of(made_for(7, fault_rate=0.0))
    faulty = made_for(7, fault_rate=1.0, only_fault="black")
    assert planted_fault(faulty).kind == "black"
    assert frames_of(faulty).mean() < clean.mean() / 2
    assert frames_of(made_for(7, fault_rate=0.0)).tobytes() == clean.tobytes()
