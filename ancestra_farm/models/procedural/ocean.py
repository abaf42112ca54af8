"""The ocean seen from a helicopter: wave octaves in true perspective, reflected sky, sun glitter, horizon and clouds.

Lengths are in camera heights. The glitter is Cox and Munk's: light where a facet's slope is the one that mirrors the sun
("Measurement of the roughness of the sea surface", 1954); octaves too small for a pixel turn into roughness instead of
aliasing, so the sun's path widens towards the horizon as it does at sea.
"""

from dataclasses import dataclass

import numpy as np

from ancestra_farm.models.procedural import textures
from ancestra_farm.models.procedural.canvas import Plane, Rgb, bloom, mixed, smooth, tinted
from ancestra_farm.models.procedural.textures import Field
from ancestra_farm.models.procedural.words import Direction, Light

OCTAVES = 5


@dataclass(frozen=True, slots=True)
class Ocean:
    """One sea, one light, one camera. Angles in radians, lengths in camera heights, speeds per second."""

    zenith: Rgb
    horizon: Rgb
    sun: Rgb
    water: Rgb
    sun_at: tuple[float, float, float]
    disc: float
    haze: float
    pitch: float
    roll: float
    focal: float
    swell: float
    steepness: float
    foam: float
    wind: float
    scatter: tuple[tuple[float, float, float], ...]
    cloud: float
    cloud_map: int
    cloud_at: tuple[float, float]
    key: float
    forward: float
    sideways: float
    sinking: float
    turning: float
    grain: tuple[int, int]


#: zenith, horizon, sun, water (linear), sun's height above the horizon from–to, haze, key.
_LIGHTS: dict[Light, tuple[Rgb, Rgb, Rgb, Rgb, float, float, float, float]] = {
    "dawn": ((0.10, 0.17, 0.34), (1.00, 0.52, 0.34), (9.0, 4.6, 2.3), (0.010, 0.042, 0.060), 0.03, 0.22, 0.020, 0.44),
    "day": ((0.13, 0.32, 0.72), (0.66, 0.82, 0.95), (9.0, 8.2, 7.0), (0.006, 0.070, 0.110), 0.50, 1.10, 0.010, 0.50),
    "dusk": ((0.12, 0.10, 0.26), (1.05, 0.38, 0.15), (9.5, 3.6, 1.1), (0.014, 0.024, 0.045), 0.02, 0.14, 0.018, 0.40),
    "night": (
        (0.008, 0.016, 0.045),
        (0.040, 0.065, 0.120),
        (1.3, 1.5, 1.9),
        (0.001, 0.005, 0.012),
        0.25,
        0.70,
        0.012,
        0.27,
    ),
    "storm": ((0.10, 0.12, 0.14), (0.34, 0.37, 0.38), (0.9, 0.9, 0.8), (0.010, 0.034, 0.036), 0.35, 0.90, 0.045, 0.38),
    "mist": ((0.40, 0.44, 0.50), (0.78, 0.76, 0.74), (2.2, 2.0, 1.7), (0.030, 0.065, 0.075), 0.12, 0.50, 0.130, 0.52),
}
_OPEN_LIGHTS: tuple[Light, ...] = ("dawn", "dawn", "day", "dusk", "dusk", "night", "storm", "mist")


