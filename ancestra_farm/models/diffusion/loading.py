"""A pipeline from a folder of weights, on its device and set up as the card says.

Only classes that a kind names are built, from safetensors, without remote code and without the network. What a card
asks for and this machine or pipeline lacks is an error here at the latest (`check` says most of it long before).
"""

import os
import shlex
import shutil
from pathlib import Path
from typing import Any

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.models.diffusion.anatomy import pipeline_anatomy
from ancestra_farm.models.diffusion.check import card_faults
from ancestra_farm.models.diffusion.kinds import Pipeline

#: VAEs whose makers decode in full precision whatever the denoiser runs in (the examples of diffusers' own pages).
_FULL_PRECISION_VAES = frozenset({"AutoencoderKLWan"})


class ModelRefused(Exception):
    """The card asks for something that this pipeline or this machine does not have. The message says what."""


def load_pipeline(card: ModelCard, folder: Path) -> Pipeline:
    """The pipeline of a card with the weights in ``folder``, ready to be called. Takes seconds to minutes.

    Raises `ModelRefused`, and what diffusers raises where files are missing or do not fit their class.
    """
    faults = card_faults(card)
    if faults:
        raise ModelRefused(f"{card.id}: {'; '.join(faults)}")
    import diffusers  # noqa: PLC0415 - ten seconds, on hosts only
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    device = _device(card, torch)
    if card.runtime.compile == "regional":
        _check_compiler(card, device)
    # Bars on standard error are for a person who waits; a host has none.
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    pipeline = getattr(diffusers, str(card.pipeline)).from_pretrained(
        str(folder),
        dtype=_dtypes(card, torch),
        variant=card.variant,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    set_true_scale(pipeline)
    for module in _modules(pipeline, torch).values():
        module.requires_grad_(requires_grad=False)
    _set_memory(card, pipeline)
    _place(card, pipeline, device, torch)
    _set_speed(card, pipeline, torch)
    return pipeline


def set_true_scale(pipeline: Pipeline) -> None:
    """Give a pipeline the scale that its autoencoder itself names.

    Wan's VACE and video-to-video pipelines (diffusers 0.42) count halvings instead, and so miss the pixels that
    Wan 2.2's autoencoders fold into channels first: masks then come out twice too large.
    """
    scale = getattr(getattr(getattr(pipeline, "vae", None), "config", None), "scale_factor_spatial", None)
    if isinstance(scale, int) and getattr(pipeline, "vae_scale_factor_spatial", scale) != scale:
        pipeline.vae_scale_factor_spatial = scale


def _device(card: ModelCard, torch: Any) -> str:  # noqa: ANN401 - modules that are loaded by whoever calls
    wanted = card.runtime.device
    has_gpu = bool(torch.cuda.is_available())
    if not has_gpu and (wanted == "cuda" or card.runtime.offload != "none"):
        raise ModelRefused(f"{card.id} wants a GPU, and torch sees none here")
    if wanted == "auto":
        return "cuda" if has_gpu else "cpu"
    return wanted


def _dtypes(card: ModelCard, torch: Any) -> Any:  # noqa: ANN401 - as above
    dtype = getattr(torch, card.dtype)
    anatomy = pipeline_anatomy(str(card.pipeline))
    vaes = anatomy.components.get("vae", ()) if anatomy else ()
    if _FULL_PRECISION_VAES.isdisjoint(vaes):
        return dtype
    return {"default": dtype, "vae": torch.float32}


def _modules(pipeline: Pipeline, torch: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """The parts that have weights, by name."""
    return {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}


def _set_memory(card: ModelCard, pipeline: Pipeline) -> None:
    if card.runtime.vae_tiling:
        pipeline.vae.enable_tiling()
    if card.runtime.vae_slicing:
        pipeline.vae.enable_slicing()


def _place(card: ModelCard, pipeline: Pipeline, device: str, torch: Any) -> None:  # noqa: ANN401 - as above
    if card.runtime.channels_last:
        for name, module in _modules(pipeline, torch).items():
            if name in {"vae", "unet", "transformer", "transformer_2", "controlnet"}:
                _lay_channels_last(module, torch)
    if card.runtime.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif card.runtime.offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)


def _lay_channels_last(module: Any, torch: Any) -> None:  # noqa: ANN401 - as above
    """The weights of its convolutions, in two dimensions and in three: `Module.to` takes one layout for both."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for weight in module.parameters():
        if weight.dim() in layouts:
            weight.data = weight.data.contiguous(memory_format=layouts[weight.dim()])


def _set_speed(card: ModelCard, pipeline: Pipeline, torch: Any) -> None:  # noqa: ANN401 - as above
    anatomy = pipeline_anatomy(str(card.pipeline))
    names = anatomy.denoisers if anatomy else ()
    denoisers = [module for name, module in _modules(pipeline, torch).items() if name in names]
    for denoiser in denoisers:
        if card.runtime.attention is not None:
            denoiser.set_attention_backend(card.runtime.attention)
        if card.runtime.compile == "regional":
            denoiser.compile_repeated_blocks()


def _check_compiler(card: ModelCard, device: str) -> None:
    """Refuse a host on which torch would find none in the middle of its first call, and say so by its own insides.

    On a CPU inductor builds with what CXX names, on a GPU triton with what CC names; these are their own defaults.
    """
    variable, usual = ("CXX", ("g++",)) if device == "cpu" else ("CC", ("gcc", "clang"))
    named = shlex.split(os.environ.get(variable, ""))[:1]
    if not any(shutil.which(name) for name in named or usual):
        raise ModelRefused(
            f"{card.id}: runtime.compile: regional needs {' or '.join(named or usual)} on every host, and it is not "
            f"here; install a compiler, name one in {variable}, or leave compile out of the card"
        )
