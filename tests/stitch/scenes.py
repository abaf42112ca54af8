"""Moving pictures for tests, continuous in time: the frame at any moment, whole or not, can be drawn exactly."""

from collections.abc import Callable, Iterable

import cv2
import numpy as np

Scene = Callable[[float], np.ndarray]


def texture(height: int, width: int, rng: np.random.Generator, roughness: float = 1.6) -> np.ndarray:
    """A periodic field in [0, 1] with the spectrum of natural pictures, 1/f^roughness."""
    fy = np.fft.fftfreq(height)[:, None] * height
    fx = np.fft.rfftfreq(width)[None, :] * width
    spectrum = rng.normal(size=(height, fx.shape[1])) + 1j * rng.normal(size=(height, fx.shape[1]))
    field = np.fft.irfft2(spectrum / np.maximum(np.hypot(fy, fx), 1.0) ** roughness, s=(height, width))
    low, high = np.percentile(field, [1, 99])
    return np.clip((field - low) / (high - low), 0, 1)


def pan(seed: int, size: tuple[int, int] = (160, 90), speed: float = 1.5) -> Scene:
    """A camera moving over a textured plane, with a slow rise in light: ``speed`` pixels per frame."""
    width, height = size
    rng = np.random.default_rng(seed)
    plate = np.stack([texture(4 * height, 4 * width, rng) for _ in range(3)], axis=2).astype(np.float32)
    plate = plate * rng.uniform(0.4, 0.8, 3).astype(np.float32) + rng.uniform(0.05, 0.2, 3).astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    bend = rng.uniform(-0.01, 0.01)

    def draw(t: float) -> np.ndarray:
        heading = angle + bend * t
        dx, dy = speed * t * np.cos(heading), speed * t * np.sin(heading)
        xs, ys = np.meshgrid(np.arange(width) + dx + 2 * width, np.arange(height) + dy + 2 * height)
        picture = cv2.remap(
            plate,
            np.mod(xs, 4 * width - 1).astype(np.float32),
            np.mod(ys, 4 * height - 1).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )
        return picture * np.float32(1 + 0.0005 * t)

    return draw


def sea(seed: int, size: tuple[int, int] = (160, 90), speed: float = 1.0) -> Scene:
    """Waves of several lengths, running, under a fixed sky."""
    width, height = size
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[0:height, 0:width] / height
    waves = [
        (rng.uniform(4, 22), rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.4), rng.uniform(-0.7, 0.7)) for _ in range(9)
    ]
    low, high = rng.uniform(0.05, 0.25, 3), rng.uniform(0.5, 0.9, 3)

    def draw(t: float) -> np.ndarray:
        level = sum(
            np.sin(k * (xs * np.cos(a) + ys * np.sin(a)) * 2 + phase + speed * rate * t) / len(waves)
            for (k, phase, rate, a) in waves
        )
        light = np.clip(0.5 + 0.8 * level, 0, 1)[..., None] * np.clip(0.3 + ys, 0, 1)[..., None]
        return (low + (high - low) * light).astype(np.float32)

    return draw


def drift(seed: int, size: tuple[int, int] = (160, 90), speed: float = 1.0) -> Scene:
    """Soft cells that drift and turn around each other over a dark ground."""
    width, height = size
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    cells = [
        (rng.uniform(0, width), rng.uniform(0, height), rng.uniform(6, 18), rng.uniform(0, 6.28), rng.uniform(3, 15),
         rng.uniform(0.02, 0.09), rng.uniform(0.2, 0.9, 3))
        for _ in range(14)
    ]  # fmt: skip
    ground = texture(height, width, rng)[..., None] * np.array([0.2, 0.1, 0.12])

    def draw(t: float) -> np.ndarray:
        picture = ground.copy()
        for x, y, radius, phase, orbit, turn, tint in cells:
            cx, cy = x + orbit * np.cos(phase + speed * turn * t), y + orbit * np.sin(phase + speed * turn * t)
            mask = 1 / (1 + np.exp((np.hypot(xs - cx, ys - cy) - radius) / 1.5))
            picture = picture * (1 - 0.7 * mask[..., None]) + 0.7 * mask[..., None] * tint
        return picture.astype(np.float32)

    return draw


SCENES: dict[str, Callable[..., Scene]] = {"pan": pan, "sea": sea, "drift": drift}


def shoot(scene: Scene, moments: Iterable[float], grain: float = 0.0, seed: int = 0) -> np.ndarray:
    """Frames of a scene at the moments given, uint8 [T, H, W, 3]; ``grain``: standard deviation in levels."""
    rng = np.random.default_rng([seed, 99])
    frames = []
    for moment in moments:
        levels = scene(float(moment)) * 255
        if grain:
            levels = levels + rng.normal(0, grain, levels.shape)
        frames.append(np.rint(np.clip(levels, 0, 255)).astype(np.uint8))
    return np.stack(frames)
