"""The catalogue's cards with tiny random weights in place of the real ones: their pipelines take what they say."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from ancestra_farm.batch.card import INPUTS_OF_ROLE, STILL_ROLES, ModelCard
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.models.diffusion.schedules import ScheduleRefused, Schedules
from tests.models.diffusion.recipes import loaded, made, picture, recipe
from tests.models.diffusion.tiny import TINY, TINY_SIZE, save_tiny

CARDS = {name: card for name, card in load_catalog().items() if card.family == "diffusers"}
#: The tiny instance that is built like the real one, where the plain one of its class is not.
BUILT_LIKE = {"wan/2.2-t2v-a14b": "WanPipeline:two"}
#: What every class is tried with elsewhere; the second guidance is that of two experts, as of ``BUILT_LIKE``.
PLAIN = {"num_inference_steps", "guidance_scale"}
LIKE_ANOTHER = {"wan/2.2-i2v-a14b"}


def particular() -> list[str]:
    """Cards that set more than steps and guidance; of those that differ in weights and size alone, the first."""
    seen: dict[str, str] = {}
    for name, card in CARDS.items():
        arguments = sorted({parameter.argument or name for name, parameter in card.parameters.items()} - PLAIN)
        solvers = [card.scheduler, card.draft_scheduler, *card.scheduler_settings]
        if (arguments or any(solvers)) and name not in LIKE_ANOTHER:
            seen.setdefault(f"{card.pipeline} {arguments} {solvers}", name)
    return sorted(seen.values())


def tiny_version(card: ModelCard, folder: object) -> ModelCard:
    """The card with what is about size, place and memory made tiny; parameters, schedulers and roles as they are."""
    tiny = {
        "source": str(folder), "revision": None, "variant": None, "parts": {}, "dtype": "float32", "vram_gib": 0.0,
        "gpus": 0, "runtime": {}, "scale": None, "full": {}, "draft": {"steps": 2},
        "sizes": {"multiple_of": 8, "min": 16, "max": 256, "default": list(TINY_SIZE)},
    }  # fmt: skip
    changed = {**card.model_dump(exclude_none=True), **tiny}
    changed["parameters"]["steps"]["min"] = 1
    if card.frames is not None:
        changed["frames"]["min"] = 2
    return ModelCard.model_validate(changed)


@pytest.mark.parametrize("name", particular())
def test_a_card_runs_with_its_own_parameters_and_the_solver_of_its_drafts(name: str, tmp_path_factory):
    card = CARDS[name]
    tiny = BUILT_LIKE.get(name, card.pipeline)
    assert tiny in TINY
    model = tiny_version(card, save_tiny(tiny, tmp_path_factory.mktemp("tiny")))
    # a ControlNet follows something whatever the role: a clip that is given, where no guide is
    role = "video_to_video" if "ControlNet" in model.pipeline else model.roles[0]
    size = (TINY_SIZE[0] * 4, TINY_SIZE[1] * 4) if card.scale else TINY_SIZE
    frames = 1 if role in {*STILL_ROLES, "upscale"} else model.frames.at_least(5)
    length = frames if role == "video_to_video" else 1
    seeds = range(100, 100 + INPUTS_OF_ROLE[role])
    parents = {f"{seed:032x}": picture(seed, frames=length) for seed in seeds}
    generator = loaded(model)
    (drawn,) = made(
        generator,
        [recipe(model, role=role, rung="draft", size=size, frames=frames, parents=tuple(parents))],
        parents,
    )
    assert drawn.shape == (frames, size[1], size[0], 3)
    generator.close()


def test_a_pipeline_whose_parts_lie_apart_makes_what_it_makes_in_one_folder(tmp_path):
    whole = save_tiny("AnimateDiffControlNetPipeline", tmp_path / "whole")
    base = shutil.copytree(whole, tmp_path / "base")
    index = json.loads((base / "model_index.json").read_text())
    for part in ("motion_adapter", "controlnet"):
        shutil.move(base / part, tmp_path / part)
        del index[part]
    index |= {"_class_name": "StableDiffusionPipeline", "safety_checker": [None, None]}
    (base / "model_index.json").write_text(json.dumps(index))
    one = tiny_version(CARDS["animatediff/sd15-depth"], whole)
    apart = one.model_validate(
        {
            **one.model_dump(exclude_none=True),
            "source": str(base),
            "parts": {part: {"source": str(tmp_path / part)} for part in ("motion_adapter", "controlnet")},
        }
    )
    parents = {"0" * 32: picture(1, frames=5)}
    frames = []
    for model in (one, apart):
        generator = loaded(model, cache=tmp_path / "cache")
        changes = {"role": "video_to_video", "frames": 5, "parents": tuple(parents)}
        frames += made(generator, [recipe(model, rung="draft", **changes)], parents)
        generator.close()
    assert np.array_equal(*frames)


def test_settings_of_a_schedule_reach_the_rungs_that_have_them_and_no_setting_is_ignored():
    from diffusers import DDIMScheduler

    pipeline = SimpleNamespace(scheduler=DDIMScheduler(beta_schedule="scaled_linear"))
    changes = {"scheduler_settings": {"beta_schedule": "linear", "clip_sample": False}, "scheduler": "DDIMScheduler"}
    card = ModelCard.model_validate({**CARDS["sdxl/base"].model_dump(exclude_none=True), **changes})
    schedules = Schedules(pipeline, card)
    assert schedules.fresh("full").config.beta_schedule == schedules.fresh("draft").config.beta_schedule == "linear"
    assert schedules.fresh("full").config.clip_sample is False
    with pytest.raises(ScheduleRefused, match="DDIMScheduler has no setting beta_shedule"):
        Schedules(pipeline, card.model_copy(update={"scheduler_settings": {"beta_shedule": "linear"}}))
