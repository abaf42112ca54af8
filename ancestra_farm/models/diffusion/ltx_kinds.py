"""Kinds of LTX-Video and LTX-2: from words, from a picture, and from pictures and clips at any place of the clip.

Read in the source of diffusers 0.42.1. Clips of 8k+1 frames; the frame rate is an input of the model. LTX-2 makes sound
too, which is let go.
"""

from typing import Any

from ancestra_farm.models.diffusion import clip_inputs as given
from ancestra_farm.models.diffusion.calls import NotTogether, argument, merged
from ancestra_farm.models.diffusion.kinds import Inputs, Pipeline, PipelineKind, Tensor
from ancestra_farm.models.diffusion.pixels import Clip
from ancestra_farm.plan.recipe import Recipe

#: Frames of a latent but the first, in every LTX there is.
_STEP = 8


def _encode(pipeline: Pipeline, recipe: Recipe) -> dict[str, Tensor]:
    """T5 with a mask of its padding, the negative prompt where guidance is above 1."""
    guided = float(argument(pipeline, recipe, "guidance_scale")) > 1
    words, mask, negative, negative_mask = pipeline.encode_prompt(
        prompt=recipe.prompt,
        negative_prompt=recipe.negative or None,
        do_classifier_free_guidance=guided,
        max_sequence_length=int(argument(pipeline, recipe, "max_sequence_length")),
    )
    found = {"prompt_embeds": words, "prompt_attention_mask": mask}
    if guided:
        found |= {"negative_prompt_embeds": negative, "negative_prompt_attention_mask": negative_mask}
    return found


def _from_words(pipeline: Pipeline, recipe: Recipe, _inputs: Inputs) -> dict[str, Any]:
    frames = given.on_grid(pipeline, recipe, pipeline.vae_temporal_compression_ratio)
    found: dict[str, Any] = {**given.size(recipe), "num_frames": frames}
    return found if "frame_rate" in recipe.parameters else {**found, "frame_rate": float(recipe.rate)}


def _from_picture(pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    return {**_from_words(pipeline, recipe, inputs), "image": given.picture(given.first_frame(recipe, inputs))}


def _from_worn_picture(pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    """LTX-2 was trained on frames of compressed video, and the pipeline compresses its picture likewise, one a call.

    Done here for each candidate, by the same functions, so that several share a call.
    """
    from diffusers.pipelines.ltx2 import utils  # noqa: PLC0415 - on hosts only

    frame = given.first_frame(recipe, inputs)
    worn = utils.apply_image_conditioning_crf(frame[0], utils.resolve_default_image_crf(pipeline.text_encoder))
    return {**_from_words(pipeline, recipe, inputs), "image": given.picture(worn[None]), "image_crf": 0}


# ---- conditions -----------------------------------------------------------------------------------------------------


def _from_conditions(pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    """Known frames as conditions at their places. Their tensors have a batch dimension, so that candidates batch."""
    found = _from_words(pipeline, recipe, inputs)
    known = _known(pipeline, recipe, inputs)
    if not known:
        return found
    from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition  # noqa: PLC0415 - on hosts only

    strength = float(argument(pipeline, recipe, "strength"))
    conditions = [
        LTXVideoCondition(video=given.video(frames), frame_index=place, strength=strength)
        if len(frames) > 1
        else LTXVideoCondition(image=given.picture(frames), frame_index=place, strength=strength)
        for place, frames in known
    ]
    return {**found, "conditions": conditions}


def _known(pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> list[tuple[int, Clip]]:
    """Frames that are given, by the place of their first."""
    found: list[tuple[int, Clip]] = []
    if recipe.role == "extend":
        found += _context(given.context(recipe, inputs), pipeline.vae_temporal_compression_ratio)
    elif inputs.parents or "first_frame" in inputs.guides:
        found.append((0, given.first_frame(recipe, inputs)))
    if (last := given.last_frame(recipe, inputs)) is not None:
        found.append((recipe.frames - 1, last))
    return found


def _context(frames: Clip, step: int) -> list[tuple[int, Clip]]:
    """A clip to go on from: as many of its frames as fill whole latents, and the last one at its place.

    The pipeline cuts a clip to ``step``·k + 1 frames; what it cuts off is the end, where the next clip goes on.
    """
    whole = (len(frames) - 1) // step * step + 1
    found = [(0, frames[:whole])]
    return found if whole == len(frames) else [*found, (len(frames) - 1, frames[-1:])]


def _merged_conditions(each: list[dict[str, Any]]) -> dict[str, Any]:
    """Conditions of several candidates, place by place. Raises `NotTogether` where their places differ."""
    call = merged([{name: value for name, value in one.items() if name != "conditions"} for one in each])
    lists = [one.get("conditions", []) for one in each]
    if any(_places(conditions) != _places(lists[0]) for conditions in lists):
        raise NotTogether("frames are given at different places")
    if not lists[0]:
        return call
    return {**call, "conditions": [_stacked(same) for same in zip(*lists, strict=True)]}


def _places(conditions: list[Any]) -> list[tuple[object, ...]]:
    tensors = [one.video if one.image is None else one.image for one in conditions]
    return [(one.frame_index, one.strength, tuple(t.shape)) for one, t in zip(conditions, tensors, strict=True)]


def _stacked(same: tuple[Any, ...]) -> Any:  # noqa: ANN401 - LTXVideoCondition, which is not imported
    import torch  # noqa: PLC0415 - checks read this module without

    first = same[0]
    name = "video" if first.image is None else "image"
    return type(first)(
        **{name: torch.cat([getattr(one, name) for one in same])},
        frame_index=first.frame_index,
        strength=first.strength,
    )


LTX_KINDS: tuple[PipelineKind, ...] = (
    PipelineKind("LTXPipeline", ("text_to_video",), _encode, _from_words, given.clips, merged, step_frames=_STEP),
    PipelineKind(
        "LTXImageToVideoPipeline", ("image_to_video", "text_to_video"), _encode, _from_picture, given.clips, merged,
        guides=("first_frame",), guide_fault=given.picture_fault, step_frames=_STEP,
    ),
    PipelineKind("LTX2Pipeline", ("text_to_video",), _encode, _from_words, given.clips, merged, step_frames=_STEP),
    PipelineKind(
        "LTX2ImageToVideoPipeline", ("image_to_video", "text_to_video"), _encode, _from_worn_picture, given.clips,
        merged, guides=("first_frame",), guide_fault=given.picture_fault, step_frames=_STEP,
    ),
    PipelineKind(
        "LTXConditionPipeline", ("text_to_video", "image_to_video", "first_last_frame", "extend"), _encode,
        _from_conditions, given.clips, _merged_conditions, guides=("first_frame", "last_frame"), step_frames=_STEP,
    ),
)  # fmt: skip
