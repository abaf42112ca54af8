"""The wordings of a prompt: which there are, in which order, and the id of each.

A variant's id comes from its resolved words, not from its place, so that adding or moving a wording changes nothing
about the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod

from ancestra_farm.batch.prompts import fill, placeholders
from ancestra_farm.batch.schema import Prompt
from ancestra_farm.plan.recipe import digest_of
from ancestra_farm.plan.refusal import PlanRefused

#: More wordings than anyone can compare; they are held in memory, and 100,000 of them take about a second.
MAX_VARIANTS = 100_000


@dataclass(frozen=True, slots=True)
class Variant:
    """One wording. ``id``: 8 hex digits of the words; ``axes``: (axis, value) for each axis its template uses."""

    id: str
    prompt: str
    negative: str
    axes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Wordings:
    """A prompt as a hashable value: templates as written, axes by name with their values as written."""

    texts: tuple[str, ...]
    axes: tuple[tuple[str, tuple[str, ...]], ...]
    negative: str

    @classmethod
    def of(cls, prompt: Prompt) -> "Wordings":
        """Axes are sorted by name: the order of keys in a document means nothing and is not kept by canonical JSON."""
        return cls(prompt.texts, tuple(sorted(prompt.axes.items())), prompt.negative)


def variant_id(prompt: str, negative: str) -> str:
    """8 hex digits of the resolved words."""
    return digest_of("variant", prompt, negative)[:4].hex()


@lru_cache(maxsize=32)
def variants_of(wordings: Wordings) -> tuple[Variant, ...]:
    """Every different wording once: templates in the order written, for each its axes by name, the last one fastest.

    A template is combined only with the axes it names, so an axis that it does not name repeats nothing. Raises
    PlanRefused for more than `MAX_VARIANTS` wordings, ValueError for a template that `batch.prompts` refuses.
    """
    used = [_axes_of(text, wordings) for text in wordings.texts]
    count = sum(prod(len(values) for _, values in axes) for axes in used)
    if count > MAX_VARIANTS:
        raise PlanRefused(f"the prompt has {count:,} wordings; {MAX_VARIANTS:,} are allowed: give fewer axis values")
    found: dict[str, Variant] = {}
    for text, axes in zip(wordings.texts, used, strict=True):
        for values in _combinations(axes):
            prompt = fill(text, dict(values))
            if prompt not in found:
                found[prompt] = Variant(variant_id(prompt, wordings.negative), prompt, wordings.negative, values)
    return tuple(found.values())


def _axes_of(text: str, wordings: Wordings) -> list[tuple[str, tuple[str, ...]]]:
    named = set(placeholders(text))
    return [(axis, values) for axis, values in wordings.axes if axis in named]


def _combinations(axes: list[tuple[str, tuple[str, ...]]]) -> Iterator[tuple[tuple[str, str], ...]]:
    for values in product(*(values for _, values in axes)):
        yield tuple((axis, value) for (axis, _), value in zip(axes, values, strict=True))
