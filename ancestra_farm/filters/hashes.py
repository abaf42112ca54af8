"""Perceptual hashes: 64 bits that stay nearly the same when a picture is re-encoded, brightened or reframed a little.

The scheduler finds near-duplicates across a shot by counting differing bits; this module makes and compares hashes.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.filters.pixels import Frames, eight_bit, luma

#: Side of the picture that `phash` transforms, and of the square of low frequencies that it keeps.
_SIDE, _KEPT = 32, 8


def _cosines() -> NDArray[np.float64]:
    """Rows 0 … 7 of the orthonormal DCT-II matrix for 32 samples."""
    frequencies, samples = np.arange(_KEPT)[:, None], np.arange(_SIDE)[None, :]
    rows = np.sqrt(2 / _SIDE) * np.cos(math.pi * frequencies * (2 * samples + 1) / (2 * _SIDE))
    rows[0] /= math.sqrt(2)
    return rows


_DCT = _cosines()


def phash(frames: Frames) -> int:
    """64-bit hash in [0, 2**64) of the middle frame of ``frames`` (uint8 or float32 [T, H, W, 3]).

    Zauner (2010), "Implementation and Benchmarking of Perceptual Image Hash Functions", section 3.2.1: luma averaged
    to 32×32, its DCT, and of the 8×8 lowest frequencies whether each lies above their median. Coefficients are rounded
    to 1/1000 so that the last bits of floating point, which differ between machines, decide nothing.
    """
    plane = _middle(frames)
    shrunk = cv2.resize(plane, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
    low = np.round(_DCT @ shrunk @ _DCT.T, 3).ravel()
    middle = len(low) // 2
    # np.median says the same of an even number of values and takes several times as long as all of the above.
    return _packed(low > np.sort(low)[middle - 1 : middle + 1].mean())


def dhash(frames: Frames) -> int:
    """64-bit difference hash of the middle frame: luma averaged to 9×8, whether each pixel is brighter than its left.

    Krawetz (2013), "Kind of Like That". Kept for comparison: see benchmarks/README.md for why `phash` is the one used.
    """
    shrunk = cv2.resize(_middle(frames), (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    return _packed((shrunk[:, 1:] > shrunk[:, :-1]).ravel())


def distance(first: int, second: int) -> int:
    """How many of the 64 bits differ."""
    return (first ^ second).bit_count()


def _middle(frames: Frames) -> NDArray[np.uint8]:
    at = len(frames) // 2
    return luma(eight_bit(frames[at : at + 1])[0])


def _packed(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
