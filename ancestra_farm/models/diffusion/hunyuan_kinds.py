"""Kinds of HunyuanVideo: from words, from a picture. Read in the source of diffusers 0.42.1.

Clips of 4k+1 frames. Guidance is an input of the model; a negative prompt counts where ``true_cfg_scale`` is above 1.
"""

from typing import Any

from ancestra_farm.models.diffusion import clip_inputs as given
from ancestra_farm.models.diffusion.calls import argument, merged
from ancestra_farm.models.diffusion.kinds import Inputs, Pipeline, PipelineKind, Tensor
from ancestra_farm.models.diffusion.pixels import pictures
from ancestra_farm.plan.recipe import Recipe

_NEGATIVE = ("true_cfg_scale", 1.0)
#: Frames of a latent but the first.
_STEP = 4
#: Every how many of the picture's tokens are kept, by how the transformer gets the picture; the call does the same.
_INTERLEAVE = {"latent_concat": 2, "token_replace": 4}
#: Frames that the pipeline cuts off the beginning of a clip whose picture stands in channels of its own.
_CUT_OFF = 4


def _encode(pipeline: Pipeline, recipe: Recipe) -> dict[str, Tensor]:
    """Llama with a mask, and the pooled words of CLIP."""
    longest = int(argument(pipeline, recipe, "max_sequence_length"))

    def encoded(prompt: str, prefix: str = "") -> dict[str, Tensor]:
        return _named(pipeline.encode_prompt(prompt=prompt, max_sequence_length=longest), prefix)

    found = encoded(recipe.prompt)
    return {**found, **encoded(recipe.negative, "negative_")} if _guided(pipeline, recipe) else found


def _from_words(pipeline: Pipeline, recipe: Recipe, _inputs: Inputs) -> dict[str, Any]:
    frames = given.on_grid(pipeline, recipe, pipeline.vae_scale_factor_temporal)
    return {**given.size(recipe), "num_frames": frames}


def _from_picture(pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    """The text encoder reads the words beside the picture, so the embeddings are the candidate's own.

    Weights that see the picture in channels of their own (33 of them) lose their first four frames in the pipeline: the
    clip is asked for four frames longer, and its first frame is close to the picture without being it.
    """
    way = pipeline.transformer.config.image_condition_type
    found = _from_words(pipeline, recipe, inputs)
    if way == "latent_concat":
        found["num_frames"] += _CUT_OFF
    frame = given.first_frame(recipe, inputs)
    words = _seen(pipeline, recipe, pictures(frame)[0], _INTERLEAVE.get(way, 1))
    return {**found, "image": given.picture(frame), **words}


def _seen(pipeline: Pipeline, recipe: Recipe, picture: Any, interleave: int) -> dict[str, Tensor]:  # noqa: ANN401 - PIL
    import torch  # noqa: PLC0415 - checks read this module without
    from PIL import Image  # noqa: PLC0415 - as torch

    longest = int(argument(pipeline, recipe, "max_sequence_length"))
    with torch.no_grad():
        positive = pipeline.encode_prompt(
            image=picture, prompt=recipe.prompt, max_sequence_length=longest, image_embed_interleave=interleave
        )
        if not _guided(pipeline, recipe):
            return _named(positive)
        black = Image.new("RGB", recipe.size)
        negative = pipeline.encode_prompt(image=black, prompt=recipe.negative, max_sequence_length=longest)
    return {**_named(positive), **_named(negative, "negative_")}


def _guided(pipeline: Pipeline, recipe: Recipe) -> bool:
    return float(argument(pipeline, recipe, _NEGATIVE[0])) > _NEGATIVE[1]


def _named(encoded: tuple[Tensor, Tensor, Tensor], prefix: str = "") -> dict[str, Tensor]:
    words, pooled, mask = encoded
    names = ("prompt_embeds", "pooled_prompt_embeds", "prompt_attention_mask")
    return {f"{prefix}{name}": value for name, value in zip(names, (words, pooled, mask), strict=True)}


HUNYUAN_KINDS: tuple[PipelineKind, ...] = (
    PipelineKind(
        "HunyuanVideoPipeline", ("text_to_video",), _encode, _from_words, given.clips, merged, negative=_NEGATIVE,
        step_frames=_STEP,
    ),
    PipelineKind(
        "HunyuanVideoImageToVideoPipeline", ("image_to_video", "text_to_video"), given.no_words, _from_picture,
        given.clips, merged, guides=("first_frame",), guide_fault=given.picture_fault, negative=_NEGATIVE,
        step_frames=_STEP,
    ),
)  # fmt: skip
