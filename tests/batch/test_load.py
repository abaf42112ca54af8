import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from ancestra_farm.batch import Batch, BatchRefused, ModelCard, canonical, load_batch, load_card, read_batch
from ancestra_farm.batch.document import read_text
from ancestra_farm.batch.load import locate_batch

JOBS = Path(__file__).parents[2] / "jobs"
SMALL = """
schema: ancestra/v1
batch: small
show: ancestra
stages:
  still: {role: text_to_image, model: procedural/stills, candidates: 10, parameters: {strength: 1, fault_rate: 0.5}}
  more: {role: image_to_image, model: procedural/stills, candidates: 2, from: still, filters: {blur: false}}
shots:
  - {shot: a, frames: 24, prompt: {text: the sea}}
"""


def small(**changes):
    data = read_text(SMALL, "small.yaml").value
    data.update(changes)
    return data


def test_a_batch_reads_from_a_file_and_from_text(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)

    assert load_batch(file) == load_batch(str(file)) == read_batch(SMALL, "small.yaml")
    assert load_batch(file).stages["more"].source == "still"


@pytest.mark.parametrize("job", sorted(JOBS.glob("*.yaml")), ids=lambda job: job.stem)
def test_a_batch_written_canonically_reads_back_equal(job):
    batch = load_batch(job)
    document = canonical(batch)

    again = Batch.model_validate_json(document)

    assert again == batch
    assert canonical(again) == document
    assert document.isascii()


def test_the_order_of_keys_changes_nothing_in_the_canonical_form():
    turned = {key: small()[key] for key in reversed(small())}
    turned["stages"] = dict(reversed(turned["stages"].items()))

    assert canonical(Batch.model_validate(turned)) == canonical(Batch.model_validate(small()))


def test_whole_numbers_and_fractions_keep_their_type_in_parameters():
    parameters = Batch.model_validate_json(canonical(read_batch(SMALL, "s"))).stages["still"].parameters

    assert parameters == {"strength": 1, "fault_rate": 0.5}
    assert {name: type(value) for name, value in parameters.items()} == {"strength": int, "fault_rate": float}


def test_leaving_none_out_loses_nothing_because_none_is_every_optional_default():
    def models(model):
        yield model
        for field in model.model_fields.values():
            for kind in (field.annotation, *get_args(field.annotation)):
                for inner in (kind, *get_args(kind)):
                    if isinstance(inner, type) and issubclass(inner, BaseModel) and inner is not model:
                        yield from models(inner)

    for model in {*models(Batch), *models(ModelCard)}:
        for name, field in model.model_fields.items():
            if type(None) in get_args(field.annotation):
                assert field.default is None, f"{model.__name__}.{name}"


@given(st.fractions(1, 240, max_denominator=1001))
def test_a_rate_is_exact_through_writing_and_reading(rate):
    batch = Batch.model_validate(small(rate=f"{rate.numerator}/{rate.denominator}"))

    assert Batch.model_validate_json(canonical(batch)).rate == rate == Fraction(batch.rate)


def test_python_names_are_no_keys_of_a_file():
    with pytest.raises(BatchRefused) as refused:
        read_batch(SMALL.replace("from: still", "source: still"), "small.yaml")

    assert [(problem.line, problem.path, problem.message) for problem in refused.value.problems] == [
        (7, "stages.more.source", "there is no key 'source' here")
    ]


def test_a_name_ends_where_it_ends():
    with pytest.raises(BatchRefused, match="batch: 'small\\\\n' is not written"):
        read_batch(SMALL.replace("batch: small", 'batch: "small\\n"'), "small.yaml")


def test_what_one_alias_is_wrong_about_is_said_wherever_it_stands():
    text = SMALL + "  - {shot: b, frames: 24, prompt: &p {text: ''}}\n  - {shot: c, frames: 24, prompt: *p}\n"

    with pytest.raises(BatchRefused) as refused:
        read_batch(text, "small.yaml")

    assert [(problem.line, problem.path) for problem in refused.value.problems] == [
        (10, "shots[1].prompt.text"),
        (10, "shots[2].prompt.text"),
    ]


def test_a_mended_batch_says_where_it_is_broken():
    located = locate_batch(read_text(SMALL.replace("frames: 24", "frames: 0"), "small.yaml"))

    assert [problem.path for problem in located.problems] == ["shots[0].frames"]
    assert located.batch is not None
    assert located.batch.stages == read_batch(SMALL, "s").stages
    assert not located.is_sound(("shots", 0, "frames"))
    assert not located.is_sound(("shots",))
    assert located.is_sound(("stages", "still"))


def test_faults_side_by_side_in_a_list_are_all_said():
    with pytest.raises(BatchRefused) as refused:
        read_batch(SMALL + "policy: {licences: [null, 8]}\n", "small.yaml")

    assert [problem.path for problem in refused.value.problems] == ["policy.licences[0]", "policy.licences[1]"]
    assert locate_batch(read_text(SMALL + "policy: {licences: [null, 8]}\n", "small.yaml")).batch is not None


def test_a_long_list_of_problems_is_counted_not_printed():
    shots = "".join(f"  - {{shot: s{n}, frames: no, prompt: {{text: x}}}}\n" for n in range(200))

    with pytest.raises(BatchRefused) as refused:
        read_batch(SMALL + shots, "small.yaml")

    assert len(refused.value.problems) == 200
    assert str(refused.value).endswith("… and 150 more")


def test_a_card_is_refused_with_its_line(tmp_path):
    file = tmp_path / "card.yaml"
    file.write_text(
        "id: mine/model\nfamily: procedural\nroles: [text_to_video]\nlicence: MIT\n"
        "sizes: {multiple_of: 16, min: 64, max: 512, default: [250, 144]}\n"
        "parameters:\n  steps: {type: int, default: 2.5}\n"
    )

    with pytest.raises(BatchRefused) as refused:
        load_card(file)

    assert [(problem.line, problem.message) for problem in refused.value.problems] == [
        (5, "the default size (250, 144) is not on the model's own grid"),
        (7, "the default: 2.5 stands where a whole number belongs"),
    ]


def test_reading_batches_imports_nothing_heavy():
    heavy = "('numpy', 'torch', 'ray', 'cv2', 'fsspec', 'pyarrow', 'diffusers', 'PIL')"
    script = f"import sys, ancestra_farm.batch; print([name for name in {heavy} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
