"""Kinds of pipelines that make stills: from words, from a picture, and from a small picture a large one.

How each encodes a prompt, and what it calls its guidance, was read in the source of diffusers 0.42.1; the tests run
tiny instances of all of them.
"""

from typing import Any

from ancestra_farm.models.diffusion.calls import argument, merged
from ancestra_farm.models.diffusion.kinds import Inputs, Pipeline, PipelineKind, Tensor
from ancestra_farm.models.diffusion.pixels import fitted, pictures, stills_of
from ancestra_farm.models.protocol import Frames
from ancestra_farm.plan.recipe import Recipe

# ---- words ----------------------------------------------------------------------------------------------------------


def _skipped(recipe: Recipe) -> int | None:
    """How many layers of CLIP are left out; 0 in a card stands for the pipeline's own way."""
    return int(recipe.parameters.get("clip_skip", 0)) or None


def _guided(pipeline: Pipeline, recipe: Recipe) -> bool:
    """Whether a denoiser that is not distilled for its guidance sees the negative prompt as well."""
    distilled = pipeline.unet.config.time_cond_proj_dim is not None
    return not distilled and float(argument(pipeline, recipe, "guidance_scale")) > 1


def encode_clip(pipeline: Pipeline, recipe: Recipe) -> dict[str, Tensor]:
    """Stable Diffusion 1 and 2: one CLIP."""
    positive, negative = pipeline.encode_prompt(
        recipe.prompt,
        pipeline._execution_device,
        1,
        _guided(pipeline, recipe),
        negative_prompt=recipe.negative or None,
        clip_skip=_skipped(recipe),
    )
    return {"prompt_embeds": positive, "negative_prompt_embeds": negative}


def encode_two_clips(pipeline: Pipeline, recipe: Recipe) -> dict[str, Tensor]:
    """Stable Diffusion XL: two CLIPs, and the pooled words of the second."""
    positive, negative, pooled, negative_pooled = pipeline.encode_prompt(
        prompt=recipe.prompt,
        do_classifier_free_guidance=_guided(pipeline, recipe),
        negative_prompt=recipe.negative or None,
        clip_skip=_skipped(recipe),
        device=pipeline._execution_device,
    )
    return {
        "prompt_embeds": positive,
        "negative_prompt_embeds": negative,
        "pooled_prompt_embeds": pooled,
        "negative_pooled_prompt_embeds": negative_pooled,
    }


def encode_flux(pipeline: Pipeline, recipe: Recipe) -> dict[str, Tensor]:
    """FLUX.1: T5 and the pooled words of CLIP; a negative prompt only where true guidance is asked for."""
    longest = int(argument(pipeline, recipe, "max_sequence_length"))
    positive, pooled, _ = pipeline.encode_prompt(prompt=recipe.prompt, max_sequence_length=longest)
    found = {"prompt_embeds": positive, "pooled_prompt_embeds": pooled}
    if float(argument(pipeline, recipe, "true_cfg_scale")) > 1:
        negative, negative_pooled, _ = pipeline.encode_prompt(prompt=recipe.negative, max_sequence_length=longest)
        found |= {"negative_prompt_embeds": negative, "negative_pooled_prompt_embeds": negative_pooled}
    return found


def encode_flux2_klein(pipeline: Pipeline, recipe: Recipe) -> dict[str, Tensor]:
    """FLUX.2 klein: layers of Qwen3. Guidance is away from no words at all; there is no negative prompt."""
    longest = int(argument(pipeline, recipe, "max_sequence_length"))
    layers = argument(pipeline, recipe, "text_encoder_out_layers")

    def encoded(prompt: str) -> Tensor:
        found, _ = pipeline.encode_prompt(prompt=prompt, max_sequence_length=longest, text_encoder_out_layers=layers)
        return found

    guided = not pipeline.config.is_distilled and float(argument(pipeline, recipe, "guidance_scale")) > 1
    words = {"prompt_embeds": encoded(recipe.prompt)}
    return {**words, "negative_prompt_embeds": encoded("")} if guided else words


def encode_z_image(pipeline: Pipeline, recipe: Recipe) -> dict[str, Tensor]:
    """Z-Image: Qwen3, embeddings of any length in a list. It guides above 0, not above 1."""
    positive, negative = pipeline.encode_prompt(
        recipe.prompt,
        do_classifier_free_guidance=float(argument(pipeline, recipe, "guidance_scale")) > 0,
        negative_prompt=recipe.negative or None,
        max_sequence_length=int(argument(pipeline, recipe, "max_sequence_length")),
    )
    return {"prompt_embeds": positive, "negative_prompt_embeds": negative}


def encode_qwen_image(pipeline: Pipeline, recipe: Recipe) -> dict[str, Tensor]:
    """Qwen-Image: Qwen2.5-VL, with a mask. An empty negative prompt is a space, or there would be no guidance."""
    longest = int(argument(pipeline, recipe, "max_sequence_length"))

    def encoded(prompt: str) -> tuple[Tensor, Tensor]:
        found, mask = pipeline.encode_prompt(prompt=prompt, max_sequence_length=longest)
        # No mask means that nothing is padded, which the call wants to be told all the same.
        return found, found.new_ones(found.shape[:2]).long() if mask is None else mask

    words, mask = encoded(recipe.prompt)
    found = {"prompt_embeds": words, "prompt_embeds_mask": mask}
    if float(argument(pipeline, recipe, "true_cfg_scale")) > 1:
        negative, negative_mask = encoded(recipe.negative or " ")
        found |= {"negative_prompt_embeds": negative, "negative_prompt_embeds_mask": negative_mask}
    return found


