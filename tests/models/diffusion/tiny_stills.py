"""Pipelines that make stills, with a few thousand random weights each: components by the family of a class."""

from typing import Any

from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2Transformer2DModel,
    FluxTransformer2DModel,
    QwenImageTransformer2DModel,
    UNet2DConditionModel,
    ZImageTransformer2DModel,
)

from tests.models.diffusion import tiny_words as words


def picture_vae(latent: int = 4, blocks: int = 4, **config: Any) -> AutoencoderKL:
    """A picture autoencoder; each block but the first halves both sides: 8 pixels to a latent with 4 blocks."""
    return AutoencoderKL(
        block_out_channels=(8,) * blocks,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=1,
        latent_channels=latent,
        norm_num_groups=4,
        sample_size=32,
        **config,
    )


def unet(**config: Any) -> UNet2DConditionModel:
    """The UNet of Stable Diffusion with two levels."""
    settings: dict[str, Any] = {
        "sample_size": 4,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": 4,
        "cross_attention_dim": words.WIDTH,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**{**settings, **config})


def noise_schedule() -> dict[str, Any]:
    """Stable Diffusion's."""
    return {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def stable_diffusion() -> dict[str, Any]:
    """Of StableDiffusionPipeline and its image-to-image."""
    tokenizer = words.clip_tokenizer()
    return {
        "vae": picture_vae(),
        "text_encoder": words.clip_text(tokenizer),
        "tokenizer": tokenizer,
        "unet": unet(),
        "scheduler": DDIMScheduler(clip_sample=False, set_alpha_to_one=False, **noise_schedule()),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def stable_diffusion_xl() -> dict[str, Any]:
    """Of StableDiffusionXLPipeline and its image-to-image: two text encoders, size and crop as inputs."""
    tokenizer = words.clip_tokenizer()
    return {
        "vae": picture_vae(),
        "text_encoder": words.clip_text(tokenizer),
        "tokenizer": tokenizer,
        "text_encoder_2": words.clip_text(tokenizer, projected=True),
        "tokenizer_2": words.clip_tokenizer(),
        "unet": unet(
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + words.WIDTH,
            cross_attention_dim=2 * words.WIDTH,
        ),
        "scheduler": EulerDiscreteScheduler(timestep_spacing="leading", **noise_schedule()),
    }


def flux() -> dict[str, Any]:
    """Of FluxPipeline and its image-to-image, with guidance as an input of the model."""
    tokenizer, tokenizer_2 = words.clip_tokenizer(), words.t5_tokenizer()
    return {
        "vae": picture_vae(
            4, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1159, scaling_factor=0.3611
        ),
        "text_encoder": words.clip_text(tokenizer),
        "tokenizer": tokenizer,
        "text_encoder_2": words.t5_encoder(len(tokenizer_2)),
        "tokenizer_2": tokenizer_2,
        "transformer": FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=words.WIDTH,
            pooled_projection_dim=words.WIDTH,
            guidance_embeds=True,
            axes_dims_rope=(4, 6, 6),
        ),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }


def flux2_klein() -> dict[str, Any]:
    """Of Flux2KleinPipeline, which reads layers 9, 18 and 27 of its text encoder."""
    tokenizer = words.qwen_tokenizer()
    return {
        "vae": AutoencoderKLFlux2(
            block_out_channels=(8,) * 4,
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=32,
        ),
        "text_encoder": words.qwen3(len(tokenizer), causal=True, layers=28),
        "tokenizer": tokenizer,
        "transformer": Flux2Transformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=3 * words.QWEN_WIDTH,
            timestep_guidance_channels=32,
            axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=False,
        ),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }


def z_image() -> dict[str, Any]:
    """Of ZImagePipeline and its image-to-image."""
    tokenizer = words.qwen_tokenizer()
    return {
        "vae": picture_vae(4, shift_factor=0.1159, scaling_factor=0.3611),
        "text_encoder": words.qwen3(len(tokenizer)),
        "tokenizer": tokenizer,
        "transformer": ZImageTransformer2DModel(
            in_channels=4,
            dim=32,
            n_layers=1,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=words.QWEN_WIDTH,
            axes_dims=[8, 4, 4],
            axes_lens=[1024, 32, 32],
        ),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }


def qwen_image() -> dict[str, Any]:
    """Of QwenImagePipeline and its image-to-image."""
    tokenizer = words.qwen_tokenizer()
    return {
        "vae": AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=4,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        "text_encoder": words.qwen_vl(len(tokenizer)),
        "tokenizer": tokenizer,
        "transformer": QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=words.QWEN_WIDTH,
            axes_dims_rope=(8, 4, 4),
        ),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }


def upscale() -> dict[str, Any]:
    """Of StableDiffusionUpscalePipeline: four times the size, four pixels to a latent."""
    tokenizer = words.clip_tokenizer()
    return {
        "vae": picture_vae(blocks=3, scaling_factor=0.08333),
        "text_encoder": words.clip_text(tokenizer),
        "tokenizer": tokenizer,
        "unet": unet(in_channels=7, num_class_embeds=1000),
        "low_res_scheduler": DDPMScheduler(),
        "scheduler": DDIMScheduler(prediction_type="v_prediction", clip_sample=False, **noise_schedule()),
        "max_noise_level": 350,
    }


#: Components by the name of the pipeline class.
STILLS = {
    "StableDiffusionPipeline": stable_diffusion,
    "StableDiffusionImg2ImgPipeline": stable_diffusion,
    "StableDiffusionXLPipeline": stable_diffusion_xl,
    "StableDiffusionXLImg2ImgPipeline": stable_diffusion_xl,
    "FluxPipeline": flux,
    "FluxImg2ImgPipeline": flux,
    "Flux2KleinPipeline": flux2_klein,
    "ZImagePipeline": z_image,
    "ZImageImg2ImgPipeline": z_image,
    "QwenImagePipeline": qwen_image,
    "QwenImageImg2ImgPipeline": qwen_image,
    "StableDiffusionUpscalePipeline": upscale,
}
