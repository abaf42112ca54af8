"""The ocean seen from a helicopter: wave octaves in true perspective, reflected sky, sun glitter, horizon and clouds.

Lengths are in camera heights. The glitter is Cox and Munk's: light where a facet's slope mirrors the sun into the eye
("Measurement of the roughness of the sea surface", 1954); octaves too small for a pixel turn into roughness instead of
aliasing, so the sun's path widens towards the horizon as it does at sea.
"""

from dataclasses import dataclass

import cv2
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


@dataclass(frozen=True, slots=True)
class Ray:
    """Unit vectors through the pixels below the horizon, how high the camera is by now, and how far it has gone."""

    right: Field
    up: Field
    ahead: Field
    lift: float
    travelled: tuple[float, float]


#: zenith, horizon, sun, water (linear), sun's height above the horizon from–to, haze, key.
_LIGHTS: dict[Light, tuple[Rgb, Rgb, Rgb, Rgb, float, float, float, float]] = {
    "dawn": ((0.13, 0.24, 0.50), (1.05, 0.55, 0.36), (9.0, 4.6, 2.3), (0.010, 0.042, 0.060), 0.03, 0.22, 0.016, 0.52),
    "day": ((0.13, 0.32, 0.72), (0.66, 0.82, 0.95), (9.0, 8.2, 7.0), (0.006, 0.070, 0.110), 0.50, 1.10, 0.010, 0.50),
    "dusk": ((0.12, 0.10, 0.26), (1.05, 0.38, 0.15), (9.5, 3.6, 1.1), (0.014, 0.024, 0.045), 0.02, 0.14, 0.016, 0.46),
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
    lean = tinted(horizon, (360 * (0.935 + 0.155 * d[1]), 0.7), 0.6 if light in ("dawn", "dusk") else 0.12)
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
        steepness=0.045 + 0.15 * energy, foam=max(energy - 0.45, 0.0) * 1.2, wind=(d[16] - 0.5) * 2.6,
        scatter=tuple((float(a), float(b), float(c)) for a, b, c in rng.uniform(size=(OCTAVES, 3)) - 0.5),
        cloud=(0.2 + 0.8 * d[17]) * (1.0 if light != "mist" else 0.25), cloud_map=int(d[18] * textures.CLOUDS),
        cloud_at=(d[19], d[20]),
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
    """The sea's light at a moment, [3, H, W] linear. ``moving``: the camera's speed as a factor."""
    t = seconds * moving
    dx, dy, dz = _rays(sea, at, sea.turning * t)
    parts = _sky(sea, dx, dy, dz, seconds)
    wet = (dy < at.pixel * 0.5).any(axis=1)
    if wet.any():
        rows = slice(int(np.argmax(wet)), None)
        edge = at.pixel / sea.focal
        shore = smooth(-edge, edge, -dy[rows])
        ray = Ray(dx[rows], dy[rows], dz[rows], float(np.exp(-sea.sinking * t)), (sea.sideways * t, sea.forward * t))
        parts[:, rows] += (_water(sea, at, ray, seconds) - parts[:, rows]) * shore
    colours = np.array(
        [sea.zenith, sea.horizon, sea.sun, sea.water, mixed(sea.horizon, (0.9, 0.9, 0.9), 0.5)], np.float32
    )
    light = colours.T @ parts.reshape(5, -1)
    return bloom(light.reshape(3, at.height, at.width), 0.10)


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


def _power(values: Field, doublings: int) -> Field:
    """``values`` to the power of 2^doublings; several times faster than pow."""
    for _ in range(doublings):
        values = values * values
    return values


def _sky_parts(up: Field, towards_sun: Field) -> tuple[Field, Field, Field]:
    """How much zenith, horizon and sun are in the sky, by elevation (sine) and cosine of the angle to the sun."""
    blend = np.exp(np.maximum(up, 0.0) * np.float32(-5.0))
    near = _power(np.maximum(towards_sun, 0.0), 3)
    warm = near * (np.float32(0.044) + np.float32(0.175) * blend) + _power(near, 3) * np.float32(0.11)
    return 1.0 - blend, blend, warm


def _sky(sea: Ocean, dx: Field, dy: Field, dz: Field, seconds: float) -> Field:
    """The parts of the sky, [5, H, W]: zenith, horizon, sun, water, white."""
    sun = np.array(sea.sun_at, np.float32)
    parts = np.zeros((5, *dx.shape), np.float32)
    rows = slice(0, int((dy > -0.02).any(axis=1).sum()))
    if not rows.stop:
        return parts
    dx, dy, dz = dx[rows], dy[rows], dz[rows]
    towards = dx * sun[0] + dy * sun[1] + dz * sun[2]
    parts[0, rows], parts[1, rows], parts[2, rows] = _sky_parts(dy, towards)
    if sea.disc and float(towards.max()) > 0.98:
        parts[2, rows] += smooth(0.9992, 0.9997, towards) * np.float32(1.2) + smooth(0.985, 1.0, towards) * np.float32(
            0.12
        )
    if sea.cloud > 0.05:
        far = np.float32(0.045) / np.maximum(dy + np.float32(0.07), 0.05)
        u = dx * far + np.float32(sea.cloud_at[0] + 0.003 * seconds)
        density = textures.sample(textures.clouds(sea.cloud_map), u, dz * far + np.float32(sea.cloud_at[1]))
        cover = smooth(0.1, 1.5, density + np.float32(1.4 * sea.cloud - 0.7)) * smooth(0.0, 0.06, dy) * np.float32(0.8)
        lit = _power(np.maximum(towards, 0.0), 2) * (np.float32(1.2) - cover) * np.float32(0.10)
        clear = 1.0 - cover
        parts[0, rows] = parts[0, rows] * clear + np.float32(0.36) * cover
        parts[1, rows] = parts[1, rows] * clear + np.float32(0.44) * cover
        parts[2, rows] = parts[2, rows] * clear + lit * cover
    return parts


def _water(sea: Ocean, at: Plane, ray: Ray, seconds: float) -> Field:
    """The parts of the water's light, as in `_sky`."""
    down = np.minimum(ray.up, np.float32(-0.004))
    reach = np.float32(ray.lift) / -down
    x, z = ray.right * reach + np.float32(ray.travelled[0]), ray.ahead * reach + np.float32(ray.travelled[1])
    su, sv, height, rough = _slopes(sea, x, z, reach / -down * np.float32(at.pixel / sea.focal), seconds)
    # Reflect the view ray at the facet (small slopes: n = (−su, 1, −sv), left unnormalised).
    cosine = np.clip(ray.right * su - down + ray.ahead * sv, 0.02, 1.0)
    grazing = 1.0 - cosine
    fresnel = np.float32(0.02) + np.float32(0.98) * grazing * _power(grazing, 2) / (1.0 + np.float32(12.0) * rough)
    twice = 2.0 * cosine
    rx, ry, rz = ray.right - twice * su, np.abs(down + twice), ray.ahead - twice * sv
    sun = np.array(sea.sun_at, np.float32)
    seen = _sky_parts(
        np.minimum(ry + np.sqrt(rough) * np.float32(0.5), 1.0),
        np.clip(rx * sun[0] + ry * sun[1] + rz * sun[2], 0.0, 1.0),
    )
    parts = np.zeros((5, *x.shape), np.float32)
    for part, amount in zip(parts, seen, strict=False):
        np.multiply(amount, fresnel, out=part)
    facing = np.float32(0.8) - np.float32(3.0) * (su * sun[0] + sv * sun[2])
    body = np.clip(height * np.float32(0.35) + facing, 0.15, 2.2) * (1.0 - fresnel)
    parts[3] = body
    parts[1] += np.float32(0.012) * body
    # The slope that mirrors the sun into the eye.
    hx, hy, hz = sun[0] - ray.right, sun[1] - down, sun[2] - ray.ahead
    off_u, off_v = su + hx / hy, sv + hz / hy
    spread = rough + np.float32(0.0016)
    glint = np.exp((off_u * off_u + off_v * off_v) / (np.float32(-2.0) * spread))
    parts[2] += glint * fresnel * np.sqrt(np.float32(0.0016) / spread) * np.float32(2.4)
    if sea.foam > 0:
        _foam(sea, parts, x, z, reach, height)
    fog = np.float32(0.92) * (1.0 - np.exp(reach * np.float32(-sea.haze)))
    parts *= 1.0 - fog
    towards = np.maximum(ray.right * sun[0] + ray.ahead * sun[2], 0.0)
    parts[:3] += np.stack(_sky_parts(np.full_like(fog, 0.02), towards)) * fog
    return parts


def _foam(sea: Ocean, parts: Field, x: Field, z: Field, reach: Field, height: Field) -> None:
    """Whitecaps: lace torn out of the highest crests, lost in the distance. Laid over ``parts`` in place."""
    tile = np.float32(4.0 / sea.swell)
    lace = textures.sample(textures.clouds(1), x * tile, z * tile * np.float32(0.6))
    crest = smooth(1.7 - sea.foam, 3.4 - sea.foam, height)
    white = (
        crest
        * smooth(0.1, 1.1, np.abs(lace) + crest - np.float32(0.35))
        * np.exp(reach * np.float32(-0.03))
        * np.float32(0.8)
    )
    parts *= 1.0 - white
    parts[4] += white * np.float32(0.9)


def _slopes(sea: Ocean, x: Field, z: Field, covers: Field, seconds: float) -> tuple[Field, Field, Field, Field]:
    """Slopes along x and z, height in standard deviations, and the variance of slopes too small to see.

    ``covers``: what a pixel covers of the water along the line of sight, the longer way.
    """
    su, sv, height = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    rough = np.full_like(x, 0.0006)
    for octave in range(OCTAVES):
        length = sea.swell * 2.3**-octave
        turn, start_u, start_v = sea.scatter[octave]
        angle = sea.wind + turn * (0.5 + 0.5 * octave)
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        variance = sea.steepness**2 * (0.5, 1.0, 1.1, 1.0, 0.9)[octave] * 0.5
        blurred = covers * np.float32(1.5 / length)
        shown = np.exp(-(blurred * blurred))
        rough += np.float32(variance) * (1.0 - shown * shown)
        rows = shown.max(axis=1) > 0.03
        if not rows.any():
            continue
        part = slice(int(np.argmax(rows)), None)
        tile = np.float32(1.0 / (length * 14.0))
        # Deep water: the phase speed goes as the root of the wavelength; one camera height is taken as forty metres.
        drift = np.float32(0.16 * float(np.sqrt(length)) * seconds)
        u = x[part] * (c * tile) - z[part] * (s * tile) + np.float32(start_u)
        v = x[part] * (s * tile) + z[part] * (c * tile) + (np.float32(start_v) - drift * tile)
        tall, along_u, along_v = cv2.split(textures.sample(textures.waves(), u, v))
        amount = shown[part] * np.float32(np.sqrt(variance))
        su[part] += (along_u * c + along_v * s) * amount
        sv[part] += (along_v * c - along_u * s) * amount
        if octave < 3:
            height[part] += tall * shown[part] * np.float32((0.8, 0.5, 0.3)[octave])
    return su, sv, height, rough
