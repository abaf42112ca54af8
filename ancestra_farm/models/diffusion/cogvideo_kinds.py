"""Kinds of CogVideoX: from words, from a picture, from a clip. Read in the source of diffusers 0.42.1.

Clips of 8k+1 frames: the autoencoder makes 4 frames more than it was given of an even number of latents.
"""

from typing import Any

from ancestra_farm.models.diffusion import clip_inputs as given
from ancestra_farm.models.diffusion.calls import NotTogether, merged
from ancestra_farm.models.diffusion.kinds import Inputs, Pipeline, PipelineKind, Tensor
from ancestra_farm.models.diffusion.pixels import pictures
from ancestra_farm.plan.recipe import Recipe

#: Two latents of four frames.
_STEP = 8


def _encode(pipeline: Pipeline, recipe: Recipe) -> dict[str, Tensor]:
    """T5, padded to what the transformer was made for: it takes no other length."""
    return given.t5_words(pipeline, recipe, int(pipeline.transformer.config.max_text_seq_length))


def _from_words(pipeline: Pipeline, recipe: Recipe, _inputs: Inputs) -> dict[str, Any]:
    return {**given.size(recipe), "num_frames": _frames(pipeline, recipe)}


def _from_picture(pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    return {**_from_words(pipeline, recipe, inputs), "image": given.picture(given.first_frame(recipe, inputs))}


def _from_clip(pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    """CogVideoX 1.5 counts the entries of what it is given as frames, so it gets a list of them, and no batch."""
    _frames(pipeline, recipe)
    clip = given.whole_clip(recipe, inputs)
    one_call_each = pipeline.transformer.config.patch_size_t is not None
    return {**given.size(recipe), "video": pictures(clip) if one_call_each else given.video(clip)}


def _merged_clips(each: list[dict[str, Any]]) -> dict[str, Any]:
    if len(each) > 1 and isinstance(each[0]["video"], list):
        raise NotTogether("CogVideoX 1.5 makes one clip of a clip in a call")
    return merged(each)


def _frames(pipeline: Pipeline, recipe: Recipe) -> int:
    return given.on_grid(pipeline, recipe, 2 * pipeline.vae_scale_factor_temporal)


COGVIDEO_KINDS: tuple[PipelineKind, ...] = (
    PipelineKind(
        "CogVideoXPipeline", ("text_to_video",), _encode, _from_words, given.clips, merged, step_frames=_STEP
    ),
    PipelineKind(
        "CogVideoXImageToVideoPipeline", ("image_to_video", "text_to_video"), _encode, _from_picture, given.clips,
        merged, guides=("first_frame",), guide_fault=given.picture_fault, step_frames=_STEP,
    ),
    PipelineKind(
        "CogVideoXVideoToVideoPipeline", ("video_to_video",), _encode, _from_clip, given.clips, _merged_clips,
        step_frames=_STEP,
    ),
)  # fmt: skip
