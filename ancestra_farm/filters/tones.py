"""Banding: gradients that move in steps.

An 8-bit gradient climbs level by level; a banded one stays flat and then jumps. The mark is in the histogram: between
the darkest and the brightest tone of a channel most levels are empty.
"""

from collections.abc import Mapping

import cv2

from ancestra_farm.batch.base import Scalar
from ancestra_farm.filters.check import Finding
from ancestra_farm.filters.pixels import Frames, Plane, eight_bit, histogram, level_at, looked_at, most

#: Tones are looked for between these quantiles of a channel, and only where they are at least so many levels apart.
_LOWEST, _HIGHEST, _MIN_RANGE = 0.02, 0.98, 16


def banding(frames: Frames, settings: Mapping[str, Scalar]) -> Finding:
    """Score ``banding_share``: share of the levels within a channel's range that are (nearly) empty; lower is better.

    Of the channel with the widest range. Rejected above ``max_share``.
    """
    share = most([max(_missing(plane) for plane in cv2.split(frame)) for frame in looked_at(eight_bit(frames))])
    if share <= float(settings["max_share"]):
        return Finding({"banding_share": share})
    return Finding({"banding_share": share}, f"banding: {share:.0%} of the tones are missing")


def _missing(plane: Plane) -> float:
    """Share of levels within the plane's range that have less than a tenth of the pixels they would have if even."""
    counts = histogram(plane)
    low, high = int(level_at(counts, _LOWEST)), int(level_at(counts, _HIGHEST))
    if high - low < _MIN_RANGE:
        return 0.0
    inside = counts[low : high + 1]
    return float((inside < 0.1 * inside.mean()).mean())
