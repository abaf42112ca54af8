"""Where one segment hands over to the next, and how its frames become one clip.

Both segments have a copy of every frame of their overlap, at the same positions, so a join may switch from one to the
other at any of them without changing the length. It switches where the two copies differ least and dissolves over a few
frames around that place. Frames are streamed: of each segment only the frames of the dissolve are held.

Whether the result is good enough to show is not decided here but in `seams`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ancestra_farm.stitch.colour import ColourMap


@dataclass(frozen=True, slots=True)
class Join:
    """The join after a segment. Indices are local to the overlap: 0 is the later segment's first frame.

    ``switch``: the first frame that is the later segment's, in [0, overlap]. ``blend_start`` and ``blend_frames``: the
    dissolve around it. ``copies_differ``: mean absolute difference of the copies of each overlap frame, in levels.
    ``start``: position of overlap index 0 on the joined clip.
    """

    start: int
    switch: int
    blend_start: int
    blend_frames: int
    copies_differ: tuple[float, ...]

    @property
    def blend_stop(self) -> int:
        """The overlap index after the dissolve."""
        return self.blend_start + self.blend_frames

    def weight(self, index: int) -> float:
        """The later segment's share at an overlap index of the dissolve: 1/(n+1) … n/(n+1) for n frames."""
        return (index - self.blend_start + 1) / (self.blend_frames + 1)


def choose_join(
    earlier: NDArray[np.uint8], later: NDArray[np.uint8], *, start: int, blend_frames: int, first: int = 0
) -> Join:
    """The join over an overlap, of which both copies are given: uint8 [O, H, W, 3], colours already matched.

    A switch at ``s`` shows the earlier copy up to ``s-1`` and the later one from ``s``; its cost is the mean difference
    of the copies at those two frames (at the one there is, at the ends). The cheapest wins, then the one nearest to the
    middle, where both sides have context. ``first``: the earliest index allowed, where an earlier join reaches so far.
    """
    overlap = len(earlier)
    differences = [_difference(a, b) for a, b in zip(earlier, later, strict=True)]

    def cost(switch: int) -> float:
        around = differences[max(switch - 1, 0) : switch + 1]
        return round(sum(around) / len(around), 6) if around else 0.0

    switch = min(range(first, overlap + 1), key=lambda s: (cost(s), abs(2 * s - overlap), s))
    blend = min(blend_frames, overlap - first)
    blend_start = min(max(switch - (blend + 1) // 2, first), overlap - blend)
    return Join(
        start=start,
        switch=switch,
        blend_start=blend_start,
        blend_frames=blend,
        copies_differ=tuple(round(value, 4) for value in differences),
    )


def joined(
    segments: Sequence[Iterator[NDArray[np.uint8]]], maps: Sequence[ColourMap], joins: Sequence[Join]
) -> Iterator[NDArray[np.uint8]]:
    """The frames of the joined clip, in order, uint8 [H, W, 3].

    ``segments``: each one's frames, in order; an iterator is left unfinished where its last frames are not needed.
    ``maps``: each segment's colour map. ``joins``: one fewer than segments.
    """
    held: dict[int, NDArray[np.uint8]] = {}
    for number, frames in enumerate(segments):
        before = joins[number - 1] if number else None
        after = joins[number] if number < len(joins) else None
        start = before.start if before else 0
        first = start + before.blend_start if before else 0
        dissolve_from = after.start + after.blend_start if after else None
        dissolve_to = after.start + after.blend_stop if after else None
        leaving: dict[int, NDArray[np.uint8]] = {}
        for position, frame in enumerate(frames, start=start):
            if dissolve_to is not None and position >= dissolve_to:
                break
            if position < first:
                continue
            mapped = maps[number].apply(frame)
            if dissolve_from is not None and position >= dissolve_from:
                leaving[position] = mapped
            elif before is not None and position in held:
                yield _dissolve(held.pop(position), mapped, before.weight(position - before.start))
            else:
                yield mapped
        held = leaving


def _dissolve(earlier: NDArray[np.uint8], later: NDArray[np.uint8], weight: float) -> NDArray[np.uint8]:
    """``(1-weight)·earlier + weight·later`` in display levels, rounded; equal pictures stay equal."""
    base = earlier.astype(np.float32)
    return np.rint(base + np.float32(weight) * (later.astype(np.float32) - base)).astype(np.uint8)


def _difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())
