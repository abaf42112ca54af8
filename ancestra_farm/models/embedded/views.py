"""Tissue with its vessels, stars with their dust, and petals, drawn large enough for 64 rows of pixels.

The procedural family's own are finer: their vessels, smallest stars and the edges of petals over petals would be lost
in the autoencoder, whose latents have one place for 8 × 8 pixels.
"""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.models.guides.texture import dots, softened
from ancestra_farm.models.procedural import textures
from ancestra_farm.models.procedural.canvas import Plane, Rgb, bloom, coloured, hue, ramp, smooth
from ancestra_farm.models.procedural.textures import Field

#: From a plane and seconds to light, float32 [3, H, W], linear.
Scene = Callable[[Plane, float], Field]

#: Texels of a tile of vessels, and how many such tiles there are.
_TILE, _TILES = 256, 4


def tissue(tint: tuple[float, float] | None, rng: np.random.Generator, *, near: bool) -> Scene:
    """Folds of flesh under thick branching vessels, with a warm light somewhere behind."""
    d = rng.uniform(size=16).tolist()
    base, strength = (346 + 34 * d[0], 0.62 + 0.16 * d[1]) if tint is None else (tint[0], 0.25 + 0.6 * tint[1])
    away = 10 + 14 * d[2]
    colours = ramp(
        (
            (0.00, hue(base - 10, strength + 0.25, 0.10)),
            (0.30, hue(base - 4, strength + 0.15, 0.36)),
            (0.60, hue(base + away * 0.4, strength, 0.78)),
            (0.85, hue(base + away, strength * 0.65, 1.10)),
            (1.00, hue(base + away * 1.3, strength * 0.35, 1.35)),
        )
    )
    tile = _vessels(int(d[3] * _TILES))
    scale, lean = (0.11 if near else 0.18) * (0.85 + 0.3 * d[4]), 6.28 * d[5]
    cos, sin = np.float32(np.cos(lean) * scale), np.float32(np.sin(lean) * scale)
    folds, lamp = textures.folds(int(d[6] * textures.FOLDS)), ((d[7] - 0.5) * 2.0, (d[8] - 0.5) * 1.2)
    depth = 0.62 + 0.25 * d[9]

    def draw(at: Plane, seconds: float) -> Field:
        u, v = at.x * cos - at.y * sin + np.float32(d[10]), at.x * sin + at.y * cos + np.float32(d[11])
        skin = textures.sample(folds, u * np.float32(0.55) + np.float32(d[12]), v * np.float32(0.55))
        beat = np.float32(0.006 * np.sin(2 * np.pi * seconds))
        vessel = textures.sample(tile, u + skin * beat, v)
        wide, core = vessel[..., 0], vessel[..., 1]
        glow = 1.0 / (1.0 + ((at.x - np.float32(lamp[0])) ** 2 + (at.y - np.float32(lamp[1])) ** 2) * np.float32(0.9))
        light = np.float32(0.42) + np.float32(0.55) * glow + np.float32(0.10) * skin
        tone = np.float32(0.56) + np.float32(0.24) * glow + np.float32(0.07) * skin
        light *= 1.0 - np.float32(depth) * wide
        tone -= np.float32(0.40 * depth) * wide
        # A vessel is round: its middle catches the light.
        light += core * np.float32(0.16)
        tone += core * np.float32(0.06)
        return bloom(coloured(tone, light, colours), 0.3, 0.10)

    return draw


