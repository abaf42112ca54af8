"""How pictures become bytes and come back: PNG for stills, FFV1 in Matroska for clips. `thumbnails` has the small ones.

Both ways are lossless and the bytes are the same on every run (one thread, no dates, no random ids), because media are
content-addressed: the same frames must give the same name. Matroska rounds time stamps to whole milliseconds, so the
exact rate and the frame count travel as tags and are what decoding trusts. FFV1's own checksums are only logged by
FFmpeg, never raised, so a clip ends in a seal: a SHA-256 of all bytes before it in an EBML Void element, which players
skip. A clip with one flipped bit or one byte missing is refused.

This module does not decide what is kept or where: `ledger` names and stores the bytes.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Final, Literal

import av
import cv2
import numpy as np
from av.container.input import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

Kind = Literal["still", "clip"]
#: File name suffix, without the dot, by kind of medium.
SUFFIX: Final[dict[Kind, str]] = {"still": "png", "clip": "mkv"}

RATE_TAG: Final = "ANCESTRA_RATE"
FRAMES_TAG: Final = "ANCESTRA_FRAMES"
_PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
_PNG_END: Final = b"IEND\xaeB`\x82"
_MATROSKA_MAGIC: Final = b"\x1a\x45\xdf\xa3"
#: Level 3 with checksums; intra only, so that every frame stands alone.
_FFV1_OPTIONS: Final = {"level": "3", "coder": "1", "context": "0", "g": "1", "slicecrc": "1"}
_BITEXACT: Final = {"fflags": "+bitexact"}
#: An EBML Void element of 40 bytes, of which the first 8 are ours and the other 32 the digest.
_SEAL_HEAD: Final = b"\xec\xa8ANCESTRA"
_SEAL_BYTES: Final = len(_SEAL_HEAD) + 32

Pictures = NDArray[np.uint8] | NDArray[np.float32]


class FramesError(ValueError):
    """Frames that cannot be encoded: wrong shape, wrong type, or numbers that are no picture (NaN, infinity)."""


class MediumError(ValueError):
    """Bytes that are not a whole still or clip of the farm: cut short, flipped bits, or another format."""


def to_uint8(frames: Pictures) -> NDArray[np.uint8]:
    """Frames as uint8, unchanged if they are already.

    float32 in [0, 1] becomes ``round(255 · clip(x, 0, 1))``, halves to even; what lies outside [0, 1] is clipped, since
    decoders of diffusion models overshoot by a little. Raises `FramesError` for NaN, infinity, or another dtype.
    """
    if frames.dtype == np.uint8:
        return frames.astype(np.uint8, copy=False)
    if frames.dtype not in (np.float32, np.float16, np.float64):
        raise FramesError(f"frames are uint8 in [0, 255] or float32 in [0, 1], not {frames.dtype}")
    finite = np.isfinite(frames)
    if not finite.all():
        broken = int(frames.size - np.count_nonzero(finite))
        raise FramesError(f"{broken} of {frames.size} values are NaN or infinite; a picture has finite values")
    levels: NDArray[np.float32] = np.clip(frames, 0.0, 1.0).astype(np.float32) * 255
    return np.rint(levels).astype(np.uint8)


def encode_still(frame: Pictures) -> bytes:
    """A still, uint8 or float32 [H, W, 3] or [1, H, W, 3], sRGB, as PNG. Raises `FramesError`."""
    if frame.ndim == 4 and frame.shape[0] == 1:
        frame = frame[0]
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise FramesError(f"a still has the shape [height, width, 3], not {list(frame.shape)}")
    return _png(to_uint8(frame))


def decode_still(data: bytes) -> NDArray[np.uint8]:
    """The still in PNG bytes: uint8 [H, W, 3]. Raises `MediumError`."""
    if not data.endswith(_PNG_END):
        raise MediumError("not a whole PNG: its last chunk is missing")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            if picture.mode != "RGB":
                raise MediumError(f"a still is an 8-bit RGB PNG, not one of mode {picture.mode}")
            return np.array(picture, dtype=np.uint8)
    except (OSError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise MediumError(f"not a whole PNG: {error}") from error


def encode_clip(frames: Pictures, rate: Fraction) -> bytes:
    """A clip, uint8 or float32 [T, H, W, 3], sRGB, at exactly ``rate`` frames per second, as FFV1 in Matroska.

    Raises `FramesError`.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise FramesError(f"a clip has the shape [frames, height, width, 3], not {list(frames.shape)}")
    whole = to_uint8(frames)
    buffer = io.BytesIO()
    count, height, width = whole.shape[:3]
    write_clip(buffer, whole, frames=count, size=(width, height), rate=rate)
    return buffer.getvalue()


