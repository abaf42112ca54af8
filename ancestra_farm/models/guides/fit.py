"""A picture of any size at the size asked for: cropped about its centre to the shape, never letterboxed; or whole."""

from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def fitted(picture: Picture, size: tuple[int, int], pixel: Fraction = Fraction(1)) -> Picture:
    """``picture`` (uint8 [H, W, 3]) at ``size`` (width, height), cropped about its centre to that shape.

    ``pixel``: width over height of one of its pixels. Shrunk by area, enlarged by cubic interpolation. What has the
    size already comes back unchanged.
    """
    width, height = size
    if picture.shape[:2] == (height, width) and pixel == 1:
        return picture
    left, top, wide, high = crop_of((picture.shape[1], picture.shape[0]), size, pixel)
    part = np.ascontiguousarray(picture[top : top + high, left : left + wide])
    smaller = wide >= width and high >= height
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (width, height), interpolation=how), dtype=np.uint8)


def reduced(picture: Picture, longest: int) -> Picture:
    """``picture`` (uint8 [H, W, 3]) whole and in its shape, with no side longer than ``longest`` pixels."""
    height, width = picture.shape[:2]
    if max(width, height) <= longest:
        return picture
    size = tuple(max(1, round(side * longest / max(width, height))) for side in (width, height))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def crop_of(
    given: tuple[int, int], wanted: tuple[int, int], pixel: Fraction = Fraction(1)
) -> tuple[int, int, int, int]:
    """(left, top, width, height) of the part about the centre of ``given`` that has the shape of ``wanted``."""
    (width, height), shape = given, Fraction(*wanted) / pixel
    if width > height * shape:
        wide, high = max(1, round(height * shape)), height
    else:
        wide, high = width, max(1, round(width / shape))
    return (width - wide) // 2, (height - high) // 2, wide, high
