"""What is drawn where a path says only how things move: a field of light dots on grey, on which any motion can be seen.

It has no direction of its own, repeats without a seam, and nobody takes it for a picture of something.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

#: Tiles in half a picture height: a few dozen dots are seen at once.
TILES = 0.16
#: Levels of grey between dots, and how much brighter a dot of 1 is.
_GREY, _LIGHT = 90.0, 160.0
#: Texels of a side of the tile, and the dots on it: radius in texels (one standard deviation), how many, and how light.
_SIDE = 256
_DOTS = ((1.1, 130, 0.12, 0.45), (1.4, 40, 0.5, 0.9), (2.0, 10, 0.8, 1.2))


@lru_cache(maxsize=1)
def pyramid() -> tuple[Field, ...]:
    """The tile, float32 [S, S] with dots of about 1, at S, S/2, … 16 texels; not to be written to.

    What lies far away is read from a smaller one and does not flicker.
    """
    levels = [dots()]
    while levels[-1].shape[0] > 16:
        half = levels[-1].shape[0] // 2
        levels.append(np.asarray(cv2.resize(levels[-1], (half, half), interpolation=cv2.INTER_AREA), np.float32))
    return tuple(levels)


def side() -> int:
    """Texels of a side of the tile."""
    return _SIDE


@lru_cache(maxsize=4)
def dots(index: int = 0) -> Field:
    """Dots of three sizes, each a soft disc, float32 [S, S], not to be written to.

    An index always has the same dots: candidates and what models were trained on are made of them.
    """
    rng = np.random.default_rng(900 + index)
    field = np.zeros((_SIDE, _SIDE), np.float32)
    for sigma, count, low, high in _DOTS:
        layer = np.zeros_like(field)
        rows, columns = rng.integers(0, _SIDE, (2, count))
        layer[rows, columns] = rng.uniform(low, high, count) * 2 * np.pi * sigma**2
        field += softened(layer, sigma)
    field.setflags(write=False)
    return field


def softened(layer: Field, sigma: float) -> Field:
    """A tile blurred, ``sigma`` in texels, so that it goes on beyond its sides without a seam."""
    edge = int(4 * sigma) + 1
    padded = np.pad(layer, edge, mode="wrap")
    return np.asarray(cv2.GaussianBlur(padded, (0, 0), sigma), np.float32)[edge:-edge, edge:-edge]


def dots_at(u: Field, v: Field, texels: Field) -> NDArray[np.uint8]:
    """The tile at (u, v), in tiles, repeating: uint8 [H, W, 3]. ``texels``: how many of them each pixel covers."""
    levels = pyramid()
    depth = np.clip(np.log2(np.maximum(texels, np.float32(1e-6))), 0.0, len(levels) - 1.0).astype(np.float32)
    u, v = u - np.floor(u), v - np.floor(v)
    first, last = int(depth.min()), int(np.ceil(depth.max()))
    found = np.zeros(u.shape, np.float32)
    for number in range(first, last + 1):
        size = np.float32(levels[number].shape[0])
        # Texel 0 of the largest lies at 0, and that of each smaller one in the middle of those it stands for.
        shift = np.float32(0.5 - 0.5 / 2**number)
        x, y = u * size - shift, v * size - shift
        read = cv2.remap(levels[number], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        found += read if first == last else np.maximum(1 - np.abs(depth - np.float32(number)), 0) * read
    grey = np.clip(np.rint(found * _LIGHT + _GREY), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=2)
