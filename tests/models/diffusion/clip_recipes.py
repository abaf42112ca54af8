"""Cards of tiny clip pipelines, recipes for them, and the pictures, clips and guides that these start from."""

from fractions import Fraction

import numpy as np

from ancestra_farm.batch.card import INPUTS_OF_ROLE, ModelCard
from ancestra_farm.models.diffusion.kinds import all_kinds
from ancestra_farm.plan.recipe import Recipe
from tests.models.diffusion.tiny import TINY_SIZE

WIDTH, HEIGHT = TINY_SIZE
#: The shortest clip with more than one latent; 5 for every class that is not here.
FRAMES = {"LTX": 9, "CogVideoX": 9}
#: Variants that do not have all roles of their class.
ROLES_OF = {
    "WanImageToVideoPipeline:first_latent": ("image_to_video",),
    "WanImageToVideoPipeline:seen": ("image_to_video",),
    "WanImageToVideoPipeline:seen_both": ("first_last_frame",),
}
#: Roles that are words alone for most, and that these classes make from a guide.
FROM_GUIDES = {
    "WanImageToVideoPipeline", "LTXImageToVideoPipeline", "LTX2ImageToVideoPipeline", "CogVideoXImageToVideoPipeline",
    "HunyuanVideoImageToVideoPipeline", "StableVideoDiffusionPipeline",
}  # fmt: skip


def frames_of(name):
    return next((frames for start, frames in FRAMES.items() if name.startswith(start)), 5)


def roles_of(name):
    return ROLES_OF.get(name, all_kinds()[name.partition(":")[0]].roles)


def needed_guides(name, role):
    """Guides without which a class cannot play a role."""
    if role == "text_to_video" and name.partition(":")[0] in FROM_GUIDES:
        return {"first_frame": picture(3)}
    if "ControlNet" in name and not (role == "video_to_video" and name == "AnimateDiffControlNetPipeline"):
        return {"depth": clip(4, frames_of(name))}
    return {}


# ---- what goes in ---------------------------------------------------------------------------------------------------


def picture(seed):
    """A frame of coarse blocks, uint8 [1, H, W, 3]."""
    blocks = np.random.default_rng(seed).integers(0, 256, (1, HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    return blocks.repeat(8, axis=1).repeat(8, axis=2)


def clip(seed, frames):
    """A frame of coarse blocks that drifts, uint8 [frames, H, W, 3]."""
    return np.concatenate([np.roll(picture(seed), 2 * step, axis=2) for step in range(frames)])


def card_of(name, folder):
    """A card as a user would write it, with names of its own for the pipeline's arguments."""
    kind = all_kinds()[name.partition(":")[0]]
    parameters = {"steps": {"type": "int", "default": 2, "argument": "num_inference_steps"}}
    if name.startswith(("Wan", "LTX", "Hunyuan")):
        parameters["words"] = {"type": "int", "default": 24, "argument": "max_sequence_length"}
    if "ControlNet" in name:
        parameters["control"] = {"type": "float", "default": 1.0, "argument": "controlnet_conditioning_scale"}
    if name.startswith("LTX2"):  # its own guidance skips layer 28, which a tiny model does not have
        parameters |= {scale: {"type": "float", "default": 0.0} for scale in ("stg_scale", "audio_stg_scale")}
    if name.startswith("Hunyuan"):
        parameters["guidance"] = {"type": "float", "default": 1.5, "argument": "true_cfg_scale"}
    elif not name.startswith("Stable"):
        parameters["guidance"] = {"type": "float", "default": 3.0, "argument": "guidance_scale"}
    frames = frames_of(name)
    return ModelCard.model_validate(
        {
            "id": "tiny/model", "family": "diffusers", "roles": roles_of(name), "pipeline": kind.pipeline,
            "source": str(folder), "licence": "none", "guides": kind.guides, "parameters": parameters, "rate": 8,
            "sizes": {"multiple_of": 8, "min": 8, "max": 128, "default": TINY_SIZE},
            "frames": {"step": kind.step_frames or 1, "offset": 1, "min": frames, "max": 33},
            "runtime": {"batch": 3 if kind.batches else 1},
        }
    )  # fmt: skip


def recipe_of(name, role, seed=1, prompt="sea at dusk", negative="", frames=None, context=None, **parameters):
    defaults = {one: parameter.default for one, parameter in card_of(name, "/nowhere").parameters.items()}
    if context is None:
        context = 3 if role == "extend" else 0
    still = role == "text_to_image"
    return Recipe(
        candidate_id=f"{seed:032x}", seed=seed, shot="anc_010_0010", stage="animate", segment=0, variant="0a1b2c3d",
        index=seed, rung="full", role=role, prompt=prompt, negative=negative, model="tiny/model",
        model_digest="0" * 32, look=None, look_weight=1.0, guides=(), parameters={**defaults, **parameters},
        size=TINY_SIZE, frames=1 if still else frames or frames_of(name), rate=Fraction(1 if still else 8),
        context_frames=context, parents=tuple(f"parent-{number}" for number in range(INPUTS_OF_ROLE[role])),
    )  # fmt: skip


def parents_of(recipe, seed=7):
    """What a recipe starts from: pictures, or a clip where its role turns or extends one."""
    long = recipe.frames if recipe.role in {"video_to_video", "extend"} else 1
    return {parent: clip(seed + number, long) for number, parent in enumerate(recipe.parents)}
