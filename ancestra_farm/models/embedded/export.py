"""From what training kept to the checkpoint that ships: one folder in diffusers layout, fp16 safetensors."""

import hashlib
import json
import shutil
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLWan,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
    WanVACETransformer3DModel,
)
from transformers import PreTrainedTokenizerFast, UMT5EncoderModel

from ancestra_farm.models.embedded import networks

#: What the folder may weigh, in bytes.
MOST_BYTES = 14_000_000


class TooLarge(Exception):
    """The checkpoint weighs more than may ship."""


def assembled(
    vae: AutoencoderKLWan,
    transformer: WanTransformer3DModel,
    text: UMT5EncoderModel,
    tokenizer: PreTrainedTokenizerFast,
    scheduler: UniPCMultistepScheduler | None = None,
) -> WanPipeline:
    """The parts as a pipeline; Wan's image-to-video pipeline loads from the same folder."""
    pipeline = WanPipeline(
        tokenizer=tokenizer,
        text_encoder=text,
        vae=vae,
        transformer=transformer,
        scheduler=scheduler or networks.new_scheduler(),
        expand_timesteps=True,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def export(pipeline: WanPipeline, folder: Path, guided: WanVACETransformer3DModel | None = None) -> dict[str, str]:
    """Write the pipeline at half precision into ``folder``. The digest of every file, ``sha256:…`` by path.

    ``guided``: the pipeline's own transformer with control blocks; it is written in its place. What loads the plain
    class from there leaves the blocks alone, so that the base need not ship twice.

    Raises `TooLarge` where the folder weighs more than `MOST_BYTES`; it is left for a look.
    """
    pipeline.to(torch.float16)
    pipeline.save_pretrained(folder, safe_serialization=True)
    if guided is not None:
        shutil.rmtree(folder / "transformer")
        guided.to(torch.float16).save_pretrained(folder / "transformer", safe_serialization=True)
    for config in folder.glob("*/config.json"):  # diffusers notes where a part was loaded from: nobody's business
        settings = json.loads(config.read_text(encoding="utf-8"))
        settings.pop("_name_or_path", None)
        config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    weighs = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if weighs > MOST_BYTES:
        raise TooLarge(f"{folder} weighs {weighs} bytes; at most {MOST_BYTES} may ship")
    return digests_of(folder)


def digests_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder, hexadecimal, by its path in the folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