def compose(words: Direction, rng: np.random.Generator) -> Ocean:
    """A sea as the words want it; the seed decides what they leave open."""
    d = rng.uniform(size=32).tolist()
    light = words.light or _OPEN_LIGHTS[int(d[0] * len(_OPEN_LIGHTS))]
    zenith, horizon, sun, water, low, high, haze, key = _LIGHTS[light]
    # No two dawns alike: hues lean to rose, gold or violet.
    lean = tinted(horizon, (360 * (0.92 + 0.22 * d[1]), 0.7), 0.6 if light in ("dawn", "dusk") else 0.12)
    horizon, sun = tinted(lean, words.tint), tinted(sun, words.tint, 0.6)
    zenith = tinted(
        mixed(zenith, (0.16, 0.10, 0.30), 0.6 * d[2] if light in ("dawn", "dusk") else 0.0), words.tint, 0.4
    )
    water = tinted(mixed(water, (0.0, 0.075, 0.07), 0.5 * d[3] * (light != "night")), words.tint, 0.7)
    height = words.height if words.height is not None else -0.6 + 1.5 * d[4]
    energy = (
        words.energy if words.energy is not None else {"storm": 0.85, "mist": 0.2}.get(light, 0.15 + 0.55 * d[5] ** 1.5)
    )
    elevation = low + (high - low) * d[6]
    azimuth = (d[7] - 0.5) * (1.0 if d[8] < 0.75 else 2.6)
    looks_down = height > 0.6 and d[9] < 0.45
    pitch = 0.62 + 0.5 * d[10] if looks_down else 0.06 + 0.36 * d[10] + 0.10 * max(height, 0.0)
    speed = _speed(words)
    return Ocean(
        zenith=zenith, horizon=horizon, sun=sun, water=water,
        sun_at=(np.sin(azimuth) * np.cos(elevation), float(np.sin(elevation)), np.cos(azimuth) * np.cos(elevation)),
        disc=0.0 if light in ("storm", "mist") else 1.0,
        haze=haze * (0.6 + 0.8 * d[11]), pitch=pitch, roll=(d[12] - 0.5) * (0.34 if d[13] < 0.3 else 0.06),
        focal=1.5 + 1.2 * d[14],
        swell=2.6 * 0.22 ** (height * 0.5 + 0.5) * (0.8 + 0.5 * d[15]) * (0.7 + 0.6 * energy),
        steepness=0.045 + 0.15 * energy, foam=max(energy - 0.45, 0.0) * 1.7, wind=(d[16] - 0.5) * 2.6,
        scatter=tuple((float(a), float(b), float(c)) for a, b, c in rng.uniform(size=(OCTAVES, 3)) - 0.5),
        cloud=(0.2 + 0.8 * d[17]) * (1.0 if light != "mist" else 0.25), cloud_map=int(d[18] * 4), cloud_at=(d[19], d[20]),
        key=key * (0.88 + 0.24 * d[21]),
        forward=speed["forward"] * (0.7 + 0.6 * d[22]), sideways=speed["sideways"], sinking=speed["sinking"],
        turning=speed["turning"], grain=(int(d[23] * 256), int(d[24] * 256)),
    )  # fmt: skip


def _speed(words: Direction) -> dict[str, float]:
    speed = {"forward": 0.16, "sideways": 0.0, "sinking": 0.0, "turning": 0.0}
    for move in words.moves:
        if move == "push_in":
            speed["forward"] = 0.45
        elif move == "pull_back":
            speed["forward"] = -0.35
        elif move in ("drift_left", "drift_right"):
            speed["sideways"] = -0.30 if move == "drift_left" else 0.30
        elif move in ("rise", "sink"):
            speed["sinking"] = 0.10 if move == "sink" else -0.10
        elif move == "spiral":
            speed["turning"] = 0.09
        elif move == "hold":
            speed["forward"] = 0.0
    return speed


def draw(sea: Ocean, at: Plane, seconds: float, moving: float = 1.0) -> Field:
    """The sea's light at a moment, [H, W, 3] linear. ``moving``: the camera's speed as a factor."""
    t = seconds * moving
    across = sea.turning * t
    lift = float(np.exp(-sea.sinking * t))
    dx, dy, dz = _rays(sea, at, across)
    light = _sky(sea, dx, dy, dz, seconds)
    first = int(np.argmax((dy < at.pixel * 0.5).any(axis=1))) if (dy < at.pixel * 0.5).any() else at.height
    if first < at.height:
        part = slice(first, None)
        travelled = (sea.sideways * t, sea.forward * t)
        wet = _water(sea, at, dx[part], dy[part], dz[part], travelled, lift, seconds)
        edge = at.pixel / sea.focal
        shore = smooth(-edge, edge, -dy[part])
        light[part] += (wet - light[part]) * shore[..., None]
    return bloom(light, 0.10)


