"""Recipes written by hand, and the shortest way from one to its frames."""

from fractions import Fraction

import numpy as np

from ancestra_farm.models.build import build_generator
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.plan.recipe import Recipe

CARDS = load_catalog()
SMALL = (128, 80)


def recipe(
    seed=1, role="text_to_image", prompt="ocean at dawn", size=SMALL, frames=1, parents=(), context=0, **parameters
):
    parameters.setdefault("fault_rate", 0.0)
    model = "procedural/clips" if frames > 1 else "procedural/stills"
    return Recipe(
        candidate_id=f"{seed:032x}", seed=seed, shot="anc_010_0010", stage="still", segment=0, variant="0a1b2c3d",
        index=seed, rung="full", role=role, prompt=prompt, negative="", model=model, model_digest="0" * 32, look=None,
        look_weight=1.0,
        guides=(), parameters=parameters, size=size, frames=frames, rate=Fraction(16), context_frames=context,
        parents=tuple(parents),
    )  # fmt: skip


def frames_of(wanted, parents=None):
    """The frames of one recipe, made alone."""
    generator = build_generator(CARDS[wanted.model])
    (made,) = generator.generate([wanted], parents or {}, lambda: False)
    assert made.recipe is wanted
    return made.frames


def steps(frames):
    """The mean absolute difference between neighbouring frames, in display values."""
    return np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=(1, 2, 3))
