"""Pictures made larger without a network: bicubic, held to what was given, with edges drawn tighter.

A pixel of the small picture stands for the mean of what it covers. So the enlarged picture is corrected until it comes
out as the small one when it is reduced again (iterative back-projection: Irani and Peleg, "Improving resolution by
image registration", 1991). Edges are then sharpened within the range of the pixels around them, so that nothing
overshoots. Nothing new is seen: this is for sizes that a delivery asks for, not for detail.

Each frame is made from that frame alone by the same smooth steps, so a clip flickers no more than it did.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Field = NDArray[np.float32]

#: Corrections; after three the small picture is met to within a level or so. Linear, from a bicubic beginning: of six
#: ways tried on rendered scenes the one that was nearer to the truth than plain bicubic on every one of them.
_CORRECTIONS: Final = 3
#: How far a sharpened pixel may leave the range of the small picture's pixels around it, in levels: room for a peak
#: that lies between pixels.
_SLACK_LEVELS: Final = 6.0
#: How much tighter edges are drawn where nobody says.
SHARPEN: Final = 0.25


def enlarged(picture: Picture, size: tuple[int, int], sharpen: float = SHARPEN) -> Picture:
    """``picture``, uint8 [H, W, 3], at ``size`` (width, height), no side of which is smaller.

    Where the shapes differ the size is filled and what stands over is cut off evenly on both sides; nothing is
    stretched. ``sharpen``: how much tighter edges are drawn, 0 to 1. Raises ValueError for a smaller size.
    """
    height, width = picture.shape[:2]
    if size[0] < width or size[1] < height:
        raise ValueError(f"{size[0]} × {size[1]} is smaller than the {width} × {height} that it is made from")
    if size == (width, height):
        return picture
    times = max(size[0] / width, size[1] / height)
    whole = (max(size[0], round(width * times)), max(size[1], round(height * times)))
    values = picture.astype(np.float32)
    made = _corrected(_resized(values, whole, cv2.INTER_CUBIC), values)
    if sharpen > 0:
        made = _within(_sharpened(made, times, sharpen), values)
        made = _corrected(made, values, corrections=1)
    left, top = (whole[0] - size[0]) // 2, (whole[1] - size[1]) // 2
    cut = made[top : top + size[1], left : left + size[0]]
    return np.clip(np.rint(cut), 0, 255).astype(np.uint8)


def _corrected(made: Field, given: Field, corrections: int = _CORRECTIONS) -> Field:
    """``made`` changed so that, reduced, it comes out as ``given``."""
    height, width = given.shape[:2]
    large = (made.shape[1], made.shape[0])
    for _ in range(corrections):
        missing = given - _resized(made, (width, height), cv2.INTER_AREA)
        made = made + _resized(missing, large, cv2.INTER_LINEAR)
    return made


def _sharpened(made: Field, times: float, sharpen: float) -> Field:
    """Detail of about one pixel of the small picture, strengthened where there is an edge and left alone elsewhere.

    An edge: where luma rises by some eight levels over a pixel of the small picture.
    """
    detail = made - cv2.GaussianBlur(made, (0, 0), 0.6 * times)
    luma = cv2.cvtColor(made, cv2.COLOR_RGB2GRAY)
    across, down = (cv2.Scharr(luma, cv2.CV_32F, *way, scale=1 / 32) for way in ((1, 0), (0, 1)))
    reach = cv2.GaussianBlur(cv2.magnitude(across, down), (0, 0), times) * np.float32(times)
    edge = (reach / (reach + np.float32(8.0)))[..., np.newaxis]
    return np.asarray(made + np.float32(sharpen) * edge * detail, dtype=np.float32)


def _within(made: Field, given: Field) -> Field:
    """``made`` held to the range of the pixels of ``given`` around it, with a little room."""
    large = (made.shape[1], made.shape[0])
    window = np.ones((3, 3), dtype=np.uint8)
    lowest, highest = (np.asarray(way(given, window), np.float32) for way in (cv2.erode, cv2.dilate))
    least = _resized(lowest, large, cv2.INTER_LINEAR) - np.float32(_SLACK_LEVELS)
    most = _resized(highest, large, cv2.INTER_LINEAR) + np.float32(_SLACK_LEVELS)
    return np.asarray(np.clip(made, least, most), dtype=np.float32)


def _resized(values: Field, size: tuple[int, int], way: int) -> Field:
    return np.asarray(cv2.resize(values, size, interpolation=way), dtype=np.float32)