def _rays(sea: Ocean, at: Plane, across: float) -> tuple[Field, Field, Field]:
    """Unit vectors through the pixels: right, up, ahead."""
    cr, sr = np.float32(np.cos(sea.roll)), np.float32(np.sin(sea.roll))
    x, y = (at.x * cr - at.y * sr) / np.float32(sea.focal), (at.x * sr + at.y * cr) / np.float32(sea.focal)
    cp, sp = np.float32(np.cos(sea.pitch)), np.float32(np.sin(sea.pitch))
    up, ahead = -sp - y * cp, cp - y * sp
    if across:
        ca, sa = np.float32(np.cos(across)), np.float32(np.sin(across))
        x, ahead = x * ca + ahead * sa, ahead * ca - x * sa
    scale = 1.0 / np.sqrt(x * x + up * up + ahead * ahead)
    return x * scale, up * scale, ahead * scale


def _sky_colour(sea: Ocean, up: Field, towards_sun: Field) -> Field:
    """Sky light for an elevation (sine) and the cosine of the angle to the sun."""
    blend = np.exp(-np.maximum(up, 0.0) * np.float32(5.0))
    glow = np.maximum(towards_sun, 0.0)
    near = _power(glow, 3)
    warm = near * (0.25 + blend) * np.float32(0.175) + _power(near, 3) * np.float32(0.11)
    # One matrix product for three channels: (1, blend, warm) · colours.
    colours = np.array([sea.zenith, np.subtract(sea.horizon, sea.zenith), sea.sun], np.float32)
    return np.stack([np.ones_like(blend), blend, warm], axis=-1) @ colours


def _power(values: Field, doublings: int) -> Field:
    """``values`` to the power of 2^doublings; several times faster than pow."""
    for _ in range(doublings):
        values = values * values
    return values


def _sky(sea: Ocean, dx: Field, dy: Field, dz: Field, seconds: float) -> Field:
    sun = np.array(sea.sun_at, np.float32)
    towards = dx * sun[0] + dy * sun[1] + dz * sun[2]
    light = _sky_colour(sea, dy, towards)
    if sea.disc and float(towards.max()) > 0.99:
        light += np.array(sea.sun, np.float32) * (smooth(0.9985, 0.9993, towards) * np.float32(1.2))[..., None]
    rows = int((dy > 0.0).any(axis=1).sum())
    if rows and sea.cloud > 0.05:
        part = slice(0, rows)
        far = 1.0 / np.maximum(dy[part] + 0.07, 0.05)
        u = dx[part] * far * 0.045 + np.float32(sea.cloud_at[0] + 0.003 * seconds)
        v = dz[part] * far * 0.045 + np.float32(sea.cloud_at[1])
        density = textures.sample(textures.clouds(sea.cloud_map), u, v)
        cover = (
            smooth(0.1, 1.5, density + np.float32(1.4 * sea.cloud - 0.7))
            * smooth(0.0, 0.06, dy[part])
            * np.float32(0.8)
        )
        lit = _power(np.maximum(towards[part], 0.0), 2)
        base = np.array(mixed(sea.zenith, sea.horizon, 0.55), np.float32) * np.float32(0.8)
        colour = base + np.array(sea.sun, np.float32) * (lit * (1.2 - cover) * np.float32(0.10))[..., None]
        light[part] += (colour - light[part]) * cover[..., None]
    return light


