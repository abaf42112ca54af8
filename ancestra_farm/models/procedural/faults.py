"""Faults of known kind and strength, planted at known rates: ground truth for filters.

`planted_fault` says from a recipe alone what is wrong with its candidate, before or after it is made; `plant` puts that
into pixels. Neither knows how the picture came about, so filters are fitted and gated on the same faults that a farm
running the procedural models meets.

What severity s in [0, 1] means, by kind (H: picture height in pixels; display values in [0, 1]):

========= =================================================================== ==================== ====================
kind      what it does                                                        s = 0                s = 1
========= =================================================================== ==================== ====================
black     display values × 0.2·(1 − s)                                        peak white 51 of 255 nothing at all
blur      Gaussian of sigma H·0.004·12.5^s                                    0.6 px of 144        7.2 px of 144
banding   display values rounded to 48·16^−s levels a channel                 48 levels            3 levels
clipped   a fraction 0.15 + 0.65·s of the pixels at pure white or pure black  15 %                 80 %
noise     Gaussian noise of sigma 0.02·10^s, new in every frame               5 of 255             51 of 255
nan       a patch of 10^(−4·(1 − s)) of the pixels is not a number            one pixel            the whole frame
duplicate still: the picture of another seed, reframed by 0.02·(1 − s) of     1 % off centre,      the same picture
          its width and 3·(1 − s) % brighter                                  3 % brighter
duplicate clip: a fraction 0.15 + 0.55·s of the frames repeats the one before 15 %                 70 %
frozen    clip: the last 0.25 + 0.75·s of the frames stand still              a quarter            the whole clip
flicker   clip: gain alternates by ± 0.02·15^s from frame to frame            2 %                  30 %
cut       clip: from some frame on, punched in by 1.08 + 0.72·s off centre,   8 % closer           80 % closer,
          colour balance off by 0.3·s; mirrored from s = 0.5                                       mirrored, other light
========= =================================================================== ==================== ====================

In a clip, black and nan strike a run of 0.15 + 0.85·s of the frames, the other picture faults every frame. Frames that
a role promises to keep (the first frame of an image-to-video, the context of a chained segment, the last frame of a
first-last-frame) are never touched.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.models.protocol import Frames
from ancestra_farm.plan.recipe import Recipe, digest_of

FaultKind = Literal["black", "frozen", "flicker", "blur", "banding", "clipped", "noise", "duplicate", "nan", "cut"]

#: How often each kind is planted relative to the others, by what is made. Blur, exposure and noise are what image
#: models get wrong most; NaN is rare and always fatal. Clips add what only motion can get wrong.
STILL_MIX: Mapping[FaultKind, float] = {
    "black": 1.0, "blur": 2.0, "banding": 1.0, "clipped": 2.0, "noise": 1.5, "nan": 0.5, "duplicate": 2.0,
}  # fmt: skip
CLIP_MIX: Mapping[FaultKind, float] = {
    "black": 0.5, "blur": 1.0, "banding": 0.5, "clipped": 1.0, "noise": 1.0, "nan": 0.5,
    "frozen": 2.0, "flicker": 2.0, "cut": 2.0, "duplicate": 1.5,
}  # fmt: skip

#: The rate at which faults are planted where a recipe names none.
DEFAULT_RATE = 0.35
#: Duplicated stills of one shot, stage and variant are pictures of one of so few shared seeds.
SHARED_SEEDS = 3


class Planted(NamedTuple):
    """A fault's kind and its severity in [0, 1]; see the table above."""

    kind: FaultKind
    severity: float


class Kept(NamedTuple):
    """How many frames at the beginning and at the end of a clip a fault must leave alone."""

    head: int
    tail: int


