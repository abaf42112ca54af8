"""Pipelines that make clips, with a few thousand random weights each: components by the family of a class."""

from typing import Any

from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLHunyuanVideo,
    AutoencoderKLLTX2Audio,
    AutoencoderKLLTX2Video,
    AutoencoderKLLTXVideo,
    AutoencoderKLTemporalDecoder,
    AutoencoderKLWan,
    CogVideoXDDIMScheduler,
    CogVideoXTransformer3DModel,
    ControlNetModel,
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideoTransformer3DModel,
    LTX2VideoTransformer3DModel,
    LTXVideoTransformer3DModel,
    MotionAdapter,
    UNetSpatioTemporalConditionModel,
    WanTransformer3DModel,
    WanVACETransformer3DModel,
)
from diffusers.pipelines.ltx2 import LTX2TextConnectors
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

from tests.models.diffusion import tiny_words as words
from tests.models.diffusion.tiny_stills import noise_schedule, picture_vae, unet

_LATENT = 4


def _wan(transformer: Any, **vae: Any) -> dict[str, Any]:
    tokenizer = words.t5_tokenizer()
    latent = vae.pop("z_dim", _LATENT)
    return {
        "tokenizer": tokenizer,
        "text_encoder": words.umt5_encoder(len(tokenizer)),
        "vae": AutoencoderKLWan(
            base_dim=4,
            z_dim=latent,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            latents_mean=[0.0] * latent,
            latents_std=[1.0] * latent,
            **vae,
        ),
        "transformer": transformer,
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
    }


def _wan_sizes(latent: int = _LATENT, **config: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "patch_size": (1, 2, 2),
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "in_channels": latent,
        "out_channels": latent,
        "text_dim": words.WIDTH,
        "freq_dim": 32,
        "ffn_dim": 32,
        "num_layers": 1,
        "rope_max_seq_len": 64,
    }
    return {**settings, **config}


def wan(*, together: bool = True) -> dict[str, Any]:
    """Of WanPipeline, or without its second transformer's place (``together`` false) WanVideoToVideoPipeline."""
    return {**_wan(WanTransformer3DModel(**_wan_sizes())), **({"transformer_2": None} if together else {})}


def wan_two() -> dict[str, Any]:
    """Of WanPipeline as in Wan 2.2: one transformer for the noisy steps, another for the last ones."""
    second = WanTransformer3DModel(**_wan_sizes())
    return {**_wan(WanTransformer3DModel(**_wan_sizes())), "transformer_2": second, "boundary_ratio": 0.875}


def wan_first_latent() -> dict[str, Any]:
    """Of WanPipeline and WanImageToVideoPipeline as in Wan 2.2 TI2V: the first latent is the picture, kept clean."""
    transformer = WanTransformer3DModel(**_wan_sizes())
    return {**_wan(transformer), "transformer_2": None, "expand_timesteps": True}


def wan_image() -> dict[str, Any]:
    """Of WanImageToVideoPipeline as in Wan 2.2: frames stand in extra channels, beside four of a mask."""
    transformer = WanTransformer3DModel(**_wan_sizes(in_channels=2 * _LATENT + 4))
    return {**_wan(transformer), "transformer_2": None, "image_encoder": None, "image_processor": None}


