"""Files that say how things move: a motion path over the picture, and a camera's path through space.

Both are JSON, so that tools write them easily; a fault is told with its line. Coordinates of a motion path are shares
of the picture, (0, 0) its upper left and (1, 1) its lower right corner, and may lie outside. A camera looks down −Z
with +Y up, as in USD, Maya and Blender; units of length are the scene's own.
"""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ancestra_farm.batch.base import Float, Model, Rate

#: Shares of the picture; a track may begin and end well outside.
Place = Annotated[Float, Field(ge=-10, le=11)]
Row = tuple[Float, Float, Float, Float]
Matrix = tuple[Row, Row, Row, Row]

#: How far the rotation in a matrix may be from one, in each entry of RᵀR: six digits after the point pass easily.
_RIGID = 1e-3


class Point(Model):
    """Where a track is at a time."""

    at_s: Float = Field(ge=0, le=100_000, description="seconds after the guide begins")
    x: Place = Field(description="share of the picture's width, from the left")
    y: Place = Field(description="share of the picture's height, from the top")


class Track(Model):
    """One thing that moves, in straight lines from point to point; before the first and after the last it rests."""

    name: str = Field(default="", max_length=120, description="what moves, for people")
    points: tuple[Point, ...] = Field(min_length=2, max_length=100_000, description="where it is, in order of time")
    radius: Float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="how far around it the picture moves along, in picture heights (one standard deviation of a bell); "
        "None: it moves the whole picture",
    )

    @field_validator("points")
    @classmethod
    def _in_order(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        for before, after in pairwise(points):
            if after.at_s <= before.at_s:
                raise ValueError(f"the points are not in order of time: {after.at_s:g} s comes after {before.at_s:g} s")
        return points


class MotionPath(Model):
    """``ancestra/motion_path/v1``: tracks over the picture."""

    schema_: Literal["ancestra/motion_path/v1"] = Field(alias="schema", description="the version of this vocabulary")
    tracks: tuple[Track, ...] = Field(min_length=1, max_length=1000, description="what moves")

    @property
    def seconds(self) -> float:
        """When the last track has come to rest."""
        return max(track.points[-1].at_s for track in self.tracks)


class CameraFrame(Model):
    """The camera in one frame."""

    matrix: Matrix = Field(
        description="camera to scene: four rows of four numbers, the rotation and in the last column the place"
    )
    focal_mm: Float = Field(gt=0, le=10_000, description="focal length in millimetres")

    @field_validator("matrix")
    @classmethod
    def _rigid(cls, matrix: Matrix) -> Matrix:
        if any(abs(value - wanted) > _RIGID for value, wanted in zip(matrix[3], (0, 0, 0, 1), strict=True)):
            raise ValueError("the last row is not 0, 0, 0, 1; the place of the camera is in the last column")
        columns = [[matrix[row][column] for row in range(3)] for column in range(3)]
        for one in range(3):
            for other in range(one, 3):
                dot = sum(a * b for a, b in zip(columns[one], columns[other], strict=True))
                if abs(dot - (one == other)) > _RIGID:
                    raise ValueError("the matrix scales or shears; a camera is only turned and moved")
        (a, b, c), (d, e, f), (g, h, i) = columns
        if a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) < 0:
            raise ValueError("the matrix mirrors; a camera is only turned and moved")
        return matrix


class CameraPath(Model):
    """``ancestra/camera/v1``: a camera's matrices, frame by frame."""

    schema_: Literal["ancestra/camera/v1"] = Field(alias="schema", description="the version of this vocabulary")
    rate: Rate = Field(description="frames per second, a whole number or an exact fraction")
    sensor_width_mm: Float = Field(
        default=36.0, gt=0, le=1000, description="what the picture's width is on the sensor, in millimetres"
    )
    frames: tuple[CameraFrame, ...] = Field(min_length=1, max_length=100_000, description="the camera in each frame")
    distance: Float | None = Field(
        default=None,
        gt=0,
        description="how far from the path the scene is, in its own units; None: as far as the path reaches",
    )

    @model_validator(mode="after")
    def _stays_near(self) -> Self:
        if any(abs(frame.matrix[row][3]) > 1e9 for frame in self.frames for row in range(3)):
            raise ValueError("the camera is further away than anything can be drawn")
        return self

    @property
    def seconds(self) -> float:
        """When its last frame is."""
        return float((len(self.frames) - 1) / self.rate)
