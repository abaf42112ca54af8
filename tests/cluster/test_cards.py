"""Every model of the catalogue against every cluster: somewhere there is a node that can hold it."""

import pytest

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.scheduler.placement import fits, needs_of, nowhere, places
from tests.cluster.manifests import FARMS, farm

CATALOGUE = load_catalog()


@pytest.mark.parametrize("name", FARMS)
@pytest.mark.parametrize("model", CATALOGUE)
def test_there_is_a_node_for_every_model_of_the_catalogue(model, name):
    assert nowhere(needs_of(CATALOGUE[model]), farm(name).node_types) is None


@pytest.mark.parametrize("name", FARMS)
def test_every_kind_of_gpu_that_a_model_asks_for_is_called_so_somewhere(name):
    asked = {kind for card in CATALOGUE.values() for kind in card.accelerators}
    there = {kind.accelerator for path in FARMS for kind in farm(path).node_types.values()}
    assert asked <= there


@pytest.mark.parametrize("name", [name for name in FARMS if name != "onprem"])
def test_every_model_has_a_place_that_nobody_takes_away(name):
    """Dailies are made on demand where spot is not good enough, so what needs a GPU fits on such a node too."""
    types = farm(name).node_types
    for model, card in CATALOGUE.items():
        if card.gpus:
            fitting = places(needs_of(card), types)
            assert any(types[kind].market == "on_demand" for kind in fitting), model


def test_every_node_type_is_good_for_something():
    for name in FARMS:
        for kind, shape in farm(name).node_types.items():
            cards: list[ModelCard] = [card for card in CATALOGUE.values() if bool(card.gpus) == bool(shape.gpus)]
            assert any(fits(needs_of(card), shape) is None for card in cards), (name, kind)
