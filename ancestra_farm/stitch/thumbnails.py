"""Small pictures of candidates, packed into one sheet for each ticket.

A sheet is a JPEG with full colour resolution: a sixth of the bytes and a tenth of the time of a lossless one, which
counts where a thousand are made for one that is kept. Cells are whole JPEG blocks filled up with the edge of their
picture, so that nothing bleeds from one into another. JPEG has no checksum, so a sheet ends in a seal, as clips do;
viewers stop reading before it.
"""

import hashlib
import io
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.stitch.codec import FramesError, MediumError, Pictures, check_seal, seal_of, to_uint8

#: Widest thumbnail, in pixels. Six across fill a small laptop window.
TILE_WIDTH: Final = 128
#: Tallest thumbnail, in pixels: a very tall picture is fitted into it.
TILE_HEIGHT: Final = 128
#: File name suffix of a sheet, without the dot.
SHEET_SUFFIX: Final = "jpg"
_QUALITY: Final = 90
#: Pixels on a side of a block that JPEG compresses by itself.
_BLOCK: Final = 8
#: What NaN and infinity look like in a thumbnail: a colour no film picture is made of.
_BROKEN_PIXEL: Final = (255, 0, 255)


def thumbnail(frames: Pictures) -> NDArray[np.uint8]:
    """A small picture of a candidate, uint8 [h, w, 3], at most `TILE_WIDTH` × `TILE_HEIGHT`, aspect kept.

    ``frames``: [T, H, W, 3] or [H, W, 3]. A clip is shown by its middle frame, ``frames[T // 2]``, the one its
    perceptual hash is taken from; a strip of several would leave each too small to judge a picture by. Rejects get
    thumbnails too, so broken values are shown, not refused: NaN and infinity are magenta. Small pictures stay as
    they are.
    """
    middle = frames[frames.shape[0] // 2] if frames.ndim == 4 else frames
    if middle.ndim != 3 or middle.shape[2] != 3 or 0 in middle.shape:
        raise FramesError(f"a picture has the shape [height, width, 3], not {list(middle.shape)}")
    if middle.dtype == np.uint8:
        whole = middle.astype(np.uint8, copy=False)
    else:
        broken = np.asarray(~np.isfinite(middle).all(axis=2))
        whole = to_uint8(np.where(broken[..., np.newaxis], np.float32(0), middle).astype(np.float32))
        whole[broken] = _BROKEN_PIXEL
    height, width = whole.shape[:2]
    scale = min(1.0, TILE_WIDTH / width, TILE_HEIGHT / height)
    if scale == 1.0:
        return np.ascontiguousarray(whole)
    fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(whole, fitted, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def thumbnail_sheet(tiles: Sequence[NDArray[np.uint8]]) -> tuple[bytes, list[tuple[int, int, int, int]]]:
    """The bytes of a sheet with all these thumbnails, and each one's rectangle (x, y, width, height), in order.

    Rows are filled from left to right in a nearly square grid of equal cells. Raises `FramesError` when there is
    nothing to show.
    """
    if not tiles:
        raise FramesError("a thumbnail sheet needs at least one candidate")
    cell_height, cell_width = (-(-max(tile.shape[side] for tile in tiles) // _BLOCK) * _BLOCK for side in (0, 1))
    columns = int(np.ceil(np.sqrt(len(tiles))))
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * cell_height, columns * cell_width, 3), dtype=np.uint8)
    places = []
    for index, tile in enumerate(tiles):
        y, x = (index // columns) * cell_height, (index % columns) * cell_width
        height, width = tile.shape[:2]
        if (height, width) != (cell_height, cell_width):
            below, beside = cell_height - height, cell_width - width
            filled = cv2.copyMakeBorder(tile, 0, below, 0, beside, cv2.BORDER_REPLICATE)
        else:
            filled = tile
        sheet[y : y + cell_height, x : x + cell_width] = filled
        places.append((x, y, width, height))
    return _sealed_jpeg(sheet), places


def decode_sheet(data: bytes) -> NDArray[np.uint8]:
    """A whole sheet, uint8 [H, W, 3]. Raises `MediumError` when it is cut short or a bit has flipped."""
    check_seal(io.BytesIO(data))
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise MediumError("not a sheet of thumbnails")
    return np.ascontiguousarray(picture[:, :, ::-1], dtype=np.uint8)


def _sealed_jpeg(picture: NDArray[np.uint8]) -> bytes:
    settings = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    settings += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), settings)
    if not done:
        raise FramesError(f"OpenCV could not write a JPEG of {list(picture.shape)}")
    written = bytes(data)
    return written + seal_of(hashlib.sha256(written).digest())
