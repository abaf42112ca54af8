"""Light breaking like petals: rings of folded, translucent petals round a burning heart, over caustics and rays.

Every ring is an outline r(θ) in polar coordinates; petals overlap inwards, each with its fold, its rim and its shadow
on the ring below. Light and tone are kept as planes and coloured once at the end.
"""

from dataclasses import dataclass

import numpy as np

from ancestra_farm.models.procedural import textures
from ancestra_farm.models.procedural.canvas import Plane, Rgb, bloom, coloured, hue, ramp, smooth
from ancestra_farm.models.procedural.textures import Field
from ancestra_farm.models.procedural.words import Direction


@dataclass(frozen=True, slots=True)
class Petals:
    """One opening flower of light. Lengths in half picture heights, angles in turns."""

    colours: tuple[tuple[float, Rgb], ...]
    centre: tuple[float, float]
    radius: float
    tilt: float
    lean: float
    rings: int
    count: int
    sharp: float
    deep: float
    fold: float
    curl: float
    phases: tuple[float, ...]
    shades: tuple[float, ...]
    waver: float
    waver_map: int
    rays: float
    ray_row: int
    caustic: float
    caustic_at: tuple[float, float]
    heart: float
    opening: float
    opening_speed: float
    turning: float
    key: float
    grain: tuple[int, int]


def compose(words: Direction, rng: np.random.Generator) -> Petals:
    """A flower as the words want it; the seed decides what they leave open."""
    d = rng.uniform(size=32).tolist()
    wheel = (12, 26, 36, 44, 342, 322, 284, 222, 200)
    base = wheel[int(d[0] * len(wheel))] + 14 * (d[1] - 0.5)
    strength = 0.42 + 0.33 * d[2]
    if words.light == "dawn":
        base = 8 + 34 * d[1]
    elif words.light == "night":
        base = 205 + 75 * d[1]
    if words.tint is not None:
        base, strength = words.tint[0] + 10 * (d[1] - 0.5), 0.25 + 0.65 * words.tint[1]
    # Warm light falls off into red, never into green.
    away = -(16 + 34 * d[3]) if base % 360 < 75 else (26 + 40 * d[3]) * (1 if d[4] < 0.6 else -1)
    key = {"night": 0.27, "storm": 0.33, "mist": 0.50, "day": 0.52, "dawn": 0.45, "dusk": 0.38}.get(
        words.light or "", 0.32 + 0.17 * d[5]
    )
    far = words.height if words.height is not None else 2 * d[6] - 1
    opens = 1.0 if "open" in words.moves else 0.35
    return Petals(
        colours=(
            (0.00, hue(base + away, strength + 0.1, 0.03)),
            (0.25, hue(base + away * 0.7, strength + 0.08, 0.22)),
            (0.50, hue(base + away * 0.2, strength, 0.68)),
            (0.75, hue(base - away * 0.15, strength * 0.72, 1.00)),
            (0.90, hue(base - away * 0.25, strength * 0.38, 1.30)),
            (1.00, hue(base - away * 0.30, strength * 0.10, 1.60)),
        ),
        centre=((d[7] - 0.5) * 1.7, (d[8] - 0.5) * 0.9 + 0.1), radius=1.15 + 0.75 * d[9] - 0.35 * far,
        tilt=0.62 + 0.38 * d[10], lean=d[11], rings=4 + int(d[12] * 2.0), count=5 + int(d[13] * 7),
        sharp=1.3 + 1.6 * d[14], deep=0.30 + 0.35 * d[15], fold=0.25 + 0.6 * d[16], curl=(d[17] - 0.5) * 0.5,
        phases=tuple(rng.uniform(size=8).tolist()), shades=tuple(rng.uniform(-1, 1, 64).tolist()),
        waver=0.02 + 0.05 * d[18], waver_map=int(d[19] * textures.FOLDS),
        rays=0.25 + 0.75 * d[20], ray_row=int(d[21] * 64),
        caustic=0.15 + 0.45 * d[22], caustic_at=(d[23], d[24]), heart=0.5 + 0.9 * d[25],
        opening=0.35 + 0.5 * d[26], opening_speed=0.10 * opens,
        turning=(0.016 if "spiral" in words.moves else 0.005) * (1 if d[27] < 0.5 else -1),
        key=key, grain=(int(d[28] * 256), int(d[29] * 256)),
    )  # fmt: skip


