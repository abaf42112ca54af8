"""The views of a candidate that filters measure on: 8-bit frames, luma, a few frames of a clip, small frames.

Every view is a function of the pixels alone; which number matters is each filter's business.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

#: uint8 or float32 [T, H, W, 3], sRGB; float32 in [0, 1], NaN and infinity where the output is broken.
Frames = NDArray[np.uint8] | NDArray[np.float32]
#: One channel or luma, uint8 [H, W].
Plane = NDArray[np.uint8]

#: Frames of a clip that the picture filters look at: a fault of the whole clip shows in every one of them.
LOOKED_AT = 5


class BadFrames(Exception):
    """The array is not frames: a bug of the generator or of the caller, never a verdict on a picture."""


def checked(frames: Frames) -> Frames:
    """The frames unchanged. Raises BadFrames, with what is wrong, unless uint8 or float32 [T ≥ 1, H ≥ 8, W ≥ 8, 3]."""
    if not isinstance(frames, np.ndarray) or frames.ndim != 4 or frames.shape[3] != 3:
        raise BadFrames(f"frames are an array [T, H, W, 3], not {getattr(frames, 'shape', type(frames).__name__)}")
    if frames.dtype not in (np.uint8, np.float32):
        raise BadFrames(f"frames are uint8 or float32, not {frames.dtype}")
    if len(frames) < 1 or min(frames.shape[1:3]) < 8:
        raise BadFrames(f"at least one frame of at least 8×8 pixels is needed, not {frames.shape}")
    return frames


def eight_bit(frames: Frames) -> NDArray[np.uint8]:
    """uint8 [T, H, W, 3]: what is written and seen. Float values are clipped to [0, 1]; NaN becomes 0."""
    if frames.dtype == np.uint8:
        return np.ascontiguousarray(frames)
    return np.rint(np.clip(np.nan_to_num(frames, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0) * 255.0).astype(np.uint8)


def looked_at(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """At most `LOOKED_AT` frames, the middles of as many equal parts of the clip. A still is itself."""
    if len(frames) <= LOOKED_AT:
        return frames
    return frames[[int((part + 0.5) * len(frames) / LOOKED_AT) for part in range(LOOKED_AT)]]


def luma(frame: NDArray[np.uint8]) -> Plane:
    """Luma uint8 [H, W] of one frame uint8 [H, W, 3], with the weights of Rec. 601."""
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def brightest_channel(frame: NDArray[np.uint8]) -> Plane:
    """The largest of the three channels, uint8 [H, W]: a deep red or blue is not dark."""
    red, green, blue = cv2.split(frame)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)


def darkest_channel(frame: NDArray[np.uint8]) -> Plane:
    """The smallest of the three channels, uint8 [H, W]: it is high only where the picture is white."""
    red, green, blue = cv2.split(frame)
    return np.asarray(cv2.min(cv2.min(red, green), blue), np.uint8)


def histogram(plane: Plane) -> NDArray[np.float32]:
    """How many pixels have each level, float32 [256]."""
    return np.asarray(cv2.calcHist([plane], [0], None, [256], [0, 256]), np.float32).ravel()


def level_at(counts: NDArray[np.float32], share: float) -> float:
    """The level below or at which ``share`` of the counted pixels lie."""
    sums = np.cumsum(counts)
    return float(np.searchsorted(sums, share * sums[-1]))


def small(frame: NDArray[np.uint8], long_side: int) -> NDArray[np.uint8]:
    """The frame (or plane) averaged down so that its long side is at most ``long_side``; never enlarged."""
    height, width = frame.shape[:2]
    scale = long_side / max(height, width)
    if scale >= 1:
        return frame
    size = (max(round(width * scale), 8), max(round(height * scale), 8))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def most(values: list[float]) -> float:
    """The largest but one of a clip's frames (of fewer than three: the largest): two frames must agree on a fault."""
    ordered = sorted(values)
    return ordered[-2] if len(ordered) > 2 else ordered[-1]
