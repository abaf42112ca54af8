"""How many frames a model has to make for a shot, and in which pieces. Exact: whole frames and Fractions, no floats.

It decides lengths only. Which frame of one rate stands for which frame of another is said here too (`source_position`),
because the lengths follow from it; how pictures between frames are made is the stitcher's affair.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from ancestra_farm.batch.card import FrameGrid
from ancestra_farm.plan.refusal import PlanRefused

#: Frames that neighbouring segments of a chain share unless the stage says otherwise: enough for a colour match, a
#: choice of cut and a dissolve of a few frames; a tenth of the usual 81-frame clip.
DEFAULT_OVERLAP_FRAMES = 8


def source_position(frame: int, rate: Fraction, model_rate: Fraction) -> Fraction:
    """Where frame ``frame`` (≥ 0) of a clip at ``rate`` lies in a clip at ``model_rate``; both begin together at 0."""
    return frame * model_rate / rate


def frames_at(total_frames: int, rate: Fraction, model_rate: Fraction) -> int:
    """The fewest frames at ``model_rate`` that reach the last of ``total_frames`` (≥ 1) frames at ``rate``."""
    return ceil(source_position(total_frames - 1, rate, model_rate)) + 1


def frames_reached(model_frames: int, rate: Fraction, model_rate: Fraction) -> int:
    """How many frames at ``rate`` can be taken from ``model_frames`` (≥ 1) frames at ``model_rate``."""
    return floor((model_frames - 1) * rate / model_rate) + 1


@dataclass(frozen=True, slots=True)
class Reading:
    """Where the frames of an interpolated clip lie on its parent's: frame n at ``first + n * step`` of its frames.

    ``first`` ≥ 0; ``step`` > 0, in frames of the parent per frame.
    """

    first: Fraction
    step: Fraction

    def position(self, frame: int) -> Fraction:
        """Where frame ``frame`` (≥ 0) lies, in frames of the parent."""
        return self.first + frame * self.step


def readings_of(
    lengths: Sequence[int], overlap: int, rate: Fraction, target: Fraction
) -> tuple[tuple[int, ...], int, tuple[Reading, ...]]:
    """Segments at ``rate`` read at ``target`` frames per second: their lengths, their overlap, and how each is read.

    All frames lie at whole multiples of 1/``target`` from the beginning of the film, so that neighbouring segments
    share exact frames wherever their own overlap lies. The overlap, the same between all, may be one frame less than
    its time would hold, and 0 where segments share a single frame that no frame of ``target`` falls on. Raises
    PlanRefused where segments share so little that a frame between them would lie in neither.
    """
    step = rate / target
    starts = [0]
    for length in lengths[:-1]:
        starts.append(starts[-1] + length - overlap)
    firsts = [ceil(start / step) for start in starts]
    lasts = [floor((start + length - 1) / step) for start, length in zip(starts, lengths, strict=True)]
    shared = min((last - first + 1 for last, first in zip(lasts[:-1], firsts[1:], strict=True)), default=0)
    if shared < 0:
        raise PlanRefused(
            f"segments at {rate} frames per second that share {overlap} frames leave frames at {target} per second out"
        )
    lasts[:-1] = [first + shared - 1 for first in firsts[1:]]
    made = tuple(last - first + 1 for first, last in zip(firsts, lasts, strict=True))
    if min(made) <= shared:
        raise PlanRefused(f"at {target} frames per second a segment would be no longer than what it shares")
    readings = tuple(Reading(first * step - start, step) for first, start in zip(firsts, starts, strict=True))
    return made, shared, readings


def longest_clip(grid: FrameGrid) -> int:
    """The longest clip on the grid, in frames."""
    return grid.max - (grid.max - grid.offset) % grid.step


def default_overlap(grid: FrameGrid) -> int:
    """Frames shared by neighbours of a chain where the stage does not say: 8, or half of the longest clip if less."""
    return max(1, min(DEFAULT_OVERLAP_FRAMES, longest_clip(grid) // 2))


def segments_for(needed: int, grid: FrameGrid, overlap: int) -> tuple[int, ...]:
    """Lengths of the segments that together make ``needed`` (≥ 1) frames, each on the grid, as few as can be.

    Neighbours share ``overlap`` frames (≥ 0), so that ``sum(lengths) - (S - 1) * overlap - trim == needed``, where the
    trim (`trim_of`) is cut off the end and is shorter than what the last segment adds. Lengths differ by one grid step
    at most, the longer ones first. Segments of a longer shot have at least ``2 * overlap`` frames, so that no frame
    belongs to three of them.

    Raises PlanRefused when the overlap is more than half of the model's longest clip.
    """
    single = grid.at_least(needed)
    if single is not None:
        return (single,)
    longest = longest_clip(grid)
    shortest = grid.at_least(max(2 * overlap, overlap + 1))
    if shortest is None:
        raise PlanRefused(
            f"{needed} frames need several segments, and {overlap} shared frames are more than half of the model's "
            f"longest clip of {longest} frames; share {longest // 2} or fewer"
            if longest > 1
            else f"{needed} frames cannot be made by a model whose longest clip has {longest} frame"
        )
    count = ceil(Fraction(needed - overlap, longest - overlap))
    gross = needed + (count - 1) * overlap
    steps = max(0, -((count * shortest - gross) // grid.step))
    each, longer = divmod(steps, count)
    return tuple(shortest + grid.step * (each + (k < longer)) for k in range(count))


def trim_of(lengths: tuple[int, ...], overlap: int, needed: int) -> int:
    """Frames to cut off the end so that segments of these lengths, joined over ``overlap``, are ``needed`` frames."""
    return sum(lengths) - (len(lengths) - 1) * overlap - needed
