"""The descent through tissue: translucent membranes with ragged openings and vessels, a warm light at the end.

Drawn in polar coordinates round the way ahead. Each membrane adds to two planes, how much light and which tone of one
colour ramp; colour is looked up once at the end.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.models.procedural import textures
from ancestra_farm.models.procedural.canvas import Plane, Rgb, bloom, coloured, hue, ramp, smooth
from ancestra_farm.models.procedural.textures import Field
from ancestra_farm.models.procedural.words import Direction

#: How much wider the opening of a membrane is than that of the next one down.
STEP = 1.75


@dataclass(frozen=True, slots=True)
class Tissue:
    """One passage. Lengths in half picture heights; ``speed``: membranes, ``turning``: radians a second."""

    colours: tuple[tuple[float, Rgb], ...]
    centre: tuple[float, float]
    opening: float
    membranes: int
    flat: float
    ragged: float
    twist: float
    vessel_map: int
    around: tuple[float, ...]
    offsets: tuple[tuple[float, float], ...]
    depth: float
    glow: float
    thickness: float
    wet: float
    pulse: float
    speed: float
    turning: float
    drift: tuple[float, float]
    key: float
    grain: tuple[int, int]


def compose(words: Direction, rng: np.random.Generator) -> Tissue:
    """A passage as the words want it; the seed decides what they leave open."""
    d = rng.uniform(size=24).tolist()
    # Warm by nature: from wine over crimson to amber; a few seeds go to rose and violet, none to green unless asked.
    base = (348 + 36 * d[0]) if d[1] < 0.85 else (330 + 22 * d[0])
    strength = 0.62 + 0.18 * d[21]
    if words.tint is not None:
        base, strength = words.tint[0] + 12 * (d[0] - 0.5), 0.25 + 0.55 * words.tint[1]
    lean = 14 + 22 * d[2]
    if 0 <= base < 75:
        # Amber brightens to straw, never to green.
        lean = min(lean, max(50 - base, 0) / 1.5)
    bright = {"night": 0.32, "storm": 0.38, "mist": 0.58, "day": 0.56, "dawn": 0.50, "dusk": 0.42}.get(
        words.light or "", 0.38 + 0.18 * d[3]
    )
    near = words.height is not None and words.height < 0
    speed, turning, drift = _speed(words)
    return Tissue(
        colours=(
            (0.00, hue(base - 12, strength + 0.22, 0.14)),
            (0.22, hue(base - 6, strength + 0.20, 0.36)),
            (0.45, hue(base, strength + 0.06, 0.70)),
            (0.68, hue(base + lean * 0.6, strength * 0.86, 0.95)),
            (0.86, hue(base + lean, strength * 0.60, 1.10)),
            (1.00, hue(base + lean * 1.5, strength * 0.32, 1.25)),
        ),
        centre=((d[4] - 0.5) * 1.9, (d[5] - 0.5) * 1.1),
        opening=(0.10 + 0.20 * d[6]) * (1.7 if near else 1.0), membranes=4 + int(d[7] * 2),
        flat=0.75 + 0.5 * d[8], ragged=0.10 + 0.20 * d[9], twist=(d[10] - 0.5) * 2.2,
        vessel_map=int(d[11] * textures.VESSELS), around=tuple(rng.uniform(size=8).tolist()),
        offsets=tuple((float(a), float(b)) for a, b in rng.uniform(size=(8, 2))),
        depth=d[12], glow=0.15 + 0.55 * d[13], thickness=0.45 + 0.55 * d[14], wet=d[15],
        pulse=0.8 + 0.5 * d[16], speed=speed * (0.7 + 0.6 * d[17]), turning=turning * (1 if d[18] < 0.5 else -1),
        drift=drift, key=bright, grain=(int(d[19] * 256), int(d[20] * 256)),
    )  # fmt: skip


def _speed(words: Direction) -> tuple[float, float, tuple[float, float]]:
    speed, turning, x, y = 0.10, 0.0, 0.0, 0.0
    for move in words.moves:
        if move in ("push_in", "sink", "open", "spiral"):
            speed = 0.24
        if move == "pull_back":
            speed = -0.18
        if move == "spiral":
            turning = 0.13
        if move in ("drift_left", "drift_right"):
            x = 0.07 if move == "drift_left" else -0.07
        if move == "rise":
            y = 0.06
    return speed, turning, (x, y)


def draw(tissue: Tissue, at: Plane, seconds: float, moving: float = 1.0) -> Field:
    """The passage's light at a moment, [3, H, W] linear."""
    t = seconds * moving
    beat = 0.006 * float(np.sin(2 * np.pi * tissue.pulse * seconds)) ** 3
    x = at.x - np.float32(tissue.centre[0] + tissue.drift[0] * t)
    y = (at.y - np.float32(tissue.centre[1] + tissue.drift[1] * t)) * np.float32(1.0 / tissue.flat)
    distance = np.maximum(np.sqrt(x * x + y * y), np.float32(at.pixel * 0.5))
    reach = np.log(distance)
    angle = np.arctan2(y, x) * np.float32(0.5 / np.pi) + np.float32(tissue.turning * t * 0.5 / np.pi)
    place = (angle * np.float32(textures.TILE)).astype(np.intp) & (textures.TILE - 1)
    # The light at the end, and the mist before it.
    light = np.float32(0.55) + np.float32(tissue.glow) / (1.0 + (distance / np.float32(tissue.opening * 1.3)) ** 2)
    tone = np.float32(0.50) + np.float32(0.48) / (1.0 + (distance * np.float32(0.8 / tissue.opening)) ** 2)
    travelled = tissue.depth + tissue.speed * t
    first = int(np.floor(travelled))
    for near in range(tissue.membranes):
        behind = travelled - first + near
        _membrane(tissue, (first - near) % 8, behind, reach - np.float32(beat * behind), (angle, place), light, tone)
    colour = coloured(tone, light, ramp(tissue.colours))
    return bloom(colour, 0.35, 0.10)