def wan_seen(pictures: int) -> dict[str, Any]:
    """Of WanImageToVideoPipeline as in Wan 2.1, which also sees the picture, or both of two, through CLIP."""
    tokens = pictures * ((32 // 8) ** 2 + 1)
    config = _wan_sizes(in_channels=2 * _LATENT + 4, image_dim=16, pos_embed_seq_len=tokens if pictures > 1 else None)
    return {
        **_wan(WanTransformer3DModel(**config)),
        "transformer_2": None,
        "image_encoder": words.clip_vision(32, 8, width=16),
        "image_processor": words.clip_pictures(32),
    }


def wan_vace() -> dict[str, Any]:
    """Of WanVACEPipeline: 8 × 8 mask channels beside the video's painted and kept latents."""
    config = _wan_sizes(num_layers=2, vace_layers=[0, 1], vace_in_channels=2 * _LATENT + 64)
    return {**_wan(WanVACETransformer3DModel(**config)), "transformer_2": None}


def ltx() -> dict[str, Any]:
    """Of LTXPipeline and those with pictures and conditions: 32 pixels and 8 frames to a latent."""
    tokenizer, latent = words.t5_tokenizer(), 8
    levels = (True, True, True, False)
    return {
        "tokenizer": tokenizer,
        "text_encoder": words.t5_encoder(len(tokenizer)),
        "vae": AutoencoderKLLTXVideo(
            latent_channels=latent,
            block_out_channels=(8, 8, 8, 8),
            decoder_block_out_channels=(8, 8, 8, 8),
            layers_per_block=(1, 1, 1, 1, 1),
            decoder_layers_per_block=(1, 1, 1, 1, 1),
            spatio_temporal_scaling=levels,
            decoder_spatio_temporal_scaling=levels,
            patch_size=4,
            patch_size_t=1,
        ),
        "transformer": LTXVideoTransformer3DModel(
            in_channels=latent,
            out_channels=latent,
            num_attention_heads=2,
            attention_head_dim=16,
            cross_attention_dim=32,
            num_layers=1,
            caption_channels=words.WIDTH,
        ),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }


def ltx2() -> dict[str, Any]:
    """Of LTX2Pipeline and its image-to-video: clips with sound; 8 pixels and 2 frames to a latent."""
    tokenizer = words.gemma_tokenizer()
    sound = AutoencoderKLLTX2Audio(
        base_channels=4,
        output_channels=2,
        ch_mult=(1,),
        num_res_blocks=1,
        in_channels=2,
        resolution=32,
        latent_channels=2,
        sample_rate=16000,
        mel_hop_length=160,
        mel_bins=8,
    )
    return {
        "tokenizer": tokenizer,
        "text_encoder": words.gemma(len(tokenizer)),
        "connectors": LTX2TextConnectors(
            caption_channels=words.QWEN_WIDTH,
            text_proj_in_factor=3,
            video_connector_num_attention_heads=2,
            video_connector_attention_head_dim=8,
            video_connector_num_layers=1,
            video_connector_num_learnable_registers=None,
            audio_connector_num_attention_heads=2,
            audio_connector_attention_head_dim=8,
            audio_connector_num_layers=1,
            audio_connector_num_learnable_registers=None,
            connector_rope_base_seq_len=32,
            rope_double_precision=False,
            rope_type="split",
        ),
        "vae": AutoencoderKLLTX2Video(
            latent_channels=4,
            block_out_channels=(8,),
            decoder_block_out_channels=(8,),
            layers_per_block=(1,),
            decoder_layers_per_block=(1, 1),
            spatio_temporal_scaling=(True,),
            decoder_spatio_temporal_scaling=(True,),
            decoder_inject_noise=(False, False),
            downsample_type=("spatiotemporal",),
            upsample_type=("spatiotemporal",),
            upsample_residual=(False,),
            upsample_factor=(1,),
            patch_size=4,
            patch_size_t=1,
            decoder_causal=False,
        ),
        "audio_vae": sound,
        "transformer": LTX2VideoTransformer3DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            cross_attention_dim=16,
            audio_in_channels=4,
            audio_out_channels=4,
            audio_num_attention_heads=2,
            audio_attention_head_dim=4,
            audio_cross_attention_dim=8,
            num_layers=1,
            caption_channels=words.QWEN_WIDTH,
            rope_double_precision=False,
            rope_type="split",
        ),
        "vocoder": LTX2Vocoder(
            in_channels=16,
            hidden_channels=16,
            out_channels=2,
            upsample_kernel_sizes=[4, 4],
            upsample_factors=[2, 2],
            resnet_kernel_sizes=[3],
            resnet_dilations=[[1, 3, 5]],
            output_sampling_rate=16000,
        ),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }


def cogvideox(*, pictures: bool) -> dict[str, Any]:
    """Of CogVideoXPipeline, or with ``pictures`` of its image-to-video, which takes 64 × 32 pixels only."""
    tokenizer, latent = words.t5_tokenizer(), 4
    return {
        "tokenizer": tokenizer,
        "text_encoder": words.t5_encoder(len(tokenizer)),
        "vae": AutoencoderKLCogVideoX(
            block_out_channels=(8, 8, 8, 8),
            layers_per_block=1,
            latent_channels=latent,
            norm_num_groups=4,
            temporal_compression_ratio=4,
            sample_height=32,
            sample_width=64,
        ),
        "transformer": CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=2 * latent if pictures else latent,
            out_channels=latent,
            time_embed_dim=16,
            text_embed_dim=words.WIDTH,
            num_layers=1,
            sample_width=8,
            sample_height=4,
            sample_frames=9,
            patch_size=2,
            max_text_seq_length=32,
            use_rotary_positional_embeddings=True,
            use_learned_positional_embeddings=pictures,
        ),
        "scheduler": CogVideoXDDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True),
    }