def stars(tint: tuple[float, float] | None, rng: np.random.Generator, *, near: bool) -> Scene:
    """A band of glowing dust with dark lanes, and stars of a pixel or more before it."""
    d = rng.uniform(size=20).tolist()
    wheel = (212, 228, 262, 286, 320, 200)
    base, strength = (
        (wheel[int(d[0] * len(wheel))] + 12 * (d[1] - 0.5), 0.5 + 0.3 * d[2]) if tint is None else (tint[0], tint[1])
    )
    away = (40 + 50 * d[3]) * (1 if d[4] < 0.5 else -1)
    colours = ramp(_sky(base, strength, away))
    lean, width, offset = 3.14 * d[5], 0.35 + 0.35 * d[6], (d[7] - 0.5) * 0.8
    scale = 0.14 if near else 0.24
    one, two = textures.clouds(int(d[8] * textures.CLOUDS)), textures.clouds(int(d[9] * textures.CLOUDS))
    suns = dots(int(d[10] * 3))
    dense = 0.11 if near else 0.17
    cos, sin = np.float32(np.cos(lean)), np.float32(np.sin(lean))

    def draw(at: Plane, seconds: float) -> Field:
        bend = _sampled(one, at, scale * 0.6, d[11], d[12])
        gas = _sampled(two, at, scale, d[13] + 0.001 * seconds, d[14], bend * np.float32(0.06))
        across = at.y * cos - at.x * sin - np.float32(offset) + bend * np.float32(0.10)
        band = 1.0 / (1.0 + (across / np.float32(width)) ** 4)
        lane = smooth(0.2, 1.5, bend * 0.6 - gas * 0.7) * band
        glow = smooth(-0.9, 2.0, gas) * (np.float32(0.25) + band)
        tone = 1.0 - np.exp(np.float32(-1.3) * (np.float32(0.08) + glow * 0.8 * (1.0 - lane * 0.8)))
        light = np.float32(0.12) + glow * (1.0 - lane * np.float32(0.85))
        colour = coloured(tone, light, colours)
        shine = _sampled(suns, at, dense, d[15], d[16])
        twinkle = 1.0 + 0.2 * np.sin(np.float32(3.1 * seconds) + at.x * 9.0 + at.y * 13.0)
        colour += (shine * twinkle * np.float32(0.9))[None] * np.array((0.92, 0.95, 1.0), np.float32)[:, None, None]
        return bloom(colour, 0.4, 0.04)

    return draw


def petals(tint: tuple[float, float] | None, rng: np.random.Generator, *, near: bool, opens: bool) -> Scene:
    """One flower of light: two rings of petals with bright rims and a dark line between them, round a burning heart."""
    d = rng.uniform(size=16).tolist()
    wheel = (12, 30, 44, 340, 318, 284, 222)
    base, strength = (
        (wheel[int(d[0] * len(wheel))] + 14 * (d[1] - 0.5), 0.5 + 0.3 * d[2]) if tint is None else (tint[0], tint[1])
    )
    away = (20 + 30 * d[3]) * (-1 if base % 360 < 75 or d[4] < 0.5 else 1)
    colours = ramp(_blossom(base, strength, away))
    count, radius = 5 + int(d[5] * 3), (1.05 if near else 0.72) * (0.9 + 0.3 * d[6])
    centre, tilt, lean = complex((d[7] - 0.5) * 0.7, (d[8] - 0.5) * 0.35), 0.72 + 0.28 * d[9], 3.14 * d[10]
    turn = np.exp(-1j * lean)
    pointed, opening = 0.55 + 0.5 * d[11], 0.7 + 0.3 * d[12]

    def draw(at: Plane, seconds: float) -> Field:
        z = (at.x + 1j * at.y - centre) * turn
        x, y = z.real.astype(np.float32), (z.imag / tilt).astype(np.float32)
        distance, angle = np.hypot(x, y), np.arctan2(y, x) * np.float32(count / (2 * np.pi))
        glow = 1.0 / (1.0 + (distance * np.float32(1.6)) ** 2)
        light, tone = np.float32(0.06) + glow * np.float32(0.22), np.float32(0.05) + glow * np.float32(0.16)
        wide = radius * (opening + 0.35 * seconds if opens else opening)
        for ring, reach in enumerate((wide, wide * 0.56)):
            across = _apart(angle + np.float32(d[13] + 0.5 * ring))
            outline = np.float32(reach) * (1.0 - across**2) ** np.float32(pointed)
            inside = (outline - distance) / np.float32(reach)
            along = np.clip(distance / np.float32(reach), 0.0, 1.0)
            cover = smooth(-0.01, 0.06, inside)
            rim = 1.0 / (1.0 + (inside * np.float32(11.0)) ** 2)
            crease = 1.0 / (1.0 + (across * np.float32(5.0)) ** 2) * along
            body = np.float32(0.30) + np.float32(0.45) * (1.0 - along) + rim * np.float32(0.55) - crease * 0.16
            shade = np.float32(0.36) + np.float32(0.25) * (1.0 - along) + rim * np.float32(0.30) - crease * 0.12
            shadow = 1.0 - np.float32(0.7) * smooth(-0.25, 0.0, inside)
            light, tone = light * shadow, tone * shadow
            light, tone = light + (body - light) * cover, tone + (shade - tone) * cover
        heart = 1.0 / (1.0 + (distance * np.float32(7.0 / radius)) ** 2)
        return bloom(coloured(tone + heart * np.float32(0.5), light + heart * np.float32(0.9), colours), 0.4, 0.07)

    return draw


