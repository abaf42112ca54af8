"""Tiny pipelines of every class the farm runs, made here from random weights and saved as a real one is.

`save_tiny` writes the diffusers layout with safetensors and tokenizers, in a second or so, with no network; the same
class and seed give the same weights. They make noise, but noise that hangs on every input: weights that training
starts at zero (control, gates) are drawn like the others.
"""

from pathlib import Path
from typing import Any

import diffusers
import torch

from tests.models.diffusion.tiny_clips import CLIPS
from tests.models.diffusion.tiny_stills import STILLS

#: The names that `save_tiny` knows: pipeline classes, some with a variant after a colon.
TINY: tuple[str, ...] = (*STILLS, *CLIPS)

#: A size that all of them make, (width, height) in pixels; not a square, so that sides cannot be mistaken.
TINY_SIZE = (64, 32)


def save_tiny(name: str, folder: Path, *, seed: int = 0) -> Path:
    """Build the pipeline ``name`` (one of `TINY`) with the weights of ``seed`` and save it; returns ``folder``."""
    build_tiny(name, seed=seed).save_pretrained(folder)
    return folder


def build_tiny(name: str, *, seed: int = 0) -> Any:
    """The pipeline ``name`` (one of `TINY`) with the weights of ``seed``, in memory, for inference."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # what `draw_weights` leaves, biases, must not depend on what was built before
        components = {**STILLS, **CLIPS}[name]()
    models = {part: value for part, value in components.items() if isinstance(value, torch.nn.Module)}
    for place, part in enumerate(sorted(models)):
        draw_weights(models[part], seed * 1000 + place)
    pipeline = getattr(diffusers, name.partition(":")[0])(**components)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def draw_weights(model: torch.nn.Module, seed: int) -> None:
    """Draw every matrix and kernel with a variance of 1 / inputs, whatever it was; vectors stay as they were made.

    The stack of convolutions that a ControlNet sees its picture through halves it at each of eight: theirs is four
    times as large, or nothing of it would arrive.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, weight in sorted(model.named_parameters()):
        if weight.ndim >= 2:
            inputs = weight.numel() // weight.shape[0]
            gain = 2.0 if "controlnet_cond_embedding" in name else 1.0
            weight.normal_(0.0, gain * inputs**-0.5, generator=generator)
    model.eval()
