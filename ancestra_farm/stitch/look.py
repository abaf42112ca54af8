"""The first pass over a chain: what the segments are, and where and how they join.

Where there are several, each is decoded once, checked against what the job says of it, and kept as small proxies, two
neighbours at a time. Colour map, place of the join and the seam's numbers follow from the proxies. Nothing is
written here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ancestra_farm.stitch.codec import clip_rate, decode_still, iter_clip, kind_of
from ancestra_farm.stitch.colour import IDENTITY, ColourMap, match_colour
from ancestra_farm.stitch.conform import Layout, Read, StitchError, StitchInput, layout_of
from ancestra_farm.stitch.joins import Join, choose_join
from ancestra_farm.stitch.seams import NEIGHBOURS, Seam, proxy, score_seam


@dataclass(frozen=True, slots=True)
class Look:
    """What the first pass found: where and how to join. ``size`` is (width, height) of the segments."""

    layout: Layout
    size: tuple[int, int]
    maps: tuple[ColourMap, ...]
    joins: tuple[Join, ...]
    seams: tuple[Seam, ...]


def look_at(job: StitchInput, read: Read) -> Look:
    """The first pass: check every segment and decide every join. Raises `StitchError` and `MediumError`."""
    first = read(job.media[0]) if job.media else b""
    held = len(job.media) == 1 and kind_of(first) == "still"
    layout = layout_of(job, held=held)
    if held:
        height, width = decode_still(first).shape[:2]
        return Look(layout, (width, height), (IDENTITY,), (), ())
    if len(job.media) == 1:
        return Look(layout, _only_segment(job, layout, first), (IDENTITY,), (), ())
    maps, joins, seams = [IDENTITY], list[Join](), list[Seam]()
    size, earlier = _proxies(job, layout, 0, first)
    del first
    for number in range(1, len(job.media)):
        other, later = _proxies(job, layout, number, read(job.media[number]))
        if other != size:
            raise StitchError(
                f"{job.shot}: segment {number} is {other[0]}x{other[1]}, those before it {size[0]}x{size[1]}"
            )
        overlap = layout.overlap
        tail, head = earlier[len(earlier) - overlap :], later[:overlap]
        colour = match_colour(tail, head) if overlap else IDENTITY
        later = colour.apply(later)
        start = layout.starts[number]
        taken = joins[-1].start + joins[-1].blend_stop if joins else 0
        join = choose_join(
            tail, later[:overlap], start=start, blend_frames=job.blend_frames, first=max(0, taken - start)
        )
        maps.append(colour)
        joins.append(join)
        seams.append(_seam(earlier, later, overlap, join.switch))
        earlier = later
    return Look(layout, size, tuple(maps), tuple(joins), tuple(seams))


def _only_segment(job: StitchInput, layout: Layout, data: bytes) -> tuple[int, int]:
    """(width, height) of a chain's only clip, which has no seam to look at: its tags say the rest, under its seal."""
    rate, frames = clip_rate(data)
    if rate != layout.model_rate or frames != layout.lengths[0]:
        raise StitchError(
            f"{job.shot}: segment 0 has {frames} frames at {rate}, the job says {layout.lengths[0]} at "
            f"{layout.model_rate}"
        )
    height, width = next(iter_clip(data)).shape[:2]
    return width, height


def _proxies(job: StitchInput, layout: Layout, number: int, data: bytes) -> tuple[tuple[int, int], NDArray[np.uint8]]:
    """((width, height), proxies uint8 [T, h, w, 3]) of a segment, checked against what the job says of it."""
    small: list[NDArray[np.uint8]] = []
    size = (0, 0)
    if kind_of(data) == "clip":
        rate, _ = clip_rate(data)
        if rate != layout.model_rate:
            raise StitchError(f"{job.shot}: segment {number} runs at {rate}, the job says {layout.model_rate}")
        frames = iter_clip(data)
    else:
        frames = iter([decode_still(data)])
    for frame in frames:
        size = (frame.shape[1], frame.shape[0])
        small.append(proxy(frame))
    if len(small) != layout.lengths[number]:
        raise StitchError(
            f"{job.shot}: segment {number} has {len(small)} frames, the job says {layout.lengths[number]}"
        )
    return size, np.stack(small)


def _seam(earlier: NDArray[np.uint8], later: NDArray[np.uint8], overlap: int, switch: int) -> Seam:
    """The seam of the cut at ``switch`` among the frames of both segments around it."""
    before = earlier[: len(earlier) - overlap + switch][-NEIGHBOURS - 2 :]
    after = later[switch:][: NEIGHBOURS + 2]
    return score_seam(np.concatenate([before, after]), len(before))
