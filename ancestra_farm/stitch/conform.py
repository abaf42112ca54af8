"""Where every frame of a shot comes from: the arithmetic of segments, overlaps, rates and frame numbers.

Three counts of time are kept apart, each in whole frames from 0 and exact Fractions between them: a *local* index
within a segment, a *position* on the joined clip (all segments laid over each other, at the model's rate), and a
*delivered* index (0 is the first frame of the head handle, at the shot's rate). Nothing here looks at a picture.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Final, Protocol

#: The first frame of the head handle. The cut begins at 1001 + handles, with eight handles at 1009.
FIRST_FRAME: Final = 1001
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

#: Gives the bytes at a store path.
Read = Callable[[str], bytes]


class StitchError(Exception):
    """A chain that cannot become its shot: lengths, sizes or rates that do not fit, said with the segment's number."""


class StitchInput(Protocol):
    """What to stitch, field by field as the scheduler's job says it.

    ``media``: a store path per segment, in order. ``segment_frames``: each one's length at ``model_rate``, of which the
    first ``overlap_frames`` repeat the end of the segment before. ``frames``: cut plus both ``handles`` at ``rate``.
    ``master``: ``ffv1``, ``png`` or ``none``.
    """

    @property
    def batch(self) -> str: ...  # noqa: D102 - described by the class
    @property
    def show(self) -> str: ...  # noqa: D102
    @property
    def shot(self) -> str: ...  # noqa: D102
    @property
    def stitch_id(self) -> str: ...  # noqa: D102
    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def chain(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def media(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def model_rate(self) -> str: ...  # noqa: D102
    @property
    def rate(self) -> str: ...  # noqa: D102
    @property
    def segment_frames(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def overlap_frames(self) -> int: ...  # noqa: D102
    @property
    def frames(self) -> int: ...  # noqa: D102
    @property
    def handles(self) -> int: ...  # noqa: D102
    @property
    def blend_frames(self) -> int: ...  # noqa: D102
    @property
    def mp4(self) -> bool: ...  # noqa: D102
    @property
    def master(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Layout:
    """Segments laid on the joined clip. ``lengths`` in frames at ``model_rate``; ``frames`` delivered at ``rate``.

    ``held``: the chain is one still, and every delivered frame shows it.
    """

    lengths: tuple[int, ...]
    overlap: int
    frames: int
    model_rate: Fraction
    rate: Fraction
    held: bool

    @property
    def starts(self) -> tuple[int, ...]:
        """The position of each segment's first frame."""
        starts = [0]
        for length in self.lengths[:-1]:
            starts.append(starts[-1] + length - self.overlap)
        return tuple(starts)

    @property
    def joined_frames(self) -> int:
        """How many positions there are: lengths less overlaps. Where a join cuts never changes it."""
        return sum(self.lengths) - (len(self.lengths) - 1) * self.overlap

    @property
    def needed_frames(self) -> int:
        """How many positions are looked at: up to the one at or right after the last delivered frame."""
        if self.held:
            return 1
        last = self.position(self.frames - 1)
        return floor(last) + (1 if last == floor(last) else 2)

    @property
    def trimmed_frames(self) -> int:
        """Positions at the end that are not looked at."""
        return self.joined_frames - self.needed_frames

    def position(self, index: int) -> Fraction:
        """The exact position shown by delivered frame ``index``: ``index · model_rate / rate``."""
        return Fraction(0) if self.held else index * self.model_rate / self.rate


def layout_of(job: StitchInput, *, held: bool = False) -> Layout:
    """The layout of a job. Raises `StitchError` when its figures cannot give the shot's exact length."""
    for what, name in (("show", job.show), ("shot", job.shot), ("version", job.version)):
        if not _NAME.fullmatch(name):
            raise StitchError(f"the {what} is called {name!r}; a name is made of letters, digits, '.', '_' and '-'")
    if not job.media:
        raise StitchError(f"{job.shot}: there is nothing to stitch, the chain is empty")
    if not len(job.media) == len(job.segment_frames) == len(job.chain):
        raise StitchError(
            f"{job.shot}: {len(job.chain)} candidates, {len(job.media)} media and {len(job.segment_frames)} lengths"
        )
    if job.frames < 1 or job.handles < 0 or job.frames - 2 * job.handles < 1:
        raise StitchError(f"{job.shot}: {job.frames} frames with {job.handles} handles on each side leave no cut")
    if job.blend_frames < 0 or job.overlap_frames < 0:
        raise StitchError(f"{job.shot}: blend and overlap are counts of frames, 0 or more")
    layout = Layout(
        lengths=job.segment_frames,
        overlap=job.overlap_frames if len(job.media) > 1 else 0,
        frames=job.frames,
        model_rate=_rate(job.rate if held else job.model_rate, job.shot),
        rate=_rate(job.rate, job.shot),
        held=held,
    )
    for number, length in enumerate(layout.lengths):
        if length <= layout.overlap:
            raise StitchError(f"{job.shot}: segment {number} has {length} frames, no more than the overlap repeats")
    if layout.trimmed_frames < 0:
        raise StitchError(
            f"{job.shot}: {job.frames} frames at {job.rate} need {layout.needed_frames} frames at {job.model_rate}; "
            f"the segments less their overlaps have {layout.joined_frames}"
        )
    return layout


def frame_number(index: int) -> str:
    """The number in a file name of delivered frame ``index``, four digits or more: ``1001`` for 0."""
    return f"{FIRST_FRAME + index:04d}"


def _rate(text: str, shot: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise StitchError(f"{shot}: {text!r} is not a rate; it is 24 or 24000/1001") from error
    if rate <= 0:
        raise StitchError(f"{shot}: a rate is more than 0 frames per second, not {text}")
    return rate
