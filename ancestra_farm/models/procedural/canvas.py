"""The picture plane that scenes are drawn on, and the development of their light into a display picture.

Scenes work in scene-linear light, float32 [3, H, W], any range (planes first: numpy broadcasts over them several times
faster than over a last axis of three); `develop` exposes, tone-maps and dithers it into a picture [H, W, 3].
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

    ``vignette``: [H, W], 1 in the middle to 0.72 in the corners. ``pixel``: one pixel in half heights.
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
    vignette = 1.0 - np.float32(0.14) * reach
    for array in (x, y, vignette):
        array.setflags(write=False)
    return Plane(width, height, x, y, vignette, pixel)


def smooth(low: float, high: float, values: Field) -> Field:
    """Hermite step: 0 below ``low``, 1 above ``high``, without a corner between."""
    t = np.clip((values - low) * np.float32(1.0 / (high - low)), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def hue(degrees: float, saturation: float, value: float) -> Rgb:
    """A linear-light colour by its hue, saturation and value on the display (gamma 2)."""
    red, green, blue = colorsys.hsv_to_rgb((degrees / 360.0) % 1.0, min(max(saturation, 0.0), 1.0), value)
    return (red * red, green * green, blue * blue)


def mixed(a: Rgb, b: Rgb, share: float) -> Rgb:
    """The colour ``share`` of the way from ``a`` to ``b``."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def tinted(colour: Rgb, tint: tuple[float, float] | None, share: float = 1.0) -> Rgb:
    """A colour taken towards a tint's hue at its own brightness; None: as it is."""
    if tint is None:
        return colour
    peak = max(colour)
    return mixed(colour, hue(tint[0], min(0.20 + 0.6 * tint[1], 0.9), peak**0.5), min(tint[1] * share, 1.0))


def ramp(stops: tuple[tuple[float, Rgb], ...]) -> Field:
    """A colour ramp of 256 entries, [3, 256], through ``stops`` of (position in [0, 1], colour)."""
    at = np.linspace(0, 1, 256)
    places = [stop[0] for stop in stops]
    return np.stack([np.interp(at, places, [stop[1][c] for stop in stops]) for c in range(3)]).astype(np.float32)


def coloured(values: Field, light: Field, colours: Field) -> Field:
    """``values`` in [0, 1] (clipped) through a `ramp`, times ``light``: [3, H, W]."""
    index = np.clip(values * np.float32(255.0), 0, 255).astype(np.uint8)
    out = np.empty((3, *values.shape), np.float32)
    for plane_, table in zip(out, colours, strict=True):
        np.take(table, index, out=plane_)
    out *= light
    return out


def bloom(light: Field, strength: float, reach: float = 0.06) -> Field:
    """Light that spills around what is bright; ``reach`` in picture heights. Writes into ``light`` and returns it."""
    height, width = light.shape[1:]
    size = (max(width // 4, 8), max(height // 4, 8))
    for index in range(3):
        small = cv2.resize(light[index], size, interpolation=cv2.INTER_AREA)
        spill = cv2.GaussianBlur(np.maximum(small - np.float32(0.6), 0.0), (0, 0), max(reach * size[1], 0.8))
        light[index] += cv2.resize(spill, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(strength)
    return light


def exposure_of(light: Field, key: float) -> float:
    """The exposure at which the mean lands at ``key`` of full display, without burning out the brightest part."""
    luma = np.tensordot(np.array([0.25, 0.6, 0.15], np.float32), light[:, ::4, ::4], 1)
    middle, bright = float(luma.mean()), float(np.partition(luma.ravel(), int(luma.size * 0.97))[int(luma.size * 0.97)])
    lin = key**2
    return min(-np.log1p(-lin) / max(middle, 1e-4), 2.6 / max(bright, 1e-4))


def develop(light: Field, at: Plane, exposure: float, grain_at: tuple[int, int]) -> NDArray[np.uint8]:
    """Scene light (used up) to uint8 [H, W, 3] display sRGB: exposure, shoulder, lens falloff, gamma, dither."""
    values = np.maximum(light, 0.0, out=light)
    values *= at.vignette * np.float32(-exposure)
    np.exp(values, out=values)
    np.subtract(1.0, values, out=values)
    np.sqrt(values, out=values)
    # A gentle S around the middle: film's toe and shoulder.
    values *= values * (np.float32(1.05) - np.float32(0.7) * values) + np.float32(0.65)
    values *= np.float32(255.0)
    noise = textures.grain()
    down, right = (place % textures.TILE for place in grain_at)
    values += noise[:, down : down + at.height, right : right + at.width]
    np.clip(np.rint(values, out=values), 0, 255, out=values)
    return cv2.merge([channel.astype(np.uint8) for channel in values])