def _water(
    sea: Ocean, at: Plane, dx: Field, dy: Field, dz: Field, travelled: tuple[float, float], lift: float, seconds: float
) -> Field:
    down = np.minimum(dy, np.float32(-0.004))
    reach = np.float32(lift) / -down
    su, sv, height, rough = _slopes(sea, at, dx * reach, dz * reach, reach, -down, travelled, seconds)
    # Reflect the view ray at the facet (small slopes: n = (−su, 1, −sv), left unnormalised).
    cosine = np.clip(-(dx * -su + down + dz * -sv), 0.02, 1.0)
    grazing = 1.0 - cosine
    fresnel = 0.02 + 0.98 * grazing * _power(grazing, 2) / (1.0 + 12.0 * rough)
    rx, ry, rz = dx + 2 * cosine * -su, np.abs(down + 2 * cosine), dz + 2 * cosine * -sv
    sun = np.array(sea.sun_at, np.float32)
    towards = np.clip(rx * sun[0] + ry * sun[1] + rz * sun[2], 0.0, 1.0)
    light = _sky_colour(sea, np.minimum(ry + np.sqrt(rough) * 0.5, 1.0), towards)
    light *= fresnel[..., None]
    body = np.array(sea.water, np.float32) + np.array(sea.horizon, np.float32) * np.float32(0.012)
    crest = np.clip(height * np.float32(0.35) + 0.75, 0.15, 2.0)
    light += body * (crest * (1.0 - fresnel))[..., None]
    # The slope that mirrors the sun into the eye.
    hx, hy, hz = sun[0] - dx, sun[1] - down, sun[2] - dz
    need_u, need_v = -hx / hy, -hz / hy
    spread = rough + np.float32(0.0016)
    glint = np.exp(-((su - need_u) ** 2 + (sv - need_v) ** 2) / (2.0 * spread))
    light += np.array(sea.sun, np.float32) * (glint * fresnel * np.sqrt(0.0016 / spread) * np.float32(2.4))[..., None]
    if sea.foam > 0:
        torn = textures.sample(
            textures.clouds(5),
            dx * reach * np.float32(0.9 / sea.swell),
            (dz * reach + travelled[1]) * np.float32(0.9 / sea.swell),
        )
        white = (
            smooth(1.9 - sea.foam, 3.0 - sea.foam, height + torn * 0.55)
            * np.float32(0.75)
            * np.exp(-reach * np.float32(0.03))
        )
        light += (np.array(mixed(sea.horizon, (0.9, 0.9, 0.9), 0.5), np.float32) * np.float32(0.9) - light) * white[
            ..., None
        ]
    fog = 1.0 - np.exp(-reach * np.float32(sea.haze))
    fog *= np.float32(0.92)
    ahead = np.maximum(dx * sun[0] + dz * sun[2], 0.0)
    far = _sky_colour(sea, np.full_like(fog, 0.02), ahead)
    light += (far - light) * fog[..., None]
    return light


def _slopes(
    sea: Ocean, at: Plane, x: Field, z: Field, reach: Field, down: Field, travelled: tuple[float, float], seconds: float
) -> tuple[Field, Field, Field, Field]:
    """Slopes along x and z, height in standard deviations, and the variance of slopes too small to see."""
    su, sv, height = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    rough = np.full_like(x, 0.0006)
    # What a pixel covers of the water along the line of sight, the longer way.
    covers = reach / down * np.float32(at.pixel / sea.focal)
    x, z = x + np.float32(travelled[0]), z + np.float32(travelled[1])
    for octave in range(OCTAVES):
        length = sea.swell * 2.3**-octave
        turn, start_u, start_v = sea.scatter[octave]
        angle = sea.wind + turn * (0.5 + 0.5 * octave)
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        variance = sea.steepness**2 * (0.5, 1.0, 1.1, 1.0, 0.8)[octave] * 0.5
        shown = np.exp(-((covers * np.float32(1.5 / length)) ** 2))
        rough += np.float32(variance) * (1.0 - shown * shown)
        rows = shown.max(axis=1) > 0.03
        if not rows.any():
            continue
        part = slice(int(np.argmax(rows)), None)
        tile = np.float32(1.0 / (length * 14.0))
        # Deep water: the phase speed goes as the root of the wavelength; one camera height is taken as forty metres.
        drift = 0.16 * float(np.sqrt(length)) * seconds
        u = (x[part] * c - z[part] * s) * tile + np.float32(start_u)
        v = (x[part] * s + z[part] * c - np.float32(drift)) * tile + np.float32(start_v)
        field = textures.sample(textures.waves(), u, v)
        amount = shown[part] * np.float32(np.sqrt(variance))
        along_u, along_v = field[..., 1] * amount, field[..., 2] * amount
        su[part] += along_u * c + along_v * s
        sv[part] += along_v * c - along_u * s
        if octave < 3:
            height[part] += field[..., 0] * shown[part] * np.float32((0.8, 0.5, 0.3)[octave])
    return su, sv, height, rough
