"""The networks of the embedded model: one small Wan family, and how its parts begin.

An autoencoder (8 × 8 pixels and 4 frames to a latent of 16 channels), a text encoder with a tokenizer of its own, and a
transformer that denoises. One frame is a still: its causal convolutions see zeros before it, so only their last
temporal tap counts. The other taps begin at zero and the temporal convolutions begin as copies, so that a clip's latent
k begins as the still latent of its frame 4k; training clips moves those taps alone and leaves stills as they are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, WanResample, WanResidualBlock
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from ancestra_farm.models.embedded.words import TOKENS, vocabulary

#: Pixels of a latent's side, and frames of a latent after the first.
SPATIAL, TEMPORAL = 8, 4


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the networks are. The defaults ship; tests train smaller ones."""

    encoder: int = 24
    decoder: int = 32
    channels: int = 16
    layers: int = 6
    heads: int = 6
    head: int = 32
    ffn: int = 512
    text: int = 96
    text_layers: int = 2


#: Sizes at which a stage takes seconds.
TINY = Sizes(encoder=8, decoder=8, channels=4, layers=2, heads=2, head=12, ffn=32, text=16, text_layers=1)


def new_autoencoder(sizes: Sizes) -> AutoencoderKLWan:
    """An untrained autoencoder, its temporal taps at rest (see the module's first paragraph)."""
    vae = AutoencoderKLWan(
        base_dim=sizes.encoder,
        decoder_base_dim=sizes.decoder,
        z_dim=sizes.channels,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        latents_mean=[0.0] * sizes.channels,
        latents_std=[1.0] * sizes.channels,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_temporal=TEMPORAL,
        scale_factor_spatial=SPATIAL,
    )
    with torch.no_grad():
        for module in vae.modules():
            if isinstance(module, WanCausalConv3d) and module.kernel_size == (3, 3, 3):
                # One tap of three is used at first: as strong as a 2D convolution's.
                module.weight[:, :, -1] *= 3**0.5
                module.weight[:, :, :-1] = 0.0
        for module in vae.modules():
            if isinstance(module, WanResample) and hasattr(module, "time_conv"):
                _as_copy(module.time_conv)
            if isinstance(module, WanResidualBlock):
                module.conv2.weight *= 0.3
        # The variance half of the posterior is never used: the mean is the latent.
        vae.quant_conv.weight[sizes.channels :] = 0.0
        vae.quant_conv.bias[sizes.channels :] = -20.0
    return vae


def new_transformer(sizes: Sizes) -> WanTransformer3DModel:
    """An untrained transformer; its output begins at zero."""
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=sizes.heads,
        attention_head_dim=sizes.head,
        in_channels=sizes.channels,
        out_channels=sizes.channels,
        text_dim=sizes.text,
        freq_dim=64,
        ffn_dim=sizes.ffn,
        num_layers=sizes.layers,
        rope_max_seq_len=64,
    )
    with torch.no_grad():
        transformer.proj_out.weight.zero_()
        transformer.proj_out.bias.zero_()
    return transformer


def new_text_encoder(sizes: Sizes) -> UMT5EncoderModel:
    """An untrained text encoder for the vocabulary; it learns together with the transformer."""
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=len(vocabulary()) + len(_SPECIAL),
            d_model=sizes.text,
            d_kv=16,
            d_ff=2 * sizes.text,
            num_layers=sizes.text_layers,
            num_heads=max(sizes.text // 16, 1),
            relative_attention_num_buckets=16,
            relative_attention_max_distance=32,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
        )
    )


_SPECIAL = ("<pad>", "</s>", "<unk>")


def new_tokenizer() -> PreTrainedTokenizerFast:
    """Words to ids: one token a word, lower case; words that are not known share a token; punctuation is nothing."""
    ids = {word: at for at, word in enumerate((*_SPECIAL, *vocabulary()))}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))  # noqa: S106 - a token of text
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[a-z]+(?:-[a-z]+)*"), "removed", invert=True)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", ids["</s>"])])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",  # noqa: S106
        eos_token="</s>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        model_max_length=TOKENS,
        model_input_names=["input_ids", "attention_mask"],
    )


def new_scheduler(shift: float = 1.0) -> UniPCMultistepScheduler:
    """A second-order solver of the flow. ``shift``: above 1 spends more steps where there is more noise."""
    return UniPCMultistepScheduler(
        num_train_timesteps=1000,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=shift,
        solver_order=2,
    )