def write_clip(
    target: io.BufferedRandom | io.BytesIO,
    pictures: Iterable[NDArray[np.uint8]],
    *,
    frames: int,
    size: tuple[int, int],
    rate: Fraction,
) -> None:
    """Write pictures (uint8 [H, W, 3]) to ``target``, an empty file open for writing and reading; see `ClipWriter`."""
    writer = ClipWriter(target, frames=frames, size=size, rate=rate)
    try:
        for picture in pictures:
            writer.write(picture)
    except BaseException:
        writer.abandon()
        raise
    writer.close()


class ClipWriter:
    """A clip written frame by frame as lossless FFV1 in Matroska.

    ``target``: an empty file open for writing and reading. ``size`` is (width, height). Until `close` has found exactly
    ``frames`` frames the file has no seal and is refused by every reader.
    """

    def __init__(
        self, target: io.BufferedRandom | io.BytesIO, *, frames: int, size: tuple[int, int], rate: Fraction
    ) -> None:
        if min(size) < 2:
            raise FramesError(
                f"a clip is at least 2 × 2 pixels (FFV1 cuts narrower ones into empty slices), not {size}"
            )
        self._target, self._frames, self._size, self._rate = target, frames, size, rate
        self._count = 0
        self._container = av.open(target, "w", format="matroska", options=_BITEXACT)
        self._container.metadata[RATE_TAG] = str(rate)
        self._container.metadata[FRAMES_TAG] = str(frames)
        stream = self._container.add_stream("ffv1", rate=rate, options=_FFV1_OPTIONS)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "bgr0"
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        stream.codec_context.time_base = 1 / rate
        self._stream = stream

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Add a frame, uint8 [H, W, 3]. Raises `FramesError` when it has another size."""
        if picture.shape != (self._size[1], self._size[0], 3) or picture.dtype != np.uint8:
            raise FramesError(f"frame {self._count} is {picture.dtype} {list(picture.shape)}, the clip is {self._size}")
        self._container.mux(self._stream.encode(_packed_bgr0(picture, self._count, self._rate)))
        self._count += 1

    def close(self) -> None:
        """Finish the file and seal it. Raises `FramesError`, leaving it unsealed, when frames are missing or over."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        if self._count != self._frames:
            raise FramesError(f"{self._count} frames came where {self._frames} were announced")
        self._target.seek(0)
        seal = seal_of(hashlib.file_digest(self._target, "sha256").digest())
        self._target.seek(0, io.SEEK_END)
        self._target.write(seal)

    def abandon(self) -> None:
        """Let go of the unfinished file after a failure; it stays unsealed."""
        self._container.close()


def seal_of(digest: bytes) -> bytes:
    """What a medium without checksums of its own ends in. ``digest``: SHA-256 of all bytes before it."""
    return _SEAL_HEAD + digest


def check_seal(source: io.BufferedIOBase | io.BytesIO) -> None:
    """Read a medium through and check its seal. Raises `MediumError` when it is cut short or a bit has flipped."""
    source.seek(0, io.SEEK_END)
    left = source.tell() - _SEAL_BYTES
    source.seek(max(left, 0))
    seal = source.read()
    if left < 0 or not seal.startswith(_SEAL_HEAD):
        raise MediumError("no seal at its end: it is cut short, or was not written by this farm")
    source.seek(0)
    state = hashlib.sha256()
    while left and (block := source.read(min(left, 1 << 20))):
        state.update(block)
        left -= len(block)
    source.seek(0)
    if state.digest() != seal[len(_SEAL_HEAD) :]:
        raise MediumError("its bytes are not those that were sealed: it is damaged")


def iter_clip(source: bytes | io.BufferedIOBase) -> Iterator[NDArray[np.uint8]]:
    """The frames of a clip one by one, uint8 [H, W, 3]: for clips too long to hold. Raises `MediumError`.

    ``source``: the bytes, or a file open for reading. The seal is checked before the first frame.
    """
    opened = io.BytesIO(source) if isinstance(source, bytes) else source
    check_seal(opened)
    try:
        with av.open(opened, "r", format="matroska") as container:
            _, announced = _tags(container)
            count = 0
            for frame in container.decode(container.streams.video[0]):
                yield _unpacked(frame)
                count += 1
    except (av.FFmpegError, IndexError) as error:
        raise MediumError(f"not a whole clip: {error}") from error
    if count != announced:
        raise MediumError(f"the clip holds {count} frames and announces {announced}")