def planted_fault(recipe: Recipe) -> Planted | None:
    """What is wrong with this candidate, from its recipe alone; None for a clean one.

    Reads the parameters that `fault_rate` does and ``only_fault`` (a kind, or "" for the mix). Draft and full share
    their seed and parents and so their fault. Raises ValueError where ``only_fault`` names a kind that this role cannot
    have.
    """
    mix = CLIP_MIX if recipe.frames > 1 else STILL_MIX
    only = str(recipe.parameters.get("only_fault", ""))
    if only and only not in mix:
        raise ValueError(f"only_fault: {only!r} is not a fault of {recipe.role}; write one of {', '.join(mix)}")
    if recipe.frames > 1 and recipe.frames - sum(kept_frames(recipe)) < 2:
        return None
    chance, choice, severity = _uniforms(recipe.seed, recipe.parents)
    if chance >= fault_rate(recipe):
        return None
    return Planted(_drawn({kind: weight for kind, weight in mix.items() if only in ("", kind)}, choice), severity)


def fault_rate(recipe: Recipe) -> float:
    """The fraction of candidates like this one that have a fault, in [0, 1].

    The first entry of the parameter ``yields`` whose words the prompt has says what fraction has none (``dawn=0.04,
    storm=0.002``); without one the parameter ``fault_rate`` decides. Raises ValueError for an entry that is not so.
    """
    for words, fraction in _yields(str(recipe.parameters.get("yields", ""))):
        if re.search(rf"\b{re.escape(words)}\b", recipe.prompt, re.IGNORECASE):
            return 1.0 - fraction
    return float(recipe.parameters.get("fault_rate", DEFAULT_RATE))


@lru_cache(maxsize=64)
def _yields(text: str) -> tuple[tuple[str, float], ...]:
    entries = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        words, sign, fraction = entry.partition("=")
        if not sign or not 0.0 <= float(fraction) <= 1.0:
            raise ValueError(f"yields: {entry!r} is not words=fraction, such as dawn=0.04")
        entries.append((words.strip(), float(fraction)))
    return tuple(entries)


def kept_frames(recipe: Recipe) -> Kept:
    """The frames a role promises to take over from its parents unchanged."""
    if recipe.frames <= 1:
        return Kept(0, 0)
    head = max(recipe.context_frames, 1) if recipe.parents else recipe.context_frames
    return Kept(head, 1 if recipe.role == "first_last_frame" and len(recipe.parents) > 1 else 0)


def pictured_seed(recipe: Recipe, planted: Planted | None) -> int:
    """The seed whose picture the candidate shows: its own, or a shared one for a still planted as a duplicate."""
    if planted is None or planted.kind != "duplicate" or recipe.frames > 1:
        return recipe.seed
    group = recipe.seed % SHARED_SEEDS
    shared = digest_of("duplicate", recipe.shot, recipe.stage, recipe.segment, recipe.variant, recipe.parents, group)
    return int.from_bytes(shared[:8], "little") >> 1


def fault_rng(seed: int) -> np.random.Generator:
    """The random generator that `plant` draws a candidate's fault from, apart from the one that made its picture."""
    return np.random.default_rng([seed, 0xFA017])


def plant(
    frames: Frames, kind: FaultKind, severity: float, rng: np.random.Generator, kept: tuple[int, int] = (0, 0)
) -> Frames:
    """``frames`` with the fault in them; the input is not changed.

    ``frames``: uint8 or float32 [T, H, W, 3] as in `Frames`; the result has the same shape and type, except for
    ``nan``, which is float32. ``kept``: frames at the head and at the tail that stay as they are, bit for bit. A fault
    with no frames left to be in, and a temporal fault of a still, leave everything as it is. Raises ValueError for an
    unknown kind or a severity outside [0, 1].
    """
    if kind not in get_args(FaultKind):
        raise ValueError(f"unknown fault {kind!r}; write one of {', '.join(get_args(FaultKind))}")
    if not 0.0 <= severity <= 1.0:
        raise ValueError(f"a severity lies in [0, 1], not {severity}")
    start, stop = kept[0], len(frames) - kept[1]
    if stop <= start:
        return frames
    if kind == "nan":
        out: Frames = frames.astype(np.float32) / 255.0 if frames.dtype == np.uint8 else frames.astype(np.float32)
    else:
        out = frames.copy()
    if kind in _TEMPORAL or (kind == "duplicate" and len(frames) > 1):
        if len(frames) > 1:
            _TEMPORAL[kind](out, start, stop, severity, rng)
        return out
    if kind in ("black", "nan"):
        start, stop = _run(start, stop, severity, rng)
    _PICTURE[kind](out[start:stop], severity, rng)
    return out


