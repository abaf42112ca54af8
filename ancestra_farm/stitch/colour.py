"""Bringing a segment's colours to those of the segment before it, judged by the frames both have.

The map is the linear Monge-Kantorovich transport between the colour distributions of the two copies of the overlap
(Pitié and Kokaram, "The linear Monge-Kantorovitch linear colour mapping for example-based colour transfer", 2007): the
affine map that takes one mean and covariance exactly to the other while moving colours least. It needs no pairing of
pixels, so copies that moved apart by a little do no harm.

This module does not judge whether a join is good: `seams` does, after the match.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

#: Variance in levels² added on both sides, so that flat pictures (sky, black) get a shift and no wild stretch.
_RIDGE: Final = 1.0
#: A map that moves no sampled colour by half a level would only add rounding: the frames stay bit for bit.
_LEAST_CHANGE: Final = 0.5
#: Stretches beyond this are not a drift of a generator but another picture; matching would hide a bad join.
_MOST_STRETCH: Final = 1.6
#: Shifts of the mean beyond this many levels, likewise.
_MOST_SHIFT: Final = 40.0
#: Pixels looked at; statistics of colour settle long before.
_SAMPLES: Final = 200_000


@dataclass(frozen=True, slots=True)
class ColourMap:
    """An affine map of RGB levels: ``matrix @ rgb + offset``, levels in [0, 255].

    ``why_not``: why the segment stays as it is although colours differ; empty where it does not apply.
    """

    matrix: tuple[tuple[float, float, float], ...]
    offset: tuple[float, float, float]
    why_not: str = ""

    @property
    def is_identity(self) -> bool:
        """Whether frames pass unchanged."""
        return self.matrix == _UNIT and self.offset == (0.0, 0.0, 0.0)

    def apply(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Mapped frames, uint8 [..., H, W, 3]; rounded and clipped to [0, 255]. The same object for the identity."""
        if self.is_identity:
            return frames
        affine = np.hstack([np.array(self.matrix), np.array(self.offset)[:, None]]).astype(np.float32)
        flat = frames.reshape(-1, frames.shape[-2], 3).astype(np.float32)
        mapped = np.rint(np.clip(cv2.transform(flat, affine), 0, 255)).astype(np.uint8)
        return np.asarray(mapped.reshape(frames.shape))


_UNIT: Final = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
IDENTITY: Final = ColourMap(_UNIT, (0.0, 0.0, 0.0))


def match_colour(reference: NDArray[np.uint8], moving: NDArray[np.uint8]) -> ColourMap:
    """The map that takes the colours of ``moving`` to those of ``reference``, both uint8 [T, H, W, 3].

    The identity where nothing needs moving, and, with the reason, where the map would be too strong to be a drift.
    """
    wanted, given = _sample(reference), _sample(moving)
    wanted_mean, given_mean = wanted.mean(axis=0), given.mean(axis=0)
    ridge = _RIDGE * np.eye(3)
    matrix = _transport(np.cov(given.T) + ridge, np.cov(wanted.T) + ridge)
    offset = wanted_mean - matrix @ given_mean
    if np.abs(given @ matrix.T + offset - given).max() < _LEAST_CHANGE:
        return IDENTITY
    stretches = np.linalg.eigvalsh(matrix)
    shift = float(np.abs(wanted_mean - given_mean).max())
    if stretches.max() > _MOST_STRETCH or stretches.min() < 1 / _MOST_STRETCH or shift > _MOST_SHIFT:
        reason = (
            f"colours differ too much to be a drift: stretched {stretches.min():.2f} to {stretches.max():.2f} times, "
            f"mean shifted by {shift:.1f} levels"
        )
        return ColourMap(_UNIT, (0.0, 0.0, 0.0), reason)
    rows = [(float(row[0]), float(row[1]), float(row[2])) for row in matrix.round(6)]
    return ColourMap(tuple(rows), (float(offset[0]), float(offset[1]), float(offset[2])))


def _transport(given: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """``A^-½ (A^½ B A^½)^½ A^-½`` for covariances A (given) and B (wanted): symmetric, positive definite."""
    root = _power(given, 0.5)
    inverse_root = _power(given, -0.5)
    return np.asarray(inverse_root @ _power(root @ wanted @ root, 0.5) @ inverse_root)


def _power(matrix: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, 1e-12) ** exponent) @ vectors.T)


def _sample(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    pixels = frames.reshape(-1, 3)
    return pixels[:: max(1, len(pixels) // _SAMPLES)].astype(np.float64)
