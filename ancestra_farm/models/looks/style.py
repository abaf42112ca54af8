"""How far a style has moved: colour and spectrum of pictures, compared with those of a reference.

Two numbers that need no model. Colour: mean and spread of the three channels of CIE L*a*b*, over all pixels. Spectrum:
the logarithm of the mean power of the lightness in rings of frequency, octaves and half octaves up to the finest that
the size holds; a brush, a grain and a halftone differ there. Neither sees what is in a picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

#: Rings in which power is compared, from two cycles in the shorter side to its finest.
RINGS = 8
#: Two units of L*a*b* are just noticeable apart; styles nearer than this are one.
NEAR_COLOUR = 1.0
#: In powers of ten. 0.05 is 12 % more or less power.
NEAR_SPECTRUM = 0.05


@dataclass(frozen=True, slots=True)
class Style:
    """Of a set of pictures. ``colour``: float [6], means then spreads, units of L*a*b*; ``spectrum``: float [RINGS]."""

    colour: NDArray[np.float64]
    spectrum: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moved:
    """The part of the way to the reference: 1 all of it, 0 none, below 0 away from it. None: there was no way to go."""

    colour: float | None
    spectrum: float | None

    def __str__(self) -> str:
        parts = (("colour", self.colour), ("spectrum", self.spectrum))
        return ", ".join(f"{name} {part:.0%}" if part is not None else f"{name} was there" for name, part in parts)


def style_of(pictures: Sequence[NDArray[np.uint8]]) -> Style:
    """The style of pictures, uint8 [H, W, 3] each, sRGB; at least one."""
    labs = [cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for picture in pictures]
    pixels = np.concatenate([lab.reshape(-1, 3) for lab in labs]).astype(np.float64)
    # Spread within pictures: between them it is what they show that differs.
    spread = np.mean([lab.reshape(-1, 3).std(axis=0) for lab in labs], axis=0)
    rings = np.mean([_rings(lab[..., 0].astype(np.float64)) for lab in labs], axis=0)
    return Style(np.concatenate([pixels.mean(axis=0), spread]), np.log10(rings + 1e-6))


def moved(before: Style, after: Style, reference: Style) -> Moved:
    """How much of the way from ``before`` to ``reference`` lies behind ``after``."""
    return Moved(
        _part(before.colour, after.colour, reference.colour, NEAR_COLOUR),
        _part(before.spectrum, after.spectrum, reference.spectrum, NEAR_SPECTRUM),
    )


def _part(
    before: NDArray[np.float64], after: NDArray[np.float64], reference: NDArray[np.float64], near: float
) -> float | None:
    way = _apart(before, reference)
    return None if way < near else 1 - _apart(after, reference) / way


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(math.sqrt(np.mean((one - other) ** 2)))


def _rings(lightness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean power in each ring of frequency, of a lightness [H, W]."""
    height, width = lightness.shape
    window = np.hanning(height)[:, None] * np.hanning(width)[None, :]
    power = np.abs(np.fft.rfft2((lightness - lightness.mean()) * window)) ** 2 / window.sum() ** 2
    cycles = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    edges = np.geomspace(2 / min(height, width), 0.5, RINGS + 1)
    ring = np.digitize(cycles, edges) - 1
    found = [power[ring == index] for index in range(RINGS)]
    return np.array([part.mean() if part.size else 0.0 for part in found])
