"""Clips that people give as guides: Matroska, MP4 and QuickTime, one frame for each moment that is asked for.

Frames are taken as they are, the one nearest in time: mixing two would make depths, masks and edges that are nowhere.
Before the clip begins its first frame rests, after its end its last one. Files are opened by us and read by the format
that their suffix says, so that nothing in them makes FFmpeg open another file.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container.input import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

from ancestra_farm.batch.guides import suffix_of
from ancestra_farm.models.guides.errors import GuideUnreadable
from ancestra_farm.models.guides.fit import fitted
from ancestra_farm.models.guides.pictures import check_size

Picture = NDArray[np.uint8]

_FORMATS = {".mkv": "matroska", ".mp4": "mp4", ".mov": "mov"}
#: Untagged video of so many lines and more is taken for BT.709, smaller one for BT.601, as players do.
_HD_LINES = 720
_UNSPECIFIED = 2


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """``frames``: as many as there are. ``rate``: frames per second, on average. ``last_s``: when the last begins."""

    frames: int
    rate: Fraction
    last_s: Fraction
    size: tuple[int, int]


def clip_facts(file: Path, name: str) -> ClipFacts:
    """What a clip is. Its packets are counted, whatever its header says. Raises GuideUnreadable."""
    with _opened(file, name) as container:
        stream = container.streams.video[0]
        begins = [packet.pts for packet in container.demux(stream) if packet.pts is not None]
        if len(begins) < 2:
            raise GuideUnreadable(f"{name} holds {len(begins)} frames; a clip has two or more")
        base = stream.time_base or Fraction(1, 1000)
        last_s = (max(begins) - min(begins)) * base
        if last_s <= 0:
            raise GuideUnreadable(f"{name} has no time stamps that tell its frames apart")
        return ClipFacts(len(begins), (len(begins) - 1) / last_s, last_s, (stream.width, stream.height))


def clip_at(file: Path, name: str, moments: Sequence[Fraction], size: tuple[int, int]) -> NDArray[np.uint8]:
    """One frame for each of ``moments`` (seconds from its first frame, in order), uint8 [T, H, W, 3] at ``size``.

    Raises GuideUnreadable, also where the clip is damaged before the last frame that is wanted.
    """
    picked: list[Picture] = []
    waiting = deque(moments)
    with _opened(file, name) as container:
        stream = container.streams.video[0]
        pixel = stream.codec_context.sample_aspect_ratio or Fraction(1)
        shown = _Shown(size, Fraction(pixel) if pixel > 0 else Fraction(1))
        for frame, at in _frames(container):
            while waiting and shown.holds and waiting[0] < (shown.at + at) / 2:
                picked.append(shown.picture())
                waiting.popleft()
            if not waiting:
                break
            shown.take(frame, at)
        if not shown.holds:
            raise GuideUnreadable(f"{name} holds no frames")
        picked += [shown.picture() for _ in waiting]
    return np.stack(picked)


class _Shown:
    """The frame that shows at the moment, converted when somebody wants it."""

    def __init__(self, size: tuple[int, int], pixel: Fraction) -> None:
        self._size = size
        self._pixel = pixel
        self._frame: VideoFrame | None = None
        self._picture: Picture | None = None
        self.at = Fraction(0)

    @property
    def holds(self) -> bool:
        return self._frame is not None

    def take(self, frame: VideoFrame, at: Fraction) -> None:
        self._frame, self._picture, self.at = frame, None, at

    def picture(self) -> Picture:
        assert self._frame is not None
        if self._picture is None:
            self._picture = fitted(_rgb(self._frame), self._size, self._pixel)
        return self._picture


def _rgb(frame: VideoFrame) -> Picture:
    """uint8 [H, W, 3]."""
    said = int(frame.colorspace)
    untold = Colorspace.ITU709 if frame.height >= _HD_LINES else Colorspace.ITU601
    from_space = untold if said == _UNSPECIFIED and frame.format.name.startswith("yuv") else None
    shown = frame.reformat(format="rgb24", src_colorspace=from_space) if from_space else frame.reformat(format="rgb24")
    return np.asarray(shown.to_ndarray(), dtype=np.uint8)


def _frames(container: InputContainer) -> Iterator[tuple[VideoFrame, Fraction]]:
    """Each frame and when it begins, in seconds after the first."""
    stream = container.streams.video[0]
    first: int | None = None
    for frame in container.decode(stream):
        if frame.pts is None:
            continue
        first = frame.pts if first is None else first
        yield frame, (frame.pts - first) * (stream.time_base or Fraction(1, 1000))


@contextmanager
def _opened(file: Path, name: str) -> Iterator[InputContainer]:
    try:
        with file.open("rb") as source, av.open(source, "r", format=_FORMATS[suffix_of(name)]) as container:
            if not container.streams.video:
                raise GuideUnreadable(f"{name} holds no picture")
            check_size((container.streams.video[0].width, container.streams.video[0].height), name)
            yield container
    except (av.FFmpegError, OSError, ValueError) as error:
        raise GuideUnreadable(f"{name} cannot be read as a clip: {error}") from error
