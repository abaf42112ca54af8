"""Training pictures and clips: the film's five subjects, drawn so that a tiny autoencoder keeps their structure.

They are drawn with the procedural family's scenes and fields, but coarser: 64 rows do not show a hair. The camera is
the same for all: a similarity of the picture plane, z' = α·z + β in half picture heights and seconds, so that the flow
of every clip is known in closed form. Light is a grade laid over the scene, so that dawn is dawn in any subject.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.models.embedded import views
from ancestra_farm.models.embedded.words import Facts, Light, Motion
from ancestra_farm.models.guides.colours import coloured
from ancestra_farm.models.procedural import cells, ocean, textures
from ancestra_farm.models.procedural.canvas import Plane, develop, exposure_of, plane
from ancestra_farm.models.procedural.textures import Field
from ancestra_farm.models.procedural.words import Direction

Picture = NDArray[np.uint8]

#: The size (width, height) and rate the model is trained at, and the frames of a two-second clip.
SIZE, RATE, CLIP_FRAMES = (96, 64), 8, 17

#: A colour's place on the wheel and its strength, as `procedural.words` has them.
_TINTS = {
    "crimson": (354.0, 0.9),
    "rose": (336.0, 0.6),
    "amber": (38.0, 0.8),
    "violet": (275.0, 0.8),
    "indigo": (226.0, 0.85),
    "teal": (178.0, 0.8),
    "emerald": (145.0, 0.8),
    "pearl": (35.0, 0.12),
}


@dataclass(frozen=True, slots=True)
class Camera:
    """A steady path of the picture's content, z' = α·z + β per second, z in half picture heights, y down."""

    alpha: complex
    beta: complex

    def source(self, z: NDArray[np.complexfloating], seconds: float) -> NDArray[np.complexfloating]:
        """Where what is at ``z`` after ``seconds`` was at the start."""
        if abs(self.alpha) < 1e-6:
            return z - self.beta * seconds
        fixed = self.beta / self.alpha
        return (z + fixed) * np.exp(-self.alpha * seconds) - fixed

    def flow(self, z: NDArray[np.complexfloating], seconds: float) -> NDArray[np.complexfloating]:
        """How far what is at ``z`` moves within the next ``seconds``."""
        return self.source(z, -seconds) - z


#: α and β by motion, at the plain pace. Drifting left is the camera's: the picture's content goes right.
PATHS: dict[Motion, Camera] = {
    "drift_left": Camera(0j, 0.34 + 0j),
    "drift_right": Camera(0j, -0.34 + 0j),
    "rise": Camera(0j, 0.28j),
    "sink": Camera(0j, -0.28j),
    "push_in": Camera(0.32 + 0j, 0j),
    "pull_back": Camera(-0.30 + 0j, 0j),
    "spiral": Camera(0.14 + 0.50j, 0j),
    "open": Camera(0.26 + 0j, 0j),
    "hold": Camera(0j, 0j),
}


def still(facts: Facts, seed: int, size: tuple[int, int] = SIZE) -> Picture:
    """One picture, uint8 [H, W, 3], for ``size`` (width, height). The same facts and seed give the same picture."""
    return next(_frames(facts, seed, size, PATHS["hold"], 1.0, 1))


def clip(
    facts: Facts, seed: int, size: tuple[int, int] = SIZE, frames: int = CLIP_FRAMES, rate: float = RATE
) -> Picture:
    """A clip, uint8 [T, H, W, 3], moved as the facts say; its first frame is `still`'s picture."""
    return filmed(facts, seed, camera_of(facts, seed), size, frames, rate)


def filmed(
    facts: Facts, seed: int, camera: Camera, size: tuple[int, int] = SIZE, frames: int = CLIP_FRAMES, rate: float = RATE
) -> Picture:
    """As `clip`, on a given path: for guides."""
    return np.stack(list(_frames(facts, seed, size, camera, rate, frames)))


def control(camera: Camera, size: tuple[int, int] = SIZE, frames: int = CLIP_FRAMES, rate: float = RATE) -> Picture:
    """What a guide shows of a path, uint8 [T, H, W, 3]: its flow in the colours of `guides.colours`, all through.

    A shot's motion path or camera comes to the model in the same colours (`guides.rendering`).
    """
    at = plane(*size)
    moved = camera.flow(at.x + 1j * at.y, 1.0 / rate) * (size[1] / 2)
    shown = coloured(np.stack([moved.real, moved.imag], axis=-1).astype(np.float32))
    return np.repeat(shown[None], frames, axis=0)


def free_camera(seed: int) -> Camera:
    """Any path: rests, shifts anywhere, zooms, turns, or all of these at once, about as fast as the named ones."""
    rng = np.random.default_rng([seed, 9])
    kind = rng.choice(["rest", "shift", "zoom", "turn", "all"], p=[0.05, 0.4, 0.2, 0.15, 0.2])
    shift = rng.uniform(0.18, 0.42) * np.exp(2j * np.pi * rng.uniform())
    zoom = rng.choice([-1.0, 1.0]) * rng.uniform(0.18, 0.4)
    turn = 1j * rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 0.6)
    alpha = {"zoom": zoom, "turn": turn + 0.3 * zoom, "all": 0.7 * (zoom + turn)}.get(str(kind), 0.0)
    beta = {"shift": shift, "all": 0.7 * shift}.get(str(kind), 0.0)
    return Camera(complex(alpha), complex(beta))