def told(tokenizer: PreTrainedTokenizerFast, encoder: UMT5EncoderModel, captions: list[str]) -> Tensor:
    """Text states [B, TOKENS, text], zero past each text's end, as Wan's pipelines make them."""
    found = tokenizer(captions, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt")
    states = encoder(found.input_ids, found.attention_mask).last_hidden_state
    return states * found.attention_mask[..., None]


def pixels(pictures: NDArray[np.uint8]) -> Tensor:
    """uint8 [B, T, H, W, 3] (or [B, H, W, 3], stills) to float [B, 3, T, H, W] in [−1, 1]."""
    values = torch.from_numpy(np.array(pictures))  # a copy: sets are mapped read-only
    values = values[:, None] if values.ndim == 4 else values
    return values.permute(0, 4, 1, 2, 3).float().mul_(2.0 / 255.0).sub_(1.0)


def encoded(vae: AutoencoderKLWan, clip: Tensor) -> Tensor:
    """The latents of clips [B, 3, T, H, W] before normalisation: [B, C, 1 + (T − 1) / 4, H / 8, W / 8]."""
    return vae.encode(clip).latent_dist.mode()


def decoded(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """Clips from latents, as `AutoencoderKLWan.decode` does but unclamped: past the clamp nothing would be learnt."""
    vae.clear_cache()
    states = vae.post_quant_conv(latents)
    parts = []
    for frame in range(latents.shape[2]):
        vae._conv_idx = [0]
        parts.append(
            vae.decoder(
                states[:, :, frame : frame + 1],
                feat_cache=vae._feat_map,
                feat_idx=vae._conv_idx,
                first_chunk=frame == 0,
            )
        )
    vae.clear_cache()
    return _unpatched(torch.cat(parts, dim=2), vae.config.patch_size)


def normalised(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """Latents at mean 0 and variance 1 a channel, by the autoencoder's own figures."""
    mean, std = (torch.tensor(v).view(1, -1, 1, 1, 1) for v in (vae.config.latents_mean, vae.config.latents_std))
    return (latents - mean.to(latents)) / std.to(latents)


def set_scale(vae: AutoencoderKLWan, latents: Tensor) -> None:
    """Write mean and deviation of ``latents`` [B, C, T, H, W] into the autoencoder's configuration."""
    flat = latents.float().transpose(0, 1).flatten(1)
    vae.register_to_config(
        latents_mean=[round(float(v), 4) for v in flat.mean(dim=1)],
        latents_std=[round(max(float(v), 1e-3), 4) for v in flat.std(dim=1)],
    )


@contextmanager
def single_frames(vae: nn.Module) -> Iterator[None]:
    """Within this, single frames go through 2D convolutions of the last tap: equal to 1e-6, at a third of the cost."""
    convolutions = [module for module in vae.modules() if isinstance(module, WanCausalConv3d)]
    for convolution in convolutions:
        convolution.forward = partial(_flat, convolution)
    try:
        yield
    finally:
        for convolution in convolutions:
            del convolution.forward


def temporal_parameters(vae: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that only clips use: the earlier taps of 3 × 3 × 3 convolutions, and the temporal convolutions.

    Gradients of the last taps are set to zero by a hook, so that stills stay what they are.
    """
    found: dict[str, nn.Parameter] = {}
    for name, module in vae.named_modules():
        if isinstance(module, WanCausalConv3d) and module.kernel_size[0] == 3:
            found[f"{name}.weight"] = module.weight
            if module.kernel_size == (3, 3, 3):
                module.weight.register_hook(_without_last_tap)
            else:
                found[f"{name}.bias"] = module.bias
    return found


def _without_last_tap(gradient: Tensor) -> Tensor:
    kept = gradient.clone()
    kept[:, :, -1] = 0.0
    return kept


def _flat(convolution: WanCausalConv3d, x: Tensor, cache_x: Tensor | None = None) -> Tensor:
    if x.shape[2] != 1 or cache_x is not None or convolution.kernel_size == (3, 1, 1):
        return WanCausalConv3d.forward(convolution, x, cache_x)
    across, _, down = convolution._padding[0], None, convolution._padding[2]
    out = F.conv2d(
        x[:, :, 0], convolution.weight[:, :, -1], convolution.bias, convolution.stride[1:], padding=(down, across)
    )
    return out[:, :, None]


def _as_copy(convolution: WanCausalConv3d) -> None:
    """Make a temporal convolution hand on the newest frame, as often as it has outputs for an input."""
    out, into = convolution.weight.shape[:2]
    convolution.weight.zero_()
    convolution.bias.zero_()
    for channel in range(out):
        convolution.weight[channel, channel % into, -1] = 1.0


def _unpatched(values: Tensor, patch: int) -> Tensor:
    """[B, C·p·p, T, H, W] to [B, C, T, H·p, W·p], in diffusers' order of channels."""
    batch, channels, frames, height, width = values.shape
    parted = values.view(batch, channels // (patch * patch), patch, patch, frames, height, width)
    return parted.permute(0, 1, 4, 5, 3, 6, 2).reshape(batch, -1, frames, height * patch, width * patch)
