"""Rendered pictures and clips on disk, with their facts, and their latents: what training reads.

A set is a folder: ``pictures.npy`` (uint8 [N, T, H, W, 3]; T is 1 for stills), ``facts.json``, and ``done`` with how
many are drawn, so that drawing goes on where it was stopped. Sets differ by their first seed: what judges learn from
and what is measured against was never trained on.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from numpy.typing import NDArray
from torch import Tensor

from ancestra_farm.models.embedded import networks, renders
from ancestra_farm.models.embedded.words import Facts, some_facts

#: The first seeds of what is trained on, what judges learn from, and what is measured against.
TRAINED, JUDGED, HELD_OUT = 1_000_000, 2_000_000, 3_000_000
#: Where among the seeds of each of these its clips on free paths begin.
FREE = 800_000
#: Renders between two notes of how many are done.
_CHUNK = 100


@dataclass(frozen=True, slots=True)
class Footage:
    """A drawn set. ``pictures``: uint8 [N, T, H, W, 3], mapped from disk. ``facts``: of each."""

    folder: Path
    pictures: NDArray[np.uint8]
    facts: tuple[Facts, ...]

    def __len__(self) -> int:
        return len(self.facts)


def facts_at(seed: int) -> Facts:
    """The facts of the render with a seed: a seed is a picture."""
    return some_facts(np.random.default_rng([seed, 11]))


def drawn(
    folder: Path,
    first_seed: int,
    count: int,
    frames: int,
    size: tuple[int, int] = renders.SIZE,
    *,
    on_free_paths: bool = False,
) -> Footage:
    """The set in ``folder``, drawn as far as it is not yet. ``frames``: 1 for stills.

    ``on_free_paths``: clips of no named motion, each on the `renders.free_camera` of its seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, shape = folder / "pictures.npy", (count, frames, size[1], size[0], 3)
    start = _done(folder)
    if path.is_file():
        known = np.load(path, mmap_mode="r")
        if known.shape[1:] != shape[1:]:
            raise ValueError(f"{folder} holds renders of {known.shape[1:]}, not of {shape[1:]}; give another folder")
        if start < count and len(known) < count:
            path = _grown(folder, known, shape)
    facts = tuple(facts_at(first_seed + at) for at in range(count))
    if on_free_paths:
        facts = tuple(replace(one, motion=None) for one in facts)
    if start < count:
        if not path.is_file():
            np.lib.format.open_memmap(path, "w+", np.uint8, shape).flush()
        pictures = np.load(path, mmap_mode="r+")
        renders.warm_up()
        for at in range(start, count):
            seed = first_seed + at
            camera = renders.free_camera(seed) if on_free_paths else renders.camera_of(facts[at], seed)
            pictures[at] = renders.filmed(facts[at], seed, camera, size, frames)
            if (at + 1) % _CHUNK == 0 or at + 1 == count:
                pictures.flush()
                _write(folder / "done", str(at + 1))
        _write(folder / "facts.json", json.dumps([asdict(one) for one in facts]))
    return Footage(folder, np.load(path, mmap_mode="r")[:count], facts)


def latents_of(footage: Footage, vae: AutoencoderKLWan, digest: str) -> Tensor:
    """Latents of a whole set before normalisation, float16 [N, C, T', H/8, W/8], kept beside it by the VAE's digest."""
    path = footage.folder / f"latents-{digest[:12]}-{len(footage)}.pt"
    if path.is_file():
        return torch.load(path, weights_only=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = []
    vae.eval()
    single = footage.pictures.shape[1] == 1
    with torch.no_grad():
        for batch in _batches(footage.pictures, 32 if single else 4):
            if single:
                with networks.single_frames(vae):
                    parts.append(networks.encoded(vae, networks.pixels(batch)).half())
            else:
                parts.append(networks.encoded(vae, networks.pixels(batch)).half())
    latents = torch.cat(parts)
    partial = path.with_suffix(".partial")
    torch.save(latents, partial)
    partial.replace(path)
    return latents


def _batches(pictures: NDArray[np.uint8], size: int) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(pictures), size):
        yield pictures[start : start + size]


def _grown(folder: Path, known: NDArray[np.uint8], shape: tuple[int, ...]) -> Path:
    """The same set with room for more, what is drawn copied over."""
    larger = folder / "pictures.larger.npy"
    out = np.lib.format.open_memmap(larger, "w+", np.uint8, shape)
    out[: len(known)] = known
    out.flush()
    larger.replace(folder / "pictures.npy")
    return folder / "pictures.npy"


def _done(folder: Path) -> int:
    note = folder / "done"
    return int(note.read_text()) if note.is_file() else 0


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
