"""What is learnt, stage by stage: the batches and the losses.

Pictures first (the autoencoder on stills, then its temporal taps on clips; its decoder alone at any time), then what to
make of them (the transformer on stills' latents, then on clips', half of them from their first frame), then guides on a
frozen base. Each stage says what it trains; the loop and the keeping are elsewhere.
"""

from collections.abc import Mapping

import numpy as np
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel, WanVACETransformer3DModel
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it
from transformers import PreTrainedTokenizerFast, UMT5EncoderModel

from ancestra_farm.models.embedded import networks
from ancestra_farm.models.embedded.footage import Footage
from ancestra_farm.models.embedded.words import Facts, Motion, caption_of, named

#: Motions that scale or turn a picture take longer to learn than those that shift it: drawn so many times as often.
_DRAWN: Mapping[Motion | None, float] = {"push_in": 2.0, "pull_back": 3.0, "spiral": 3.0}
#: Noise added to latents while the autoencoder learns, against their variance of one: neighbours decode alike.
_LATENT_NOISE = 0.1


class AutoencoderStills:
    """The autoencoder on single frames, as a network of 2D convolutions."""

    name = "vae_stills"
    rates = (6e-3, 3e-3)
    decay = 0.99

    def __init__(self, vae: AutoencoderKLWan, stills: Footage, batch: int = 8) -> None:
        self._vae, self._stills, self._batch = vae, stills, batch

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """All but the temporal convolutions, which single frames do not pass."""
        return {name: p for name, p in self._vae.named_parameters() if "time_conv" not in name}

    def loss(self, _step: int, rng: np.random.Generator) -> Tensor:
        """See `Stage.loss`."""
        chosen = self._stills.pictures[np.sort(rng.choice(len(self._stills), self._batch, replace=False))]
        wanted = networks.pixels(chosen[:, :, :, ::-1] if rng.uniform() < 0.5 else chosen)
        with networks.single_frames(self._vae):
            latents = networks.encoded(self._vae, wanted)
            made = networks.decoded(self._vae, latents + _LATENT_NOISE * torch.randn_like(latents))
        return picture_loss(made, wanted) + 0.02 * _away_from_unit(latents)


class Decoder:
    """The decoder alone on single frames: latents stay what they are, so that a trained transformer stays good."""

    name = "decoder"
    rates = (4e-3, 2e-3)
    decay = 0.99

    def __init__(self, vae: AutoencoderKLWan, stills: Footage, batch: int = 8) -> None:
        self._vae, self._stills, self._batch = vae, stills, batch

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """Those of the decoder that single frames pass."""
        return {
            name: p
            for name, p in self._vae.named_parameters()
            if name.startswith(("decoder.", "post_quant_conv.")) and "time_conv" not in name
        }

    def loss(self, _step: int, rng: np.random.Generator) -> Tensor:
        """See `Stage.loss`."""
        chosen = self._stills.pictures[np.sort(rng.choice(len(self._stills), self._batch, replace=False))]
        wanted = networks.pixels(chosen[:, :, :, ::-1] if rng.uniform() < 0.5 else chosen)
        with networks.single_frames(self._vae):
            with torch.no_grad():
                latents = networks.encoded(self._vae, wanted)
            made = networks.decoded(self._vae, latents + _LATENT_NOISE * torch.randn_like(latents))
        return picture_loss(made, wanted)