def _apart(turns: Field) -> Field:
    """How far from the middle of its petal, in [0, 1]; the petals of a ring are one turn each."""
    return np.abs((turns - np.floor(turns)) * np.float32(2.0) - np.float32(1.0))


def _blossom(base: float, strength: float, away: float) -> tuple[tuple[float, Rgb], ...]:
    return (
        (0.00, hue(base + away, strength + 0.1, 0.03)),
        (0.30, hue(base + away * 0.5, strength + 0.1, 0.30)),
        (0.60, hue(base, strength, 0.85)),
        (0.85, hue(base - away * 0.3, strength * 0.5, 1.20)),
        (1.00, hue(base - away * 0.3, strength * 0.15, 1.60)),
    )


def _sky(base: float, strength: float, away: float) -> tuple[tuple[float, Rgb], ...]:
    return (
        (0.00, hue(base + away * 0.3, strength + 0.15, 0.05)),
        (0.30, hue(base, strength + 0.15, 0.34)),
        (0.60, hue(base + away * 0.3, strength, 0.75)),
        (1.00, hue(base + away, strength * 0.5, 1.25)),
    )


def _sampled(texture: Field, at: Plane, scale: float, right: float, down: float, warp: Field | None = None) -> Field:
    u, v = at.x * np.float32(scale) + np.float32(right), at.y * np.float32(scale) + np.float32(down)
    return textures.sample(texture, u if warp is None else u + warp, v)


@cache
def _vessels(index: int) -> Field:
    """Branching vessels, [256, 256, 2]: 1 across a vessel's width, and 1 along its middle."""
    rng = np.random.default_rng(950 + index)
    wide, core = np.zeros((_TILE, _TILE), np.uint8), np.zeros((_TILE, _TILE), np.uint8)
    for _ in range(5):
        _grow(wide, core, rng, rng.uniform(0, _TILE, 2), float(rng.uniform(0, 6.28)), 11.0)
    layers = (softened(wide.astype(np.float32), 1.2), softened(core.astype(np.float32), 1.2))
    out = np.ascontiguousarray(np.stack([np.minimum(layer / 255.0, 1.0) for layer in layers], axis=-1), np.float32)
    out.setflags(write=False)
    return out


def _grow(
    wide: NDArray[np.uint8],
    core: NDArray[np.uint8],
    rng: np.random.Generator,
    at: NDArray[np.float64],
    angle: float,
    width: float,
) -> None:
    """One vessel, and the two it parts into; each takes 0.79 of the width at most, as Murray's law has it."""
    for _ in range(int(rng.integers(4, 8))):
        angle += rng.normal(0, 0.20)
        step = np.array([np.cos(angle), np.sin(angle)]) * width * 1.6
        for x in (-_TILE, 0, _TILE):
            for y in (-_TILE, 0, _TILE):
                ends = [tuple(int(v) for v in np.rint(point + np.array([x, y]))) for point in (at, at + step)]
                cv2.line(wide, ends[0], ends[1], 255, max(round(width), 2), cv2.LINE_AA)
                cv2.line(core, ends[0], ends[1], 255, max(round(width * 0.3), 1), cv2.LINE_AA)
        at = (at + step) % _TILE
    if width > 5.0:
        for side in (-1.0, 1.0):
            _grow(wide, core, rng, at, angle + side * rng.uniform(0.35, 0.8), width * rng.uniform(0.62, 0.79))
