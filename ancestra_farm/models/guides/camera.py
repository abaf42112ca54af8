"""What a moving camera sees: a room of dots around its path, how far away it is, and how it moves over the picture.

Nobody says what is in front of the camera, so it stands in a closed box whose walls are about as far from the path as
the path is long: that shows pans, dollies and parallax alike, and leaves no part of the picture empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.guides import USD, suffix_of
from ancestra_farm.batch.load import load_camera_path
from ancestra_farm.batch.motion import CameraPath
from ancestra_farm.models.guides.texture import TILES, dots_at, side

Field = NDArray[np.float32]

#: Tiles of a wall in one distance: seen from there by a lens as long as its sensor is wide, as many dots as elsewhere.
_TILES = 3 * TILES
#: What comes nearer than this share of the distance in front of the camera, or behind it, is not followed further.
_NEAR = 1e-3
#: A ray that hardly goes towards a wall meets it far away.
_LEAST = 1e-6


@dataclass(frozen=True)
class Camera:
    """A camera's path. ``places`` float64 [N, 3] and ``turns`` [N, 3, 3], camera to scene, at ``rate`` per second.

    ``focals``: float64 [N], focal length over the width of the sensor. ``distance``: how far from the path the walls
    are; None: as far as the path reaches.
    """

    places: NDArray[np.float64]
    turns: NDArray[np.float64]
    focals: NDArray[np.float64]
    rate: float
    distance: float | None = None

    @property
    def seconds(self) -> float:
        """When its last frame is."""
        return (len(self.places) - 1) / self.rate

    @property
    def walls(self) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """(centre, half extents, distance) of the box around the path."""
        low, high = self.places.min(axis=0), self.places.max(axis=0)
        reach = float(np.linalg.norm(high - low))
        distance = self.distance or reach or 1.0
        return (low + high) / 2, (high - low) / 2 + distance, distance

    def at(self, moment: float) -> "Pose":
        """Where it is at a moment in seconds: between two frames it moves straight and turns evenly."""
        position = float(np.clip(moment * self.rate, 0.0, len(self.places) - 1))
        one = min(int(position), len(self.places) - 1)
        other, share = min(one + 1, len(self.places) - 1), position - one
        rotation, _ = cv2.Rodrigues(self.turns[one].T @ self.turns[other])
        between, _ = cv2.Rodrigues(rotation * share)
        return Pose(
            self.places[one] * (1 - share) + self.places[other] * share,
            self.turns[one] @ between,
            float(self.focals[one] * (1 - share) + self.focals[other] * share),
        )


@dataclass(frozen=True)
class Pose:
    """A camera at one moment. ``focal``: over the width of the sensor."""

    place: NDArray[np.float64]
    turn: NDArray[np.float64]
    focal: float


@dataclass(frozen=True)
class _Seen:
    """What each pixel sees: ``points`` from the middle of the box, float32 [3, H, W], on the walls of which ``axis``.

    ``along``: how far along its ray, in rays that are 1 deep; ``slant``: cosine between the ray and the wall's normal.
    """

    points: Field
    axis: NDArray[np.uint8]
    along: Field
    slant: Field


def camera_of(file: Path, name: str) -> Camera:
    """The camera in a JSON or USD file. Raises BatchRefused with lines, or GuideUnreadable."""
    if suffix_of(name) in USD:
        from ancestra_farm.models.guides.usd import usd_camera  # noqa: PLC0415 - an extra

        return usd_camera(file, name)
    return from_path(load_camera_path(file))


def from_path(path: CameraPath) -> Camera:
    """The camera that a file of ours describes."""
    matrices = np.array([frame.matrix for frame in path.frames], np.float64)
    focals = np.array([frame.focal_mm for frame in path.frames]) / path.sensor_width_mm
    return Camera(matrices[:, :3, 3], matrices[:, :3, :3], focals, float(path.rate), path.distance)


def seen(camera: Camera, moments: Sequence[float], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The room as the camera sees it, uint8 [T, H, W, 3]."""
    frames = []
    for moment in moments:
        pose = camera.at(moment)
        frames.append(_shown(camera, pose, _look(camera, pose, size), size[0]))
    return np.stack(frames)


