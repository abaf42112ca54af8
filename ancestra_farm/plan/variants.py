"""The wordings of a prompt: which there are, in which order, and the id of each.

A variant's id comes from its resolved words, not from its place, so that adding or moving a wording changes nothing
about the others.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod

from ancestra_farm.batch.prompts import MAX_WORDINGS, fill, placeholders
from ancestra_farm.batch.schema import Prompt
from ancestra_farm.plan.recipe import digest_of
from ancestra_farm.plan.refusal import PlanRefused


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


#: Of models that read no words: one wording, so that a prompt that is edited makes nothing of theirs anew.
NO_WORDS = Wordings(("",), (), "")


def variant_id(prompt: str, negative: str) -> str:
    """8 hex digits of the resolved words.

    Enough to tell the wordings of a shot apart in a table. Should two ever share an id, their candidates still have ids
    of their own, which hold the words themselves.
    """
    return digest_of("variant", prompt, negative)[:4].hex()


@lru_cache(maxsize=32)
def axes_of(words: Wordings) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Each template with the axes it uses, sorted by name. Whatever is wrong with wordings shows, and none is made.

    Raises PlanRefused for too many wordings or an axis that is not declared, ValueError for a malformed template.
    """
    declared = dict(words.axes)
    used = {text: tuple(sorted(placeholders(text))) for text in words.texts}
    missing = sorted({axis for axes in used.values() for axis in axes} - set(declared))
    if missing:
        raise PlanRefused(f"the prompt uses {', '.join(missing)}, declared by no axis")
    count = sum(prod(len(declared[axis]) for axis in used[text]) for text in words.texts)
    if not 0 < count <= MAX_WORDINGS:
        raise PlanRefused(f"the prompt has {count:,} wordings; 1 to {MAX_WORDINGS:,} are allowed")
    return tuple(used.items())


@lru_cache(maxsize=32)
def variants_of(words: Wordings) -> tuple[Variant, ...]:
    """Every different wording once: templates in the order written, for each its axes by name, the last one fastest.

    A template is combined only with the axes it names, so that an axis it does not name repeats nothing. Raises
    PlanRefused for too many wordings or an axis that is not declared, ValueError for a malformed template.
    """
    axes = dict(words.axes)
    found: dict[str, Variant] = {}
    for text, used in axes_of(words):
        for values in product(*(axes[axis] for axis in used)):
            chosen = tuple(zip(used, values, strict=True))
            resolved = fill(text, dict(chosen))
            if resolved not in found:
                found[resolved] = Variant(variant_id(resolved, words.negative), resolved, words.negative, chosen)
    return tuple(found.values())
