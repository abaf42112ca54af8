"""Guides of every kind, made for a test: pictures, clips, paths, cameras."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from ancestra_farm.plan.guides import RecipeGuide
from ancestra_farm.plan.recipe import Recipe
from tests.models.recipes import recipe as recipe_like

LEVEL = 20


def numbered(count: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """Frames uint8 [T, H, W, 3], each of one grey level that says its number."""
    levels = (np.arange(count) * LEVEL % 240 + 10).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, size[1], size[0], 3)).copy()


def numbers(frames: np.ndarray) -> list[int]:
    """The numbers that frames of `numbered` say."""
    return [round((float(frame.mean()) - 10) / LEVEL) for frame in frames]


def write_clip(file: Path, frames: np.ndarray, rate: Fraction | int, codec: str = "libx264") -> Path:
    """A clip, near enough lossless."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p" if codec == "libx264" else "bgr0"
        if codec == "libx264":
            stream.options = {"crf": "1", "preset": "ultrafast"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
    return file


def write_exr(file: Path, values: np.ndarray) -> Path:
    """An OpenEXR picture of float32 [H, W, 3]."""
    with av.open(str(file), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("exr", rate=1)
        stream.height, stream.width = values.shape[:2]
        stream.pix_fmt = "gbrpf32le"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(values.astype(np.float32)), format="gbrpf32le")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file


def write_picture(file: Path, picture: np.ndarray) -> Path:
    """By OpenCV, which takes the format from the suffix."""
    assert cv2.imwrite(str(file), picture[..., ::-1] if picture.ndim == 3 else picture)
    return file


def motion_path(file: Path, *tracks: dict) -> Path:
    """Each track: ``points`` as (at_s, x, y), and maybe a ``radius``."""
    made = [
        {**track, "points": [dict(zip(("at_s", "x", "y"), point, strict=True)) for point in track["points"]]}
        for track in tracks
    ]
    file.write_text(json.dumps({"schema": "ancestra/motion_path/v1", "tracks": made}, indent=1))
    return file


def camera(file: Path, places, turn=None, *, rate=24, focal_mm=36.0, **more) -> Path:
    """A camera that looks down −Z at each of ``places``, turned by ``turn(n)``."""
    frames = []
    for number, place in enumerate(places):
        matrix = np.eye(4)
        matrix[:3, 3] = place
        if turn is not None:
            matrix[:3, :3] = turn(number)
        frames.append({"matrix": matrix.tolist(), "focal_mm": focal_mm})
    file.write_text(json.dumps({"schema": "ancestra/camera/v1", "rate": rate, "frames": frames, **more}))
    return file


def guided(*guides: RecipeGuide, size=(96, 64), frames=9, rate=Fraction(24)) -> Recipe:
    """A recipe with these guides."""
    return replace(recipe_like(size=size, frames=frames), guides=tuple(guide.text for guide in guides), rate=rate)


def said(kind: str, name: str, way: str = "", start_s: Fraction = Fraction(0)) -> RecipeGuide:
    """A guide in a recipe; its digest stands for itself."""
    return RecipeGuide(kind, way or kind, "", f"sha256:{name}", name, start_s)


def from_folder(folder: Path):
    """Material by the digests of `said`."""
    return lambda digest: folder / digest.removeprefix("sha256:")
