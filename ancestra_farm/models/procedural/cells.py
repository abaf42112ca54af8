"""Membranes and cells under the microscope: translucent bodies with walls and nuclei, others out of focus behind.

For many seeds an egg holds them.
"""

from dataclasses import dataclass

import numpy as np

from ancestra_farm.models.procedural import textures
from ancestra_farm.models.procedural.canvas import Plane, Rgb, bloom, coloured, hue, ramp, smooth
from ancestra_farm.models.procedural.textures import Field
from ancestra_farm.models.procedural.words import Direction


@dataclass(frozen=True, slots=True)
class Cells:
    """One view. Lengths in half picture heights; ``size``: a cell's diameter."""

    colours: tuple[tuple[float, Rgb], ...]
    size: float
    at: tuple[float, float]
    behind_at: tuple[float, float]
    lean: float
    bend: float
    bend_map: int
    wall: float
    nucleus: float
    lamp: tuple[float, float]
    egg: float
    egg_at: tuple[float, float]
    dark_field: bool
    drift: tuple[float, float]
    growth: float
    key: float
    grain: tuple[int, int]


def compose(words: Direction, rng: np.random.Generator) -> Cells:
    """A view as the words want it; the seed decides what they leave open."""
    d = rng.uniform(size=24).tolist()
    wheel = (196, 178, 214, 262, 318, 350, 16, 34, 166)
    base, strength = wheel[int(d[0] * len(wheel))] + 12 * (d[1] - 0.5), 0.38 + 0.30 * d[2]
    if words.light in ("dawn", "dusk"):
        base = 350 + 48 * d[1]
    if words.tint is not None:
        base, strength = words.tint[0] + 8 * (d[1] - 0.5), 0.2 + 0.6 * words.tint[1]
    # Warm tones darken into red, never into green.
    away = -(12 + 26 * d[3]) if base % 360 < 75 else (30 + 60 * d[3]) * (1 if d[4] < 0.5 else -1)
    dark = words.light in ("night", "storm") or (words.light is None and d[5] < 0.5)
    near = -words.height if words.height is not None else 2 * d[6] - 1
    growth, x, y = 0.0, 0.03 * (d[7] - 0.5), 0.03 * (d[8] - 0.5)
    for move in words.moves:
        growth += {"push_in": 0.05, "open": 0.05, "spiral": 0.04, "pull_back": -0.05}.get(move, 0.0)
        x += {"drift_left": 0.08, "drift_right": -0.08}.get(move, 0.0)
        y += {"rise": 0.07, "sink": -0.07}.get(move, 0.0)
    return Cells(
        colours=(
            (0.00, hue(base + away, strength + 0.25, 0.02)),
            (0.25, hue(base + away * 0.6, strength + 0.2, 0.16)),
            (0.50, hue(base, strength + 0.1, 0.50)),
            (0.75, hue(base - away * 0.3, strength * 0.7, 0.95)),
            (1.00, hue(base - away * 0.6, strength * 0.25, 1.45)),
        ),
        size=0.42 * 2.0 ** (0.9 * near + 0.5 * (d[9] - 0.5)), at=(d[10], d[11]), behind_at=(d[12], d[13]),
        lean=d[14] * 6.28,
        bend=0.08 + 0.16 * d[15],
        bend_map=int(d[16] * textures.FOLDS), wall=0.05 + 0.07 * d[17], nucleus=0.20 + 0.12 * d[18],
        lamp=((d[19] - 0.5) * 2.4, (d[20] - 0.5) * 1.4), egg=(0.62 + 0.5 * d[21]) if d[22] < 0.4 else 0.0,
        egg_at=((d[10] - 0.5) * 1.2, (d[11] - 0.5) * 0.5), dark_field=dark, drift=(x, y), growth=growth,
        key=(0.28 if dark else 0.42) + 0.10 * d[23] + (0.08 if words.light in ("day", "mist") else 0.0),
        grain=(int(d[3] * 256), int(d[15] * 256)),
    )  # fmt: skip


