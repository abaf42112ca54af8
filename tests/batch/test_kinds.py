"""A file of one kind that is given where another is wanted."""

import pytest

from ancestra_farm.batch import look, motion, rights
from ancestra_farm.batch.base import Model
from ancestra_farm.batch.document import read_text
from ancestra_farm.batch.farm_settings import FarmSettings
from ancestra_farm.batch.kinds import KINDS, schema_of
from ancestra_farm.batch.load import accepted, locate_batch
from ancestra_farm.batch.problems import BatchRefused
from ancestra_farm.batch.schema import Batch
from ancestra_farm.batch.show_settings import ShowSettings

SHOW = "# rules\nschema: ancestra/show/v1\nshow: anc\npeople: {noor: reviewer}\n"


def kinds(model: type[Model]) -> set[type[Model]]:
    return {model}.union(*(kinds(below) for below in model.__subclasses__()))


def test_every_schema_is_known_by_what_it_is() -> None:
    known = kinds(Model)
    assert known > {look.LookFile, motion.MotionPath, rights.RightsLedger}
    assert {schema for model in known if (schema := schema_of(model))} == set(KINDS)


@pytest.mark.parametrize(("model", "wanted"), [(FarmSettings, "settings of the farm"), (Batch, "a batch of shots")])
def test_a_file_of_another_kind_is_refused_in_one_sentence_that_says_what_takes_it(
    model: type[Model], wanted: str
) -> None:
    with pytest.raises(BatchRefused) as refused:
        accepted(read_text(SHOW, "show.yaml"), model)
    (problem,) = refused.value.problems
    assert str(problem).startswith("show.yaml:2: schema: this is settings of a show (ancestra/show/v1)")
    assert wanted in problem.message
    assert problem.hint == "`ancestra settings show NAME set` takes them"


def test_a_batch_that_is_none_is_not_looked_through_for_shots() -> None:
    found = locate_batch(read_text(SHOW, "show.yaml"))
    assert found.batch is None
    assert len(found.problems) == 1


def test_a_word_that_no_kind_has_is_told_with_everything_else() -> None:
    with pytest.raises(BatchRefused) as refused:
        accepted(read_text(SHOW.replace("show/v1", "shoe/v1").replace("show:", "shw:"), "show.yaml"), ShowSettings)
    assert len(refused.value.problems) > 1
