"""A card of a diffusers pipeline against what that pipeline is: everything that would be ignored or fail later is said.

Decided from the card, the kinds and the source of diffusers alone, before a weight is fetched or a library loaded.
Whether the weights are there, and whether a GPU is, is not looked at.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache

from ancestra_farm.batch.base import Scalar
from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.problems import did_you_mean, listed
from ancestra_farm.batch.schema import Stage
from ancestra_farm.batch.sources import part_sources, source_of
from ancestra_farm.models.diffusion.anatomy import (
    PipelineAnatomy,
    attention_backends,
    model_has,
    pipeline_anatomy,
    scheduler_anatomy,
)
from ancestra_farm.models.diffusion.kinds import PipelineKind, all_kinds
from ancestra_farm.plan.recipe import Rung, effective_parameters

#: Arguments that are the candidate's or the farm's own: a parameter of a card cannot be one of them.
_OWN = frozenset(
    {"prompt", "negative_prompt", "image", "last_image", "video", "mask", "conditions", "height", "width"}
    | {"reference_images", "conditioning_frames", "frame_index", "image_crf"}
    | {"num_frames", "generator", "latents", "output_type", "return_dict", "timesteps", "sigmas"}
    | {"callback", "callback_steps", "callback_on_step_end", "callback_on_step_end_tensor_inputs"}
    | {"num_images_per_prompt", "num_videos_per_prompt"}
)


def stage_faults(card: ModelCard, stage: Stage, *, negative: bool, guides: frozenset[str] = frozenset()) -> list[str]:
    """What is wrong with a stage on this card: the card's own faults, and what of the stage would mean nothing.

    ``guides``: the kinds of guides that a shot gives it.
    """
    faults = list(_faults_of(card.model_dump_json()))
    anatomy = pipeline_anatomy(str(card.pipeline))
    if faults or anatomy is None:
        return faults
    full = _arguments(card, anatomy, "full", stage.parameters, {})
    found = [_negative_fault(card, full) if negative else None, _strength_fault(anatomy, full, "")]
    found += [_second_guidance_fault(card, full), all_kinds()[str(card.pipeline)].guide_fault(stage.role, guides)]
    if stage.draft is not None:
        draft = _arguments(card, anatomy, "draft", stage.parameters, stage.draft.parameters)
        found += [_strength_fault(anatomy, draft, " of a draft"), _second_guidance_fault(card, draft, " of a draft")]
    return [fault for fault in found if fault is not None]


def _arguments(
    card: ModelCard,
    anatomy: PipelineAnatomy,
    rung: Rung,
    stage: Mapping[str, Scalar],
    draft: Mapping[str, Scalar],
) -> dict[str, object]:
    """The plain arguments of a call at a rung, by the pipeline's names, its own defaults among them."""
    settings = effective_parameters(card, rung, stage, draft)
    return {**anatomy.defaults, **{card.parameters[name].argument or name: value for name, value in settings}}


def _negative_fault(card: ModelCard, arguments: Mapping[str, object]) -> str | None:
    """Whether a negative prompt would change nothing."""
    needed = all_kinds()[str(card.pipeline)].negative
    if needed is None:
        return f"{card.id} takes no negative prompt"
    argument, least = needed
    value = arguments.get(argument)
    if isinstance(value, int | float) and value > least:
        return None
    name = _name_of(card, argument)
    where = f"the parameter {name}" if name is not None else f"{argument} of its pipeline"
    return f"the negative prompt would be ignored: {where} is {value}, and it takes effect above {least:g}"


def _name_of(card: ModelCard, argument: str) -> str | None:
    """The card's parameter that sets an argument of the pipeline."""
    return next((name for name, one in card.parameters.items() if (one.argument or name) == argument), None)


