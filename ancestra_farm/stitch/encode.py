"""Delivered files: an H.264 movie for looking at, and a lossless master; each read back before it counts as made.

Frames are display-referred sRGB and are passed on by levels, as editing does: the movie is BT.709 Y'CbCr 4:2:0 in video
range, converted and tagged so (primaries, transfer, matrix, range). H.264 4:2:0 needs even sides; a picture of odd size
is made even by repeating its last column or row, on the right and at the bottom. The lossless master keeps its size.

Encoders run on one thread: the number of threads changes H.264 bytes, and a stitch done twice must give the same files.
A file cut short may still open and state its full length, so nothing here trusts a header: `check_movie`,
`check_master` and `check_stills` decode every frame and count.
"""

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final, Protocol

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ancestra_farm.stitch.codec import ClipWriter, decode_still, encode_still, iter_clip
from ancestra_farm.stitch.conform import frame_number

#: x264's quality: 16 is where a trained eye stops seeing a difference on a monitor; 18 is the usual "transparent".
DEFAULT_CRF: Final = 16
#: x264's macroblock tree is off: its assembler reads memory that nobody wrote where the width is no multiple of 128,
#: and the same frames then give other bytes on each run (x264 as PyAV 18.1 carries it; without assembler they do not).
_X264_PARAMS: Final = "mbtree=0"
_MOVIE_OPTIONS: Final = {"movflags": "+faststart", "fflags": "+bitexact"}


class FileError(Exception):
    """A file that was written but does not read back as it should: frames missing, another size, rate or colour."""


class Writer(Protocol):
    """Where frames go, one by one. Nothing counts as made before `close` and `check` returned.

    ``paths``: the files that exist so far, finished or not.
    """

    @property
    def paths(self) -> tuple[Path, ...]: ...  # noqa: D102 - described by the class

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Add a frame, uint8 [H, W, 3]."""

    def close(self) -> None:
        """Finish the file."""

    def check(self, frames: int) -> None:
        """Read what was written back, whole. Raises `FileError` unless it is ``frames`` frames as they were meant."""

    def abandon(self) -> None:
        """Let go of an unfinished file after a failure; it is no good to anybody."""


class MovieWriter:
    """An H.264 movie in MP4, yuv420p, BT.709, index in front. ``size`` is (width, height) of the frames given."""

    def __init__(self, path: Path, *, size: tuple[int, int], rate: Fraction, crf: int = DEFAULT_CRF) -> None:
        self.paths = (path,)
        self._rate, self._count = rate, 0
        self._size = even_size(size)
        self._container = av.open(str(path), "w", format="mp4", options=_MOVIE_OPTIONS)
        stream = self._container.add_stream("libx264", rate=rate, options=_x264(crf))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count = 1
        context.flags |= av.codec.context.Flags.bitexact
        context.time_base = 1 / rate
        context.color_range = ColorRange.MPEG
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        context.colorspace = Colorspace.ITU709
        self._stream, self._reformatter = stream, VideoReformatter()

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Add a frame, uint8 [H, W, 3] sRGB."""
        right, down = self._size[0] - picture.shape[1], self._size[1] - picture.shape[0]
        if right or down:
            picture = np.pad(picture, ((0, down), (0, right), (0, 0)), mode="edge")
        frame = self._reformatter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"),
            format="yuv420p",
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            dst_colorspace=Colorspace.ITU709,
        )
        frame.pts, frame.time_base = self._count, 1 / self._rate
        self._container.mux(self._stream.encode(frame))
        self._count += 1

    def close(self) -> None:
        """Finish the file: write the index and move it to the front."""
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def check(self, frames: int) -> None:
        """Decode the movie; see `check_movie`."""
        check_movie(self.paths[0], frames=frames, size=self._size, rate=self._rate)

    def abandon(self) -> None:
        """Let go of the unfinished file."""
        self._container.close()