def clip_rate(source: bytes | io.BufferedIOBase) -> tuple[Fraction, int]:
    """(exact rate, frame count) as the clip's tags say, without decoding. Raises `MediumError`."""
    try:
        with av.open(io.BytesIO(source) if isinstance(source, bytes) else source, "r", format="matroska") as container:
            return _tags(container)
    except (av.FFmpegError, IndexError) as error:
        raise MediumError(f"not a whole clip: {error}") from error


def decode_clip(data: bytes) -> tuple[NDArray[np.uint8], Fraction]:
    """(frames uint8 [T, H, W, 3], exact rate) of a clip. Raises `MediumError`."""
    rate, _ = clip_rate(data)
    frames = list(iter_clip(data))
    if not frames:
        raise MediumError("the clip holds no frames")
    return np.stack(frames), rate


def encode_frames(frames: Pictures, rate: Fraction) -> tuple[bytes, str]:
    """(bytes, suffix): PNG for one frame, FFV1 for several. ``frames``: [T, H, W, 3] or [H, W, 3]."""
    if frames.ndim == 3 or (frames.ndim == 4 and frames.shape[0] == 1):
        return encode_still(frames), SUFFIX["still"]
    return encode_clip(frames, rate), SUFFIX["clip"]


def decode_frames(data: bytes) -> NDArray[np.uint8]:
    """The frames of a still or a clip, told apart by their first bytes: uint8 [T, H, W, 3]. Raises `MediumError`."""
    if kind_of(data) == "still":
        return decode_still(data)[np.newaxis]
    return decode_clip(data)[0]


def kind_of(data: bytes) -> Kind:
    """Whether bytes are a still or a clip, by their first bytes. Raises `MediumError` if neither."""
    if data.startswith(_PNG_MAGIC):
        return "still"
    if data.startswith(_MATROSKA_MAGIC):
        return "clip"
    raise MediumError("neither a PNG nor a Matroska file by its first bytes")


# ---- inside --------------------------------------------------------------------------------------------------------


def _png(picture: NDArray[np.uint8]) -> bytes:
    """PNG bytes of uint8 [H, W, 3]; zlib level 1, since a farm writes each picture once and reads few of them."""
    done, data = cv2.imencode(".png", picture[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise FramesError(f"OpenCV could not write a PNG of {list(picture.shape)}")
    return bytes(data)


def _packed_bgr0(picture: NDArray[np.uint8], index: int, rate: Fraction) -> VideoFrame:
    """A frame in FFV1's own RGB layout; swapping bytes here keeps swscale, and any doubt about rounding, out of it."""
    height, width = picture.shape[:2]
    frame = VideoFrame(width, height, "bgr0")
    plane = frame.planes[0]
    rows = np.frombuffer(plane, dtype=np.uint8).reshape(height, plane.line_size)  # type: ignore[call-overload]
    packed = rows[:, : width * 4].reshape(height, width, 4)
    packed[:, :, :3] = picture[:, :, ::-1]
    packed[:, :, 3] = 0
    frame.pts = index
    frame.time_base = 1 / rate
    return frame


def _unpacked(frame: VideoFrame) -> NDArray[np.uint8]:
    """The other way of `_packed_bgr0`. Raises `MediumError` for frames in another layout."""
    if frame.format.name != "bgr0":
        raise MediumError(f"a clip of the farm holds bgr0 frames, not {frame.format.name}")
    plane = frame.planes[0]
    rows = np.frombuffer(plane, dtype=np.uint8).reshape(frame.height, plane.line_size)  # type: ignore[call-overload]
    packed = rows[:, : frame.width * 4].reshape(frame.height, frame.width, 4)
    return np.asarray(cv2.cvtColor(packed, cv2.COLOR_BGRA2RGB), dtype=np.uint8)


def _tags(container: InputContainer) -> tuple[Fraction, int]:
    tags = {key.upper(): value for key, value in container.metadata.items()}
    try:
        return Fraction(tags[RATE_TAG]), int(tags[FRAMES_TAG])
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise MediumError(f"the clip has no {RATE_TAG} and {FRAMES_TAG} tags: not written by this farm") from error