def _membrane(
    tissue: Tissue,
    which: int,
    behind: float,
    reach: Field,
    turn: tuple[Field, NDArray[np.intp]],
    light: Field,
    tone: Field,
) -> None:
    """Lay one membrane over ``light`` and ``tone`` in place.

    ``behind``: how many have come up after it; ``turn``: the angle in turns, and as a place on an outline.
    """
    angle, place = turn
    edge = float(np.log(tissue.opening * STEP**behind))
    outline = np.take(textures.outlines()[int(tissue.around[which] * 64)], place)
    beyond = reach - np.float32(edge) - np.float32(tissue.ragged * 0.8) * outline
    shift_u, shift_v = tissue.offsets[which]
    # Twice round and 0.32 a unit of log distance: a tile is as long as it is wide, however near.
    u = angle * np.float32(2.0) + np.float32(shift_u) + np.float32(tissue.twist * 0.16) * reach
    v = (reach - np.float32(edge)) * np.float32(0.32) + np.float32(shift_v)
    skin = textures.sample(textures.folds(which % textures.FOLDS), u, v)
    trunks, branches = cv2.split(textures.sample(textures.vessels(tissue.vessel_map), u + skin * np.float32(0.008), v))
    cover = smooth(0.0, 0.10, beyond)
    # It comes out of the dark at the far end and thins out as it passes the lens.
    passing = min(behind * 2.5, 1.0, (tissue.membranes - behind) * 1.5)
    cover *= np.float32(passing * (0.94 - 0.10 * behind / tissue.membranes))
    outside = np.maximum(beyond, 0.0)
    rim = 1.0 / (1.0 + (outside * np.float32(16.0)) ** 2)
    fall = 1.0 / (1.0 + outside * np.float32(2.6))
    far = 0.80**behind
    own = (np.float32(0.30) + np.float32(0.50 * far) * fall + np.float32(0.55 * far) * rim) * (
        1.0 + np.float32(0.20) * skin
    )
    vein = np.minimum(trunks + branches * np.float32(0.7), 1.0) * np.float32(tissue.thickness)
    own *= 1.0 - np.float32(0.45) * vein
    own += smooth(0.9, 2.2, skin + outline * np.float32(0.3)) * np.float32(0.22 * tissue.wet * far)
    shade = np.float32(0.30) + np.float32(0.30 * far) * fall + np.float32(0.22) * rim + np.float32(0.06) * skin
    shade -= np.float32(0.26) * vein
    light += (np.maximum(own, 0.03) - light) * cover
    tone += (shade - tone) * cover
