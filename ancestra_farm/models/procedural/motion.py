"""Motion put into given pictures: the camera's path over layers of depth, living surfaces, shimmer.

A path is a steady velocity field over the picture plane, z' = w·(α·z + β) with z = x + iy in half picture heights: α's
real part pushes in, its imaginary part turns, β drifts, and w ≥ 0 is nearness, so that what is near passes faster. Its
flow is known in closed form, so every frame is warped from the picture itself and nothing is blurred twice.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.models.procedural import textures
from ancestra_farm.models.procedural.canvas import plane, smooth
from ancestra_farm.models.procedural.textures import Field
from ancestra_farm.models.procedural.words import Direction

Picture = NDArray[np.uint8]

#: Displacements are smooth: they are computed on a grid so many times coarser than the picture, and interpolated.
COARSE = 4


@dataclass(frozen=True, slots=True)
class Path:
    """A camera's steady path, per second. See the module's first paragraph for ``alpha`` and ``beta``."""

    alpha: complex
    beta: complex

    def scaled(self, factor: float) -> "Path":
        """The same way at another speed."""
        return Path(self.alpha * factor, self.beta * factor)


def path_of(words: Direction, focus: complex) -> Path:
    """The path that a prompt's motion words ask for, towards ``focus``, at its plain speed."""
    alpha, beta = 0j, 0j
    for move in words.moves:
        if move in ("push_in", "open", "sink"):
            alpha += 0.055 if move == "push_in" else 0.04
        elif move == "pull_back":
            alpha -= 0.045
        elif move == "spiral":
            alpha += 0.05 + 0.055j
        elif move in ("drift_left", "drift_right"):
            beta += 0.07 if move == "drift_left" else -0.07
        elif move == "rise":
            beta += 0.05j
    # Around the focus: z' = α·(z − focus) + drift.
    return Path(alpha, beta - alpha * focus)


