"""Pictures that people give as guides: PNG, JPEG and OpenEXR as uint8 sRGB.

OpenEXR is read by the decoder in FFmpeg, since OpenCV ships its own switched off. Its values are linear light and are
shown as sRGB; of a mask they are taken as they stand, and of depth they are distances, shown nearer the brighter.
Nothing is guessed from a file's bytes: the suffix says the format, and only that decoder is let near it.
"""

import io
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ancestra_farm.batch.guides import suffix_of
from ancestra_farm.models.guides.errors import GuideUnreadable

Picture = NDArray[np.uint8]

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
#: The largest side of a picture or clip; beyond it a small file would unpack to gigabytes.
MOST_PIXELS_A_SIDE = 16_384


def read_picture(file: Path, name: str, kind: str = "") -> Picture:
    """The picture in ``file``, uint8 [H, W, 3]; the suffix of ``name`` says its format. ``kind``: of the guide.

    Turned upright where a camera says how; what is transparent lies over black. Raises GuideUnreadable.
    """
    suffix = suffix_of(name)
    if suffix == ".exr":
        return _exr_shown(_read_exr(file, name), kind)
    try:
        with Image.open(file, formats=(_FORMATS[suffix],)) as picture:
            check_size(picture.size, name)
            return _as_rgb(ImageOps.exif_transpose(picture))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise GuideUnreadable(f"{name} cannot be read as {suffix[1:].upper()}: {error}") from error


def check_size(size: tuple[int, int], name: str) -> None:
    """Raises GuideUnreadable for a picture or clip that is too large to unpack."""
    if max(size) > MOST_PIXELS_A_SIDE or min(size) < 1:
        raise GuideUnreadable(f"{name} is {size[0]} × {size[1]}; at most {MOST_PIXELS_A_SIDE:,} pixels a side are read")


def _as_rgb(picture: Image.Image) -> Picture:
    if picture.mode.startswith("I"):  # 16 bits of grey
        levels = np.asarray(picture).astype(np.float64)
        grey = np.rint(np.clip(levels / 65535.0, 0.0, 1.0) * 255.0).astype(np.uint8)
        return np.repeat(grey[..., np.newaxis], 3, axis=2)
    if "A" in picture.getbands() or "transparency" in picture.info:
        whole = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", whole.size, (0, 0, 0, 255)), whole)
    return np.array(picture.convert("RGB"), dtype=np.uint8)


def _read_exr(file: Path, name: str) -> NDArray[np.float32]:
    """The planes of an OpenEXR picture, float32 [H, W, 3], as they stand."""
    try:
        # Read whole, and by this format alone: nothing in the file can make FFmpeg open another one.
        with av.open(io.BytesIO(file.read_bytes()), "r", format="exr_pipe") as container:
            stream = container.streams.video[0]
            if stream.width and stream.height:
                check_size((stream.width, stream.height), name)
            frame = next(container.decode(stream))
    except (av.FFmpegError, OSError, IndexError, StopIteration, ValueError) as error:
        raise GuideUnreadable(f"{name} cannot be read as OpenEXR: {error}") from error
    if frame.format.name.startswith("grayf32"):
        grey = np.asarray(frame.to_ndarray(), dtype=np.float32)
        return np.repeat(grey[..., np.newaxis], 3, axis=2)
    if not frame.format.name.startswith(("gbrpf32", "gbrapf32")):
        raise GuideUnreadable(f"{name} holds {frame.format.name} values; OpenEXR of half or float values is read")
    height, width = frame.height, frame.width
    planes = [
        np.frombuffer(memoryview(plane), dtype=np.float32).reshape(height, plane.line_size // 4)[:, :width]
        for plane in frame.planes[:3]
    ]
    green, blue, red = planes
    return np.stack([red, green, blue], axis=2).astype(np.float32)


def _exr_shown(values: NDArray[np.float32], kind: str) -> Picture:
    values = np.nan_to_num(values, nan=0.0, posinf=3.0e38, neginf=0.0)
    if kind == "depth":
        return nearness_of(values[..., 0])
    levels = np.clip(values, 0.0, 1.0)
    if kind != "mask":
        # IEC 61966-2-1
        levels = np.where(levels <= 0.0031308, 12.92 * levels, 1.055 * np.power(levels, 1 / 2.4) - 0.055)
    return np.rint(levels * 255.0).astype(np.uint8)


def nearness_of(distances: NDArray[np.float32]) -> Picture:
    """Distances, float32 [..., H, W] above 0, as grey uint8 [..., H, W, 3]: by their inverse, the nearest white."""
    inverse = np.where(distances > 0, 1.0 / np.maximum(distances, 1e-30), 0.0)
    low, high = float(inverse.min()), float(inverse.max())
    levels = (inverse - low) / (high - low) if high > low else np.ones_like(inverse)
    grey = np.rint(levels * 255.0).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=-1)
