"""What is drawn where a path says only how things move: a tile of soft noise that any motion can be seen on.

It has detail at every scale, no direction of its own, repeats without a seam, and is the same on every machine up to
rounding. Colour varies slowly and little, so that nobody takes it for a picture of something.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

#: Pixels of a side of the tile.
SIDE = 512
_SEED = 20_261_122
#: Amplitude falls with frequency to this power: above 1, so that it looks like clouds and not like grain.
_FALL = 1.5
#: Cycles over the tile: below, a picture might show no change at all; above, it would flicker when shrunk.
_LOW, _HIGH = 3.0, 80.0


@lru_cache(maxsize=1)
def tile() -> NDArray[np.float32]:
    """The tile, float32 [SIDE, SIDE, 3] in [0, 1]; not to be written to."""
    rng = np.random.default_rng(_SEED)
    light = _noise(rng, _LOW, _HIGH)
    warm, cool = _noise(rng, 2.0, 8.0), _noise(rng, 2.0, 8.0)
    colour = np.stack([light + 0.25 * warm, light, light + 0.25 * cool], axis=2)
    shown = np.clip(0.5 + 0.2 * colour, 0.0, 1.0).astype(np.float32)
    shown.setflags(write=False)
    return shown


@lru_cache(maxsize=1)
def pyramid() -> tuple[NDArray[np.float32], ...]:
    """The tile at SIDE, SIDE/2, … 16 pixels: what lies far away is read from a smaller one and does not flicker."""
    levels = [tile()]
    while levels[-1].shape[0] > 16:
        half = levels[-1].shape[0] // 2
        levels.append(np.asarray(cv2.resize(levels[-1], (half, half), interpolation=cv2.INTER_AREA), np.float32))
    return tuple(levels)


def read_tile(u: NDArray[np.float32], v: NDArray[np.float32], texels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The tile at (u, v), in tiles, repeating: float32 [H, W, 3]. ``texels``: how many each pixel covers."""
    levels = pyramid()
    depth = np.clip(np.log2(np.maximum(texels, np.float32(1e-6))), 0.0, len(levels) - 1.0).astype(np.float32)
    u, v = u - np.floor(u), v - np.floor(v)
    first, last = int(depth.min()), int(np.ceil(depth.max()))
    found = np.zeros((*u.shape, 3), np.float32)
    for number in range(first, last + 1):
        side = np.float32(levels[number].shape[0])
        x, y = u * side - np.float32(0.5), v * side - np.float32(0.5)
        read = cv2.remap(levels[number], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        if first == last:
            return np.asarray(read, np.float32)
        found += np.maximum(1 - np.abs(depth - np.float32(number)), 0)[..., np.newaxis] * read
    return found


def _noise(rng: np.random.Generator, low: float, high: float) -> NDArray[np.float64]:
    """Noise of mean 0 and deviation 1 with frequencies from ``low`` to ``high`` cycles over the tile."""
    spectrum = np.fft.fft2(rng.standard_normal((SIDE, SIDE)))
    across = np.fft.fftfreq(SIDE, 1 / SIDE)
    cycles = np.hypot(across[:, np.newaxis], across[np.newaxis, :])
    weights = np.where((cycles >= low) & (cycles <= high), np.maximum(cycles, 1.0) ** -_FALL, 0.0)
    field: NDArray[np.float64] = np.fft.ifft2(spectrum * weights).real
    return field / field.std()
