"""Batches and cards for tests of the plan: small, complete, and changed by naming what differs."""

import copy

import pytest

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.schema import Batch
from ancestra_farm.plan.plan import Plan

SIZES = {"multiple_of": 8, "min": 8, "max": 1024, "default": [96, 64]}


def card(model, roles, **more):
    return ModelCard.model_validate(
        {"id": model, "family": "procedural", "roles": roles, "licence": "Apache-2.0", "sizes": SIZES, **more}
    )


CLIPS = {"frames": {"step": 4, "offset": 1, "min": 5, "max": 33}, "rate": 16}
ANY_LENGTH = {"step": 1, "offset": 0, "min": 1, "max": 999}
STEPS = {"steps": {"type": "int", "default": 20}, "strength": {"type": "float", "default": 1.0}}

CARDS = {
    made.id: made
    for made in (
        card(
            "test/stills",
            ["text_to_image", "image_to_image", "upscale"],
            parameters=STEPS,
            draft={"steps": 4},
            seconds_per_candidate=2.0,
            guides=["depth"],
            frames={"step": 1, "offset": 0, "min": 1, "max": 1},
            rate=24,
        ),
        card("test/other-stills", ["text_to_image"], parameters=STEPS),
        card(
            "test/clips",
            ["image_to_video", "text_to_video", "first_last_frame", "extend"],
            **CLIPS,
            seconds_per_candidate=30.0,
        ),
        card("test/from-a-picture", ["image_to_video"], **CLIPS),
        card("test/words-only", ["text_to_video"], **CLIPS),
        card(
            "test/any-length",
            ["upscale", "video_to_video"],
            frames={"step": 1, "offset": 0, "min": 1, "max": 999},
            rate=24,
        ),
        card("test/between", ["interpolate"], frames={"step": 1, "offset": 0, "min": 2, "max": 999}, rate=48),
        card("test/to-any-rate", ["interpolate"], frames=ANY_LENGTH, family="optical", pipeline="flow"),
        card("test/four-times", ["upscale"], scale=4),
        card("test/between-25", ["interpolate"], frames={"step": 1, "offset": 0, "min": 2, "max": 999}, rate=25),
    )
}

STILL = {"role": "text_to_image", "model": "test/stills", "candidates": 1000}
ANIMATE = {"role": "image_to_video", "model": "test/clips", "from": "still", "best": 4, "candidates": 6}
SHOT = {"shot": "anc_010_0010", "frames": 17, "handles": 0, "rate": 16, "prompt": {"text": "the sea at dawn"}}


@pytest.fixture(scope="session")
def cards():
    return CARDS


@pytest.fixture(scope="session")
def make_batch():
    """A batch of one shot with a still and an animate stage; keywords replace fields of the document."""

    def make(*, stages=None, shots=None, **fields):
        document = {
            "schema": "ancestra/v1",
            "batch": "womb",
            "show": "anc",
            "stages": {"still": STILL, "animate": ANIMATE} if stages is None else stages,
            "shots": [SHOT] if shots is None else shots,
            **fields,
        }
        return Batch.model_validate(copy.deepcopy(document))

    return make


@pytest.fixture(scope="session")
def make_plan(make_batch):
    def make(**fields):
        return Plan.of(make_batch(**fields), CARDS)

    return make
