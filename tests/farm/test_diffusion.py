"""A diffusers pipeline through the whole host: a real store, real filters, tiny weights made here."""

import numpy as np
import pytest

from ancestra_farm.batch.check import checked_text
from ancestra_farm.batch.load import read_batch
from ancestra_farm.batch.problems import BatchRefused
from ancestra_farm.farm.pipeline import Pipeline
from ancestra_farm.filters.settings import default_settings, ranking_scores
from ancestra_farm.ledger.materials import NodeMaterials
from ancestra_farm.ledger.store import Store
from ancestra_farm.models.build import build_generator, stage_faults
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.plan.plan import Plan
from ancestra_farm.plan.recipe import model_digest
from ancestra_farm.stitch.codec import decode_frames
from tests.farm.batches import batch_document, ticket_of

yaml = pytest.importorskip("yaml")

CARD = """\
id: tiny/xl
family: diffusers
pipeline: StableDiffusionXLPipeline
source: SOURCE
roles: [text_to_image]
licence: MIT
sizes: {multiple_of: 16, min: 32, max: 128, default: [64, 64]}
runtime: {batch: 4}
parameters:
  steps: {type: int, default: 3, min: 1, max: 50, argument: num_inference_steps}
  guidance: {type: float, default: 3.0, min: 0, max: 20, argument: guidance_scale}
draft: {steps: 2}
"""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """The catalogue with a card of a tiny SDXL."""
    from tests.models.diffusion.tiny import save_tiny

    root = tmp_path_factory.mktemp("tiny")
    folder = save_tiny("StableDiffusionXLPipeline", root / "xl")
    cards = root / "cards"
    cards.mkdir()
    (cards / "tiny-xl.yaml").write_text(CARD.replace("SOURCE", str(folder)))
    return load_catalog(cards)


def document(**stage):
    found = batch_document(**{"model": "tiny/xl", "parameters": {}, "candidates": 8, "wave": 8, **stage})
    found["stages"]["still"]["parameters"].pop("fault_rate", None)
    return found


def test_its_survivors_are_in_the_store_as_they_were_made_and_rows_come_back(catalog, tmp_path):
    store = Store.open(str(tmp_path / "store"), create=True)
    space = Plan.of(read_batch(yaml.safe_dump(document()), "a.yaml"), catalog).shots[0].stage("still").space(0, ((),))
    generator = build_generator(catalog["tiny/xl"], NodeMaterials(store))
    host = Pipeline("host-1", "tiny/xl", generator, store)
    host.setup()
    try:
        reply = host.work(ticket_of(space, range(6), keep_rejects=True))
        again = list(generator.generate([space.recipe(n, "full") for n in range(6)], {}, lambda: False))
    finally:
        host.close()

    assert [row.position for row in reply.attempts] == list(range(6))
    assert {row.cause for row in reply.attempts} == {"judged"}
    assert [row.candidate_id for row in reply.attempts] == [space.id_of(n, "full") for n in range(6)]
    assert all(row.media for row in reply.attempts), "noise may pass or not; all of it is kept here"
    assert all(row.generate_s > 0 for row in reply.attempts)
    for row, made in zip(reply.attempts, again, strict=True):
        np.testing.assert_array_equal(decode_frames(store.read(row.media)), made.frames)
    assert reply.attempts[0].thumbnail


def test_a_batch_is_checked_against_what_its_pipeline_is(catalog):
    import json

    def checked(value, cards=catalog):
        return checked_text(json.dumps(value), "a.yaml", cards, default_settings(), ranking_scores(), stage_faults)

    assert checked(document()).batch == "tiny"
    bad = {**catalog, "tiny/xl": catalog["tiny/xl"].model_copy(update={"scheduler": "EulerScheduler"})}
    with pytest.raises(BatchRefused) as refused:
        checked(document(), bad)
    assert [(one.path, one.message) for one in refused.value.problems] == [
        ("stages.still.model", "tiny/xl cannot run: scheduler: diffusers has no scheduler EulerScheduler")
    ]
    ignored = document(parameters={"guidance": 1.0}, prompt={"text": "the sea", "negative": "people"})
    with pytest.raises(BatchRefused) as refused:
        checked(ignored)
    (problem,) = refused.value.problems
    assert "the negative prompt would be ignored: the parameter guidance is 1.0" in problem.message


@pytest.mark.parametrize(
    "changes", [{"scheduler": "DDIMScheduler"}, {"draft_scheduler": "DDIMScheduler"}, {"variant": "fp16"}]
)
def test_what_changes_the_output_changes_the_model(catalog, changes):
    plain = catalog["tiny/xl"]
    assert model_digest(plain.model_copy(update=changes)) != model_digest(plain)
    assert model_digest(plain.model_copy(update={"title": "another"})) == model_digest(plain)
