"""Clips that start from given pictures: image to video, the next segment of a chain, from a first to a last frame."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.models.procedural import scenes
from ancestra_farm.models.procedural.motion import Layers, Path, flow_between, measured, path_of
from ancestra_farm.models.procedural.textures import Field
from ancestra_farm.models.procedural.words import direction_of
from ancestra_farm.models.protocol import Frames

Clip = NDArray[np.uint8]


def fitted(frames: Frames, size: tuple[int, int]) -> Clip:
    """A parent's frames as uint8 [T, H, W, 3] of ``size`` (width, height); untouched where they already are."""
    if frames.dtype != np.uint8:
        frames = np.rint(np.clip(np.nan_to_num(frames), 0.0, 1.0) * np.float32(255.0)).astype(np.uint8)
    if frames.shape[2:0:-1] != size:
        smaller = frames.shape[2] > size[0]
        way = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        frames = np.stack([cv2.resize(frame, size, interpolation=way) for frame in frames])
    return frames.astype(np.uint8, copy=False)


def continued(
    prompt: str, seed: int, parent: Clip, frames: int, context: int, rate: float, moving: float
) -> Iterator[Clip]:
    """``frames`` pictures of which the first ``context`` repeat the parent's last, bit for bit.

    From a still the words and the seed set the path; from the tail of a clip the path is the one that its frames are
    on, so that speed does not jump. Raises ValueError for a parent shorter than ``context``.
    """
    if len(parent) < context:
        raise ValueError(f"a context of {context} frames needs a parent of as many; this one has {len(parent)}")
    yield from parent[len(parent) - context :]
    words, rng = direction_of(prompt), np.random.default_rng([seed, 1])
    layers = Layers(parent[-1], words, rng)
    pace = moving * rng.uniform(0.75, 1.3)
    path = measured(parent, layers, rate) if len(parent) > 1 else path_of(words, layers.focus).scaled(pace)
    for frame in range(1, frames - context + 1):
        yield _shown(layers.at(path, frame / rate))


def between(prompt: str, seed: int, first: Clip, last: Clip, frames: int, rate: float, moving: float) -> Iterator[Clip]:
    """``frames`` pictures from the picture ``first`` to the picture ``last`` ([H, W, 3]), both included bit for bit.

    Both move on the path of the words at one pace whatever the seed, so that clips that share a key frame pass through
    it at the same speed; in between they melt into one another along the smoothed flow from one to the other.
    """
    words, rng = direction_of(prompt), np.random.default_rng([seed, 1])
    start, end = Layers(first, words, rng), Layers(last, words, rng)
    paths: tuple[Path, Path] = (path_of(words, start.focus).scaled(moving), path_of(words, end.focus).scaled(moving))
    melt = _melt(first, last)
    yield first
    for frame in range(1, frames - 1):
        share = frame / (frames - 1)
        weight = np.float32(share * share * (3.0 - 2.0 * share))
        early = _pulled(start.at(paths[0], frame / rate), melt * -weight)
        late = _pulled(end.at(paths[1], (frame + 1 - frames) / rate), melt * (1.0 - weight))
        yield _shown(early * (1.0 - weight) + late * weight)
    yield last


def _melt(first: Clip, last: Clip) -> Field:
    """A smooth flow in pixels [H, W, 2] from the features of one picture to those of another."""
    grey = [
        cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (0, 0), frame.shape[0] / 40)
        for frame in (first, last)
    ]
    reach = first.shape[0] / 12
    flow = cv2.GaussianBlur(flow_between(*grey), (0, 0), reach).astype(np.float32, copy=False)
    return np.clip(flow, -reach, reach)


def _pulled(picture: Field, flow: Field) -> Field:
    height, width = picture.shape[:2]
    x = np.arange(width, dtype=np.float32)[None, :] + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    moved = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return moved.astype(np.float32, copy=False)


def _shown(values: Field) -> Clip:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def restyled(parent: Clip, prompt: str, seed: int, strength: float) -> Clip:
    """A picture [H, W, 3] that keeps its parent's composition and takes light and detail from the words and the seed.

    At ``strength`` 0 it is the parent; at 1 the seed's own picture, melted towards the parent's shapes.
    """
    if strength <= 0:
        return parent
    height, width = parent.shape[:2]
    own = scenes.still(prompt, seed, (width, height))
    melt = _melt(parent, own)
    weight = np.float32(strength)
    moved = _pulled(parent.astype(np.float32), melt * (-0.5 * weight))
    target = _pulled(own.astype(np.float32), melt * (1.0 - weight))
    reach = height / 10
    # Light and colour are the low frequencies: they go ahead of the detail, which keeps the shapes.
    low, wanted = cv2.GaussianBlur(moved, (0, 0), reach), cv2.GaussianBlur(target, (0, 0), reach)
    light = low + (wanted - low) * weight
    detail = (moved - low) + ((target - wanted) - (moved - low)) * (weight * weight)
    return _shown(light + detail)
