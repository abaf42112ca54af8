"""Look files and ledgers of photographs: what is refused before anything is opened."""

import pytest

from ancestra_farm.batch import BatchRefused
from ancestra_farm.batch.look import checked_look, read_ledger
from ancestra_farm.models.catalog import load_catalog
from tests.models.looks.photographs import base_card, row, write_ledger, write_look

CARDS = {"tiny/model": base_card(), "plain/model": base_card(id="plain/model", looks=False)}


def problems(path, cards=CARDS):
    with pytest.raises(BatchRefused) as refused:
        checked_look(path, cards)
    return [str(problem) for problem in refused.value.problems]


def test_a_good_look_says_where_its_things_are(tmp_path):
    located = checked_look(write_look(tmp_path), CARDS)
    assert located.look.ledger_path == "photographs/ledger.yaml"
    assert located.beside(located.look.photographs) == tmp_path / "photographs"
    assert located.look.scale == 1.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "tiny/modle"}, "did you mean tiny/model?"),
        ({"model": "plain/model"}, "plain/model takes no looks (they are trained on tiny/model)"),
        ({"size": [33, 32]}, "33 × 32 is no size of tiny/model (nearest: [32, 32]"),
        ({"caption": "{trigger}, {caption}"}, "{trigger} means nothing here"),
        ({"caption": "{caption"}, "a lone {"),
        ({"rank": 0}, "rank: 0 is too small (at least 1)"),
        ({"learning_rate": 0}, "learning_rate: 0 is too small"),
        ({"sedd": 3}, "there is no key 'sedd' here (did you mean seed?)"),
        ({"look": "a/b"}, "a name is made of"),
        ({"targets": []}, "targets: 0 entries here (at least 1)"),
    ],
)
def test_a_fault_is_said_with_its_line(tmp_path, changes, said):
    path = write_look(tmp_path, **changes)
    key = next(iter(changes))
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if f'"{key}"' in text)
    (problem,) = problems(path)
    assert said in problem
    assert problem.startswith(f"{path}:{line}: {key}")


def test_a_pipeline_that_looks_cannot_be_trained_on_is_named(tmp_path):
    cards = {"tiny/model": base_card(pipeline="CogVideoXPipeline")}
    assert "looks are not trained on CogVideoXPipeline" in problems(write_look(tmp_path), cards)[0]


def test_a_base_of_two_transformers_is_refused_before_it_is_loaded(tmp_path):
    (problem,) = problems(write_look(tmp_path, model="wan/2.2-t2v-a14b", size=[512, 512]), load_catalog())
    assert "wan/2.2-t2v-a14b has two transformers, and a look is trained on one (they are trained on " in problem
    assert "wan/2.2-ti2v-5b" in problem


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"owner": ""}, "owner: the text is empty"),
        ({"consent": {"who": "Ada", "when": "5 January", "scope": ["training"]}}, "a day is written year-month-day"),
        ({"consent": {"who": "Ada", "when": "2026-01-05", "scope": ["anything"]}}, "one of training, reference"),
        ({"consent": {"who": "Ada", "when": "2026-01-05"}}, "photographs[0].consent.scope: is missing"),
        ({"sha256": "1234"}, "sha256: and 64 hexadecimal digits"),
        ({"scope": []}, "scope: 0 entries here"),
    ],
)
def test_a_row_that_does_not_say_whose_a_photograph_is_is_refused(tmp_path, changes, said):
    write_look(tmp_path, count=1)
    folder = tmp_path / "photographs"
    write_ledger(folder, [row(folder, "photo.png", **changes)])
    with pytest.raises(BatchRefused) as refused:
        read_ledger(folder / "ledger.yaml")
    assert said in str(refused.value)
