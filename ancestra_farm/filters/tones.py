"""Banding: gradients that move in visible steps.

An 8-bit gradient climbs level by level; a banded one stays flat and then jumps. The mark is in the histogram of a
channel: tones that stand alone, with nothing near them. A picture stretched after the fact has gaps too, but of one
level, which nobody sees; so a tone stands alone when two levels on each side are empty.
"""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.base import Scalar
from ancestra_farm.filters.check import Finding
from ancestra_farm.filters.pixels import Frames, Plane, eight_bit, histogram, looked_at, most

#: A level is empty when it has less than this of the pixels of the tone it is next to.
_EMPTY = 0.1
#: No tone counts for more than this share of the picture: a flat background is one tone, not banding.
_MOST = 0.05
#: A channel whose standard deviation is smaller (in levels) has no gradients to speak of.
_MIN_SPREAD = 1.0


def banding(frames: Frames, settings: Mapping[str, Scalar]) -> Finding:
    """Score ``banding_share``: share of the tones that stand alone, in [0, 1]; lower is better.

    Each tone weighs its share of the picture, but at most 5 %. Of the channel with the widest spread. Rejected above
    ``max_share``. Of a clip, the worst frame but one of those looked at.
    """
    share = most([lonely_tones(frame) for frame in looked_at(eight_bit(frames))])
    if share <= float(settings["max_share"]):
        return Finding({"banding_share": share})
    return Finding({"banding_share": share}, f"banding: {share:.0%} of the tones stand alone")


def lonely_tones(frame: NDArray[np.uint8]) -> float:
    """The share of lonely tones of a frame uint8 [H, W, 3], in its channel with the widest spread."""
    spreads = cv2.meanStdDev(frame)[1].ravel()
    widest = int(spreads.argmax())
    return _lonely(np.asarray(cv2.extractChannel(frame, widest), np.uint8)) if spreads[widest] >= _MIN_SPREAD else 0.0


def _lonely(plane: Plane) -> float:
    counts = histogram(plane)
    near = np.pad(counts, 2)
    # A neighbour beyond black or white does not exist, so it is empty.
    neighbours = np.max([near[shift : shift + 256] for shift in (0, 1, 3, 4)], axis=0)
    weights = np.minimum(counts / counts.sum(), _MOST)
    return float(weights[neighbours < _EMPTY * counts].sum() / weights.sum())
