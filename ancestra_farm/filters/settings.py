"""What the filters are called, what a batch may set, and what their scores mean. Data only.

Imports neither numpy nor cv2, so that checking a batch answers at once. The thresholds here are the ones fitted by
``python benchmarks/filters.py --fit``; the module of each filter says what it measures and from which source.
A level is one step of 8-bit sRGB (0 … 255), whatever type the frames have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from ancestra_farm.batch.base import Scalar


@dataclass(frozen=True, slots=True)
class Score:
    """What one number in a candidate's ``scores`` says. ``better``: which direction is the better picture."""

    filter: str
    unit: str
    better: Literal["higher", "lower"]
    meaning: str


def _frozen(table: dict[str, dict[str, Scalar]]) -> Mapping[str, Mapping[str, Scalar]]:
    return MappingProxyType({name: MappingProxyType(settings) for name, settings in table.items()})


#: Settings of every filter with their defaults. A batch may change any of them, by these names and types.
DEFAULTS: Mapping[str, Mapping[str, Scalar]] = _frozen(
    {
        "nan": {"max_share": 0.0},
        "black": {"min_level": 54.0},
        "uniform": {"min_range": 8.0},
        "clipped": {"max_white_share": 0.08, "max_black_share": 0.08},
        "frozen": {"max_levels": 1.0, "max_share": 0.1},
        "flicker": {"max_share": 0.005},
        "cut": {"max_jump": 2.2},
        "noise": {"max_levels": 4.5},
        "banding": {"max_share": 0.5},
        "blur": {"max_width": 0.72},
        "quality": {},
        "motion_match": {"min_match": -1.0},
    }
)

#: The order when nothing has been measured yet: cheap checks first. `nan` comes before all, others cannot judge NaN.
DEFAULT_ORDER: tuple[str, ...] = tuple(DEFAULTS)

#: Filters that need at least two frames and pass a still unseen.
CLIPS_ONLY: frozenset[str] = frozenset({"frozen", "flicker", "cut", "motion_match"})

#: Every score a filter gives, by the name it has in ``scores`` (and in ``rank`` and ``by`` of a batch).
SCORES: Mapping[str, Score] = MappingProxyType(
    {
        "nan_share": Score("nan", "share of values", "lower", "values that are NaN or infinite"),
        "black_level": Score("black", "levels", "higher", "how bright the brightest part of the darkest frame is"),
        "uniform_range": Score("uniform", "levels", "higher", "range of the flattest frame, in its widest channel"),
        "clipped_share": Score("clipped", "share of pixels", "lower", "area lost to white or to crushed black"),
        "frozen_share": Score("frozen", "share of frame pairs", "lower", "neighbouring frames that do not differ"),
        "flicker_share": Score("flicker", "share of brightness", "lower", "brightness that comes and goes by frames"),
        "cut_jump": Score("cut", "ratio", "lower", "the largest jump between frames over the usual one"),
        "noise_levels": Score("noise", "levels", "lower", "standard deviation of noise where the picture is smoothest"),
        "banding_share": Score("banding", "share of tones", "lower", "tones with no other tone near them"),
        "blur_width": Score("blur", "pixels", "lower", "width (sigma) of the sharpest edges in a picture 144 high"),
        "quality": Score("quality", "0 … 1", "higher", "sharpness, exposure and richness together"),
        "motion_match": Score("motion_match", "-1 … 1", "higher", "how well a clip moves as its guide does"),
    }
)


def default_settings() -> dict[str, dict[str, Scalar]]:
    """Default settings by filter name, as fresh dicts."""
    return {name: dict(settings) for name, settings in DEFAULTS.items()}


def score_names() -> frozenset[str]:
    """Names of all scores."""
    return frozenset(SCORES)


def ranking_scores() -> frozenset[str]:
    """Names of the scores that a batch may rank by: those of which more is better."""
    return frozenset(name for name, score in SCORES.items() if score.better == "higher")
