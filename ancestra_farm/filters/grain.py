"""Noise: random grain all over the picture.

Grain is welcome and texture is not noise. Noise is everywhere, also where the picture is smoothest, and it is white:
half the size, half as strong. Texture of waves or vessels is at least as strong at half the size. So the picture is
measured at both sizes in blocks, what texture explains is taken off, and the quiet blocks speak.

Film grain is the same in all channels and so is most texture; a sampler's noise is not. What differs between channels
counts in full, what they share by half.

Measure: Immerkær (1996), "Fast noise variance estimation".
"""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.base import Scalar
from ancestra_farm.filters.check import Finding
from ancestra_farm.filters.pixels import Frames, eight_bit, looked_at, most

#: The second difference across and down, blind to edges and slopes. White noise of deviation s comes out with 6·s.
_SECOND, _GAIN = np.array([1, -2, 1], np.float32), 6.0
#: Red less green, green less blue, blue less red.
_PAIRS = np.array([[1, -1, 0], [0, 1, -1], [-1, 0, 1]], np.float32)
#: Power of texture at half the size over its power at full size, as assumed: of white noise this ratio is 1/4.
_TEXTURE = 2.0
#: How much of the noise that all channels share counts.
_SHARED = 0.5
#: Blocks are squares of so many pixels; the quiet ones speak: this quantile of their noise.
_BLOCK, _QUIET = 8, 0.15


def noise(frames: Frames, settings: Mapping[str, Scalar]) -> Finding:
    """Score ``noise_levels``: standard deviation of noise per channel, in levels; lower is better.

    Rejected above ``max_levels``. Of a clip, the noisiest frame but one of those looked at.
    """
    level = most([noise_of(frame) for frame in looked_at(eight_bit(frames))])
    if level <= float(settings["max_levels"]):
        return Finding({"noise_levels": level})
    return Finding({"noise_levels": level}, f"noise of {level:.1f} levels")


def noise_of(frame: NDArray[np.uint8]) -> float:
    """Standard deviation of the noise in the quiet blocks of a frame uint8 [H, W, 3], per channel, in levels."""
    rows, columns = (side - side % (2 * _BLOCK) if side >= 2 * _BLOCK else side - side % 2 for side in frame.shape[:2])
    whole = frame[:rows, :columns].astype(np.float32)
    half = np.asarray(cv2.resize(whole, (columns // 2, rows // 2), interpolation=cv2.INTER_AREA), np.float32)
    blocks = (max(columns // _BLOCK, 1), max(rows // _BLOCK, 1))
    fine, coarse = _powers(whole, blocks), _powers(half, blocks)
    # fine = noise + texture and coarse = noise/4 + _TEXTURE·texture, solved for noise.
    shared, differing = np.maximum(_TEXTURE * fine - coarse, 0.0) / (_TEXTURE - 0.25)
    return float(np.sqrt(np.quantile(np.maximum(differing, _SHARED**2 * shared), _QUIET)))


def _powers(picture: NDArray[np.float32], blocks: tuple[int, int]) -> NDArray[np.float32]:
    """Per block, float32 [2, rows, columns]: mean power of the channels, and half that of the least different two."""
    response = cv2.sepFilter2D(picture, cv2.CV_32F, _SECOND, _SECOND)
    pairs = cv2.transform(response, _PAIRS)
    power, apart = (cv2.resize(cv2.multiply(r, r), blocks, interpolation=cv2.INTER_AREA) for r in (response, pairs))
    return np.stack([power.mean(axis=2), apart.min(axis=2) / 2]).astype(np.float32) / _GAIN**2
