"""Quality: one number that puts sharp, well exposed, rich pictures first. It ranks and never rejects."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.base import Scalar
from ancestra_farm.filters.check import Finding
from ancestra_farm.filters.grain import noise_of
from ancestra_farm.filters.pixels import Frames, eight_bit, histogram, level_at, looked_at, luma, small
from ancestra_farm.filters.sharpness import edge_width, seen_plane

#: Long side of the picture that exposure and richness are measured on.
_SEEN = 96


def quality(frames: Frames, settings: Mapping[str, Scalar]) -> Finding:  # noqa: ARG001 - every check has settings
    """Score ``quality`` in [0, 1], higher is better: the mean over every other one of the frames looked at."""
    return Finding({"quality": float(np.mean([quality_of(frame) for frame in looked_at(eight_bit(frames))[::2]]))})


def quality_of(frame: NDArray[np.uint8]) -> float:
    """Geometric mean of sharpness, exposure, richness and quietness of a frame uint8 [H, W, 3]; in [0, 1].

    Each is in [0, 1], and a picture that has nothing of one has little quality whatever the others say. Exposure and
    richness are measured on the frame averaged down, so that noise is not taken for tones.
    """
    seen = small(frame, _SEEN)
    parts = sharpness(frame), exposure(seen), richness(seen), quietness(frame)
    return float(np.prod(np.clip(parts, 1e-3, 1.0)) ** (1 / len(parts)))


def sharpness(frame: NDArray[np.uint8]) -> float:
    """1/(1 + w²) for sharpest edges of width w (see `sharpness`): a half where they are a pixel of 144 rows wide."""
    return 1.0 / (1.0 + edge_width(seen_plane(frame)) ** 2)


def exposure(frame: NDArray[np.uint8]) -> float:
    """How much of the range is used, less what is cut off: (99.5 % level − 0.5 % level)/255 × (1 − white − black)."""
    counts = histogram(luma(frame))
    used = (level_at(counts, 0.995) - level_at(counts, 0.005)) / 255.0
    return used * float(1.0 - (counts[0] + counts[254:].sum()) / counts.sum())


def richness(frame: NDArray[np.uint8]) -> float:
    """Mean of tonal and colour richness: entropy of luma over 6 bits, and colourfulness over 80, each at most 1.

    Colourfulness: Hasler and Süsstrunk (2003), "Measuring colourfulness in natural images"; they call 82 highly
    colourful. Entropy: of 64 classes of luma, so 6 bits are all tones in equal parts.
    """
    counts = histogram(luma(frame)).reshape(64, 4).sum(axis=1)
    shares = counts[counts > 0] / counts.sum()
    entropy = float(-(shares * np.log2(shares)).sum()) / 6.0
    red, green, blue = (plane.astype(np.float32) for plane in cv2.split(frame))
    first, second = red - green, 0.5 * (red + green) - blue
    spread = float(np.hypot(first.std(), second.std())) + 0.3 * float(np.hypot(first.mean(), second.mean()))
    return 0.5 * min(entropy, 1.0) + 0.5 * min(spread / 80.0, 1.0)


def quietness(frame: NDArray[np.uint8]) -> float:
    """1/(1 + (s/8)²) for noise of s levels (see `grain`): a half at 8 levels, which is plainly seen.

    Noise is everywhere, so the middle quarter of the frame is enough.
    """
    rows, columns = frame.shape[0] // 4, frame.shape[1] // 4
    middle = frame[rows:-rows, columns:-columns] if min(rows, columns) >= 8 else frame
    return 1.0 / (1.0 + (noise_of(middle) / 8.0) ** 2)
