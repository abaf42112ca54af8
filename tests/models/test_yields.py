"""Wordings of procedural/yields bring what they are set to bring, and filters catch exactly the rest."""

from dataclasses import replace
from math import sqrt

import pytest

from ancestra_farm.filters.cascade import Cascade
from ancestra_farm.filters.settings import DEFAULT_ORDER
from ancestra_farm.models.procedural.faults import fault_rate, planted_fault
from tests.models.recipes import CARDS, frames_of, recipe

YIELDS = "at dawn=0.04, storm=0.002"


def made_for(prompt, seed, **parameters):
    defaults = {name: parameter.default for name, parameter in CARDS["procedural/yields"].parameters.items()}
    wanted = recipe(seed=seed, prompt=prompt, size=(64, 64), **{**defaults, "yields": YIELDS, **parameters})
    return replace(wanted, model="procedural/yields")


@pytest.mark.parametrize(
    ("prompt", "rate"),
    [
        ("the ocean at dawn", 0.96),
        ("The Ocean At Dawn", 0.96),
        ("a storm at dawn", 0.96),
        ("the ocean in a storm", 0.998),
        ("the ocean, stormy", 0.0),
        ("petals", 0.0),
    ],
)
def test_the_first_entry_whose_words_the_prompt_has_says_the_yield(prompt, rate):
    assert fault_rate(made_for(prompt, 1)) == pytest.approx(rate)


def test_as_many_have_no_fault_as_was_set():
    count = 20_000
    clean = sum(planted_fault(made_for("the ocean at dawn", seed)) is None for seed in range(count))
    assert abs(clean / count - 0.04) < 4 * sqrt(0.04 * 0.96 / count)


def test_filters_reject_every_planted_fault_and_nearly_nothing_else():
    judge = Cascade(DEFAULT_ORDER, {}, 0.0).judge
    passed = {}
    for set_to in ("dawn=0", "dawn=1"):
        wanted = [made_for("the ocean at dawn", seed, yields=set_to) for seed in range(60)]
        passed[set_to] = sum(judge(one.candidate_id, frames_of(one)).passed for one in wanted)
    assert passed["dawn=0"] == 0
    assert passed["dawn=1"] >= 58


@pytest.mark.parametrize("text", ["dawn", "dawn=1.5", "dawn=0.1;storm=0.2", "=0.5"])
def test_yields_that_are_not_written_so_are_refused(text):
    assert "is not written as this must be" in CARDS["procedural/yields"].parameters["yields"].fault(text)


@pytest.mark.parametrize("text", ["", "dawn=0.04", "at dawn=1, a pale sun=0,storm=.5"])
def test_yields_that_are_written_so_are_taken(text):
    assert CARDS["procedural/yields"].parameters["yields"].fault(text) is None


@pytest.mark.parametrize("text", ["dawn", "dawn=1.5"])
def test_a_generator_that_gets_others_says_what_is_wrong(text):
    with pytest.raises(ValueError, match="dawn"):
        planted_fault(made_for("the ocean at dawn", 1, yields=text))
