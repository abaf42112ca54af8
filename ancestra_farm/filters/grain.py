"""Noise: random grain all over the picture.

Grain is welcome and texture is not noise; noise is what is everywhere, also where the picture is smoothest. So it is
measured in blocks, and the quiet blocks speak.
"""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.base import Scalar
from ancestra_farm.filters.check import Finding
from ancestra_farm.filters.pixels import Frames, eight_bit, looked_at, most

#: Immerkær (1996), "Fast noise variance estimation": the difference of two Laplacians, blind to edges and slopes.
#: Of white noise with standard deviation s its response has 6·s.
_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_GAIN = 6.0
_BLOCK = 8
#: The quiet blocks: this quantile of their noise.
_QUIET = 0.25


def noise(frames: Frames, settings: Mapping[str, Scalar]) -> Finding:
    """Score ``noise_levels``: standard deviation of noise per channel, in levels; lower is better.

    Rejected above ``max_levels``. Of a clip, the noisiest frame but one of those looked at.
    """
    level = most([noise_of(frame) for frame in looked_at(eight_bit(frames))])
    if level <= float(settings["max_levels"]):
        return Finding({"noise_levels": level})
    return Finding({"noise_levels": level}, f"noise of {level:.1f} levels")


def noise_of(frame: NDArray[np.uint8]) -> float:
    """Standard deviation of the noise in the quiet blocks of a frame uint8 [H, W, 3], mean of channels, in levels."""
    response = cv2.filter2D(frame, cv2.CV_32F, _MASK)[1:-1, 1:-1]
    scale = 1 / _BLOCK
    power = cv2.resize(cv2.multiply(response, response), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return float(np.sqrt(np.quantile(power.mean(axis=2), _QUIET))) / _GAIN
