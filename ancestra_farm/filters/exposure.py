"""Exposure: frames that are black, frames that show nothing, and light or shadow cut off.

Dark is not black: a night sky has stars, and a womb has its red. `black` therefore asks how bright the brightest part
is, in the brightest channel. `clipped` asks how much *area* is lost: glints and stars are small and don't count.
"""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.base import Scalar
from ancestra_farm.filters.check import Finding
from ancestra_farm.filters.pixels import (
    Frames,
    brightest_channel,
    darkest_channel,
    eight_bit,
    histogram,
    level_at,
    looked_at,
    most,
    small,
)

#: The brightest part of a frame: one pixel in two thousand, as much as a sky with few stars has.
_BRIGHTEST = 0.9995
#: A pixel is white from this level in its darkest channel, and black up to this level in its brightest.
_WHITE, _BLACK = 252, 1


def black(frames: Frames, settings: Mapping[str, Scalar]) -> Finding:
    """Score ``black_level``: of the darkest frame, the level that 99.95 % of its pixels stay below; higher is better.

    Measured on the brightest channel of every frame. Rejected below ``min_level`` levels (of 255).
    """
    levels = [level_at(histogram(brightest_channel(frame)), _BRIGHTEST) for frame in eight_bit(frames)]
    level, dark = min(levels), sum(value < float(settings["min_level"]) for value in levels)
    reason = f"{dark} of {len(levels)} frames are black: nothing brighter than level {level:.0f}" if dark else ""
    return Finding({"black_level": level}, reason)


def uniform(frames: Frames, settings: Mapping[str, Scalar]) -> Finding:
    """Score ``uniform_range``: of the flattest frame, the range of its widest channel in levels; higher is better.

    Measured on the frame averaged down to 32 pixels, so that noise on a flat frame is not taken for a picture.
    Rejected below ``min_range``.
    """
    ranges = [float(np.ptp(small(frame, 32).reshape(-1, 3), axis=0).max()) for frame in looked_at(eight_bit(frames))]
    flattest = min(ranges)
    if flattest >= float(settings["min_range"]):
        return Finding({"uniform_range": flattest})
    return Finding({"uniform_range": flattest}, f"shows nothing: its tones span {flattest:.0f} levels")


def clipped(frames: Frames, settings: Mapping[str, Scalar]) -> Finding:
    """Score ``clipped_share``: share of the picture lost to white or to crushed black, in [0, 1]; lower is better.

    White: areas where every channel is burnt out. Black: areas at zero in every channel. An area is what is left after
    opening with a disc of 1/72 of the picture's height. Rejected above ``max_white_share`` or ``max_black_share``: a
    show that wants pure black skies raises the second.
    """
    shares = [_lost(frame) for frame in looked_at(eight_bit(frames))]
    white, dark = most([pair[0] for pair in shares]), most([pair[1] for pair in shares])
    lost = [
        f"{share:.0%} of the picture is cut off to {side}"
        for side, share in (("white", white), ("black", dark))
        if share > float(settings[f"max_{side}_share"])
    ]
    return Finding({"clipped_share": max(white, dark)}, ", ".join(lost))


def _lost(frame: NDArray[np.uint8]) -> tuple[float, float]:
    """Shares of the area that are white and black."""
    radius = max(round(frame.shape[0] / 144), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    white = (darkest_channel(frame) >= _WHITE).astype(np.uint8)
    dark = (brightest_channel(frame) <= _BLACK).astype(np.uint8)
    areas = [cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc) for mask in (white, dark)]
    return float(areas[0].mean()), float(areas[1].mean())
