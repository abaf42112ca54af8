"""Stars and dust: a band of suns, glowing clouds and dark lanes before it, three depths of stars."""

from dataclasses import dataclass

import numpy as np

from ancestra_farm.models.procedural import textures
from ancestra_farm.models.procedural.canvas import Plane, Rgb, bloom, coloured, hue, ramp, smooth
from ancestra_farm.models.procedural.textures import Field
from ancestra_farm.models.procedural.words import Direction


@dataclass(frozen=True, slots=True)
class Stars:
    """One sky. Lengths in half picture heights, speeds per second."""

    colours: tuple[tuple[float, Rgb], ...]
    lean: float
    band: float
    band_width: float
    band_offset: float
    clouds: tuple[int, int]
    at: tuple[tuple[float, float], ...]
    scale: float
    warp: float
    dust: float
    gas: float
    shine: float
    star_map: int
    growth: float
    turning: float
    drift: tuple[float, float]
    key: float
    grain: tuple[int, int]


def compose(words: Direction, rng: np.random.Generator) -> Stars:
    """A sky as the words want it; the seed decides what they leave open."""
    d = rng.uniform(size=24).tolist()
    wheel = (212, 228, 222, 262, 286, 330, 205, 184)
    base, strength = wheel[int(d[0] * len(wheel))] + 14 * (d[1] - 0.5), 0.5 + 0.35 * d[2]
    if words.light in ("dawn", "dusk"):
        base = 345 + 50 * d[1]
    if words.tint is not None:
        base, strength = words.tint[0] + 10 * (d[1] - 0.5), 0.3 + 0.6 * words.tint[1]
    away = (50 + 70 * d[3]) * (1 if d[4] < 0.5 else -1)
    growth, turning, x, y = 0.008, 0.0, 0.0, 0.0
    for move in words.moves:
        growth += {"push_in": 0.05, "open": 0.04, "pull_back": -0.05}.get(move, 0.0)
        turning += 0.05 if move == "spiral" else 0.0
        x += {"drift_left": 0.05, "drift_right": -0.05}.get(move, 0.0)
        y += {"rise": 0.05, "sink": -0.05}.get(move, 0.0)
    return Stars(
        colours=(
            (0.00, hue(base + away * 0.4, strength + 0.1, 0.06)),
            (0.30, hue(base, strength + 0.15, 0.34)),
            (0.55, hue(base + away * 0.3, strength, 0.66)),
            (0.78, hue(base + away * 0.8, strength * 0.8, 0.95)),
            (1.00, hue(base + away, strength * 0.5, 1.25)),
        ),
        lean=d[5] * 3.14, band=0.35 + 0.65 * d[6], band_width=0.35 + 0.55 * d[7], band_offset=(d[8] - 0.5) * 0.9,
        clouds=(int(d[9] * textures.CLOUDS), int(d[10] * textures.CLOUDS)),
        at=tuple((float(a), float(b)) for a, b in rng.uniform(size=(6, 2))),
        scale=0.16 + 0.20 * d[11], warp=0.04 + 0.05 * d[12], dust=0.3 + 0.7 * d[13], gas=0.5 + 0.7 * d[14],
        shine=0.7 + 0.6 * d[15], star_map=int(d[16] * textures.STARS), growth=growth, turning=turning, drift=(x, y),
        key=(0.17 if words.light != "day" else 0.30) + 0.12 * d[17], grain=(int(d[18] * 256), int(d[19] * 256)),
    )  # fmt: skip


def draw(stars: Stars, at: Plane, seconds: float, moving: float = 1.0) -> Field:
    """The sky's light at a moment, [3, H, W] linear."""
    t = seconds * moving
    x, y = _seen(stars, at, t, 1.0)
    scale = np.float32(stars.scale)
    (u0, v0), (u1, v1) = stars.at[0], stars.at[1]
    bend = textures.sample(
        textures.clouds(stars.clouds[0]), x * scale * 0.6 + np.float32(u0), y * scale * 0.6 + np.float32(v0 + 0.002 * t)
    )
    gas = textures.sample(
        textures.clouds(stars.clouds[1]),
        x * scale + np.float32(stars.warp) * bend + np.float32(u1),
        y * scale + np.float32(v1),
    )
    c, s = np.float32(np.cos(stars.lean)), np.float32(np.sin(stars.lean))
    across = y * c - x * s - np.float32(stars.band_offset) + bend * np.float32(0.10)
    band = 1.0 / (1.0 + (across / np.float32(stars.band_width)) ** 4)
    lane = smooth(0.1, 1.5, bend * 0.6 - gas * 0.7) * band * np.float32(stars.dust)
    glow = smooth(-0.7, 2.2, gas) * np.float32(stars.gas) * (0.35 + band * np.float32(stars.band))
    heart = band * np.float32(0.30 * stars.band)
    light = np.float32(0.22) + (glow * 0.8 + heart) * (1.0 - lane * 0.85)
    tone = np.float32(0.10) + (glow * 0.55 + heart * 0.55 + smooth(0.6, 2.6, gas) * 0.15) * (1.0 - lane * 0.7)
    tone = 1.0 - np.exp(np.float32(-1.15) * tone)
    colour = coloured(tone, light, ramp(stars.colours))
    for depth, (nearer, strength) in enumerate(((1.0, 0.8), (1.5, 0.7), (2.3, 0.5))):
        sx, sy = _seen(stars, at, t, nearer)
        u, v = stars.at[2 + depth]
        # One texel a pixel at 256 × 144, so that the smallest stars stay about a pixel wide.
        tile = np.float32(0.14 * (1.0 - 0.12 * depth))
        points = textures.sample(
            textures.stars((stars.star_map + depth) % textures.STARS),
            sx * tile + np.float32(u),
            sy * tile + np.float32(v),
        )
        twinkle = 1.0 + 0.25 * np.sin(np.float32(3.1 * seconds) + (at.x * 9.0 + at.y * 13.0))
        points = points * np.sqrt(points) * twinkle * (1.0 - lane * 0.8) * np.float32(strength * stars.shine)
        colour += points * np.array((1.0, 0.96, 0.90) if depth % 2 else (0.86, 0.93, 1.0), np.float32)[:, None, None]
    return bloom(colour, 0.5, 0.03)


def _seen(stars: Stars, at: Plane, t: float, nearer: float) -> tuple[Field, Field]:
    """Where the pixels look to at a depth; what is ``nearer`` moves more."""
    zoom = float(np.exp(-stars.growth * nearer * t))
    c, s = np.float32(np.cos(stars.turning * t) * zoom), np.float32(np.sin(stars.turning * t) * zoom)
    dx, dy = np.float32(stars.drift[0] * nearer * t), np.float32(stars.drift[1] * nearer * t)
    return at.x * c - at.y * s - dx, at.x * s + at.y * c - dy
