"""The catalogue's cards against what is installed and what a studio must know before it uses a model."""

import re
from typing import get_args

import pytest

from ancestra_farm.batch.card import ModelCard, Role, SizeGrid
from ancestra_farm.batch.schema import Guide
from ancestra_farm.batch.sources import HubSource, source_of
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.models.diffusion.anatomy import pipeline_anatomy, scheduler_anatomy
from ancestra_farm.models.diffusion.check import card_faults
from ancestra_farm.models.diffusion.kinds import all_kinds

CARDS = load_catalog()
HUB = {name: card for name, card in CARDS.items() if card.family == "diffusers"}
#: Licences under which a film may use a model without asking anybody or counting anything.
FREE = {"Apache-2.0", "MIT"}


def cards(which=HUB):
    return pytest.mark.parametrize("card", which.values(), ids=list(which))


@cards({name: card for name, card in CARDS.items() if card.family in {"diffusers", "embedded"}})
def test_every_card_asks_only_for_what_its_pipeline_has(card: ModelCard):
    assert card_faults(card) == []


@cards()
def test_every_pipeline_is_allowed_and_every_argument_exists_in_its_call(card: ModelCard):
    kind, anatomy = all_kinds()[card.pipeline], pipeline_anatomy(card.pipeline)
    assert set(card.roles) <= set(kind.roles)
    assert set(card.guides) <= set(kind.guides)
    for name, parameter in card.parameters.items():
        assert (parameter.argument or name) in anatomy.arguments
    for scheduler in filter(None, (card.scheduler, card.draft_scheduler)):
        assert scheduler_anatomy(scheduler) is not None


@cards()
def test_every_card_pins_a_commit_and_says_that_nobody_has_run_it_here(card: ModelCard):
    source = source_of(card)
    assert isinstance(source, HubSource)
    assert re.fullmatch("[0-9a-f]{40}", source.revision)
    assert card.verified == "config-only"


@cards()
def test_every_card_says_what_it_needs_and_what_its_licence_asks_for(card: ModelCard):
    assert card.title
    assert card.vram_gib > 0
    assert card.gpus >= 1
    assert bool(card.terms) == (card.licence not in FREE)
    assert "steps" in card.parameters
    assert card.parameters["steps"].argument == "num_inference_steps"
    assert card.full["steps"] == card.parameters["steps"].default
    for parameter in card.parameters.values():
        assert parameter.doc


@cards({name: card for name, card in HUB.items() if card.draft})
def test_a_draft_takes_fewer_than_two_thirds_of_the_steps(card: ModelCard):
    assert card.draft["steps"] <= card.full["steps"] * 2 / 3


@cards()
def test_seconds_say_where_they_are_from_and_of_which_device_unless_they_are_a_guess(card: ModelCard):
    assert "seconds_per_candidate" in card.model_fields_set
    assert card.seconds_from is not None
    assert bool(card.seconds_on) == (card.seconds_from != "guess")


@cards()
def test_terms_say_whether_the_licence_was_read_for_them(card: ModelCard):
    assert bool(card.terms) == (card.terms_from is not None)


def test_every_guide_of_a_card_is_one_that_a_batch_can_name():
    kinds = set(get_args(Guide.model_fields["kind"].annotation))
    assert {guide for card in CARDS.values() for guide in card.guides} <= kinds


def test_the_catalogue_has_a_model_for_every_role():
    for role in get_args(Role):
        assert any(role in card.roles for card in CARDS.values()), role
    assert any(card.licence == "Apache-2.0" and "text_to_video" in card.roles for card in HUB.values())


def test_cards_of_the_same_weights_pin_the_same_commit():
    pinned: dict[str, set[str]] = {}
    for card in HUB.values():
        pinned.setdefault(card.source, set()).add(card.revision)
    assert {source: commits for source, commits in pinned.items() if len(commits) > 1} == {}


def test_a_model_that_knows_one_size_makes_no_other():
    known = CARDS["cogvideox/5b-i2v"]
    assert known.sizes.accepts(720, 480)
    assert not any(known.sizes.accepts(*size) for size in ((480, 480), (480, 720), (720, 720)))
    assert known.sizes.nearest(1280, 720) == ((720, 480),)
    assert known.sizes.in_words == "720 × 480 only"
    assert [length for length in range(1, 200) if known.frames.accepts(length)] == [49]


def test_an_only_size_off_the_grid_is_no_card():
    sizes = {"multiple_of": 16, "min": 64, "max": 512, "default": [128, 64]}
    assert SizeGrid.model_validate({**sizes, "only": [[128, 64], [64, 128]]}).in_words == "128 × 64 and 64 × 128 only"
    for only in ([[128, 64], [100, 64]], [[64, 128]]):
        with pytest.raises(ValueError, match="is not on the model's own grid"):
            SizeGrid.model_validate({**sizes, "only": only})
