"""Stable Diffusion XL with random weights, in three sizes, and looks for it: to measure what running a model costs."""

import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tokenizers are those of the tests

UNETS: dict[str, dict[str, Any]] = {
    "tiny": {"sample_size": 8, "block_out_channels": (32, 64), "layers_per_block": 1, "attention_head_dim": (2, 4)},
    "small": {"sample_size": 16, "block_out_channels": (96, 192), "layers_per_block": 2, "attention_head_dim": (3, 6)},
    # Podell et al., "SDXL" (2023), as its published configuration has it
    "sdxl": {
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "layers_per_block": 2,
        "attention_head_dim": (5, 10, 20),
        "transformer_layers_per_block": (1, 2, 10),
    },
}
#: Width, layers and heads of both text encoders.
ENCODERS = {"tiny": ((32, 2, 4),) * 2, "small": ((64, 4, 4),) * 2, "sdxl": ((768, 12, 12), (1280, 32, 20))}
VAES = {"tiny": (8, 8, 16, 16), "small": (32, 32, 64, 64), "sdxl": (128, 256, 512, 512)}


def save_model(size: str, device: str, dtype: str, pixels: int, folder: Path) -> int:
    """Draw the weights and save them as diffusers does; how many there are."""
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from tests.models.diffusion.tiny_words import clip_tokenizer

    torch.manual_seed(7)
    tokenizer = clip_tokenizer()
    configs = [
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            projection_dim=width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        for width, layers, heads in ENCODERS[size]
    ]
    unet = UNETS[size]
    levels = len(unet["block_out_channels"])
    pooled, ids = configs[1].projection_dim, 256 if size == "sdxl" else 8
    with torch.device(device):
        models = {
            "text_encoder": CLIPTextModel(configs[0]),
            "text_encoder_2": CLIPTextModelWithProjection(configs[1]),
            "unet": UNet2DConditionModel(
                down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (levels - 1),
                up_block_types=("CrossAttnUpBlock2D",) * (levels - 1) + ("UpBlock2D",),
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=ids,
                projection_class_embeddings_input_dim=6 * ids + pooled,
                cross_attention_dim=configs[0].hidden_size + configs[1].hidden_size,
                norm_num_groups=8 if size == "tiny" else 32,
                **unet,
            ),
            "vae": AutoencoderKL(
                block_out_channels=VAES[size],
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                layers_per_block=2 if size == "sdxl" else 1,
                latent_channels=4,
                norm_num_groups=4 if size == "tiny" else 32,
                sample_size=pixels,
                scaling_factor=0.13025,
                force_upcast=False,
            ),
        }
    pipeline = StableDiffusionXLPipeline(
        **{name: model.to(getattr(torch, dtype)).eval() for name, model in models.items()},
        tokenizer=tokenizer,
        tokenizer_2=clip_tokenizer(),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            steps_offset=1,
        ),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    return sum(weight.numel() for model in models.values() for weight in model.parameters())


def save_look(dtype: str, model: Path, folder: Path, seed: int) -> Path:
    """A look of rank 8 on the attention of the model, drawn at random, as a file of safetensors."""
    from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    torch.manual_seed(seed)
    unet = UNet2DConditionModel.from_pretrained(model, subfolder="unet", dtype=getattr(torch, dtype))
    layers = ["to_q", "to_k", "to_v", "to_out.0"]
    unet.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=layers, init_lora_weights=False))
    StableDiffusionXLPipeline.save_lora_weights(
        folder, unet_lora_layers=get_peft_model_state_dict(unet), safe_serialization=True
    )
    return folder / "pytorch_lora_weights.safetensors"
