"""What a clip is made from, read out of a recipe and its inputs: frames to begin and end with, clips to follow, words.

Everything that cannot be meant is a ValueError with what would be right: nothing that was given is left unused without
a word, and no clip is stretched or cut to fit. Torch and diffusers are imported by whoever calls.
"""

from typing import Any

import numpy as np

from ancestra_farm.models.diffusion.calls import argument
from ancestra_farm.models.diffusion.kinds import Inputs, Pipeline, Tensor
from ancestra_farm.models.diffusion.pixels import Clip, clips_of, shown
from ancestra_farm.models.protocol import Frames
from ancestra_farm.plan.recipe import Recipe

#: Guides that steer every frame (`batch.guides.CONTROLS`), in the order in which several ControlNets get them.
CONTROL = ("previz", "flow", "motion_path", "camera", "depth", "edges")


def clips(output: Any) -> list[Frames]:  # noqa: ANN401 - what each pipeline returns
    """The clips of a call, as `PipelineKind.frames` has them."""
    return clips_of(output.frames)


def size(recipe: Recipe) -> dict[str, int]:
    """Width and height, which every clip pipeline takes in pixels."""
    return {"width": recipe.size[0], "height": recipe.size[1]}


def on_grid(pipeline: Pipeline, recipe: Recipe, step: int) -> int:
    """The recipe's frame count, if it is ``step``·k + 1. Pipelines round others without an error."""
    if (recipe.frames - 1) % step:
        name = type(pipeline).__name__
        raise ValueError(
            f"{name} makes clips of {step}k+1 frames, and {recipe.frames} are asked for; "
            f"the card's frame grid is step {step}, offset 1"
        )
    return recipe.frames


def encode_t5(pipeline: Pipeline, recipe: Recipe) -> dict[str, Tensor]:
    """Words of Wan: one text encoder, the negative prompt where guidance is above 1."""
    return t5_words(pipeline, recipe, int(argument(pipeline, recipe, "max_sequence_length")))


def t5_words(pipeline: Pipeline, recipe: Recipe, longest: int) -> dict[str, Tensor]:
    """Embeddings of at most ``longest`` tokens, padded to so many."""
    guided = float(argument(pipeline, recipe, "guidance_scale")) > 1
    positive, negative = pipeline.encode_prompt(
        prompt=recipe.prompt,
        negative_prompt=recipe.negative or None,
        do_classifier_free_guidance=guided,
        max_sequence_length=longest,
    )
    words = {"prompt_embeds": positive}
    return {**words, "negative_prompt_embeds": negative} if guided else words


def no_words(_pipeline: Pipeline, _recipe: Recipe) -> dict[str, Tensor]:
    """For pipelines that read none, or that read them together with the picture."""
    return {}


def picture_fault(role: str, guides: frozenset[str]) -> str | None:
    """Of pipelines that start from a picture, in a role that starts from words."""
    if role == "text_to_video" and "first_frame" not in guides:
        return "text_to_video with this pipeline starts from a picture all the same; give the shot a guide first_frame"
    return None


def first_frame(recipe: Recipe, inputs: Inputs) -> Clip:
    """The frame a clip begins with, uint8 [1, H, W, 3]: the last one of its parent, or the guide where it has none."""
    if inputs.parents:
        return shown(inputs.parents[0][-1:])
    refuse(picture_fault(recipe.role, frozenset(inputs.guides)))
    return shown(inputs.guides["first_frame"][:1])


def last_frame(recipe: Recipe, inputs: Inputs) -> Clip | None:
    """The frame a clip ends with, uint8 [1, H, W, 3]: the second parent's first one, or the guide; None: it is free."""
    if recipe.role == "first_last_frame" and len(inputs.parents) > 1:
        return shown(inputs.parents[1][:1])
    guide = inputs.guides.get("last_frame")
    if guide is None and recipe.role == "first_last_frame":
        raise ValueError("first_last_frame ends with a picture; this recipe names one picture only, and no last_frame")
    return None if guide is None else shown(guide[-1:])


def context(recipe: Recipe, inputs: Inputs) -> Clip:
    """The frames an extend begins with, uint8 [context_frames, H, W, 3]: the last ones of its parent."""
    count = max(recipe.context_frames, 1)
    parent = _parent(recipe, inputs)
    if parent.shape[0] < count:
        raise ValueError(f"extend goes on from {count} frames, and the clip before it has {parent.shape[0]}")
    if count >= recipe.frames:
        raise ValueError(f"extend begins with {count} frames, so a clip of {recipe.frames} would show nothing new")
    return shown(parent[-count:])


def whole_clip(recipe: Recipe, inputs: Inputs) -> Clip:
    """The clip that is made into another, uint8 [T, H, W, 3], as long as the recipe."""
    parent = _parent(recipe, inputs)
    if parent.shape[0] != recipe.frames:
        raise ValueError(
            f"a clip of {parent.shape[0]} frames cannot be made into one of {recipe.frames}, frame by frame"
        )
    return shown(parent)


def controls(recipe: Recipe, inputs: Inputs) -> dict[str, Clip]:
    """The control guides by kind, uint8 [T, H, W, 3] each, as long as the recipe; a still one holds all through."""
    return {kind: lasting(inputs.guides[kind], recipe.frames, kind) for kind in CONTROL if kind in inputs.guides}


def refuse(fault: str | None) -> None:
    """Raises ValueError for what was found wrong; None: nothing was."""
    if fault is not None:
        raise ValueError(fault)


def lasting(guide: Frames, frames: int, kind: str) -> Clip:
    """A guide as long as the clip: a still one repeated. Raises ValueError for any other length."""
    given = shown(guide)
    if given.shape[0] == 1:
        return np.repeat(given, frames, axis=0)
    if given.shape[0] != frames:
        raise ValueError(f"the guide {kind} has {given.shape[0]} frames, and the clip {frames}")
    return given


def picture(frames: Clip) -> Tensor:
    """The first of the frames as a tensor [1, 3, H, W] in [0, 1]."""
    return video(frames[:1])[:, 0]


def video(frames: Clip) -> Tensor:
    """Frames as a tensor [1, T, 3, H, W] in [0, 1]."""
    import torch  # noqa: PLC0415 - checks read this module without

    return torch.from_numpy(frames.copy()).permute(0, 3, 1, 2)[None].float() / 255


def _parent(recipe: Recipe, inputs: Inputs) -> Frames:
    if not inputs.parents:
        raise ValueError(f"{recipe.role} starts from a clip, and this recipe names none")
    return inputs.parents[0]
