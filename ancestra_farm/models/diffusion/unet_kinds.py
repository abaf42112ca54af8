"""Kinds of clip pipelines around a UNet: Stable Video Diffusion and AnimateDiff. Read in diffusers 0.42.1.

They make any number of frames, and were trained for 14 or 25 and for 16: the card's grid says what is good.
"""

from functools import partial
from typing import Any

from ancestra_farm.models.diffusion import clip_inputs as given
from ancestra_farm.models.diffusion.calls import merged
from ancestra_farm.models.diffusion.image_kinds import encode_clip
from ancestra_farm.models.diffusion.kinds import Inputs, Pipeline, PipelineKind
from ancestra_farm.models.diffusion.pixels import Clip, pictures
from ancestra_farm.plan.recipe import Recipe


def _svd(_pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    """A picture, and no words. It must be PIL: of a tensor its encoder would see what is not 224 pixels wide."""
    found = {
        **given.size(recipe),
        "num_frames": recipe.frames,
        "image": pictures(given.first_frame(recipe, inputs)),
    }
    return found if "fps" in recipe.parameters else {**found, "fps": max(1, round(recipe.rate))}


# ---- AnimateDiff ----------------------------------------------------------------------------------------------------


def _from_words(_pipeline: Pipeline, recipe: Recipe, _inputs: Inputs) -> dict[str, Any]:
    return {**given.size(recipe), "num_frames": recipe.frames}


def _from_clip(_pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    return {**given.size(recipe), "video": given.video(given.whole_clip(recipe, inputs))}


def _from_control(pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    """Control frames from guides, after the clip itself where one is given.

    One candidate a call: frames of several are not told apart.
    """
    found = list(given.controls(recipe, inputs).values())
    if recipe.role == "video_to_video":
        found = [given.whole_clip(recipe, inputs), *found]
    return {**_from_words(pipeline, recipe, inputs), "conditioning_frames": _for_nets(pipeline, found)}


def _from_clip_and_control(pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    frames = _for_nets(pipeline, list(given.controls(recipe, inputs).values()))
    clip = pictures(given.whole_clip(recipe, inputs))  # a list: the call counts its entries as frames
    return {**given.size(recipe), "video": clip, "conditioning_frames": frames}


def _control_fault(role: str, guides: frozenset[str], *, clip_is_control: bool) -> str | None:
    """How many ControlNets there are is in the weights; none is followed by nothing."""
    if guides & set(given.CONTROL) or (clip_is_control and role == "video_to_video"):
        return None
    return f"{role} with this pipeline follows control clips; give the shot one of {', '.join(given.CONTROL)}"


def _for_nets(pipeline: Pipeline, found: list[Clip]) -> list[Any]:
    """Control frames as a list, or a list for each of several ControlNets, in the order of `clip_inputs.CONTROL`."""
    several = getattr(pipeline.controlnet, "nets", None)
    wanted = 1 if several is None else len(several)
    if len(found) != wanted:
        raise ValueError(
            f"the pipeline follows {wanted} control clips, one for each ControlNet; {len(found)} are given"
        )
    frames = [pictures(clip) for clip in found]
    return frames[0] if several is None else frames


UNET_KINDS: tuple[PipelineKind, ...] = (
    PipelineKind(
        "StableVideoDiffusionPipeline", ("image_to_video", "text_to_video"), given.no_words, _svd, given.clips, merged,
        guides=("first_frame",), guide_fault=given.picture_fault, negative=None,
    ),
    PipelineKind("AnimateDiffPipeline", ("text_to_video",), encode_clip, _from_words, given.clips, merged),
    PipelineKind("AnimateDiffVideoToVideoPipeline", ("video_to_video",), encode_clip, _from_clip, given.clips, merged),
    PipelineKind(
        "AnimateDiffControlNetPipeline", ("text_to_video", "video_to_video"), encode_clip, _from_control, given.clips,
        guides=given.CONTROL, guide_fault=partial(_control_fault, clip_is_control=True),
    ),
    PipelineKind(
        "AnimateDiffVideoToVideoControlNetPipeline", ("video_to_video",), encode_clip, _from_clip_and_control,
        given.clips, guides=given.CONTROL, guide_fault=partial(_control_fault, clip_is_control=False),
    ),
)  # fmt: skip
