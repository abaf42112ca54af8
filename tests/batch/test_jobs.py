"""The example jobs: each is good, names the schema that editors read, and is what its comments say."""

import json
from pathlib import Path

import jsonschema
import pytest

from ancestra_farm.batch import batch_json_schema, checked_batch
from ancestra_farm.batch.document import read_file
from ancestra_farm.filters.settings import default_settings, ranking_scores
from ancestra_farm.plan.plan import Plan
from tests.batch.catalogue import CARDS

JOBS = Path(__file__).parents[2] / "jobs"
SCHEMA_FILE = JOBS / "ancestra.v1.schema.json"
FILES = sorted(JOBS.glob("*.yaml"))


def test_the_schema_in_the_tree_is_the_one_the_code_has():
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == batch_json_schema(), "write it anew: ancestra schema"


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(batch_json_schema())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_job_is_good_and_names_its_schema(file):
    first = file.read_text(encoding="utf-8").splitlines()[0]
    batch = checked_batch(file, CARDS, default_settings(), ranking_scores())

    assert first == f"# yaml-language-server: $schema=./{SCHEMA_FILE.name}"
    assert list(Plan.of(batch, CARDS).problems()) == []
    jsonschema.validate(read_file(file).value, batch_json_schema())


@pytest.mark.parametrize("fault", [{"stages": {"still": {"rol": "x"}}}, {"rate": 23.976}, {"shots": []}, {"extra": 1}])
def test_an_editor_marks_what_the_reader_refuses(fault):
    value = {**read_file(JOBS / "previz.yaml").value, **fault}

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, batch_json_schema())


def test_the_demo_is_the_films_four_images_and_its_shots_are_chains_of_segments():
    plan = Plan.of(checked_batch(JOBS / "demo.yaml", CARDS, default_settings(), ranking_scores()), CARDS)

    assert [(shot.name, shot.frames) for shot in plan.shots] == [
        ("anc_010_0010", 80),
        ("anc_010_0020", 80),
        ("anc_010_0030", 72),
        ("anc_010_0040", 48),
    ]
    assert all(shot.stage("still").spec.candidates == 1000 for shot in plan.shots)
    assert [shot.stage("still").spec.keep for shot in plan.shots] == ["all", "all", "all", 24]
    assert [len(shot.stage("animate").segments) for shot in plan.shots[:3]] == [2, 2, 2]
    assert plan.shots[3].final is None
