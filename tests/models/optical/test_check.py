"""Cards of the optical family: what would fail on a host or be ignored there is said when a batch is checked."""

import pytest

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.schema import Stage
from ancestra_farm.models.build import build_generator, stage_faults
from ancestra_farm.models.catalog import load_catalog

CARDS = {name: card for name, card in load_catalog().items() if card.family == "optical"}
STAGE = Stage.model_validate({"role": "upscale", "model": "mine/large", "from": "still", "candidates": 1})


def card(**changes):
    values = {**CARDS["optical/upscale"].model_dump(exclude_none=True), "id": "mine/large", **changes}
    return ModelCard.model_validate(values)


def test_the_cards_of_the_catalogue_have_no_faults():
    assert {name: stage_faults(one, STAGE, negative=True) for name, one in CARDS.items()} == {
        name: [] for name in CARDS
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pipeline": "enlage"}, "flow, rife or enlarge, not 'enlage'; did you mean enlarge?"),
        ({"pipeline": "flow"}, "flow has no role upscale; it has interpolate"),
        ({"parameters": {"strength": {"type": "float", "default": 1.0}}}, "parameter strength: enlarge reads sharpen"),
        ({"looks": True}, "enlarge takes neither guides nor looks"),
        ({"guides": ["depth"]}, "enlarge takes neither guides nor looks"),
        ({"runtime": {"device": "cuda"}}, "runtime.device: enlarge does not heed it"),
    ],
)
def test_what_a_method_does_not_do_is_said_at_check_and_refused_on_a_host(changes, said):
    assert any(said in fault for fault in stage_faults(card(**changes), STAGE, negative=False))
    with pytest.raises(ValueError, match=r"^mine/large: "):
        build_generator(card(**changes))


def test_an_upscaler_without_a_knob_draws_edges_as_usual():
    assert stage_faults(card(parameters={}), STAGE, negative=False) == []