def depths(camera: Camera, moments: Sequence[float], size: tuple[int, int]) -> Field:
    """How far what each pixel sees is in front of the camera, float32 [T, H, W], in the scene's units."""
    # A ray is 1 deep, so how far along it something is says how deep.
    return np.stack([_look(camera, camera.at(moment), size).along for moment in moments])


def flows(camera: Camera, moments: Sequence[float], size: tuple[int, int]) -> Field:
    """How far what a pixel shows moves until the next moment, float32 [T − 1, H, W, 2] in pixels (x, y)."""
    width, height = size
    xs = np.arange(width, dtype=np.float32) + 0.5
    ys = np.arange(height, dtype=np.float32)[:, np.newaxis] + 0.5
    centre, _, distance = camera.walls
    found = []
    for moment, following in pairwise(moments):
        points = _look(camera, camera.at(moment), size).points
        pose = camera.at(following)
        turn = pose.turn.astype(np.float32)
        there = points - (pose.place - centre).astype(np.float32)[:, np.newaxis, np.newaxis]
        right, up, back = (sum(turn[k, axis] * there[k] for k in range(3)) for axis in range(3))
        scale = np.float32(pose.focal * width) / np.maximum(-back, np.float32(distance * _NEAR))
        moved = np.stack([right * scale + width / 2 - xs, height / 2 - up * scale - ys], axis=-1)
        found.append(np.clip(moved, -4 * width, 4 * width).astype(np.float32))
    return np.stack(found) if found else np.zeros((0, height, width, 2), np.float32)


def _look(camera: Camera, pose: Pose, size: tuple[int, int]) -> _Seen:
    """Where each pixel's ray meets the box from inside."""
    width, height = size
    scale = pose.focal * width
    x = ((np.arange(width) + 0.5 - width / 2) / scale).astype(np.float32)
    y = ((height / 2 - np.arange(height) - 0.5) / scale).astype(np.float32)[:, np.newaxis]
    turn = pose.turn.astype(np.float32)
    centre, half, _ = camera.walls
    here = (pose.place - centre).astype(np.float32)
    along = np.full((height, width), np.inf, np.float32)
    axis = np.zeros((height, width), np.uint8)
    towards = np.ones((height, width), np.float32)
    rays = []
    for k in range(3):
        ray = turn[k, 0] * x + turn[k, 1] * y - turn[k, 2]
        rays.append(ray)
        away = 1 / np.where(np.abs(ray) < _LEAST, np.float32(_LEAST), ray)
        reach = np.float32(half[k]) * np.abs(away) - here[k] * away
        nearer = reach < along
        along, towards = np.where(nearer, reach, along), np.where(nearer, np.abs(ray), towards)
        axis[nearer] = k
    points = np.stack([here[k] + along * rays[k] for k in range(3)])
    return _Seen(points, axis, along, (towards / np.sqrt(1 + x * x + y * y)).astype(np.float32))


def _shown(camera: Camera, pose: Pose, view: _Seen, width: int) -> NDArray[np.uint8]:
    distance = np.float32(camera.walls[2])
    across, down, ahead = (np.choose(view.axis, [view.points[(k + n) % 3] for k in range(3)]) for n in (1, 2, 0))
    wall = view.axis * 2 + (ahead > 0)
    scale = np.float32(_TILES) / distance
    # Each wall reads the tile from another place.
    u, v = across * scale + np.float32(0.37) * wall, down * scale + np.float32(0.61) * wall
    # A pixel covers more of a wall the further it is and the more it slants.
    covers = scale * np.float32(side() / (pose.focal * width))
    return dots_at(u, v, (covers * view.along / np.maximum(view.slant, 0.05)).astype(np.float32))
