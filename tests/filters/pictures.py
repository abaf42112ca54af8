"""Legitimate pictures that a careless filter would reject, drawn apart from the models that filters are fitted on.

Each function returns one frame, float32 [H, W, 3] in [0, 1]; `still` makes frames of it as a candidate has them.
"""

import cv2
import numpy as np


def _grid(width, height):
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return (x + 0.5) / height - width / height / 2, (y + 0.5) / height - 0.5


def _fractal(width, height, rng, octaves=6, roughness=0.55):
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = 3 * 2**octave
        coarse = rng.standard_normal((cells, max(cells * width // height, 2))).astype(np.float32)
        total += roughness**octave * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return (total - total.min()) / np.ptp(total)


def starry_night(width, height, seed):
    """A dark sky with a faint band of light and sharp stars."""
    rng = np.random.default_rng(seed)
    x, y = _grid(width, height)
    band = np.exp(-((y - 0.4 * x + 0.1) ** 2) * 12) * (0.4 + 0.6 * _fractal(width, height, rng))
    picture = 0.015 + band[..., None] * np.array([0.09, 0.10, 0.16], np.float32)
    for _ in range(width * height // 150):
        px, py = rng.integers(width), rng.integers(height)
        picture[py, px] += rng.pareto(1.5) * 0.12 * rng.uniform(0.7, 1.0, 3)
    glow = cv2.GaussianBlur(picture, (0, 0), 0.5)
    return np.clip(0.4 * picture + 0.8 * glow + rng.normal(0, 0.004, picture.shape), 0, 1).astype(np.float32)


def dark_womb(width, height, seed):
    """Deep red dusk with a few thin vessels; nothing brighter than a third of white."""
    rng = np.random.default_rng(seed)
    x, y = _grid(width, height)
    light = np.exp(-((x - 0.2) ** 2 + y**2) * 5)
    picture = light[..., None] * np.array([0.30, 0.05, 0.04], np.float32) + np.array([0.03, 0.006, 0.008], np.float32)
    for _ in range(7):
        start, angle = rng.uniform(-0.6, 0.6), rng.uniform(-1, 1)
        curve = y - start - angle * x - 0.1 * np.sin(6 * x + rng.uniform(0, 6))
        picture *= 1 - 0.45 * np.exp(-((curve * height / 1.2) ** 2))[..., None]
    return np.clip(picture + rng.normal(0, 0.006, picture.shape), 0, 1).astype(np.float32)


def bright_petals(width, height, seed):
    """Overlapping petals in full light, with a blown heart of a few percent."""
    rng = np.random.default_rng(seed)
    x, y = _grid(width, height)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    picture = np.full((height, width, 3), 0.75, np.float32)
    for ring in range(5, 0, -1):
        edge = 0.14 * ring * (0.8 + 0.2 * np.abs(np.cos((3 + ring % 2) * angle + rng.uniform(0, 6))))
        shade = np.clip(0.6 + 0.5 * radius / (0.14 * ring), 0, 1)[..., None]
        picture = np.where((radius < edge)[..., None], shade * np.array([1.0, 0.75, 0.82], np.float32), picture)
    picture += 1.2 * np.exp(-(radius**2) * 150)[..., None]
    return np.clip(picture + rng.normal(0, 0.005, picture.shape), 0, 1).astype(np.float32)


def soft_gradient(width, height, seed):
    """A smooth sky over a thin dark horizon: little detail, and all of it legitimate."""
    rng = np.random.default_rng(seed)
    _, y = _grid(width, height)
    ramp = (y + 0.5)[..., None]
    picture = (1 - ramp) * np.array([0.25, 0.35, 0.6], np.float32) + ramp * np.array([0.95, 0.7, 0.5], np.float32)
    picture[y > 0.3 + rng.uniform(-0.05, 0.05)] *= 0.35
    return np.clip(picture + rng.normal(0, 0.004, picture.shape), 0, 1).astype(np.float32)


def glittering_sea(width, height, seed):
    """Fine waves with specks of pure white: texture up to the pixel, but no noise."""
    rng = np.random.default_rng(seed)
    _, y = _grid(width, height)
    waves = _fractal(width, height, rng, octaves=7, roughness=0.75)
    picture = (0.15 + 0.5 * waves)[..., None] * np.array([0.5, 0.75, 0.9], np.float32)
    picture[(waves > 0.72) & (rng.uniform(size=waves.shape) < 0.4) & (y > -0.2)] = 1.0
    picture[y < -0.25] = np.array([0.7, 0.78, 0.85], np.float32) * (1 - 0.3 * (y[y < -0.25, None] + 0.5))
    return np.clip(picture, 0, 1).astype(np.float32)


def grainy_film(width, height, seed):
    """A fogged landscape on fast stock: visible, wanted grain of 4 levels."""
    rng = np.random.default_rng(seed)
    hills = _fractal(width, height, rng, octaves=5)
    picture = (0.3 + 0.45 * hills + 0.1 * (hills > 0.5))[..., None] * np.array([0.9, 0.85, 0.8], np.float32)
    return np.clip(picture + rng.normal(0, 4 / 255, picture.shape[:2])[..., None], 0, 1).astype(np.float32)


LEGITIMATE = (starry_night, dark_womb, bright_petals, soft_gradient, glittering_sea, grainy_film)


def still(picture, width=256, height=144, seed=1):
    """uint8 [1, H, W, 3] of one of the pictures above."""
    return np.rint(picture(width, height, seed) * 255).astype(np.uint8)[None]


def drifting(picture, frames=9, width=160, height=96, seed=1, pixels=1.5):
    """uint8 [T, H, W, 3]: a camera drifting over one of the pictures, with fresh grain in every frame."""
    rng = np.random.default_rng(seed)
    wide = picture(width + int(pixels * frames) + 4, height + 8, seed)
    out = []
    for index in range(frames):
        matrix = np.array([[1, 0, pixels * index + 1], [0, 1, 2 + 0.3 * index]], np.float64)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        frame = cv2.warpAffine(wide, matrix, (width, height), flags=flags) + rng.normal(0, 0.004, (height, width, 3))
        out.append(np.rint(np.clip(frame, 0, 1) * 255).astype(np.uint8))
    return np.stack(out)
