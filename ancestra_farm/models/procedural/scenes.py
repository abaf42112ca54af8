"""From a prompt, a seed and a size to finished pictures: which scene draws what, exposed and developed."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ancestra_farm.models.procedural import cells, ocean, petals, stars, textures, tissue
from ancestra_farm.models.procedural.canvas import Plane, develop, exposure_of, plane
from ancestra_farm.models.procedural.textures import Field
from ancestra_farm.models.procedural.words import Direction, Subject, direction_of

Picture = NDArray[np.uint8]
#: A picture that crops are taken of is so many times as wide and as high as they are.
CROPS = 6


class Traits(Protocol):
    """What every scene's composition has. ``key``: the mean it is exposed for; ``grain``: see `develop`."""

    @property
    def key(self) -> float: ...  # noqa: D102
    @property
    def grain(self) -> tuple[int, int]: ...  # noqa: D102


class Scene(Protocol):
    """A module that composes and draws one subject."""

    def compose(self, words: Direction, rng: np.random.Generator) -> Traits:
        """One composition: the words where they say something, the seed where they do not."""

    def draw(self, traits: Traits, at: Plane, seconds: float, moving: float = 1.0) -> Field:
        """Its light at a moment, float32 [3, H, W], linear."""


_SCENES: dict[Subject, Scene] = {
    "ocean": cast("Scene", ocean),
    "tissue": cast("Scene", tissue),
    "petals": cast("Scene", petals),
    "cells": cast("Scene", cells),
    "stars": cast("Scene", stars),
}


def still(prompt: str, seed: int, size: tuple[int, int]) -> Picture:
    """One picture, uint8 [H, W, 3], for ``size`` (width, height)."""
    return next(take(prompt, seed, size, frames=1, rate=1.0))


def take(
    prompt: str, seed: int, size: tuple[int, int], frames: int, rate: float, moving: float = 1.0
) -> Iterator[Picture]:
    """A clip, frame by frame, each uint8 [H, W, 3]. The exposure is set on the first frame and stays."""
    words = direction_of(prompt)
    scene = _SCENES[words.subject]
    traits = scene.compose(words, np.random.default_rng(seed))
    at = plane(*size)
    exposure = None
    for frame in range(frames):
        light = scene.draw(traits, at, frame / rate, moving)
        if exposure is None:
            exposure = exposure_of(light, traits.key)
        down, right = traits.grain
        # Grain moves from frame to frame, as film's does; the steps are coprime to the tile.
        yield develop(light, at, exposure, (down + 37 * frame, right + 101 * frame))


def crop(prompt: str, seed: int, size: tuple[int, int]) -> Picture:
    """A piece of one large picture of the prompt, uint8 [H, W, 3]: next to no work, for measuring a farm by it."""
    width, height = size
    whole = _large(prompt, (CROPS * width, CROPS * height))
    columns, rows = (CROPS - 1) * width + 1, (CROPS - 1) * height + 1
    left, top = seed % columns, seed // columns % rows
    piece = whole[top : top + height, left : left + width]
    # A copy: faults are planted in place.
    return piece[:, ::-1].copy() if seed // (columns * rows) % 2 else piece.copy()


@lru_cache(maxsize=8)
def _large(prompt: str, size: tuple[int, int]) -> Picture:
    return still(prompt, 0, size)


def warm_up(size: tuple[int, int]) -> None:
    """Make every texture, and draw one picture of every subject, so that no candidate pays for it."""
    textures.make_all()
    for subject in _SCENES:
        still(subject, 0, size)