def draw(cells: Cells, at: Plane, seconds: float, moving: float = 1.0) -> Field:
    """The view's light at a moment, [3, H, W] linear."""
    t = seconds * moving
    zoom = np.float32(np.exp(-cells.growth * t))
    x, y = at.x * zoom - np.float32(cells.drift[0] * t), at.y * zoom - np.float32(cells.drift[1] * t)
    sway = np.float32(0.012 * seconds)
    warp_x = textures.sample(textures.folds(cells.bend_map), x * np.float32(0.16) + sway, y * np.float32(0.16))
    warp_y = textures.sample(textures.folds(cells.bend_map), y * np.float32(0.16) + 0.5, x * np.float32(0.16) - sway)
    lamp = 1.0 / (1.0 + 0.55 * ((at.x - np.float32(cells.lamp[0])) ** 2 + (at.y - np.float32(cells.lamp[1])) ** 2))
    scale = np.float32(1.0 / (10.0 * cells.size))
    bend = np.float32(cells.bend * 0.16)
    c, s = np.float32(np.cos(cells.lean)), np.float32(np.sin(cells.lean))
    u = (x * c - y * s) * scale + bend * warp_x * scale * 3.0 + np.float32(cells.at[0])
    v = (x * s + y * c) * scale + bend * warp_y * scale * 3.0 + np.float32(cells.at[1])
    light, tone = _behind(cells, x * scale * 0.45, y * scale * 0.45, lamp, warp_x)
    body_light, body_tone, body = _bodies(cells, u, v, lamp, warp_y)
    if cells.egg:
        inside = (
            np.float32(cells.egg)
            - np.hypot(x - np.float32(cells.egg_at[0]), y - np.float32(cells.egg_at[1]))
            + np.float32(0.012) * warp_x
        )
        body *= smooth(0.0, 0.06, inside)
        light += (body_light - light) * body
        tone += (body_tone - tone) * body
        rim = 1.0 / (1.0 + (inside * np.float32(26.0)) ** 2) + 0.35 / (
            1.0 + ((inside + np.float32(0.10)) * np.float32(12.0)) ** 2
        )
        light += rim * np.float32(0.75)
        tone += rim * np.float32(0.30)
    else:
        light += (body_light - light) * body
        tone += (body_tone - tone) * body
    colour = coloured(tone, light, ramp(cells.colours))
    return bloom(colour, 0.4, 0.07)


def _behind(cells: Cells, u: Field, v: Field, lamp: Field, warp: Field) -> tuple[Field, Field]:
    """Cells far out of focus, and the field's own light."""
    field = textures.sample(textures.cells(), u + np.float32(cells.behind_at[0]), v + np.float32(cells.behind_at[1]))
    soft = smooth(0.75, 0.1, field[..., 0]) * (0.4 + field[..., 2])
    ground = np.float32(0.10 if cells.dark_field else 0.42)
    light = ground + lamp * np.float32(0.35) + soft * np.float32(0.22)
    tone = ground * np.float32(0.6) + lamp * np.float32(0.20) + soft * np.float32(0.12) + warp * np.float32(0.03)
    return light, tone


def _bodies(cells: Cells, u: Field, v: Field, lamp: Field, warp: Field) -> tuple[Field, Field, Field]:
    """Light, tone and coverage of the cells in focus."""
    field = textures.sample(textures.cells(), u, v)
    centre, wall, name = field[..., 0], field[..., 1], field[..., 2]
    line = 1.0 / (1.0 + (wall * np.float32(1.0 / cells.wall)) ** 2)
    halo = 1.0 / (1.0 + (wall * np.float32(0.3 / cells.wall)) ** 2)
    core = smooth(cells.nucleus + 0.07, cells.nucleus - 0.04, centre + np.float32(0.015) * warp)
    spot = smooth(0.11, 0.02, centre)
    own = name - 0.5
    light = np.float32(0.22) + lamp * (np.float32(0.40) + 0.3 * own) + halo * np.float32(0.22) + line * np.float32(0.65)
    light += core * np.float32(0.16) + spot * np.float32(0.22)
    tone = (
        np.float32(0.36)
        + own * np.float32(0.22)
        + lamp * np.float32(0.16)
        + line * np.float32(0.34)
        + halo * np.float32(0.10)
    )
    tone += core * np.float32(0.10) + spot * np.float32(0.30)
    # Some cells are nearly clear.
    cover = np.float32(0.55) + np.float32(0.40) * smooth(0.15, 0.6, name) + line * np.float32(0.4)
    return light, tone, np.minimum(cover, 1.0)
