"""The picture plane that scenes are drawn on, and the development of their light into a display picture.

Scenes work in scene-linear light, float32 [H, W, 3], any range; `develop` exposes, tone-maps and dithers it.
"""

import colorsys
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.models.procedural import textures
from ancestra_farm.models.procedural.textures import Field

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Plane:
    """Coordinates of a picture's pixels. ``x``, ``y``: [H, W], in half picture heights from the centre, y down.

    ``vignette``: [H, W, 1], 1 in the middle to 0.72 in the corners. ``pixel``: one pixel in half heights.
    """

    width: int
    height: int
    x: Field
    y: Field
    vignette: Field
    pixel: float


@lru_cache(maxsize=16)
def plane(width: int, height: int) -> Plane:
    """The plane of a picture of ``width`` × ``height`` pixels; made once per size."""
    pixel = 2.0 / height
    columns = (np.arange(width, dtype=np.float32) - (width - 1) / 2) * np.float32(pixel)
    rows = (np.arange(height, dtype=np.float32) - (height - 1) / 2) * np.float32(pixel)
    x, y = np.meshgrid(columns, rows)
    reach = (x / x.max()) ** 2 + (y / y.max()) ** 2
    vignette = (1.0 - 0.14 * reach)[..., None]
    for array in (x, y, vignette):
        array.setflags(write=False)
    return Plane(width, height, x, y, vignette, pixel)


def smooth(low: float, high: float, values: Field) -> Field:
    """Hermite step: 0 below ``low``, 1 above ``high``, without a corner between."""
    t = np.clip((values - low) * np.float32(1.0 / (high - low)), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def hue(degrees: float, saturation: float, value: float) -> Rgb:
    """A linear-light colour by hue, saturation and value."""
    return colorsys.hsv_to_rgb((degrees / 360.0) % 1.0, min(max(saturation, 0.0), 1.0), value)


def mixed(a: Rgb, b: Rgb, share: float) -> Rgb:
    """The colour ``share`` of the way from ``a`` to ``b``."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def tinted(colour: Rgb, tint: tuple[float, float] | None, share: float = 1.0) -> Rgb:
    """A colour taken towards a tint's hue at its own brightness; None: as it is."""
    if tint is None:
        return colour
    peak = max(colour)
    return mixed(colour, hue(tint[0], min(0.25 + 0.7 * tint[1], 0.95), peak), min(tint[1] * share, 1.0))


def ramp(stops: tuple[tuple[float, Rgb], ...]) -> Field:
    """A colour ramp of 256 entries, [256, 3], through ``stops`` of (position in [0, 1], colour)."""
    at = np.linspace(0, 1, 256)
    places = [stop[0] for stop in stops]
    return np.stack([np.interp(at, places, [stop[1][c] for stop in stops]) for c in range(3)], -1).astype(np.float32)


def coloured(values: Field, colours: Field) -> Field:
    """``values`` in [0, 1] (clipped) through a `ramp`: [H, W, 3]."""
    index = np.clip(values * 255.0, 0, 255).astype(np.uint8)
    return np.take(colours, index, axis=0)


def over(below: Field, colour: Field | NDArray[np.float32], alpha: Field) -> Field:
    """``colour`` laid over ``below`` with coverage ``alpha`` [H, W]; writes into ``below`` and returns it."""
    below += (colour - below) * alpha[..., None]
    return below


def bloom(light: Field, strength: float, reach: float = 0.06) -> Field:
    """Light that spills around what is bright; ``reach`` in picture heights. Writes into ``light`` and returns it."""
    height, width = light.shape[:2]
    small = cv2.resize(light, (max(width // 4, 8), max(height // 4, 8)), interpolation=cv2.INTER_AREA)
    spill = cv2.GaussianBlur(np.maximum(small - 0.6, 0.0), (0, 0), max(reach * small.shape[0], 0.8))
    light += cv2.resize(spill, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(strength)
    return light


def exposure_of(light: Field, key: float) -> float:
    """The exposure at which the picture's middle lands at ``key`` of full display, without burning out its brightest part."""
    luma = light[::4, ::4] @ np.array([0.25, 0.6, 0.15], np.float32)
    middle, bright = float(luma.mean()), float(np.partition(luma.ravel(), int(luma.size * 0.97))[int(luma.size * 0.97)])
    lin = key**2
    return min(-np.log1p(-lin) / max(middle, 1e-4), 1.9 / max(bright, 1e-4))


def develop(light: Field, at: Plane, exposure: float, grain_at: tuple[int, int]) -> NDArray[np.uint8]:
    """Scene light to uint8 [H, W, 3] display sRGB: exposure, shoulder, lens falloff, gamma, dither."""
    values = np.maximum(light, 0.0, out=light)
    values *= np.float32(-exposure)
    values *= at.vignette
    np.exp(values, out=values)
    np.subtract(1.0, values, out=values)
    values = np.sqrt(values, out=values)
    # A gentle S around the middle: film's toe and shoulder.
    values = values * (values * (3.0 - 2.0 * values) * np.float32(0.35) + np.float32(0.65))
    dy, dx = grain_at[0] % (textures.TILE // 2), grain_at[1] % (textures.TILE // 2)
    noise = textures.grain()
    if at.height + dy > textures.TILE or at.width + dx > textures.TILE:
        noise = np.tile(noise, (2, 2, 1))
    values *= np.float32(255.0)
    values += noise[dy : dy + at.height, dx : dx + at.width]
    return np.clip(np.rint(values, out=values), 0, 255).astype(np.uint8)
