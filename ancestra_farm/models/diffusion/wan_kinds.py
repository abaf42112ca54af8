"""Kinds of the Wan family, 2.1 and 2.2: from words, from first and last frames, from a clip, and VACE for guides.

Read in the source of diffusers 0.42.1. One text encoder, clips of 4k+1 frames, a still is a clip of one frame.
"""

from typing import Any

import numpy as np
from PIL import Image

from ancestra_farm.models.diffusion import clip_inputs as given
from ancestra_farm.models.diffusion.calls import merged
from ancestra_farm.models.diffusion.kinds import Inputs, Pipeline, PipelineKind
from ancestra_farm.models.diffusion.pixels import Clip, pictures, shown
from ancestra_farm.plan.recipe import Recipe

#: What VACE is shown where nothing is known: the middle of its range, as it was trained.
_UNKNOWN = 128
_PAINT, _KEEP = 255, 0
#: Frames of a latent but the first, in every Wan there is.
_STEP = 4


def _from_words(pipeline: Pipeline, recipe: Recipe, _inputs: Inputs) -> dict[str, Any]:
    return {**given.size(recipe), "num_frames": _frames(pipeline, recipe)}


def _from_frames(pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    """First frame, and last one where there is one.

    The pipeline takes one picture for all candidates of a call: a tuple here, so that only those of the same frames
    share a call.
    """
    found = {**_from_words(pipeline, recipe, inputs), "image": tuple(pictures(given.first_frame(recipe, inputs)))}
    last = given.last_frame(recipe, inputs)
    _check_frames_taken(pipeline, has_last=last is not None)
    return found if last is None else {**found, "last_image": tuple(pictures(last))}


def _check_frames_taken(pipeline: Pipeline, *, has_last: bool) -> None:
    """Which frames these weights can see: the pipeline drops a last frame without a word, or fails in its middle."""
    config = (pipeline.transformer or pipeline.transformer_2).config
    if has_last and pipeline.config.expand_timesteps:
        raise ValueError("these weights (Wan 2.2 TI2V) keep the first frame only, and take no last frame")
    if config.image_dim is None:
        return  # Wan 2.2 A14B: frames are latents only, either or both
    sees_both = config.pos_embed_seq_len is not None
    if has_last and not sees_both:
        raise ValueError("these weights (Wan 2.1 I2V) see the first frame only, and take no last frame")
    if sees_both and not has_last:
        raise ValueError("these weights (Wan 2.1 FLF2V) join a first and a last frame, and need both")


def _merged_frames(each: list[dict[str, Any]]) -> dict[str, Any]:
    call = merged(each)
    return {**call, **{name: call[name][0] for name in ("image", "last_image") if name in call}}


def _from_clip(pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    _frames(pipeline, recipe)
    return {**given.size(recipe), "video": given.video(given.whole_clip(recipe, inputs))}


def _frames(pipeline: Pipeline, recipe: Recipe) -> int:
    return given.on_grid(pipeline, recipe, pipeline.vae_scale_factor_temporal)


# ---- VACE: one candidate a call, since it refuses a batch, and a list of generators ---------------------------------


def _from_guides(pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    """A clip of what is known, and a mask of what to paint; references beside them."""
    found = _from_words(pipeline, recipe, inputs)
    if inputs.references:
        found["reference_images"] = [picture for one in inputs.references for picture in pictures(one)]
    shown_clip, paint = vace_canvas(recipe, inputs)
    if (paint == _PAINT).all() and (shown_clip == _UNKNOWN).all():
        return found  # from words alone
    return {**found, "video": pictures(shown_clip), "mask": [Image.fromarray(frame) for frame in paint]}


def vace_fault(role: str, guides: frozenset[str]) -> str | None:
    """What these kinds of guides would leave unused, or leave open, in a role."""
    controls = [kind for kind in given.CONTROL if kind in guides]
    if len(controls) > 1:
        return f"this pipeline follows one control guide, and the shot has {', '.join(controls)}"
    if "plate" in guides and "mask" not in guides:
        return "a plate is kept where a mask says so; give the shot a mask as well"
    starts = not role.startswith("text_to") or "first_frame" in guides
    if "mask" in guides and not starts and "plate" not in guides:
        return "a mask says what stays and what is painted; give the shot a plate, or a picture or clip to start from"
    keeps_clip = "mask" in guides and "plate" not in guides
    if role == "video_to_video" and controls and not keeps_clip:
        return f"the clip and {controls[0]} are two things to follow; give a mask of what to repaint, and no plate"
    return None


def vace_canvas(recipe: Recipe, inputs: Inputs) -> tuple[Clip, Clip]:
    """What VACE starts from: frames uint8 [T, H, W, 3], and a mask uint8 [T, H, W], 255 where it may paint.

    Where it may not, it keeps the frames: those of the plate, or the clip, or the picture that it starts from. Where it
    may, it follows them: a control guide, or the clip where that isn't kept; middle grey leaves it free.
    """
    given.refuse(vace_fault(recipe.role, frozenset(inputs.guides)))
    width, height = recipe.size
    clip = given.whole_clip(recipe, inputs) if recipe.role == "video_to_video" else None
    plate = given.lasting(inputs.guides["plate"], recipe.frames, "plate") if "plate" in inputs.guides else None
    mask = _mask(recipe, inputs)
    followed = next(iter(given.controls(recipe, inputs).values()), None)
    if clip is not None and (mask is None or plate is not None):
        followed = clip
    if followed is None:
        followed = np.full((recipe.frames, height, width, 3), _UNKNOWN, np.uint8)
    if mask is None:
        canvas, paint = followed, np.full((recipe.frames, height, width), _PAINT, np.uint8)
    else:
        kept = plate if plate is not None else clip
        kept = _held(recipe, inputs) if kept is None else kept
        canvas, paint = np.where(mask[..., None] == _PAINT, followed, kept), mask
    return _with_known_frames(recipe, inputs, canvas.copy(), paint.copy())


def _mask(recipe: Recipe, inputs: Inputs) -> Clip | None:
    guide = inputs.guides.get("mask")
    if guide is None:
        return None
    bright = given.lasting(guide, recipe.frames, "mask").max(axis=-1) > 127
    return np.where(bright, _PAINT, _KEEP).astype(np.uint8)


def _held(recipe: Recipe, inputs: Inputs) -> Clip:
    """The picture that it starts from, all through the clip."""
    return np.repeat(given.first_frame(recipe, inputs), recipe.frames, axis=0)


def _with_known_frames(recipe: Recipe, inputs: Inputs, canvas: Clip, paint: Clip) -> tuple[Clip, Clip]:
    """First, last and context frames, whole and kept."""
    if recipe.role == "extend":
        before = given.context(recipe, inputs)
        canvas[: len(before)], paint[: len(before)] = before, _KEEP
    elif recipe.role == "video_to_video":
        if (first := inputs.guides.get("first_frame")) is not None:  # its parent is the clip itself
            canvas[:1], paint[:1] = shown(first[:1]), _KEEP
    elif inputs.parents or "first_frame" in inputs.guides:
        canvas[:1], paint[:1] = given.first_frame(recipe, inputs), _KEEP
    if (last := given.last_frame(recipe, inputs)) is not None:
        canvas[-1:], paint[-1:] = last, _KEEP
    return canvas, paint


WAN_KINDS: tuple[PipelineKind, ...] = (
    PipelineKind(
        "WanPipeline", ("text_to_video", "text_to_image"), given.encode_t5, _from_words, given.clips, merged,
        step_frames=_STEP,
    ),
    PipelineKind(
        "WanImageToVideoPipeline", ("image_to_video", "first_last_frame", "text_to_video"), given.encode_t5,
        _from_frames, given.clips, _merged_frames, guides=("first_frame", "last_frame"),
        guide_fault=given.picture_fault, step_frames=_STEP,
    ),
    PipelineKind(
        "WanVideoToVideoPipeline", ("video_to_video",), given.encode_t5, _from_clip, given.clips, merged,
        step_frames=_STEP,
    ),
    PipelineKind(
        "WanVACEPipeline",
        ("text_to_video", "image_to_video", "video_to_video", "first_last_frame", "extend", "text_to_image"),
        given.encode_t5, _from_guides, given.clips,
        guides=(*given.CONTROL, "mask", "plate", "first_frame", "last_frame", "reference"), guide_fault=vace_fault,
        step_frames=_STEP,
    ),
)  # fmt: skip
