"""Cards of tiny pipelines, recipes for them, and ways to watch a generator at work."""

from fractions import Fraction
from typing import Any

import numpy as np

from ancestra_farm.batch.card import STILL_ROLES, ModelCard
from ancestra_farm.models.build import no_materials
from ancestra_farm.models.diffusion.generator import DiffusersGenerator
from ancestra_farm.models.diffusion.kinds import all_kinds
from ancestra_farm.plan.recipe import Recipe, effective_parameters
from tests.models.diffusion.tiny import TINY_SIZE

#: What a card of a tiny pipeline declares where its class takes it.
PARAMETERS: dict[str, Any] = {
    "steps": {"type": "int", "default": 4, "min": 1, "max": 50, "argument": "num_inference_steps"},
    "guidance": {"type": "float", "default": 3.0, "min": 0, "max": 20, "argument": "guidance_scale"},
}
STRENGTH: dict[str, Any] = {"strength": {"type": "float", "default": 0.5, "min": 0, "max": 1}}
FEW = {"steps": 2}
#: Candidates are compared in display values: alone and in a batch, convolutions and matrices sum in another order.
#: Measured at most 1 on every tiny pipeline.
TOLERANCE = 1


def card(pipeline: str, source: Any, **changes: Any) -> ModelCard:
    """A card for a tiny pipeline in the folder ``source``, with the roles of its kind."""
    kind = all_kinds()[pipeline]
    clips = any(role not in STILL_ROLES for role in kind.roles)
    values: dict[str, Any] = {
        "id": "tiny/model",
        "family": "diffusers",
        "roles": list(kind.roles),
        "pipeline": pipeline,
        "source": str(source),
        "licence": "MIT",
        "sizes": {"multiple_of": 16, "min": 16, "max": 256, "default": list(TINY_SIZE)},
        "frames": {"step": kind.step_frames or 1, "offset": 1, "min": 1, "max": 81} if clips else None,
        "rate": 8 if clips else None,
        "parameters": {**PARAMETERS, **(STRENGTH if pipeline.endswith("Img2ImgPipeline") else {})},
        "draft": FEW,
    }
    return ModelCard.model_validate({**values, **changes})


def recipe(model: ModelCard, seed: int = 1, prompt: str = "the sea at dusk", **changes: Any) -> Recipe:
    """A candidate of the model's first role; ``changes`` may set ``parameters`` by the names of the card."""
    rung = changes.get("rung", "full")
    given = changes.pop("parameters", {})
    values: dict[str, Any] = {
        "candidate_id": f"{seed:032x}", "seed": seed, "shot": "anc_010_0010", "stage": "still", "segment": 0,
        "variant": "0a1b2c3d", "index": seed, "rung": rung, "role": model.roles[0], "prompt": prompt, "negative": "",
        "model": model.id, "model_digest": "0" * 32, "look": None, "look_weight": 1.0, "guides": (),
        "parameters": dict(effective_parameters(model, rung, given, given)), "size": model.sizes.default, "frames": 1,
        "rate": Fraction(8), "context_frames": 0, "parents": (),
    }  # fmt: skip
    return Recipe(**{**values, **changes})


def loaded(model: ModelCard, materials: Any = no_materials, cache: Any = None) -> DiffusersGenerator:
    """A generator that is set up."""
    generator = DiffusersGenerator(model, materials, cache)
    generator.setup()
    return generator


def made(generator: Any, recipes: Any, parents: Any = None, aborted: Any = lambda: False) -> list[np.ndarray]:
    """The frames of each recipe, made in one go."""
    found = list(generator.generate(recipes, parents or {}, aborted))
    assert [one.recipe for one in found] == list(recipes)
    return [one.frames for one in found]


def note(recipes: list[Recipe], candidates: Any) -> None:
    """Add the recipe of each candidate as it comes; what came before an exception is there."""
    for one in candidates:
        recipes.append(one.recipe)  # noqa: PERF401 - one by one


def apart(one: np.ndarray, other: np.ndarray) -> int:
    """The largest difference of two clips of uint8, in display values."""
    return int(np.abs(one.astype(np.int16) - other.astype(np.int16)).max())


def picture(seed: int, size: tuple[int, int] = TINY_SIZE, frames: int = 1) -> np.ndarray:
    """A smooth picture, uint8 [T, H, W, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[1], 0 : size[0]] / max(size)
    tilt = rng.uniform(2.0, 9.0, (2, 3))
    frame = 0.5 + 0.4 * np.sin(x[..., None] * tilt[0] + y[..., None] * tilt[1])
    return np.repeat((frame[None] * 255).astype(np.uint8), frames, axis=0)


class Calls:
    """Counts the calls of a method of an object, and keeps the length of a tensor's batch in each; it still runs."""

    def __init__(self, monkeypatch: Any, owner: Any, name: str, before: Any = None) -> None:
        self.batches: list[int] = []
        method = getattr(owner, name)

        def call(*values: Any, **named: Any) -> Any:
            first = values[0] if values else next(iter(named.values()))
            self.batches.append(len(first))
            if before is not None:
                before(len(first))
            return method(*values, **named)

        monkeypatch.setattr(owner, name, call)

    def __len__(self) -> int:
        return len(self.batches)
