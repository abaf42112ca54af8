"""A motion path as a field of motion: where every point of the picture comes from, and where it goes next.

Each track pulls the picture with it: one without a radius all of it, one with a radius what is near it at that moment.
The pull is a velocity that changes smoothly from place to place, and points are carried along it in small steps, so
that nothing folds or tears however far a track goes. Several tracks without a radius move the picture as a whole, as
nearly as shifting, turning and zooming can: two that part push in, two that circle each other turn it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.motion import MotionPath, Track
from ancestra_farm.models.guides.texture import TILES, dots_at, side

Field = NDArray[np.float32]

#: The field is smooth: it is worked out on a grid so many times coarser than the picture.
_COARSE = 4
#: One step of carrying covers at most this many pixels of the coarse grid.
_STEP = 1.5
_MOST_STEPS = 256
_HALF = np.float32(0.5)


@dataclass(frozen=True, slots=True)
class Carried:
    """``origins``: where each pixel was at the beginning, float32 [T, H, W, 2] in pixels (x, y).

    ``flows``: how far what a pixel shows moves until the next moment, float32 [T − 1, H, W, 2].
    """

    origins: Field
    flows: Field


def carried(path: MotionPath, moments: Sequence[float], size: tuple[int, int]) -> Carried:
    """The picture carried along a path, at moments in order, in seconds; it begins to move at second 0."""
    width, height = size
    grid = _Grid(max(2, -(-width // _COARSE)), max(2, -(-height // _COARSE)), height / max(2, -(-height // _COARSE)))
    shift = np.zeros((grid.height, grid.width, 2), np.float32)
    now, origins, flows = 0.0, [], []
    for number, moment in enumerate(moments):
        steps = grid.steps(path, now, moment)
        for begin, end in steps:
            shift = grid.carried_on(shift, path, begin, end)
        now = max(now, moment)
        origins.append(grid.full(shift, size))
        if number + 1 < len(moments):
            flows.append(grid.full(grid.ahead(path, moment, moments[number + 1]), size))
    xs, ys = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    places = np.stack([xs, ys], axis=-1)
    empty = np.zeros((0, height, width, 2), np.float32)
    return Carried(np.stack(origins) + places, np.stack(flows) if flows else empty)


def drawn(origins: Field) -> NDArray[np.uint8]:
    """The field of dots as it is carried: uint8 [T, H, W, 3]. The tile begins in the middle of the picture."""
    height, width = origins.shape[1:3]
    scale = np.float32(2 * TILES / height)
    texels = np.full((height, width), scale * side(), np.float32)
    middle = np.array([(width - 1) / 2, (height - 1) / 2], np.float32)
    places = (origins - middle) * scale
    return np.stack([dots_at(one[..., 0], one[..., 1], texels) for one in places])


@dataclass(frozen=True)
class _Grid:
    """The coarse grid. ``pixel``: how many pixels of the picture one of its cells is high."""

    width: int
    height: int
    pixel: float

    def steps(self, path: MotionPath, begin: float, end: float) -> list[tuple[float, float]]:
        """The time between two moments in steps so small that nothing goes far in one."""
        if end <= begin:
            return []
        corners = {point.at_s for track in path.tracks for point in track.points if begin < point.at_s < end}
        edges = [begin, *sorted(corners), end]
        found: list[tuple[float, float]] = []
        for first, last in pairwise(edges):
            furthest = max(float(np.abs(self._moved(track, first, last)).sum()) for track in path.tracks)
            count = min(_MOST_STEPS, max(1, int(np.ceil(furthest / _STEP))))
            found += pairwise(float(edge) for edge in np.linspace(first, last, count + 1))
        return found

    def carried_on(self, shift: Field, path: MotionPath, begin: float, end: float) -> Field:
        """``shift`` to where each cell was at the beginning, float32 [h, w, 2] in cells, a step later."""
        cells = self._cells()
        step = self._pull(path, begin, end, cells)
        step = self._pull(path, begin, end, cells - step * _HALF)
        x, y = cells[..., 0] - step[..., 0], cells[..., 1] - step[..., 1]
        before = cv2.remap(shift, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(before - step, np.float32)

    def ahead(self, path: MotionPath, begin: float, end: float) -> Field:
        """How far each cell is carried from one moment to the next, float32 [h, w, 2] in cells."""
        cells = self._cells()
        moved = np.zeros_like(cells)
        for first, last in self.steps(path, max(begin, 0.0), end):
            step = self._pull(path, first, last, cells + moved)
            moved = moved + self._pull(path, first, last, cells + moved + step * _HALF)
        return moved

    def full(self, cells: Field, size: tuple[int, int]) -> Field:
        """A field in cells as one in pixels at the size of the picture."""
        return np.asarray(cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR) * np.float32(self.pixel), np.float32)

    def _cells(self) -> Field:
        xs, ys = np.meshgrid(np.arange(self.width, dtype=np.float32), np.arange(self.height, dtype=np.float32))
        return np.stack([xs, ys], axis=-1)

    def _at(self, track: Track, moment: float) -> NDArray[np.float64]:
        times = [point.at_s for point in track.points]
        x = np.interp(moment, times, [point.x for point in track.points]) * self.width
        y = np.interp(moment, times, [point.y for point in track.points]) * self.height
        return np.array([x, y]) - 0.5  # cell 0 lies half a cell inside

    def _moved(self, track: Track, begin: float, end: float) -> NDArray[np.float64]:
        return self._at(track, end) - self._at(track, begin)

    def _pull(self, path: MotionPath, begin: float, end: float, places: Field) -> Field:
        """How far the tracks pull each of ``places``, float32 [h, w, 2] in cells, in a small step of time."""
        of_all = [track for track in path.tracks if track.radius is None]
        whole = self._whole(of_all, begin, end, places) if of_all else np.zeros_like(places)
        near, near_sum = np.zeros_like(places), np.zeros(places.shape[:2], np.float32)
        for track in path.tracks:
            if track.radius is None:
                continue
            away = places - ((self._at(track, begin) + self._at(track, end)) / 2).astype(np.float32)
            square = (away**2).sum(axis=2) / np.float32(2 * (track.radius * self.height) ** 2)
            weight = np.exp(-square).astype(np.float32)
            near += weight[..., np.newaxis] * self._moved(track, begin, end).astype(np.float32)
            near_sum += weight
        left = np.maximum(1.0 - near_sum, 0.0)[..., np.newaxis]
        return np.asarray(left * whole + near / np.maximum(near_sum, 1.0)[..., np.newaxis], np.float32)

    def _whole(self, tracks: Sequence[Track], begin: float, end: float, places: Field) -> Field:
        """How far the whole picture goes: the shift, turn and zoom that fits the tracks best, by least squares.

        With z = x + iy that is α·z + β, exact for one track (α = 0) and for two.
        """
        at = np.array([(self._at(track, begin) + self._at(track, end)) / 2 for track in tracks]) @ (1, 1j)
        moved = np.array([self._moved(track, begin, end) for track in tracks]) @ (1, 1j)
        apart = at - at.mean()
        spread = float((np.abs(apart) ** 2).sum())
        alpha = complex((apart.conj() * moved).sum() / spread) if spread > 1e-6 else 0j
        beta = complex(moved.mean() - alpha * at.mean())
        z = places[..., 0] + np.complex64(1j) * places[..., 1]
        step = np.complex64(alpha) * z + np.complex64(beta)
        return np.stack([step.real, step.imag], axis=-1).astype(np.float32)