def hunyuan_video(*, pictures: bool) -> dict[str, Any]:
    """Of HunyuanVideoPipeline, or with ``pictures`` of its image-to-video."""
    tokenizer, tokenizer_2, latent = words.llama_tokenizer(), words.clip_tokenizer(), 4
    components = {
        "tokenizer": tokenizer,
        "text_encoder": words.llava(tokenizer) if pictures else words.llama(len(tokenizer)),
        "tokenizer_2": tokenizer_2,
        "text_encoder_2": words.clip_text(tokenizer_2, width=16),
        "vae": AutoencoderKLHunyuanVideo(
            latent_channels=latent,
            block_out_channels=(8, 8, 8, 8),
            layers_per_block=1,
            norm_num_groups=4,
        ),
        "transformer": HunyuanVideoTransformer3DModel(
            in_channels=2 * latent + 1 if pictures else latent,
            out_channels=latent,
            num_attention_heads=2,
            attention_head_dim=16,
            num_layers=1,
            num_single_layers=1,
            num_refiner_layers=1,
            patch_size=2,
            guidance_embeds=not pictures,
            text_embed_dim=words.WIDTH,
            pooled_projection_dim=16,
            rope_axes_dim=(4, 6, 6),
            image_condition_type="latent_concat" if pictures else None,
        ),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=7.0),
    }
    return {**components, "image_processor": words.clip_pictures(336)} if pictures else components


def stable_video_diffusion() -> dict[str, Any]:
    """Of StableVideoDiffusionPipeline, whose picture encoder must be for 224 pixels: the pipeline resizes to that."""
    return {
        "vae": AutoencoderKLTemporalDecoder(
            block_out_channels=(32,) * 4,
            down_block_types=("DownEncoderBlock2D",) * 4,
            layers_per_block=1,
            latent_channels=4,
        ),
        "image_encoder": words.clip_vision(224, 32),
        "unet": UNetSpatioTemporalConditionModel(
            sample_size=4,
            block_out_channels=(32, 64),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            num_attention_heads=(2, 4),
            cross_attention_dim=words.WIDTH,
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=24,
            num_frames=5,
        ),
        "scheduler": EulerDiscreteScheduler(
            prediction_type="v_prediction",
            interpolation_type="linear",
            timestep_spacing="leading",
            timestep_type="continuous",
            sigma_min=0.002,
            sigma_max=700.0,
            use_karras_sigmas=True,
            **noise_schedule(),
        ),
        "feature_extractor": words.clip_pictures(224),
    }


def animatediff(*, control: bool = False) -> dict[str, Any]:
    """Of AnimateDiffPipeline and its video-to-video, and those with ``control``."""
    tokenizer = words.clip_tokenizer()
    components = {
        "vae": picture_vae(),
        "text_encoder": words.clip_text(tokenizer),
        "tokenizer": tokenizer,
        "unet": unet(),
        "motion_adapter": MotionAdapter(
            block_out_channels=(8, 16),
            motion_layers_per_block=1,
            motion_num_attention_heads=2,
            motion_norm_num_groups=4,
        ),
        "scheduler": DDIMScheduler(
            clip_sample=False, timestep_spacing="linspace", **{**noise_schedule(), "beta_schedule": "linear"}
        ),
    }
    if control:
        components["controlnet"] = ControlNetModel(
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            attention_head_dim=4,
            cross_attention_dim=words.WIDTH,
            norm_num_groups=4,
            conditioning_embedding_out_channels=(8, 8, 8, 8),
        )
    return components


#: Components by the name of the pipeline class, and a variant's after a colon.
CLIPS = {
    "WanPipeline": wan,
    "WanPipeline:two": wan_two,
    "WanPipeline:first_latent": wan_first_latent,
    "WanVideoToVideoPipeline": lambda: wan(together=False),
    "WanImageToVideoPipeline": wan_image,
    "WanImageToVideoPipeline:first_latent": wan_first_latent,
    "WanImageToVideoPipeline:seen": lambda: wan_seen(1),
    "WanImageToVideoPipeline:seen_both": lambda: wan_seen(2),
    "WanVACEPipeline": wan_vace,
    "LTXPipeline": ltx,
    "LTXImageToVideoPipeline": ltx,
    "LTXConditionPipeline": ltx,
    "LTX2Pipeline": ltx2,
    "LTX2ImageToVideoPipeline": ltx2,
    "CogVideoXPipeline": lambda: cogvideox(pictures=False),
    "CogVideoXVideoToVideoPipeline": lambda: cogvideox(pictures=False),
    "CogVideoXImageToVideoPipeline": lambda: cogvideox(pictures=True),
    "HunyuanVideoPipeline": lambda: hunyuan_video(pictures=False),
    "HunyuanVideoImageToVideoPipeline": lambda: hunyuan_video(pictures=True),
    "StableVideoDiffusionPipeline": stable_video_diffusion,
    "AnimateDiffPipeline": animatediff,
    "AnimateDiffVideoToVideoPipeline": animatediff,
    "AnimateDiffControlNetPipeline": lambda: animatediff(control=True),
    "AnimateDiffVideoToVideoControlNetPipeline": lambda: animatediff(control=True),
}
