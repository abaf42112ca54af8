"""What a look is trained on: how each family of denoisers is noised and asked, on top of the pipeline that generates.

UNets learn what the pipeline's own noise schedule says (the noise, or the velocity of Salimans and Ho 2022, progressive
distillation); transformers of flow matching learn the straight way from noise to picture (Lipman et al. 2023; times are
drawn logit-normal as in Esser et al. 2024, and shifted as the pipeline's scheduler shifts them). Words become
embeddings by the pipeline's kind, so a look hears them as a generation says them.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from diffusers import DDPMScheduler

from ancestra_farm.models.looks.adapter import LookRefused

Tensor = torch.Tensor
Words = Mapping[str, Tensor]
#: The layers that a look adapts unless it says otherwise: queries, keys, values and outputs of the attention.
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


class Denoiser(Protocol):
    """A denoiser in training. ``component``: its name in the pipeline."""

    component: str

    def latents(self, pixels: Tensor) -> Tensor:
        """The clean latents of pictures, float [B, 3, H, W] in [-1, 1]; the batch comes first."""

    def noised(self, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(noisy latents, their times [B], what is to be predicted), with noise and times from ``generator``."""

    def predict(self, noisy: Tensor, time: Tensor, words: Words) -> Tensor:
        """What the model makes of them. ``words``: embeddings by their names in the pipeline's call."""


def denoiser_of(pipeline: Any) -> Denoiser:  # noqa: ANN401 - a diffusers pipeline
    """The denoiser of a loaded pipeline. Raises LookRefused where looks cannot be trained on it."""
    name = type(pipeline).__name__
    family = FAMILIES.get(name)
    if family is None:
        raise LookRefused(f"looks cannot be trained on {name} yet; on {', '.join(sorted(FAMILIES))} they can")
    if getattr(pipeline, "transformer_2", None) is not None:
        raise LookRefused(f"this {name} has two transformers, and a look is trained on one; take a base with one")
    return family(pipeline)


