"""What a moving camera sees: a textured room around its path, how far away it is, and how it moves over the picture.

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
from ancestra_farm.models.guides.texture import SIDE, read_tile

Field = NDArray[np.float32]

#: Each wall reads the tile from another place and is tinted a little, so that they can be told apart.
_TINTS = np.array([[1.0, 0.94, 0.9], [0.9, 0.97, 1.0], [0.95, 1.0, 0.93]], np.float32)
#: How much of the light is gone at one distance further away.
_HAZE = 0.12
#: What comes nearer than this share of the distance in front of the camera, or behind it, is not followed further.
_NEAR = 1e-3


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
    """What each pixel sees: ``points`` in the scene, float64 [H, W, 3], and of which ``wall`` (0 … 5), [H, W].

    ``along``: how far along its ray, in rays that are 1 deep; ``slant``: cosine between the ray and the wall's normal.
    """

    points: NDArray[np.float64]
    wall: NDArray[np.int64]
    along: NDArray[np.float64]
    slant: NDArray[np.float64]


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
    found = []
    for moment in moments:
        pose = camera.at(moment)
        found.append(-((_look(camera, pose, size).points - pose.place) @ pose.turn)[..., 2])
    return np.stack(found).astype(np.float32)


def flows(camera: Camera, moments: Sequence[float], size: tuple[int, int]) -> Field:
    """How far what a pixel shows moves until the next moment, float32 [T − 1, H, W, 2] in pixels (x, y)."""
    width, height = size
    xs, ys = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    found = []
    near = camera.walls[2] * _NEAR
    for moment, following in pairwise(moments):
        points = _look(camera, camera.at(moment), size).points
        pose = camera.at(following)
        there = (points - pose.place) @ pose.turn
        depth = np.maximum(-there[..., 2], near)
        x = there[..., 0] / depth * pose.focal * width + width / 2
        y = -there[..., 1] / depth * pose.focal * width + height / 2
        found.append(np.clip(np.stack([x - xs, y - ys], axis=-1), -4 * width, 4 * width))
    empty = np.zeros((0, height, width, 2), np.float32)
    return np.stack(found).astype(np.float32) if found else empty


def _look(camera: Camera, pose: Pose, size: tuple[int, int]) -> _Seen:
    """Where each pixel's ray meets the box from inside."""
    width, height = size
    xs, ys = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    scale = pose.focal * width
    rays = np.stack([(xs - width / 2) / scale, -(ys - height / 2) / scale, -np.ones_like(xs)], axis=-1) @ pose.turn.T
    centre, half, _ = camera.walls
    with np.errstate(divide="ignore"):
        reach = (np.sign(rays) * half - (pose.place - centre)) / np.where(rays == 0.0, np.nan, rays)
    reach = np.where(np.isnan(reach), np.inf, reach)
    axis = reach.argmin(axis=2)
    along = np.take_along_axis(reach, axis[..., np.newaxis], axis=2)[..., 0]
    towards = np.take_along_axis(rays, axis[..., np.newaxis], axis=2)[..., 0]
    slant = np.abs(towards) / np.linalg.norm(rays, axis=2)
    return _Seen(pose.place + along[..., np.newaxis] * rays, axis * 2 + (towards > 0), along, slant)


def _shown(camera: Camera, pose: Pose, view: _Seen, width: int) -> NDArray[np.uint8]:
    _, _, distance = camera.walls
    axis = view.wall // 2
    picked = np.stack([(axis + 1) % 3, (axis + 2) % 3], axis=-1)
    on_wall = np.take_along_axis(view.points, picked, axis=2) / distance
    u = (on_wall[..., 0] + 0.37 * view.wall).astype(np.float32)
    v = (on_wall[..., 1] + 0.61 * view.wall).astype(np.float32)
    # A pixel covers more of a wall the further it is and the more it slants.
    texels = view.along / (pose.focal * width) * SIDE / distance / np.maximum(view.slant, 0.05)
    picture = read_tile(u, v, texels.astype(np.float32)) * _TINTS[axis]
    light = np.exp(-_HAZE * view.along / distance).astype(np.float32)
    return np.rint(np.clip(picture * light[..., np.newaxis], 0.0, 1.0) * 255.0).astype(np.uint8)