def encode_upscale(pipeline: Pipeline, recipe: Recipe) -> dict[str, Tensor]:
    """The Stable Diffusion upscaler: one CLIP."""
    positive, negative = pipeline.encode_prompt(
        recipe.prompt,
        pipeline._execution_device,
        1,
        float(argument(pipeline, recipe, "guidance_scale")) > 1,
        negative_prompt=recipe.negative or None,
        clip_skip=_skipped(recipe),
    )
    return {"prompt_embeds": positive, "negative_prompt_embeds": negative}


# ---- pictures -------------------------------------------------------------------------------------------------------


def _from_words(_pipeline: Pipeline, recipe: Recipe, _inputs: Inputs) -> dict[str, Any]:
    return {"width": recipe.size[0], "height": recipe.size[1]}


def _from_picture(_pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    """Classes that take their size from the picture."""
    return {"image": pictures(_parent(recipe, inputs)[-1:])}


def _from_picture_at_size(pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    return {**_from_words(pipeline, recipe, inputs), **_from_picture(pipeline, recipe, inputs)}


def _from_references(pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    """Pictures that the words are about. All candidates of a call share them, so they are one value: a tuple."""
    of_stage = (_parent(recipe, inputs)[-1:],) if recipe.role == "image_to_image" else ()
    seen = [picture for one in (*of_stage, *inputs.references) for picture in pictures(one)]
    return {**_from_words(pipeline, recipe, inputs), "image": tuple(seen)}


def _merged_references(each: list[dict[str, Any]]) -> dict[str, Any]:
    call = merged(each)
    return {**call, "image": list(call["image"]) or None}


def _four_times(_pipeline: Pipeline, recipe: Recipe, inputs: Inputs) -> dict[str, Any]:
    """A picture of a quarter of the recipe's size, which the upscaler makes four times as wide and as high."""
    width, height = recipe.size
    if width % 4 or height % 4:
        raise ValueError(f"this upscaler makes pictures four times as large; {width} × {height} is not four times one")
    return {"image": pictures(fitted(_parent(recipe, inputs)[-1:], (width // 4, height // 4)))}


def _parent(recipe: Recipe, inputs: Inputs) -> Frames:
    if not inputs.parents:
        raise ValueError(f"{recipe.role} starts from a picture; this recipe names none")
    if recipe.frames > 1:
        raise ValueError(f"this pipeline makes stills; this recipe asks for {recipe.frames} frames")
    return inputs.parents[0]


def _stills(output: Any) -> list[Frames]:  # noqa: ANN401 - what each pipeline returns
    return stills_of(output.images)


IMAGE_KINDS: tuple[PipelineKind, ...] = (
    PipelineKind("StableDiffusionPipeline", ("text_to_image",), encode_clip, _from_words, _stills, merged),
    PipelineKind("StableDiffusionImg2ImgPipeline", ("image_to_image",), encode_clip, _from_picture, _stills, merged),
    PipelineKind("StableDiffusionXLPipeline", ("text_to_image",), encode_two_clips, _from_words, _stills, merged),
    PipelineKind(
        "StableDiffusionXLImg2ImgPipeline", ("image_to_image",), encode_two_clips, _from_picture, _stills, merged
    ),
    PipelineKind(
        "FluxPipeline", ("text_to_image",), encode_flux, _from_words, _stills, merged, negative=("true_cfg_scale", 1.0)
    ),
    PipelineKind(
        "FluxImg2ImgPipeline", ("image_to_image",), encode_flux, _from_picture_at_size, _stills, merged,
        negative=("true_cfg_scale", 1.0),
    ),
    PipelineKind(
        "Flux2KleinPipeline", ("text_to_image", "image_to_image"), encode_flux2_klein, _from_references, _stills,
        _merged_references, guides=("reference",), negative=None,
    ),
    PipelineKind(
        "ZImagePipeline", ("text_to_image",), encode_z_image, _from_words, _stills, merged,
        negative=("guidance_scale", 0.0),
    ),
    PipelineKind(
        "ZImageImg2ImgPipeline", ("image_to_image",), encode_z_image, _from_picture_at_size, _stills, merged,
        negative=("guidance_scale", 0.0),
    ),
    PipelineKind(
        "QwenImagePipeline", ("text_to_image",), encode_qwen_image, _from_words, _stills, merged,
        negative=("true_cfg_scale", 1.0),
    ),
    PipelineKind(
        "QwenImageImg2ImgPipeline", ("image_to_image",), encode_qwen_image, _from_picture_at_size, _stills, merged,
        negative=("true_cfg_scale", 1.0),
    ),
    PipelineKind("StableDiffusionUpscalePipeline", ("upscale",), encode_upscale, _four_times, _stills, merged),
)  # fmt: skip
"""Guidance above 1 (above 0 for Z-Image) is what brings a negative prompt in, except where ``negative`` says it."""