# ---- faults of a picture; each changes frames [T, H, W, 3] in place --------------------------------------------------


def _black(frames: Frames, severity: float, _rng: np.random.Generator) -> None:
    _store(frames, frames * np.float32(0.2 * (1.0 - severity)))


def _blur(frames: Frames, severity: float, _rng: np.random.Generator) -> None:
    sigma = frames.shape[1] * 0.004 * 12.5**severity
    for frame in frames:
        frame[:] = cv2.GaussianBlur(frame, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


def _banding(frames: Frames, severity: float, _rng: np.random.Generator) -> None:
    steps = round(48.0 * 16.0**-severity) - 1
    white = _white(frames)
    _store(frames, np.rint(frames * np.float32(steps / white)) * np.float32(white / steps))


def _clipped(frames: Frames, severity: float, rng: np.random.Generator) -> None:
    """Blown out or crushed, evenly likely; one exposure for the whole clip, set by its first struck frame."""
    fraction = 0.15 + 0.65 * severity
    white = np.float32(_white(frames))
    blown = bool(rng.integers(2))
    first = frames[0].astype(np.float32) / white
    if blown:
        gain = 1.0 / max(float(np.quantile(first.mean(axis=2), 1.0 - fraction)), 1e-3)
    else:
        floor = min(float(np.quantile(first.max(axis=2), fraction)), 0.98)
    for frame in frames:
        values = frame.astype(np.float32) / white
        if blown:
            # Film loses its colour where it burns out: full white is reached where the mean of the channels is.
            burnt = np.minimum(values.mean(axis=2, keepdims=True) * gain, 1.0) ** 6
            values = np.minimum(values * gain, 1.0) * (1.0 - burnt) + burnt
        else:
            values = np.maximum(values - floor, 0.0) / (1.0 - floor)
        _store(frame, values * white)


def _noise(frames: Frames, severity: float, rng: np.random.Generator) -> None:
    sigma = np.float32(0.02 * 10.0**severity * _white(frames))
    for frame in frames:
        _store(frame, frame + rng.standard_normal(frame.shape, dtype=np.float32) * sigma)


def _nan(frames: Frames, severity: float, rng: np.random.Generator) -> None:
    height, width = frames.shape[1:3]
    side = 10.0 ** (-2.0 * (1.0 - severity))
    rows, columns = max(round(height * side), 1), max(round(width * side), 1)
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    frames[:, top : top + rows, left : left + columns] = np.nan


def _near_duplicate(frames: Frames, severity: float, _rng: np.random.Generator) -> None:
    left = 1.0 - severity
    for frame in frames:
        _store(frame, _reframed(frame, 1.0 + 0.02 * left, (0.5, 0.5), mirrored=False) * np.float32(1.0 + 0.03 * left))


# ---- faults of motion; each changes frames [start:stop] of a whole clip in place -------------------------------------


def _frozen(frames: Frames, start: int, stop: int, severity: float, _rng: np.random.Generator) -> None:
    still = max(round((0.25 + 0.75 * severity) * len(frames)), 2)
    first = max(stop - still, start - 1, 0)
    frames[first + 1 : stop] = frames[first]


def _duplicated(frames: Frames, start: int, stop: int, severity: float, rng: np.random.Generator) -> None:
    candidates = np.arange(max(start, 1), stop)
    count = min(max(round((0.15 + 0.55 * severity) * len(frames)), 1), len(candidates))
    for index in np.sort(rng.choice(candidates, count, replace=False)):
        frames[index] = frames[index - 1]


def _flicker(frames: Frames, start: int, stop: int, severity: float, rng: np.random.Generator) -> None:
    depth = 0.02 * 15.0**severity
    sign = 1.0 if rng.integers(2) else -1.0
    for index in range(start, stop):
        sign = -sign
        _store(frames[index], frames[index] * np.float32(1.0 + sign * depth * rng.uniform(0.8, 1.0)))


def _cut(frames: Frames, start: int, stop: int, severity: float, rng: np.random.Generator) -> None:
    first, last = max(start, 1), stop - 1
    at = int(rng.integers(first + (last - first) // 4, last - (last - first) // 4 + 1))
    focus = (float(rng.choice([0.0, 1.0])), float(rng.choice([0.0, 1.0])))
    zoom = 1.08 + 0.72 * severity
    balance = (1.0 + 0.3 * severity * rng.choice([-1.0, 1.0], 3)).astype(np.float32)
    for index in range(at, stop):
        _store(frames[index], _reframed(frames[index], zoom, focus, mirrored=severity >= 0.5) * balance)


# Plain tables: which function plants which kind.
_PICTURE = {
    "black": _black, "blur": _blur, "banding": _banding, "clipped": _clipped, "noise": _noise, "nan": _nan,
    "duplicate": _near_duplicate,
}  # fmt: skip
_TEMPORAL = {"frozen": _frozen, "flicker": _flicker, "cut": _cut, "duplicate": _duplicated}


# ---- parts -----------------------------------------------------------------------------------------------------------


def _white(frames: Frames) -> float:
    return 255.0 if frames.dtype == np.uint8 else 1.0


def _store(target: Frames, values: NDArray[np.float32]) -> None:
    """Write float values in the target's own scale into it, rounded and clipped where it is uint8."""
    if target.dtype == np.uint8:
        np.rint(values, out=values)
    np.clip(values, 0.0, _white(target), out=values)
    target[...] = values


def _reframed(
    frame: NDArray[np.generic], zoom: float, focus: tuple[float, float], *, mirrored: bool
) -> NDArray[np.float32]:
    """The part of a frame that a lens ``zoom`` times as long sees around ``focus`` (x, y in [0, 1]), at full size."""
    height, width = frame.shape[:2]
    left, top = (width - 1) * (1.0 - 1.0 / zoom) * focus[0], (height - 1) * (1.0 - 1.0 / zoom) * focus[1]
    matrix = np.array([[1.0 / zoom, 0.0, left], [0.0, 1.0 / zoom, top]], np.float64)
    if mirrored:
        matrix[0] = (-1.0 / zoom, 0.0, left + (width - 1) / zoom)
    flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
    moved = cv2.warpAffine(frame.astype(np.float32), matrix, (width, height), flags=flags, borderMode=border)
    return moved.astype(np.float32, copy=False)


def _run(start: int, stop: int, severity: float, rng: np.random.Generator) -> tuple[int, int]:
    """A run of 0.15 + 0.85·severity of the frames in [start, stop), somewhere in it."""
    length = max(round((0.15 + 0.85 * severity) * (stop - start)), 1)
    first = start + int(rng.integers(stop - start - length + 1))
    return first, first + length


def _uniforms(seed: int, parents: tuple[str, ...]) -> tuple[float, float, float]:
    """Three numbers in [0, 1) that belong to a seed and what it starts from: one seed is used with every input."""
    digest = digest_of("fault", seed, parents)
    values = (int.from_bytes(digest[at : at + 5], "little") / 2.0**40 for at in (0, 5, 10))
    first, second, third = values
    return first, second, third


def _drawn(mix: Mapping[FaultKind, float], choice: float) -> FaultKind:
    kinds = list(mix)
    bounds = np.cumsum([mix[kind] for kind in kinds])
    return kinds[min(int(np.searchsorted(bounds, choice * bounds[-1], side="right")), len(kinds) - 1)]
