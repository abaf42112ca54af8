"""What the farm knows of each diffusers pipeline class it runs: the allowlist, and how a recipe becomes a call.

A kind says how words become embeddings, which arguments a candidate's pictures and guides are, whether one call takes
several candidates, and where the frames are in what comes back. It loads nothing and holds nothing. Classes that are
not here are refused: a card cannot name code.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ancestra_farm.batch.card import Role
from ancestra_farm.models.protocol import Frames
from ancestra_farm.plan.recipe import Recipe

#: A diffusers pipeline, and a torch tensor: not named by their types, so that kinds are read without loading either.
Pipeline = Any
Tensor = Any


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a candidate is made from besides words.

    ``parents``: frames of earlier stages, uint8 [T, H, W, 3], in the order of the role (first frame before last), at
    the recipe's size; an upscale gets them at their own.
    ``guides``: frames by guide kind, uint8 [T, H, W, 3] at the recipe's size; a guide that moves has the recipe's frame
    count, a still one has T = 1. A mask is 255 where the model may paint. ``references``: pictures of any shape, uint8
    [1, H, W, 3] each.
    """

    parents: tuple[Frames, ...] = ()
    guides: Mapping[str, Frames] = field(default_factory=dict)
    references: tuple[Frames, ...] = ()


def _no_fault(_role: str, _guides: frozenset[str]) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class PipelineKind:
    """One pipeline class. ``guides``: the kinds of guides it can take (see `batch.schema.Guide`).

    ``negative``: the argument that must be above a value for a negative prompt to mean anything; None: it never does.
    The recipes that the functions get name their parameters as the pipeline's arguments (`calls.argument` reads one).
    ``guide_fault(role, guides)``: what is wrong with these kinds of guides in a role, a sentence; None: nothing.
    ``step_frames``: its clips have so many times k frames and one more; None: any number.

    ``encode(pipeline, recipe)``: the text embeddings of one candidate as keyword arguments of the call, each with a
    batch dimension of 1; they depend on nothing but prompt, negative and parameters, so that they are kept by those
    (which parameters it reads is found out by watching it).
    ``arguments(pipeline, recipe, inputs)``: the other arguments that are this candidate's own: size, frame count,
    pictures, clips, masks. The card's parameters, the random generators and the callback are the generator's to add,
    and so is ``output_type="pt"`` where this does not say otherwise.
    ``merge(each)``: embeddings and arguments of several candidates, in one mapping each, as those of one call
    (`calls.merged` serves most); kinds that do not batch get a call for each candidate.
    ``frames(output)``: uint8 [T, H, W, 3] for each candidate of the call, float32 where it is not finite (`pixels`).
    """

    pipeline: str
    roles: tuple[Role, ...]
    encode: Callable[[Pipeline, Recipe], dict[str, Tensor]]
    arguments: Callable[[Pipeline, Recipe, Inputs], dict[str, Any]]
    frames: Callable[[Any], list[Frames]]
    merge: Callable[[list[dict[str, Any]]], dict[str, Any]] | None = None
    guides: tuple[str, ...] = ()
    negative: tuple[str, float] | None = ("guidance_scale", 1.0)
    guide_fault: Callable[[str, frozenset[str]], str | None] = _no_fault
    step_frames: int | None = None

    @property
    def batches(self) -> bool:
        """Whether one call makes several candidates."""
        return self.merge is not None


def all_kinds() -> dict[str, PipelineKind]:
    """Every kind by the name of its pipeline class."""
    from ancestra_farm.models.diffusion.image_kinds import IMAGE_KINDS  # noqa: PLC0415 - they build on the types here
    from ancestra_farm.models.diffusion.video_kinds import VIDEO_KINDS  # noqa: PLC0415

    return {kind.pipeline: kind for kind in (*IMAGE_KINDS, *VIDEO_KINDS)}