class MasterWriter:
    """The lossless master as FFV1 in Matroska, which is checked against a digest of the pixels written."""

    def __init__(self, path: Path, *, size: tuple[int, int], rate: Fraction, frames: int) -> None:
        self.paths = (path,)
        self._file = path.open("w+b")
        try:
            self._clip = ClipWriter(self._file, frames=frames, size=size, rate=rate)
        except BaseException:
            self._file.close()
            raise
        self._pixels = hashlib.sha256()

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Add a frame, uint8 [H, W, 3]."""
        self._clip.write(picture)
        self._pixels.update(picture.tobytes())

    def close(self) -> None:
        """Finish and seal the file."""
        try:
            self._clip.close()
        finally:
            self._file.close()

    def check(self, frames: int) -> None:
        """Decode the master and compare its pixels with those written."""
        check_master(self.paths[0], frames=frames, pixels=self._pixels.digest())

    def abandon(self) -> None:
        """Let go of the unfinished file; it has no seal."""
        self._clip.abandon()
        self._file.close()


class StillsWriter:
    """The lossless master as numbered PNG files, ``<shot>.1001.png`` being the first frame of the head handle."""

    def __init__(self, folder: Path, *, shot: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._shot = folder, shot
        self.paths: tuple[Path, ...] = ()
        self._pixels = hashlib.sha256()

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Add a frame, uint8 [H, W, 3]."""
        path = self._folder / f"{self._shot}.{frame_number(len(self.paths))}.png"
        self.paths += (path,)
        path.write_bytes(encode_still(picture))
        self._pixels.update(picture.tobytes())

    def close(self) -> None:
        """Nothing is left to do: each file was finished as it was written."""

    def check(self, frames: int) -> None:
        """Decode every still and compare the pixels with those written."""
        check_stills(self.paths, frames=frames, pixels=self._pixels.digest())

    def abandon(self) -> None:
        """Nothing is held."""


def _x264(crf: int) -> dict[str, str]:
    return {"crf": str(crf), "preset": "medium", "x264-params": _X264_PARAMS}


def even_size(size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) with odd sides made one pixel longer."""
    return size[0] + size[0] % 2, size[1] + size[1] % 2


def check_movie(path: Path, *, frames: int, size: tuple[int, int], rate: Fraction) -> None:
    """Decode a whole movie and raise `FileError` unless it is what was meant.

    Exactly ``frames`` frames of the even size for ``size``; frame ``k`` at exactly ``k / rate`` seconds; BT.709 in
    video range; the index in front of the pictures.
    """
    name = path.name
    with path.open("rb") as opened:
        head = opened.read(64)
    if b"moov" not in head:
        raise FileError(f"{name}: the index is not in front of the pictures")
    count = 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if stream.average_rate != rate:
                raise FileError(f"{name}: {stream.average_rate} frames per second where {rate} are meant")
            for frame in container.decode(stream):
                _check_frame(name, frame, count, even_size(size), rate)
                count += 1
    except (av.FFmpegError, IndexError) as error:
        raise FileError(f"{name}: cannot be decoded after frame {count}: {error}") from error
    if count != frames:
        raise FileError(f"{name}: {count} frames where {frames} are meant")


def check_master(path: Path, *, frames: int, pixels: bytes) -> None:
    """Decode a whole FFV1 master and raise `FileError` unless its pixels are those that were written."""
    found, count = hashlib.sha256(), 0
    try:
        with path.open("rb") as opened:
            for picture in iter_clip(opened):
                found.update(picture.tobytes())
                count += 1
    except ValueError as error:
        raise FileError(f"{path.name}: {error}") from error
    if count != frames or found.digest() != pixels:
        raise FileError(f"{path.name}: {count} of {frames} frames, or other pixels than were written")


def check_stills(paths: Sequence[Path], *, frames: int, pixels: bytes) -> None:
    """Decode every PNG of a sequence and raise `FileError` unless their pixels are those that were written."""
    found = hashlib.sha256()
    if len(paths) != frames:
        raise FileError(f"{len(paths)} stills where {frames} are meant")
    for path in paths:
        try:
            found.update(decode_still(path.read_bytes()).tobytes())
        except (OSError, ValueError) as error:
            raise FileError(f"{path.name}: {error}") from error
    if found.digest() != pixels:
        raise FileError(f"{paths[0].parent.name}: other pixels than were written")


def _check_frame(name: str, frame: VideoFrame, index: int, size: tuple[int, int], rate: Fraction) -> None:
    if (frame.width, frame.height) != size:
        raise FileError(f"{name}: frame {index} is {frame.width}x{frame.height} where {size[0]}x{size[1]} is meant")
    if frame.pts is None or frame.time_base is None or frame.pts * frame.time_base != index / rate:
        raise FileError(f"{name}: frame {index} is shown at {frame.time} s where {float(index / rate):.6f} s is meant")
    tags = (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
    if tags != (Colorspace.ITU709, ColorRange.MPEG, ColorPrimaries.BT709, ColorTrc.BT709):
        raise FileError(f"{name}: frame {index} is not tagged as BT.709 in video range")
