"""The guides of a recipe as frames at its size, rate and length, ready for a model.

A picture is one frame, but for kinds that steer every frame, of which it stands for all. A clip gives the frame nearest
to each of the recipe's moments. What has another shape is cropped about its centre.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.guides import CONTROLS, PICTURES, RENDERED_AS, suffix_of
from ancestra_farm.models.guides.clips import clip_at, clip_facts
from ancestra_farm.models.guides.fit import fitted
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

    T is the recipe's frame count for what moves or steers every frame, 1 for other pictures; several references are as
    many frames. A mask is 255 where the model may paint, else 0. ``materials``: files by digest.

    Raises GuideUnreadable, BatchRefused (a path file, with its lines), and what ``materials`` raises.
    """
    found: dict[str, list[Pictures]] = defaultdict(list)
    for text in recipe.guides:
        guide = RecipeGuide.read(text)
        frames = _frames_of(guide, materials(guide.digest), recipe.size, recipe.frames, recipe.rate)
        found[guide.way].append(frames)
    return {way: each[0] if len(each) == 1 else np.concatenate(each) for way, each in found.items()}


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
                return told.way, _frames_of(told, materials(guide.digest), recipe.size, recipe.frames, recipe.rate)
    return None


@lru_cache(maxsize=_KEPT)
def _frames_of(guide: RecipeGuide, file: Path, size: tuple[int, int], count: int, rate: Fraction) -> Pictures:
    moments = [guide.start_s + Fraction(n) / rate for n in range(count)]
    if guide.kind in RENDERED_AS:
        frames = rendered(guide, file, moments, size)
    elif suffix_of(guide.name) in PICTURES:
        frames = fitted(read_picture(file, guide.name, guide.kind), size)[np.newaxis]
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
