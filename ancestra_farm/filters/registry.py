"""All filters by name, in one plain table. Names, settings and scores without numpy or cv2: see `settings`."""

from collections.abc import Mapping
from types import MappingProxyType

from ancestra_farm.filters.broken import nan
from ancestra_farm.filters.check import Check, Comparison
from ancestra_farm.filters.exposure import black, clipped, uniform
from ancestra_farm.filters.grain import noise
from ancestra_farm.filters.motion import cut, flicker, frozen
from ancestra_farm.filters.motion_match import motion_match
from ancestra_farm.filters.protocol import Filter
from ancestra_farm.filters.quality import quality
from ancestra_farm.filters.settings import CLIPS_ONLY, DEFAULTS, default_settings, score_names
from ancestra_farm.filters.sharpness import blur
from ancestra_farm.filters.tones import banding

__all__ = ["all_filters", "default_settings", "score_names"]

_MEASURES = {
    "nan": nan,
    "black": black,
    "uniform": uniform,
    "clipped": clipped,
    "frozen": frozen,
    "flicker": flicker,
    "cut": cut,
    "noise": noise,
    "banding": banding,
    "blur": blur,
    "quality": quality,
}

_COMPARISONS = {"motion_match": motion_match}

_OF_FRAMES = {name: Check(name, name in CLIPS_ONLY, DEFAULTS[name], measure) for name, measure in _MEASURES.items()}
_OF_GUIDES = {name: Comparison(name, DEFAULTS[name], measure) for name, measure in _COMPARISONS.items()}
_EVERY: dict[str, Filter] = {**_OF_FRAMES, **_OF_GUIDES}
_FILTERS: Mapping[str, Filter] = MappingProxyType({name: _EVERY[name] for name in DEFAULTS})


def all_filters() -> Mapping[str, Filter]:
    """Every filter by name, read-only."""
    return _FILTERS
