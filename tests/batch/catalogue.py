"""What batches are checked against in tests: the farm's own model cards, and filters that stay as they are.

The farm's filters are fitted anew now and then; which settings they have is nothing these tests are about. The example
jobs are checked against the real ones.
"""

from ancestra_farm.models.catalog import load_catalog

CARDS = load_catalog()
FILTERS = {
    "nan": {"max_share": 0.0},
    "black": {"min_level": 20.0},
    "clipped": {"max_share": 0.25},
    "cut": {"max_jump": 4.0},
    "banding": {"max_share": 0.4},
    "blur": {"max_width": 3.0},
    "quality": {},
}
SCORES = frozenset({"quality", "black_level", "blur_width"})
