"""What batches are checked against in tests: the farm's own model cards, filters and scores."""

from ancestra_farm.filters.settings import default_settings, score_names
from ancestra_farm.models.catalog import load_catalog

CARDS = load_catalog()
FILTERS = default_settings()
SCORES = score_names()
