"""The loop that a person writes with diffusers who wants no farm, and what it and a host are asked for.

Embeddings once for each wording, calls of a few candidates with a random generator each, every picture judged by the
farm's own filters, drawn small, encoded and written to a store as the host does it.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.schema import Batch
from ancestra_farm.farm.judging import cascade_of
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.plan import Plan
from ancestra_farm.plan.space import Space
from ancestra_farm.scheduler.world import Ticket
from ancestra_farm.stitch.codec import encode_frames
from ancestra_farm.stitch.thumbnails import SHEET_SUFFIX, thumbnail, thumbnail_sheet

WORDS = ("the ocean seen from a helicopter", "stars and dust", "light breaking like petals")
NEGATIVE = "people, text"
GUIDANCE = 5.0


@dataclass(frozen=True)
class Setting:
    """What is run. ``pixels``: width and height; ``ticket``: pictures of a ticket, and of a sheet of the loop."""

    size: str
    device: str
    dtype: str
    pixels: int
    steps: int
    batch: int
    ticket: int
    pictures: int


def card_of(setting: Setting, folder: Path) -> ModelCard:
    """The model's card."""
    return ModelCard.model_validate(
        {
            "id": f"benchmark/{setting.size}",
            "family": "diffusers",
            "roles": ["text_to_image"],
            "pipeline": "StableDiffusionXLPipeline",
            "source": str(folder),
            "licence": "Apache-2.0",
            "dtype": setting.dtype,
            "runtime": {"device": setting.device, "batch": setting.batch},
            "sizes": {"multiple_of": 8, "min": 32, "max": 2048, "default": [setting.pixels, setting.pixels]},
            "looks": True,
            "parameters": {
                "steps": {"type": "int", "default": setting.steps, "argument": "num_inference_steps"},
                "guidance": {"type": "float", "default": GUIDANCE, "argument": "guidance_scale"},
            },
        }
    )


def space_of(card: ModelCard, pictures: int) -> Space:
    """The candidates of a run."""
    batch = {
        "schema": "ancestra/v1",
        "batch": "generate",
        "show": "benchmarks",
        "seed": 7,
        "stages": {"still": {"role": "text_to_image", "model": card.id, "candidates": pictures}},
        "shots": [{"shot": "sea", "frames": 24, "prompt": {"text": list(WORDS), "negative": NEGATIVE}}],
    }
    return Plan.of(Batch.model_validate(batch), {card.id: card}).shots[0].stages[0].space(0, ((),))


def ticket_of(space: Space, positions: range, name: str) -> Ticket:
    """A ticket that keeps everything: random weights make pictures that filters reject."""
    return Ticket(
        name, 1, "generate", "sea/still/0", "full", tuple(positions), space, (), {}, 1.0,
        keep_rejects=True, parents={}, deadline_s=86_400.0,
    )  # fmt: skip


class Loop:
    """The loop by hand."""

    def __init__(self, setting: Setting, model: Path) -> None:
        self._setting, self._model = setting, model
        self._pipeline: Any = None
        self._words: dict[str, tuple[torch.Tensor, ...]] = {}

    def load(self) -> None:
        """Load the model and warm up."""
        from diffusers import StableDiffusionXLPipeline

        pipeline = StableDiffusionXLPipeline.from_pretrained(
            self._model, dtype=getattr(torch, self._setting.dtype), use_safetensors=True
        )
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline.to(self._setting.device)
        self._words = {}
        self._call(["warm up"], [0], steps=2)

    def make(self, space: Space, folder: Path) -> float:
        """Seconds for every picture of the space."""
        store, setting = Store.open(str(folder), create=True), self._setting
        judge = cascade_of(ticket_of(space, range(0), "loop"))
        rows: list[tuple[Any, ...]] = []
        small: list[Any] = []
        began = time.perf_counter()
        for start in range(0, len(space), setting.batch):
            recipes = [space[n] for n in range(start, min(start + setting.batch, len(space)))]
            pictures = self._call([one.prompt for one in recipes], [one.seed for one in recipes], steps=setting.steps)
            for recipe, picture in zip(recipes, pictures, strict=True):
                verdict = judge(recipe.candidate_id, picture[None])
                small.append(thumbnail(picture[None]))
                media = store.put_media(*encode_frames(picture[None], recipe.rate))
                rows.append((recipe.candidate_id, verdict, media))
            if len(small) >= setting.ticket or start + setting.batch >= len(space):
                store.put_media(thumbnail_sheet(small)[0], SHEET_SUFFIX)
                small = []
        return time.perf_counter() - began

    def _call(self, prompts: list[str], seeds: list[int], steps: int) -> Any:
        with torch.no_grad():
            for prompt in {*prompts} - {*self._words}:
                self._words[prompt] = self._pipeline.encode_prompt(
                    prompt, do_classifier_free_guidance=True, negative_prompt=NEGATIVE
                )
        positive, negative, pooled, negative_pooled = (
            torch.cat(parts) for parts in zip(*(self._words[prompt] for prompt in prompts), strict=True)
        )
        made = self._pipeline(
            prompt_embeds=positive,
            negative_prompt_embeds=negative,
            pooled_prompt_embeds=pooled,
            negative_pooled_prompt_embeds=negative_pooled,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            width=self._setting.pixels,
            height=self._setting.pixels,
            output_type="pt",
        ).images
        return (made.permute(0, 2, 3, 1).float() * 255).round().clamp(0, 255).byte().cpu().numpy()