def _second_guidance_fault(card: ModelCard, arguments: Mapping[str, object], which: str = "") -> str | None:
    """Whether the guidance of a second expert would be ignored: pipelines guide both or none, as the first one says."""
    first, second = arguments.get("guidance_scale"), arguments.get("guidance_scale_2")
    if not isinstance(first, int | float) or not isinstance(second, int | float) or first > 1 or second <= 1:
        return None
    names = [_name_of(card, argument) or argument for argument in ("guidance_scale", "guidance_scale_2")]
    return f"{names[1]} {second:g}{which} would be ignored: {names[0]} is {first:g}, and there is none up to 1"


def _strength_fault(anatomy: PipelineAnatomy, arguments: Mapping[str, object], which: str) -> str | None:
    """Whether so few steps leave nothing of a strength: no step at all, or all of them, and the picture is ignored."""
    steps, strength = arguments.get("num_inference_steps"), arguments.get("strength")
    if not isinstance(steps, int) or not isinstance(strength, int | float):
        return None
    if int(steps * strength) < 1:
        return f"{steps} steps{which} at strength {strength:g} leave no step to make; take more of either"
    # Models of flows begin at the step below, and at the first one there is nothing but noise.
    if "scale_noise" in anatomy.scheduler_methods and strength < 1 and int(steps - steps * strength) < 1:
        return f"{steps} steps{which} at strength {strength:g} begin at noise alone; take more steps, or less strength"
    return None


@lru_cache(maxsize=256)
def _faults_of(card: str) -> tuple[str, ...]:
    """`card_faults` of a card as JSON: a batch of thousands of shots asks again and again for a few."""
    return tuple(card_faults(ModelCard.model_validate_json(card)))


def card_faults(card: ModelCard) -> list[str]:
    """What a card asks of its pipeline that this does not have, as sentences; none: it can be run."""
    if card.pipeline is None:
        return ["it names no pipeline, which says what class of diffusers runs it"]
    kinds = all_kinds()
    kind = kinds.get(card.pipeline)
    if kind is None:
        near = did_you_mean(card.pipeline, kinds, "pipelines")
        return [f"the farm runs no pipeline {card.pipeline!r}; {near}"]
    anatomy = pipeline_anatomy(card.pipeline)
    if anatomy is None:
        return [f"the installed diffusers has no {card.pipeline}; install a version that has it"]
    found = [_kind_faults, _parameter_faults, _scheduler_faults, _place_faults, _memory_faults, _speed_faults]
    return [fault for check in found for fault in check(card, kind, anatomy)]


def _kind_faults(card: ModelCard, kind: PipelineKind, anatomy: PipelineAnatomy) -> Iterator[str]:
    for role in card.roles:
        if role not in kind.roles:
            yield f"{kind.pipeline} has no role {role}; it has {listed(kind.roles, 'and')}"
    for guide in card.guides:
        if guide not in kind.guides:
            taken = f"it takes {listed(kind.guides, 'and')}" if kind.guides else "it takes none"
            yield f"{kind.pipeline} takes no guide of kind {guide}; {taken}"
    grid, step = card.frames, kind.step_frames
    if grid is not None and step is not None and (grid.step % step or (grid.offset - 1) % step):
        yield f"frames: {kind.pipeline} makes clips of {step}k+1 frames, and this grid has others"
    if card.looks and not anatomy.loras:
        yield f"{kind.pipeline} loads no adapters, so the card cannot take looks"
    try:
        source_of(card)
        part_sources(card)
    except ValueError as error:
        yield str(error)
    for part in card.parts:
        if part not in anatomy.components:
            yield f"{kind.pipeline} has no part {part}; {did_you_mean(part, anatomy.components, 'parts')}"
    if card.gpus > 1:
        yield f"gpus: {card.gpus}: a pipeline runs on one GPU here; the others would be paid for and stand idle"
    if card.dtype == "uint8":
        yield "dtype uint8 is for drawn pictures; a pipeline runs in float32, bfloat16 or float16"


