"""Broken output: values that are not finite numbers.

Score ``nan_share``: share of all values that are NaN or infinite, in [0, 1], lower is better. Rejected above
``max_share`` (0: one such value is enough, for it spreads through every later step). 8-bit frames cannot be broken.
"""

from collections.abc import Mapping

import numpy as np

from ancestra_farm.batch.base import Scalar
from ancestra_farm.filters.check import Finding
from ancestra_farm.filters.pixels import Frames


def nan(frames: Frames, settings: Mapping[str, Scalar]) -> Finding:
    """Finding for frames uint8 or float32 [T, H, W, 3]."""
    if frames.dtype == np.uint8 or np.isfinite(frames.sum(dtype=np.float64)):
        return Finding({"nan_share": 0.0})
    share = 1.0 - float(np.isfinite(frames).mean())
    if share <= float(settings["max_share"]):
        return Finding({"nan_share": share})
    return Finding({"nan_share": share}, f"{share:.2%} of the values are not finite numbers")