class AutoencoderClips:
    """The autoencoder's temporal taps on pieces of clips; what stills pass does not change."""

    name = "vae_clips"
    rates = (3e-3, 2e-3)
    decay = 0.99

    def __init__(self, vae: AutoencoderKLWan, clips: Footage, batch: int = 3, side: int = 48, frames: int = 9) -> None:
        self._vae, self._clips, self._batch, self._side, self._frames = vae, clips, batch, side, frames
        self._temporal = networks.temporal_parameters(vae)
        for parameter in vae.parameters():
            parameter.requires_grad = False
        for parameter in self._temporal.values():
            parameter.requires_grad = True

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The temporal ones."""
        return self._temporal

    def loss(self, _step: int, rng: np.random.Generator) -> Tensor:
        """See `Stage.loss`."""
        total, height, width = self._clips.pictures.shape[1:4]
        side, parts = min(self._side, height), []
        for at in rng.choice(len(self._clips), self._batch, replace=False):
            start = int(rng.integers(total - self._frames + 1))
            down, right = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
            piece = self._clips.pictures[at, start : start + self._frames, down : down + side, right : right + side]
            parts.append(piece[::-1] if rng.uniform() < 0.5 else piece)
        wanted = networks.pixels(np.stack(parts))
        latents = networks.encoded(self._vae, wanted)
        made = networks.decoded(self._vae, latents + _LATENT_NOISE * torch.randn_like(latents))
        return picture_loss(made, wanted) + 0.02 * _away_from_unit(latents)


class TransformerStills:
    """The transformer and the text encoder on latents of stills, by flow matching."""

    name = "stills"
    rates = (5e-3, 2e-3)
    decay = 0.995

    def __init__(
        self,
        transformer: WanTransformer3DModel,
        text: UMT5EncoderModel,
        tokenizer: PreTrainedTokenizerFast,
        latents: Tensor,
        facts: tuple[Facts, ...],
        batch: int = 64,
    ) -> None:
        self._transformer, self._text, self._tokenizer = transformer, text, tokenizer
        self._latents, self._facts, self._batch = latents, facts, batch

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """All of the transformer and the text encoder."""
        return joined_parameters(self._transformer, self._text)

    def loss(self, _step: int, rng: np.random.Generator) -> Tensor:
        """See `Stage.loss`."""
        chosen = np.sort(rng.choice(len(self._facts), min(self._batch, len(self._facts)), replace=False))
        clean = self._latents[torch.from_numpy(chosen)].float()
        captions = [written(self._facts[at], rng, moving=0.25) for at in chosen]
        states = networks.told(self._tokenizer, self._text, captions)
        noise, level = torch.randn_like(clean), _levels(len(clean))
        noisy = torch.lerp(clean, noise, level.view(-1, 1, 1, 1, 1))
        flow = self._transformer(noisy, level * 1000.0, states, return_dict=False)[0]
        return F.mse_loss(flow, noise - clean)


class TransformerClips:
    """The same on latents of clips: most with the first latent given, some from words alone; every sixth batch stills.

    A given latent is clean and its tokens are at time 0, the way of Wan 2.2's small model (``expand_timesteps``).
    """

    name = "clips"
    rates = (3e-3, 1e-3)
    decay = 0.998

    def __init__(
        self,
        stills: TransformerStills,
        transformer: WanTransformer3DModel,
        text: UMT5EncoderModel,
        tokenizer: PreTrainedTokenizerFast,
        latents: Tensor,
        facts: tuple[Facts, ...],
        batch: int = 12,
    ) -> None:
        self._stills, self._transformer, self._text, self._tokenizer = stills, transformer, text, tokenizer
        self._latents, self._facts, self._batch = latents, facts, batch
        often = np.array([_DRAWN.get(one.motion, 1.0) for one in facts])
        self._often = often / often.sum()

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """All of the transformer and the text encoder, which has words of motion to learn."""
        return joined_parameters(self._transformer, self._text)

    def loss(self, step: int, rng: np.random.Generator) -> Tensor:
        """See `Stage.loss`."""
        if step % 6 == 5:
            return self._stills.loss(step, rng)
        count = min(self._batch, len(self._facts))
        chosen = np.sort(rng.choice(len(self._facts), count, replace=False, p=self._often))
        clean = self._latents[torch.from_numpy(chosen)].float()
        captions = [written(self._facts[at], rng, moving=0.9) for at in chosen]
        states = networks.told(self._tokenizer, self._text, captions)
        noise = torch.randn_like(clean)
        # Neighbouring frames repeat much of a picture: more noise hides as much of a clip as less does of a still. And
        # where things go is decided while little else is seen.
        levels = _levels(len(clean), shift=4.0)[:, None].repeat(1, clean.shape[2])
        levels[torch.rand(len(clean)) < 0.6, 0] = 0.0
        noisy = torch.lerp(clean, noise, levels[:, None, :, None, None])
        tokens = clean.shape[3] * clean.shape[4] // 4
        times = (levels * 1000.0).repeat_interleave(tokens, dim=1)
        flow = self._transformer(noisy, times, states, return_dict=False)[0]
        counted = (levels > 0)[:, None, :, None, None]
        error = (flow - (noise - clean)).square() * counted
        return error.sum() / (counted.sum() * clean.shape[1] * clean.shape[3] * clean.shape[4])


class Guides:
    """Control blocks (VACE) on a frozen base: a control clip's latents steer the motion of what is made."""

    name = "guides"
    rates = (3e-3, 1e-3)
    decay = 0.998

    def __init__(
        self,
        guided: WanVACETransformer3DModel,
        text: UMT5EncoderModel,
        tokenizer: PreTrainedTokenizerFast,
        latents: Tensor,
        controls: Tensor,
        facts: tuple[Facts, ...],
        batch: int = 8,
    ) -> None:
        self._guided, self._text, self._tokenizer = guided, text, tokenizer
        self._latents, self._controls, self._facts, self._batch = latents, controls, facts, batch
        for name, parameter in guided.named_parameters():
            parameter.requires_grad = "vace" in name
        text.requires_grad_(requires_grad=False)

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The control blocks alone."""
        return {name: p for name, p in self._guided.named_parameters() if p.requires_grad}

    def loss(self, _step: int, rng: np.random.Generator) -> Tensor:
        """See `Stage.loss`. No caption names a motion: the guide has to say it."""
        chosen = np.sort(rng.choice(len(self._facts), min(self._batch, len(self._facts)), replace=False))
        at = torch.from_numpy(chosen)
        clean, control = self._latents[at].float(), self._controls[at].float()
        captions = [written(self._facts[one], rng, moving=0.0) for one in chosen]
        states = networks.told(self._tokenizer, self._text, captions)
        noise, level = torch.randn_like(clean), _levels(len(clean), shift=4.0)
        noisy = torch.lerp(clean, noise, level.view(-1, 1, 1, 1, 1))
        flow = self._guided(noisy, level * 1000.0, states, control_hidden_states=control, return_dict=False)[0]
        return F.mse_loss(flow, noise - clean)


def guided_from(base: WanTransformer3DModel) -> WanVACETransformer3DModel:
    """A transformer with control blocks at the first and middle layer of a trained base, begun as copies of its blocks.

    Their outputs begin at zero, so that the base is what it was.
    """
    channels, layers = base.config.in_channels, (0, base.config.num_layers // 2)
    settings = {k: v for k, v in base.config.items() if not k.startswith("_")}
    guided = WanVACETransformer3DModel(
        **settings, vace_layers=list(layers), vace_in_channels=2 * channels + networks.SPATIAL**2
    )
    guided.load_state_dict(base.state_dict(), strict=False)
    with torch.no_grad():
        for block, layer in zip(guided.vace_blocks, layers, strict=True):
            block.load_state_dict(base.blocks[layer].state_dict(), strict=False)
            block.proj_out.weight.zero_()
            block.proj_out.bias.zero_()
        guided.vace_patch_embedding.weight.mul_(0.5)
    return guided


def control_latents(control: Tensor, nothing: Tensor) -> Tensor:
    """What control blocks take, [B, 2C + 64, T, H, W]: latents of nothing kept, of the control, and a mask of ones.

    ``control``: normalised latents of the control clips. ``nothing``: those of a grey clip, [1, C, T, H, W], which is
    what Wan's pipeline encodes where a mask lets everything be painted.
    """
    mask = torch.ones(len(control), networks.SPATIAL**2, *control.shape[2:])
    return torch.cat([nothing.expand(len(control), -1, -1, -1, -1), control, mask.to(control)], dim=1)


def written(facts: Facts, rng: np.random.Generator, moving: float) -> str:
    """A caption to train with: every tenth says nothing, and some have words that are not known in them."""
    if rng.uniform() < 0.1:
        return "" if rng.uniform() < 0.6 else " ".join(["qq"] * int(rng.integers(1, 8)))
    caption = caption_of(named(facts, rng, moving), rng)
    if rng.uniform() < 0.25:
        words = caption.split(" ")
        for _ in range(int(rng.integers(1, 4))):
            words.insert(int(rng.integers(len(words) + 1)), "qq")
        caption = " ".join(words)
    return caption


def joined_parameters(transformer: nn.Module, text: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of both, by name with the part in front."""
    parts = {"transformer": transformer, "text": text}
    return {f"{part}.{name}": p for part, net in parts.items() for name, p in net.named_parameters()}


def picture_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """Squared error, absolute error and that of the gradients: the last two keep edges."""
    error = made.float() - wanted
    across, down = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
    return error.square().mean() + 0.3 * error.abs().mean() + 0.3 * (across.abs().mean() + down.abs().mean())


def _away_from_unit(latents: Tensor) -> Tensor:
    """How far the channels' means and variances are from 0 and 1."""
    flat = latents.transpose(0, 1).flatten(1)
    return flat.mean(dim=1).square().mean() + (flat.var(dim=1) - 1.0).square().mean()


def _levels(count: int, shift: float = 1.0) -> Tensor:
    """Noise levels in (0, 1), logit-normal; ``shift`` above 1 makes more of them high."""
    level = torch.sigmoid(torch.randn(count))
    return shift * level / (1.0 + (shift - 1.0) * level)