def _parameter_faults(card: ModelCard, kind: PipelineKind, anatomy: PipelineAnatomy) -> Iterator[str]:
    named: dict[str, str] = {}
    for name, parameter in card.parameters.items():
        argument = parameter.argument or name
        if argument in _OWN or argument.endswith(("_embeds", "_embeds_mask")):
            yield f"parameter {name}: {argument} of {kind.pipeline} is set by the farm, for each candidate"
        elif argument not in anatomy.arguments:
            hint = did_you_mean(argument, anatomy.arguments - _OWN, "arguments")
            yield f"parameter {name}: {kind.pipeline} takes no argument {argument}; {hint}"
        elif argument in named:
            yield f"parameter {name}: the argument {argument} is set by {named[argument]} already"
        named.setdefault(argument, name)


def _scheduler_faults(card: ModelCard, kind: PipelineKind, anatomy: PipelineAnatomy) -> Iterator[str]:
    for field, name in (("scheduler", card.scheduler), ("draft_scheduler", card.draft_scheduler)):
        if name is None:
            continue
        scheduler = scheduler_anatomy(name)
        if scheduler is None:
            yield f"{field}: diffusers has no scheduler {name}"
            continue
        lacks = sorted(anatomy.scheduler_methods - scheduler.methods - {"from_config"})
        if lacks:
            yield f"{field}: {name} cannot run {kind.pipeline}, which needs its {listed(lacks, 'and')}"
        elif anatomy.schedule - scheduler.schedule:
            missing = listed(sorted(anatomy.schedule - scheduler.schedule), "and")
            yield f"{field}: {name} cannot run {kind.pipeline}, which sets its {missing}"

    if card.scheduler is not None:
        # Of the one that is stored with the weights, nothing is known before they are there.
        rungs = [scheduler_anatomy(name) for name in (card.scheduler, card.draft_scheduler) if name]
        known = {setting for rung in rungs if rung is not None for setting in rung.settings}
        for setting in sorted(card.scheduler_settings.keys() - known) if known else ():
            yield f"scheduler_settings: {card.scheduler} has no {setting}; {did_you_mean(setting, known, 'settings')}"


def _place_faults(card: ModelCard, kind: PipelineKind, anatomy: PipelineAnatomy) -> Iterator[str]:
    runtime = card.runtime
    has_gpu = card.vram_gib > 0 or card.gpus > 0
    if runtime.device == "cuda" and not has_gpu:
        yield "runtime.device is cuda, but vram_gib is 0, which asks for a CPU slot"
    if runtime.device == "cpu" and has_gpu:
        yield "runtime.device is cpu, but the card asks for a GPU; set vram_gib and gpus to 0"
    if runtime.offload != "none" and (not has_gpu or runtime.device == "cpu"):
        yield f"runtime.offload: {runtime.offload} moves parts to a GPU, and the card runs on a CPU slot"
    elif runtime.offload == "model" and not anatomy.offloads:
        yield f"runtime.offload: {kind.pipeline} cannot be moved model by model; sequential or none"
    if runtime.batch > 1 and not kind.batches:
        yield f"runtime.batch: {kind.pipeline} makes one candidate a call, so the batch is 1"


def _memory_faults(card: ModelCard, kind: PipelineKind, anatomy: PipelineAnatomy) -> Iterator[str]:
    vaes = anatomy.components.get("vae", ())
    for what, wanted in (("tiling", card.runtime.vae_tiling), ("slicing", card.runtime.vae_slicing)):
        if wanted and not any(model_has(vae, what) for vae in vaes):
            yield f"runtime.vae_{what}: the VAE of {kind.pipeline} has no {what}"


def _speed_faults(card: ModelCard, kind: PipelineKind, anatomy: PipelineAnatomy) -> Iterator[str]:
    runtime = card.runtime
    if runtime.compile == "regional":
        classes = [name for denoiser in anatomy.denoisers for name in anatomy.components[denoiser]]
        if not any(model_has(name, "blocks") for name in classes):
            yield f"runtime.compile: {kind.pipeline} has no repeated blocks to compile"
    if runtime.attention is not None:
        known = attention_backends()
        if runtime.attention not in known:
            near = did_you_mean(runtime.attention, known, "backends")
            yield f"runtime.attention: diffusers has no attention backend {runtime.attention!r}; {near}"