def horizon_of(picture: Picture) -> float:
    """Where the water begins, in half heights from the centre, down positive; −1.3 (above the picture) if unseen.

    Haze hides the last of the sea, so this lies at the horizon or somewhat below it.

    Sky is smooth and water is not: the split of the rows that best explains the logarithm of their fine detail by two
    levels, the lower one rougher by half at least; then, within three rows, the strongest step in colour.
    """
    rows = 72
    grey = cv2.resize(picture, (128, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
    fine = np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(grey, axis=0, append=grey[-1:])).mean(
        axis=(1, 2)
    )
    detail = np.log(np.minimum(fine, np.median(fine) * 4) + 0.25)
    total = np.concatenate([[0.0], np.cumsum(detail)])
    at = np.arange(3, rows - 6)
    above, below = total[at] / at, (total[-1] - total[at]) / (rows - at)
    gained = at * (rows - at) * np.maximum(below - above, 0.0) ** 2
    best = int(np.argmax(gained))
    if below[best] - above[best] < 0.4:
        return -1.3
    means = grey.mean(axis=1)
    near = range(max(at[best] - 3, 1), at[best] + 4)
    edge = max(near, key=lambda row: float(np.abs(means[row] - means[row - 1]).sum()))
    return edge / (rows / 2) - 1.0


class Layers:
    """A picture taken apart for motion: nearness for the path, and where its surface lives and shimmers.

    ``coarse_z``: complex [H/4, W/4], the coarse grid in half heights; ``nearness``: of the same shape.
    """

    def __init__(self, picture: Picture, words: Direction, rng: np.random.Generator) -> None:
        self.picture = picture
        height, width = picture.shape[:2]
        self._full = plane(width, height)
        coarse = plane(max(width // COARSE, 8), max(height // COARSE, 8))
        self.coarse_z = coarse.x + 1j * coarse.y
        self.focus, self.nearness = _depth(picture, words, coarse.x, coarse.y)
        self._liveliness = {"ocean": 0.010, "tissue": 0.014, "petals": 0.008, "cells": 0.014, "stars": 0.003}[
            words.subject
        ]
        self._phases = rng.uniform(0, 2 * np.pi, 4).astype(np.float32)
        self._gleam = {"ocean": 0.10, "tissue": 0.04, "petals": 0.05, "cells": 0.03, "stars": 0.08}[words.subject]
        self._u, self._v, self._down = _surface(self._full.x, self._full.y, words, self.focus, rng)
        luma = picture.astype(np.float32).mean(axis=2) / 255.0
        soft = cv2.GaussianBlur(luma, (0, 0), height / 48)
        # What is dark does not shimmer, nor does what is burnt out.
        self._where = smooth(0.08, 0.5, soft) * (1.0 - smooth(0.6, 0.9, soft)) * np.float32(self._gleam)
        if self._down:
            # The sky does not shimmer, and towards the horizon the pattern is too fine for the pixels.
            self._where *= smooth(0.04, 0.45, self._full.y - np.float32(self.focus.imag))
        self._rest = self._pattern(0.0)

    def at(self, path: Path, seconds: float) -> Field:
        """The picture after ``seconds`` (negative: before), float32 [H, W, 3] in display values 0…255."""
        source = self._moved(path, seconds)
        x, y = self._pixels(source)
        warped = cv2.remap(self.picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        gain = 1.0 + self._where * (self._pattern(seconds) - self._rest)
        return warped * gain[..., None]

    def _moved(self, path: Path, seconds: float) -> NDArray[np.complex64]:
        """Where each coarse pixel comes from, less where it is, in half heights."""
        time = (-seconds * self.nearness).astype(np.float32)
        if abs(path.alpha) < 1e-6:
            shift = np.complex64(path.beta) * time
        else:
            growth = np.exp(np.complex64(path.alpha) * time) - 1.0
            shift = growth * (self.coarse_z + np.complex64(path.beta / path.alpha))
        return shift + self._alive(seconds) - self._alive(0.0)

    def _alive(self, seconds: float) -> NDArray[np.complex64]:
        """The surface's own small to and fro, two crossing waves."""
        a, b, c, d = self._phases
        x, y, t = self.coarse_z.real, self.coarse_z.imag, np.float32(seconds)
        along = np.sin(5.0 * y + 2.1 * x + a + 2.2 * t) + 0.6 * np.sin(9.0 * x - 4.0 * y + b - 3.1 * t)
        across = np.sin(4.3 * x - 3.2 * y + c + 1.9 * t) + 0.6 * np.sin(8.0 * y + 3.0 * x + d + 2.7 * t)
        amount = np.float32(self._liveliness) * np.minimum(self.nearness, 1.0)
        return (along + 1j * across) * amount

    def _pattern(self, seconds: float) -> Field:
        texture = textures.waves() if self._down else textures.folds(0)
        field = textures.sample(texture, self._u, self._v - np.float32(0.045 * seconds))
        return field[..., 0] if field.ndim == 3 else field

    def _pixels(self, shift: NDArray[np.complex64]) -> tuple[Field, Field]:
        full, scale = self._full, np.float32(1.0 / self._full.pixel)
        size = (full.width, full.height)
        dx = cv2.resize(np.ascontiguousarray(shift.real), size, interpolation=cv2.INTER_LINEAR)
        dy = cv2.resize(np.ascontiguousarray(shift.imag), size, interpolation=cv2.INTER_LINEAR)
        x = (full.x + dx) * scale + np.float32((full.width - 1) / 2)
        y = (full.y + dy) * scale + np.float32((full.height - 1) / 2)
        return x, y


def _depth(picture: Picture, words: Direction, x: Field, y: Field) -> tuple[complex, Field]:
    """What the path leads to, and how near each coarse pixel is (about 1 in the middle distance)."""
    if words.subject == "ocean":
        horizon = horizon_of(picture)
        # Over a plane, what lies Y below the horizon moves with Y² and X·Y: nearness grows with Y.
        return complex(0.0, horizon), np.float32(0.06) + np.float32(1.3) * np.maximum(y - np.float32(horizon), 0.0)
    if words.subject == "tissue":
        return 0j, np.float32(0.45) + np.float32(0.6) * np.sqrt(x * x + y * y)
    if words.subject == "petals":
        return 0j, np.float32(0.7) + np.float32(0.4) * np.sqrt(x * x + y * y)
    luma = cv2.resize(picture, (x.shape[1], x.shape[0]), interpolation=cv2.INTER_AREA).astype(np.float32).mean(axis=2)
    soft = cv2.GaussianBlur(luma, (0, 0), max(x.shape[0] / 10, 0.8)) / np.float32(255.0)
    return 0j, np.float32(0.6) + np.float32(0.9) * soft


def _surface(
    x: Field, y: Field, words: Direction, focus: complex, rng: np.random.Generator
) -> tuple[Field, Field, bool]:
    """Tile coordinates of the shimmer over the picture, and whether it is the sea's."""
    u0, v0 = (np.float32(value) for value in rng.uniform(size=2))
    if words.subject == "ocean":
        below = np.maximum(y - np.float32(focus.imag), np.float32(0.05))
        return x / below * np.float32(0.11) + u0, u0 - v0 - np.float32(0.11) / below, True
    return x * np.float32(0.8) + u0, y * np.float32(0.8) + v0, False


def flow_between(before: NDArray[Any], after: NDArray[Any]) -> Field:
    """Dense optical flow in pixels, [H, W, 2], between two grey pictures."""
    out = np.zeros((*before.shape, 2), np.float32)
    cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(before, after, out)
    return out


def measured(frames: NDArray[np.uint8], layers: Layers, rate: float) -> Path:
    """The path that a clip's last frames are on, fitted to their optical flow; at rest where there is only one.

    Fits α and β by least squares to the flow over the last two steps, weighting by nearness, with the worst-fitting
    tenth left out twice, since glitter and shimmer flow their own ways.
    """
    if len(frames) < 2:
        return Path(0j, 0j)
    steps = min(len(frames) - 1, 3)
    before, after = (cv2.cvtColor(frames[i], cv2.COLOR_RGB2GRAY) for i in (-1 - steps, -1))
    flow = flow_between(before, after)
    height, width = layers.nearness.shape
    small = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) * np.float32(
        2.0 / before.shape[0] * rate / steps
    )
    speed = (small[..., 0] + 1j * small[..., 1]).ravel()
    near, z = layers.nearness.ravel(), layers.coarse_z.ravel()
    trusted = np.ones(len(near), bool)
    alpha, beta = 0j, 0j
    for _ in range(3):
        design = np.stack([near * z, near.astype(np.complex64)], axis=1)[trusted]
        (alpha, beta), *_rest = np.linalg.lstsq(design, speed[trusted], rcond=None)
        error = np.abs(near * (alpha * z + beta) - speed)
        trusted = error <= np.quantile(error, 0.8)
    limit = 0.3
    return Path(complex(np.clip(alpha.real, -limit, limit), np.clip(alpha.imag, -limit, limit)), complex(beta))