def draw(petals: Petals, at: Plane, seconds: float, moving: float = 1.0) -> Field:
    """The flower's light at a moment, [3, H, W] linear."""
    t = seconds * moving
    x, y = at.x - np.float32(petals.centre[0]), at.y - np.float32(petals.centre[1])
    c, s = float(np.cos(petals.lean * 6.28)), float(np.sin(petals.lean * 6.28))
    x, y = (
        x * np.float32(c) + y * np.float32(s),
        (y * np.float32(c) - x * np.float32(s)) * np.float32(1.0 / petals.tilt),
    )
    tile = np.float32(0.24)
    wobble = textures.sample(
        textures.folds(petals.waver_map), at.x * tile + np.float32(petals.caustic_at[0] + 0.006 * t), at.y * tile
    )
    distance = np.sqrt(x * x + y * y)
    distance *= 1.0 + np.float32(petals.waver) * wobble
    turn = np.arctan2(y, x) * np.float32(0.5 / np.pi) + np.float32(petals.turning * t)
    turn += np.float32(petals.waver * 0.16) * wobble
    light, tone = _ground(petals, at, distance, turn, t)
    opened = petals.opening + petals.opening_speed * t
    for ring in range(petals.rings):
        share = ring / petals.rings
        reach = petals.radius * (1.0 - share) ** 1.15 * (0.62 + 0.38 * min(opened + 0.25 * (1 - share), 1.6))
        _ring(petals, ring, reach, distance, turn + np.float32(petals.curl) * distance * (0.4 + share), light, tone)
    core = 1.0 / (1.0 + (distance * np.float32(7.0 / petals.heart)) ** 2)
    light += core * np.float32(1.1 + 0.15 * np.sin(2.4 * t))
    tone += core * np.float32(0.7)
    colour = coloured(tone, light, ramp(petals.colours))
    return bloom(colour, 0.55, 0.09)


def _ground(petals: Petals, at: Plane, distance: Field, turn: Field, t: float) -> tuple[Field, Field]:
    """What lies behind the petals: the dark, caustics in it, and rays from the heart."""
    u, v = petals.caustic_at
    tile = np.float32(0.20)
    nets = [
        textures.sample(
            textures.cells(),
            at.x * tile * scale + np.float32(u + way * 0.012 * t),
            at.y * tile * scale + np.float32(v - 0.01 * t),
        )[..., 1]
        for scale, way in ((1.0, 1.0), (1.37, -1.0))
    ]
    net = 1.0 / (1.0 + (np.minimum(nets[0], nets[1]) * np.float32(6.0)) ** 2)
    fall = 1.0 / (1.0 + (distance * np.float32(0.75)) ** 2)
    # Two sets of beams turning against each other.
    first, second = (textures.outlines()[(petals.ray_row + other) % 64] for other in (0, 1))
    place, slide = (turn * np.float32(2 * textures.TILE)).astype(np.intp), int(12 * t)
    beams = np.take(first, (place + slide) & (textures.TILE - 1)) + np.take(
        second, (place - slide) & (textures.TILE - 1)
    )
    ray = smooth(0.2, 2.6, beams) * np.float32(petals.rays)
    light = (
        np.float32(0.16)
        + fall * (np.float32(0.45) + ray * np.float32(0.7))
        + net * fall * np.float32(0.24 * petals.caustic)
    )
    tone = np.float32(0.10) + fall * np.float32(0.30) + ray * fall * np.float32(0.22) + net * fall * np.float32(0.16)
    return light, tone


def _ring(petals: Petals, ring: int, reach: float, distance: Field, turn: Field, light: Field, tone: Field) -> None:
    """Lay one ring of petals over ``light`` and ``tone``, in place."""
    count = max(petals.count - (ring % 2), 4)
    place = turn * np.float32(count) + np.float32(petals.phases[ring] + ring * 0.618 * count)
    whole = np.floor(place)
    across = (place - whole) * 2.0 - 1.0
    which = (whole.astype(np.int32) % count + 7 * ring) % 64
    own = np.take(np.array(petals.shades, np.float32), which)
    side = np.abs(across)
    outline = (
        np.float32(reach)
        * (1.0 - np.float32(petals.deep) * side ** np.float32(petals.sharp))
        * (1.0 + np.float32(0.10) * own)
    )
    inside = (outline - distance) * np.float32(1.0 / reach)
    # The shadow it throws on what lies below, just outside its edge.
    shadow = smooth(-0.22, 0.0, inside)
    light *= 1.0 - np.float32(0.42) * shadow
    cover = smooth(0.0, 0.035, inside) * np.float32(0.84)
    rim = 1.0 / (1.0 + (inside * np.float32(22.0)) ** 2)
    along = np.clip(distance * np.float32(1.0 / reach), 0.0, 1.0)
    # A fold down the middle: one flank in the light, the other turned away.
    flank = across * np.float32(petals.fold) * (1.0 - side * 0.4)
    ribs = 1.0 + np.float32(0.07) * np.cos(across * np.float32(19.0) + own * 3.0) * along
    crease = 1.0 / (1.0 + (across * np.float32(9.0)) ** 2)
    body = (
        np.float32(0.34)
        + np.float32(0.62) * (1.0 - along) ** 2
        + np.float32(0.20) * own * along
        + np.float32(0.34) * flank * along
    ) * ribs
    body += np.float32(0.32) * rim + np.float32(0.12) * crease * along
    shade = (
        np.float32(0.34)
        + np.float32(0.34) * (1.0 - along)
        + np.float32(0.10) * own
        + np.float32(0.16) * flank
        + np.float32(0.20) * rim
    )
    light += (np.maximum(body, 0.03) - light) * cover
    tone += (shade - tone) * cover
