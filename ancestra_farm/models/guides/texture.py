"""What is drawn where a path says only how things move: a field of light dots on grey, on which any motion can be seen.

It is the field of control clips that the farm's own checkpoint was trained to follow, so a path is a guide for it like
any other. It has no direction of its own, repeats without a seam, and nobody takes it for a picture of something.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.models.embedded.views import points

Field = NDArray[np.float32]

#: Tiles in half a picture height: a few dozen dots are seen at once.
TILES = 0.16
#: Levels of grey between dots, and how much brighter a dot of 1 is.
_GREY, _LIGHT = 90.0, 160.0


@lru_cache(maxsize=1)
def pyramid() -> tuple[Field, ...]:
    """The tile, float32 [S, S] with dots of about 1, at S, S/2, … 16 texels; not to be written to.

    What lies far away is read from a smaller one and does not flicker.
    """
    levels = [points(0)]
    while levels[-1].shape[0] > 16:
        half = levels[-1].shape[0] // 2
        levels.append(np.asarray(cv2.resize(levels[-1], (half, half), interpolation=cv2.INTER_AREA), np.float32))
    return tuple(levels)


def side() -> int:
    """Texels of a side of the tile."""
    return int(pyramid()[0].shape[0])


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