def camera_of(facts: Facts, seed: int) -> Camera:
    """The path of a clip: its motion at a pace of 0.8 to 1.25 of the plain one."""
    path = PATHS[facts.motion or "hold"]
    pace = float(np.random.default_rng([seed, 7]).uniform(0.8, 1.25))
    return Camera(path.alpha * pace, path.beta * pace)


def _frames(
    facts: Facts, seed: int, size: tuple[int, int], camera: Camera, rate: float, frames: int
) -> Iterator[Picture]:
    rng = np.random.default_rng([seed, 3])
    at = plane(*size)
    scene = _composed(facts, rng)
    exposure, z = None, at.x + 1j * at.y
    for frame in range(frames):
        seconds = frame / rate
        seen = camera.source(z, seconds) if frame else z
        moved = replace(at, x=_real(seen.real), y=_real(seen.imag))
        light = scene(moved, seconds)
        if exposure is None:
            exposure = exposure_of(light, 0.42)
        yield graded(develop(light, at, exposure, (frame * 37 % 256, frame * 101 % 256)), facts.light or "day")


def _composed(facts: Facts, rng: np.random.Generator) -> views.Scene:
    """One composition of the facts, as a function of plane and time."""
    near = facts.height == "near" if facts.height is not None else bool(rng.uniform() < 0.5)
    tint = _TINTS[facts.tint] if facts.tint is not None else None
    if facts.subject == "sea":
        return _sea(facts.light or "day", tint, rng, near=near)
    if facts.subject == "cells":
        return _cells(tint, rng, near=near)
    if facts.subject == "petals":
        return views.petals(tint, rng, near=near, opens=facts.motion == "open")
    if facts.subject == "tissue":
        return views.tissue(tint, rng, near=near)
    if facts.subject == "stars":
        return views.stars(tint, rng, near=near)
    raise ValueError(f"there is no picture of the subject {facts.subject!r}")


def _sea(light: Light, tint: tuple[float, float] | None, rng: np.random.Generator, *, near: bool) -> views.Scene:
    height = float(rng.uniform(-0.9, -0.35) if near else rng.uniform(0.45, 0.95))
    energy = 0.8 if light == "storm" else float(rng.uniform(0.15, 0.45))
    words = Direction("ocean", light, tint, height, energy, ("hold",))
    sea = ocean.compose(words, rng)
    sea = replace(sea, swell=sea.swell * 2.0, roll=sea.roll * 0.5, forward=0.05, sideways=0.0, sinking=0.0, turning=0.0)

    def draw(at: Plane, seconds: float) -> Field:
        # Pixels taken for larger ones: the octaves too small for this grid turn into roughness.
        return ocean.draw(sea, replace(at, pixel=at.pixel * 2.5), seconds)

    return draw


def _cells(tint: tuple[float, float] | None, rng: np.random.Generator, *, near: bool) -> views.Scene:
    height = float(rng.uniform(-1.7, -1.3) if near else rng.uniform(-0.9, -0.6))
    view = cells.compose(Direction("cells", None, tint, height, None, ("hold",)), rng)
    view = replace(
        view, wall=max(view.wall, 0.08), nucleus=view.nucleus + 0.05, drift=(0.0, 0.0), growth=0.0, bend=view.bend * 0.6
    )
    return lambda at, seconds: cells.draw(view, at, seconds)


def graded(picture: Picture, light: Light) -> Picture:
    """A picture in the light asked for: contrast, saturation, gain and lift per channel, on display values."""
    gamma, saturation, gain, lift = _GRADES[light]
    values = np.power(picture.astype(np.float32) / 255.0, np.float32(gamma))
    grey = values @ np.array([0.25, 0.6, 0.15], np.float32)
    values = grey[..., None] + (values - grey[..., None]) * np.float32(saturation)
    values = values * np.array(gain, np.float32) + np.array(lift, np.float32)
    return np.clip(np.rint(values * 255.0), 0, 255).astype(np.uint8)


_Rgb = tuple[float, float, float]
#: gamma, saturation, gain and lift of red, green, blue.
_GRADES: dict[Light, tuple[float, float, _Rgb, _Rgb]] = {
    "dawn": (0.85, 0.85, (0.98, 0.78, 0.72), (0.10, 0.06, 0.10)),
    "day": (0.75, 1.10, (1.05, 1.06, 1.08), (0.00, 0.00, 0.01)),
    "dusk": (1.35, 1.15, (1.10, 0.60, 0.62), (0.02, 0.00, 0.07)),
    "night": (1.60, 0.55, (0.42, 0.54, 0.90), (0.00, 0.01, 0.05)),
    "storm": (1.20, 0.30, (0.78, 0.92, 0.90), (0.00, 0.01, 0.01)),
    "mist": (0.80, 0.45, (0.45, 0.46, 0.48), (0.44, 0.44, 0.45)),
}


def warm_up() -> None:
    """Make the fields that pictures are cut from, once per process."""
    textures.make_all()
    cv2.setNumThreads(1)


def _real(values: NDArray[np.floating]) -> Field:
    return values.astype(np.float32)
