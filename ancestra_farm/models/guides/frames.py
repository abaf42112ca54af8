"""The guides of a recipe as frames at its size, rate and length, ready for a model.

A picture is one frame, but for kinds that steer every frame, of which it stands for all. A clip gives the frame nearest
to each of the recipe's moments. What has another shape is cropped about its centre, but for references.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.guides import CONTROLS, PICTURES, RENDERED_AS, SEVERAL, suffix_of
from ancestra_farm.models.guides.clips import clip_at, clip_facts
from ancestra_farm.models.guides.fit import fitted, reduced
from ancestra_farm.models.guides.pictures import read_picture
from ancestra_farm.models.guides.rendering import rendered
from ancestra_farm.models.protocol import Frames
from ancestra_farm.plan.guides import RecipeGuide
from ancestra_farm.plan.recipe import Recipe

Pictures = NDArray[np.uint8]

#: Guides of the last few segments are kept: every candidate of a segment has the same. A clip of 81 frames at 832×480
#: takes 97 MB.
_KEPT = 6
#: A mask is where it is lighter than this.
_HALF = 128
#: Guides whose motion a clip is to follow, the plainest first.
_MOVING = ("flow", "previz", "motion_path", "camera", "depth", "edges")


def guide_frames(recipe: Recipe, materials: Callable[[str], Path]) -> dict[str, Frames]:
    """The guides of ``recipe`` by the kind that its model is given, uint8 [T, H, W, 3], not to be written to.

    T is the recipe's frame count for what moves or steers every frame, 1 for other pictures. A mask is 255 where the
    model may paint, else 0. References are not among them (`references_of`). ``materials``: files by digest.

    Raises GuideUnreadable, BatchRefused (a path file, with its lines), and what ``materials`` raises.
    """
    guides = [guide for guide in map(RecipeGuide.read, recipe.guides) if guide.way not in SEVERAL]
    return {guide.way: _read(guide, recipe, materials) for guide in guides}


def references_of(recipe: Recipe, materials: Callable[[str], Path]) -> tuple[Frames, ...]:
    """The references of ``recipe`` in their order, uint8 [1, H, W, 3] each, not to be written to.

    They are no frames of the clip: each is whole, in its own shape, and reduced where a side is longer than the longer
    one of the recipe's size. Raises as `guide_frames`.
    """
    guides = [guide for guide in map(RecipeGuide.read, recipe.guides) if guide.way in SEVERAL]
    return tuple(_read(guide, recipe, materials) for guide in guides)


def moving_guide(recipe: Recipe, materials: Callable[[str], Path]) -> tuple[str, Pictures] | None:
    """The guide whose motion a clip of this recipe is to follow: (its kind, frames); None where there is none.

    A path says exactly how it moves, whatever its model is given: it comes as ``flow``, in the colours of `colours`.
    """
    if recipe.frames < 2:
        return None
    guides = [RecipeGuide.read(text) for text in recipe.guides]
    for way in _MOVING:
        for guide in guides:
            if guide.way == way and suffix_of(guide.name) not in PICTURES:
                told = replace(guide, way="flow") if guide.kind in RENDERED_AS else guide
                return told.way, _read(told, recipe, materials)
    return None


def _read(guide: RecipeGuide, recipe: Recipe, materials: Callable[[str], Path]) -> Pictures:
    return _frames_of(guide, materials(guide.digest), recipe.size, recipe.frames, recipe.rate)


@lru_cache(maxsize=_KEPT)
def _frames_of(guide: RecipeGuide, file: Path, size: tuple[int, int], count: int, rate: Fraction) -> Pictures:
    moments = [guide.start_s + Fraction(n) / rate for n in range(count)]
    if guide.kind in RENDERED_AS:
        frames = rendered(guide, file, moments, size)
    elif suffix_of(guide.name) in PICTURES:
        picture = read_picture(file, guide.name, guide.kind)
        frames = (reduced(picture, max(size)) if guide.way in SEVERAL else fitted(picture, size))[np.newaxis]
        if guide.way in CONTROLS and count > 1:
            frames = np.repeat(frames, count, axis=0)
    else:
        frames = clip_at(file, guide.name, moments, size)
        if guide.kind == "flow":
            frames = _resting(frames, moments, clip_facts(file, guide.name).last_s)
    if guide.kind == "mask":
        light = frames.max(axis=3, keepdims=True) >= _HALF
        frames = np.repeat(np.where(light, 255, 0).astype(np.uint8), 3, axis=3)
    frames.setflags(write=False)
    return frames


def _resting(frames: Pictures, moments: list[Fraction], last_s: Fraction) -> Pictures:
    """Flow outside its clip is none: white. A still frame that is held would move for ever."""
    inside = np.array([0 <= moment <= last_s for moment in moments])
    return np.where(inside[:, np.newaxis, np.newaxis, np.newaxis], frames, np.uint8(255)).astype(np.uint8)