class UNet:
    """Stable Diffusion and SDXL."""

    component = "unet"

    def __init__(self, pipeline: Any) -> None:  # noqa: ANN401 - a diffusers pipeline
        self._pipeline = pipeline
        self._schedule = DDPMScheduler.from_config(pipeline.scheduler.config)

    def latents(self, pixels: Tensor) -> Tensor:
        """See `Denoiser`."""
        vae = self._pipeline.vae
        clean: Tensor = vae.encode(pixels.to(vae.dtype)).latent_dist.mode() * vae.config.scaling_factor
        return clean

    def noised(self, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """See `Denoiser`. Times are whole steps of the schedule."""
        noise = _noise_like(clean, generator)
        steps = int(self._schedule.config.num_train_timesteps)
        time = torch.randint(0, steps, (len(clean),), generator=generator).to(clean.device)
        kind = self._schedule.config.prediction_type
        if kind == "v_prediction":
            target = self._schedule.get_velocity(clean, noise, time)
        else:
            target = clean if kind == "sample" else noise
        return self._schedule.add_noise(clean, noise, time), time, target

    def predict(self, noisy: Tensor, time: Tensor, words: Words) -> Tensor:
        """See `Denoiser`."""
        unet = self._pipeline.unet
        more: dict[str, Any] = {}
        if unet.config.addition_embed_type == "text_time":  # SDXL: also told the size, which is as it was cut
            height, width = (side * self._pipeline.vae_scale_factor for side in noisy.shape[-2:])
            ids = torch.tensor([[height, width, 0, 0, height, width]], dtype=unet.dtype, device=noisy.device)
            pooled = words["pooled_prompt_embeds"]
            more["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": ids.expand(len(noisy), -1)}
        said = words["prompt_embeds"]
        predicted: Tensor = unet(noisy.to(unet.dtype), time, said, return_dict=False, **more)[0]
        return predicted


class Wan:
    """Wan: pictures are clips of one frame."""

    component = "transformer"

    def __init__(self, pipeline: Any) -> None:  # noqa: ANN401 - a diffusers pipeline
        self._pipeline = pipeline

    def latents(self, pixels: Tensor) -> Tensor:
        """See `Denoiser`. [B, C, 1, h, w]."""
        vae = self._pipeline.vae
        encoded: Tensor = vae.encode(pixels.to(vae.dtype).unsqueeze(2)).latent_dist.mode().float()
        mean, std = (
            torch.tensor(values, device=encoded.device).view(1, -1, 1, 1, 1)
            for values in (vae.config.latents_mean, vae.config.latents_std)
        )
        return (encoded - mean) / std

    def noised(self, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """See `Denoiser`. Times are in [0, 1]."""
        return _on_the_way(clean, generator, _shift(self._pipeline.scheduler, 0))

    def predict(self, noisy: Tensor, time: Tensor, words: Words) -> Tensor:
        """See `Denoiser`."""
        transformer = self._pipeline.transformer
        steps = time * self._pipeline.scheduler.config.num_train_timesteps
        if self._pipeline.config.expand_timesteps:  # a time for each token, as Wan 2.2 TI2V wants it
            sides = zip(noisy.shape[-3:], transformer.config.patch_size, strict=True)
            steps = steps[:, None].expand(-1, math.prod(side // patch for side, patch in sides))
        predicted: Tensor = transformer(
            hidden_states=noisy.to(transformer.dtype),
            timestep=steps,
            encoder_hidden_states=words["prompt_embeds"],
            return_dict=False,
        )[0]
        return predicted


class Flux:
    """FLUX.1: latents are rows of tokens, four latent pixels each."""

    component = "transformer"

    def __init__(self, pipeline: Any) -> None:  # noqa: ANN401 - a diffusers pipeline
        self._pipeline = pipeline
        self._sides = (0, 0)

    def latents(self, pixels: Tensor) -> Tensor:
        """See `Denoiser`. [B, tokens, 4·C]."""
        vae = self._pipeline.vae
        encoded = vae.encode(pixels.to(vae.dtype)).latent_dist.mode().float()
        scaled = (encoded - vae.config.shift_factor) * vae.config.scaling_factor
        self._sides = (scaled.shape[2], scaled.shape[3])
        packed: Tensor = self._pipeline._pack_latents(scaled, *scaled.shape)
        return packed

    def noised(self, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """See `Denoiser`. Times are in [0, 1]."""
        return _on_the_way(clean, generator, _shift(self._pipeline.scheduler, clean.shape[1]))

    def predict(self, noisy: Tensor, time: Tensor, words: Words) -> Tensor:
        """See `Denoiser`. All of a run have one size."""
        transformer = self._pipeline.transformer
        said = words["prompt_embeds"]
        places = self._pipeline._prepare_latent_image_ids(
            len(noisy), self._sides[0] // 2, self._sides[1] // 2, noisy.device, said.dtype
        )
        # Guidance 1: the photographs as they are, not a sharpened form of them.
        guidance = noisy.new_ones(len(noisy)) if transformer.config.guidance_embeds else None
        predicted: Tensor = transformer(
            hidden_states=noisy.to(transformer.dtype),
            timestep=time.to(transformer.dtype),
            guidance=guidance,
            pooled_projections=words["pooled_prompt_embeds"],
            encoder_hidden_states=said,
            txt_ids=said.new_zeros(said.shape[1], 3),
            img_ids=places,
            return_dict=False,
        )[0]
        return predicted


#: By the name of the pipeline class: those of `batch.look.TRAINABLE`. The others of a family take the same looks.
FAMILIES: Mapping[str, Callable[[Any], Denoiser]] = {
    "StableDiffusionPipeline": UNet,
    "StableDiffusionXLPipeline": UNet,
    "WanPipeline": Wan,
    "FluxPipeline": Flux,
}


def _noise_like(clean: Tensor, generator: torch.Generator) -> Tensor:
    """Drawn on the CPU, so that it is the same whatever the device."""
    return torch.randn(clean.shape, generator=generator).to(clean.device, clean.dtype)


def _on_the_way(clean: Tensor, generator: torch.Generator, shift: float) -> tuple[Tensor, Tensor, Tensor]:
    """Between picture (time 0) and noise (time 1) on the straight line, and the direction of that line."""
    noise = _noise_like(clean, generator)
    even = torch.sigmoid(torch.randn(len(clean), generator=generator)).to(clean.device)
    time = shift * even / (1 + (shift - 1) * even)
    at = time.view(-1, *([1] * (clean.ndim - 1))).to(clean.dtype)
    return (1 - at) * clean + at * noise, time, noise - clean


def _shift(scheduler: Any, tokens: int) -> float:  # noqa: ANN401 - a diffusers scheduler
    """How far a scheduler shifts its times towards noise: a set number, or one that grows with the picture."""
    config = scheduler.config
    if config.get("use_dynamic_shifting") and tokens:
        rise = (config.max_shift - config.base_shift) / (config.max_image_seq_len - config.base_image_seq_len)
        mu = config.base_shift + (tokens - config.base_image_seq_len) * rise
        return math.exp(mu)
    return float(config.get("flow_shift") or config.get("shift") or 1.0)
