"""The generator over tiny pipelines with random weights: what candidates share, and what they must not."""

import functools
import gc

import numpy as np
import pytest
import torch

from ancestra_farm.models.build import build_generator
from ancestra_farm.models.protocol import Aborted, OutOfMemory
from tests.models.diffusion.recipes import TOLERANCE, Calls, apart, card, loaded, made, note, picture, recipe
from tests.models.diffusion.tiny import TINY_SIZE, save_tiny

torch.set_num_threads(1)
BATCH = {"runtime": {"batch": 4}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a tiny pipeline, by its class; each is saved once."""
    root = tmp_path_factory.mktemp("tiny")

    def of(name):
        place = root / name.replace(":", "-")
        return place if place.exists() else save_tiny(name, place)

    return of


@pytest.fixture(scope="module")
def xl(folder):
    generator = loaded(card("StableDiffusionXLPipeline", folder("StableDiffusionXLPipeline"), **BATCH))
    yield generator
    generator.close()


@pytest.fixture
def denoised(xl, monkeypatch):
    """The calls of the denoiser; with guidance each sees a candidate twice."""
    return Calls(monkeypatch, xl.resident.pipeline.unet, "forward")


def wordings(model, count=4):
    prompts = ("the sea at dusk", "cells of light", "stars and dust above the sea", "petals")
    return [recipe(model, seed=n + 1, prompt=prompts[n % len(prompts)]) for n in range(count)]


# ---- one candidate is one picture -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["StableDiffusionXLPipeline", "StableDiffusionPipeline", "FluxPipeline", "ZImagePipeline"]
)
def test_a_candidate_is_the_same_alone_in_a_batch_and_in_another_order(name, folder):
    generator = loaded(card(name, folder(name), **BATCH))
    wanted = wordings(generator.card)
    together = made(generator, wanted)
    backwards = made(generator, wanted[::-1])[::-1]
    alone = [made(generator, [one])[0] for one in wanted]

    for one, other, single in zip(together, backwards, alone, strict=True):
        assert one.dtype == np.uint8
        assert one.shape == (1, *TINY_SIZE[::-1], 3)
        assert apart(one, single) <= TOLERANCE
        assert apart(other, single) <= TOLERANCE
    assert min(apart(alone[0], other) for other in alone[1:]) > 10 * TOLERANCE


def test_pictures_that_start_from_pictures_do_not_change_each_other_either(folder):
    name = "StableDiffusionImg2ImgPipeline"
    generator = loaded(card(name, folder(name), **BATCH))
    parents = {f"parent-{n}": picture(n) for n in range(3)}
    wanted = [recipe(generator.card, seed=n, parents=(f"parent-{n}",)) for n in range(3)]
    together = made(generator, wanted, parents)
    for n, one in enumerate(wanted):
        assert apart(together[n], made(generator, [one], parents)[0]) <= TOLERANCE
    (other,) = made(generator, [recipe(generator.card, seed=0, parents=("parent-2",))], parents)
    assert apart(together[0], other) > 10 * TOLERANCE


def test_a_seed_makes_a_picture_and_makes_it_again(xl):
    (one,), (again,), (other,) = (made(xl, [recipe(xl.card, seed=seed)]) for seed in (2**62, 2**62, 3))
    np.testing.assert_array_equal(one, again)
    assert apart(one, other) > 10 * TOLERANCE


def test_wordings_that_alternate_share_calls_and_come_back_in_order(folder, monkeypatch):
    generator = loaded(card("QwenImagePipeline", folder("QwenImagePipeline"), parameters=QWEN, runtime={"batch": 2}))
    calls = Calls(monkeypatch, generator.resident.pipeline.vae, "decode")
    prompts = ["the sea", "stars and dust above the sea at dusk"] * 2
    wanted = [recipe(generator.card, seed=n, prompt=prompt) for n, prompt in enumerate(prompts)]
    pictures = made(generator, wanted)

    assert calls.batches == [2, 2]
    for one, picture_of in zip(wanted, pictures, strict=True):
        assert apart(picture_of, made(generator, [one])[0]) <= TOLERANCE


QWEN = {
    "steps": {"type": "int", "default": 2, "min": 1, "argument": "num_inference_steps"},
    "guidance": {"type": "float", "default": 1.0, "argument": "true_cfg_scale"},
}


def test_candidates_with_other_settings_do_not_share_a_call(xl, denoised):
    wanted = [recipe(xl.card, seed=n, parameters={"guidance": 1.0, "steps": 2 + n % 2}) for n in range(4)]
    made(xl, wanted)
    assert denoised.batches == [2] * 5


def test_no_call_makes_more_than_the_card_says(xl, denoised):
    made(xl, [recipe(xl.card, seed=n, parameters={"guidance": 1.0, "steps": 1}) for n in range(10)])
    assert denoised.batches == [4, 4, 2]


def test_the_seconds_of_a_call_are_shared_by_its_candidates(xl):
    found = list(xl.generate(wordings(xl.card), {}, lambda: False))
    assert len({one.generate_s for one in found}) == 1
    assert found[0].generate_s > 0


# ---- embeddings -----------------------------------------------------------------------------------------------------


def test_each_wording_is_encoded_once_whatever_is_made_of_it(xl, monkeypatch):
    encoded = Calls(monkeypatch, xl.resident.pipeline.text_encoder, "forward")
    before = xl.resident.embeddings.computed
    words = [f"stars of the night {n}" for n in range(3)]
    for rung in ("draft", "full"):
        made(xl, [recipe(xl.card, seed=n, prompt=words[n % 3], rung=rung) for n in range(9)])
    assert xl.resident.embeddings.computed - before == len(encoded) == 3
    made(xl, [recipe(xl.card, prompt=words[0], negative="dust")])
    made(xl, [recipe(xl.card, prompt=words[0], parameters={"guidance": 1.0})])
    assert xl.resident.embeddings.computed - before == 5
    assert len(encoded) == 3 + 2 + 1, "a negative prompt is encoded too, and no guidance needs none"


# ---- drafts ---------------------------------------------------------------------------------------------------------


def test_a_draft_takes_few_steps_of_its_own_solver_from_the_same_noise(folder, monkeypatch):
    model = card(
        "StableDiffusionXLPipeline",
        folder("StableDiffusionXLPipeline"),
        draft_scheduler="DPMSolverMultistepScheduler",
        parameters={**card("StableDiffusionXLPipeline", "/x").model_dump()["parameters"], **STEPS_8},
    )
    generator = loaded(model)
    calls = Calls(monkeypatch, generator.resident.pipeline.unet, "forward")
    (draft,) = made(generator, [recipe(model, rung="draft")])
    solver = generator.resident.pipeline.scheduler
    steps = len(calls)
    (full,) = made(generator, [recipe(model)])

    assert type(solver).__name__ == "DPMSolverMultistepScheduler"
    assert solver.config.solver_order == 2
    assert type(generator.resident.pipeline.scheduler).__name__ == "EulerDiscreteScheduler"
    assert (steps, len(calls) - steps) == (2, 8)
    (other,) = made(generator, [recipe(model, seed=2)])
    distance = lambda a, b: np.abs(a.astype(float) - b.astype(float)).mean()  # noqa: E731
    assert distance(draft, full) < distance(draft, other)


STEPS_8 = {"steps": {"type": "int", "default": 8, "min": 1, "argument": "num_inference_steps"}}


def test_the_scheduler_of_a_call_remembers_nothing_of_the_call_before(xl):
    (one,) = made(xl, [recipe(xl.card)])
    before = xl.resident.pipeline.scheduler
    made(xl, [recipe(xl.card, seed=9, parameters={"steps": 7})])
    (again,) = made(xl, [recipe(xl.card)])
    assert xl.resident.pipeline.scheduler is not before
    np.testing.assert_array_equal(one, again)


# ---- taken back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps_done", [1, 3])
def test_an_abort_between_steps_pays_no_decode(xl, denoised, monkeypatch, steps_done):
    decoded = Calls(monkeypatch, xl.resident.pipeline.vae, "decode")
    with pytest.raises(Aborted):
        made(xl, wordings(xl.card), aborted=lambda: len(denoised) >= steps_done)
    assert len(denoised) == steps_done
    assert len(decoded) == 0
    made(xl, [recipe(xl.card)])
    assert len(decoded) == 1


def test_what_was_yielded_before_an_abort_stays(xl):
    wanted = [recipe(xl.card, seed=n) for n in range(6)]
    found = []
    with pytest.raises(Aborted):
        note(found, xl.generate(wanted, {}, lambda: len(found) == 4))
    assert found == wanted[:4]


def test_an_upscaler_of_the_old_callback_stops_between_steps_too(folder, monkeypatch):
    name = "StableDiffusionUpscalePipeline"
    generator = loaded(card(name, folder(name), **BATCH))
    small = {"parent": picture(1, (16, 16))}
    wanted = [recipe(generator.card, seed=n, role="upscale", parents=("parent",), size=(64, 64)) for n in range(2)]
    calls = Calls(monkeypatch, generator.resident.pipeline.unet, "forward")
    one, other = made(generator, wanted, small)
    assert one.shape == (1, 64, 64, 3)
    assert apart(one, other) > TOLERANCE
    assert apart(one, made(generator, wanted[:1], small)[0]) <= TOLERANCE
    before = len(calls)
    with pytest.raises(Aborted):
        made(generator, wanted, small, aborted=lambda: len(calls) > before)
    assert len(calls) == before + 1


# ---- failures -------------------------------------------------------------------------------------------------------


def test_out_of_memory_halves_the_call_and_is_remembered_for_the_shape(folder, monkeypatch):
    generator = loaded(card("StableDiffusionXLPipeline", folder("StableDiffusionXLPipeline"), runtime={"batch": 8}))

    def only_four(batch):
        if batch > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    calls = Calls(monkeypatch, generator.resident.pipeline.unet, "forward", only_four)
    settings = {"guidance": 1.0, "steps": 1}
    made(generator, [recipe(generator.card, seed=n, parameters=settings) for n in range(8)])
    assert calls.batches == [8, 4, 4]
    made(generator, [recipe(generator.card, seed=n, parameters=settings) for n in range(8)])
    assert calls.batches[3:] == [4, 4]
    larger = [recipe(generator.card, seed=n, parameters=settings, size=(32, 32)) for n in range(8)]
    made(generator, larger)
    assert calls.batches[5:] == [8, 4, 4]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=["device", "machine", "python"],
)
def test_what_does_not_fit_alone_is_out_of_memory(xl, monkeypatch, error):
    def never(_batch):
        raise error

    with monkeypatch.context() as patched:
        Calls(patched, xl.resident.pipeline.vae, "decode", never)
        with pytest.raises(OutOfMemory):
            made(xl, [recipe(xl.card)])
    assert len(made(xl, [recipe(xl.card)])) == 1


def test_an_exception_is_that_of_the_candidate_that_caused_it(xl):
    wanted = [recipe(xl.card, seed=n) for n in range(4)]
    wanted[2] = recipe(xl.card, seed=2, parents=("nowhere",))
    found = []
    with pytest.raises(ValueError, match="needs frames of nowhere"):
        note(found, xl.generate(wanted, {}, lambda: False))
    assert found == wanted[:2]


def test_a_call_that_fails_is_taken_apart_until_the_guilty_one_is_alone(xl, monkeypatch):
    pipeline = type(xl.resident.pipeline)
    call, seeds = pipeline.__call__, []

    @functools.wraps(call)
    def poisoned(self, **named):
        dice = named["generator"]
        seeds.append([one.initial_seed() for one in (dice if isinstance(dice, list) else [dice])])
        if 2 in seeds[-1]:
            raise ZeroDivisionError("a poison seed")
        return call(self, **named)

    monkeypatch.setattr(pipeline, "__call__", poisoned)
    wanted, found = [recipe(xl.card, seed=n) for n in range(4)], []
    with pytest.raises(ZeroDivisionError, match="a poison seed"):
        note(found, xl.generate(wanted, {}, lambda: False))
    assert found == wanted[:2]
    assert seeds == [[0, 1, 2, 3], [0], [1], [2]]


def test_a_value_that_is_not_finite_is_there_to_be_judged(xl, monkeypatch):
    decode = xl.resident.pipeline.vae.decode

    def broken(latents, **named):
        (pixels,) = decode(latents, **named)
        pixels[1, :, 3, 5] = float("nan")
        return (pixels,)

    monkeypatch.setattr(xl.resident.pipeline.vae, "decode", broken)
    sound, bad = made(xl, wordings(xl.card, 2))
    assert sound.dtype == np.uint8
    assert bad.dtype == np.float32
    assert bad.shape == (1, *TINY_SIZE[::-1], 3)
    assert np.isnan(bad).sum() == 3


# ---- the rest of its life -------------------------------------------------------------------------------------------


def test_it_is_built_from_its_card_without_loading_anything(folder):
    model = card("StableDiffusionXLPipeline", folder("StableDiffusionXLPipeline"))
    generator = build_generator(model)
    with pytest.raises(RuntimeError, match="before it was set up"):
        made(generator, [recipe(model)])
    generator.setup()
    assert len(made(generator, [recipe(model)])) == 1
    generator.close()
    gc.collect()
    with pytest.raises(RuntimeError, match="before it was set up"):
        made(generator, [recipe(model)])


def test_a_role_that_the_card_does_not_have_is_said(xl):
    with pytest.raises(ValueError, match="has no role image_to_image; it has text_to_image"):
        made(xl, [recipe(xl.card, role="image_to_image")])
