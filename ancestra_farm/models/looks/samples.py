"""Pictures drawn with a look in training, for people to judge it by: the same prompts and seeds each time."""

import io
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ancestra_farm.batch.card import STILL_ROLES, ModelCard
from ancestra_farm.models.looks.adapter import LookRefused
from ancestra_farm.models.protocol import Generator
from ancestra_farm.plan.recipe import Recipe, candidate_id_of, digest_of, effective_parameters, model_digest, seed_from

Picture = NDArray[np.uint8]


def recipe_for(card: ModelCard, prompt: str, size: tuple[int, int], seed: int = 0) -> Recipe:
    """A candidate of words alone, as the farm would make it at the full rung: a still where the model makes stills."""
    grid = None if any(role in STILL_ROLES for role in card.roles) else card.frames
    recipe = Recipe(
        candidate_id="",
        seed=seed,
        shot="look",
        stage="sample",
        segment=0,
        variant="",
        index=0,
        rung="full",
        role="text_to_image" if grid is None else "text_to_video",
        prompt=prompt,
        negative="",
        model=card.id,
        model_digest=model_digest(card),
        look=None,
        look_weight=1.0,
        guides=(),
        parameters=dict(effective_parameters(card, "full", {}, {})),
        size=size,
        frames=1 if grid is None else grid.at_least(grid.min) or grid.max,
        rate=Fraction(1) if grid is None or card.rate is None else card.rate,
        context_frames=0,
        parents=(),
    )
    return replace(recipe, candidate_id=candidate_id_of(recipe))


def drawn(
    generator: Generator, card: ModelCard, prompts: Sequence[str], size: tuple[int, int], seed: int
) -> list[Picture]:
    """A picture for each prompt, uint8 [H, W, 3], with whatever is on the base now; of clips the first frame.

    Raises LookRefused for a broken picture: not-a-numbers where colours should be.
    """
    recipes = [
        recipe_for(card, prompt, size, seed_from(digest_of("sample", seed, number)))
        for number, prompt in enumerate(prompts)
    ]
    pictures = []
    for made in generator.generate(recipes, {}, lambda: False):
        first = made.frames[0]
        if first.dtype != np.uint8:
            raise LookRefused(f"the sample of {made.recipe.prompt!r} is no picture: it has values that are not numbers")
        pictures.append(first)
    return pictures


def png(picture: Picture) -> bytes:
    """A picture as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()
