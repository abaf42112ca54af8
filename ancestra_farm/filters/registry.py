"""All filters by name, in one plain table. Names, settings and scores without numpy or cv2: see `settings`."""

from collections.abc import Mapping
from types import MappingProxyType

from ancestra_farm.filters.broken import nan
from ancestra_farm.filters.check import Check
from ancestra_farm.filters.exposure import black, clipped, uniform
from ancestra_farm.filters.grain import noise
from ancestra_farm.filters.motion import cut, flicker, frozen
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

_FILTERS: Mapping[str, Filter] = MappingProxyType(
    {name: Check(name, name in CLIPS_ONLY, DEFAULTS[name], measure) for name, measure in _MEASURES.items()}
)


def all_filters() -> Mapping[str, Filter]:
    """Every filter by name, read-only."""
    return _FILTERS
