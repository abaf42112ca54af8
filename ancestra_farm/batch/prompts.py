"""Prompt templates: ``{axis}`` is replaced by a value of that axis, and nothing else is.

A template is a person's text and may come from anyone who can submit a batch, so it is not Python's format language:
no attributes, indices, conversions or format specifications. ``{{`` and ``}}`` stand for single braces.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import product

from ancestra_farm.batch.base import NAME_PATTERN
from ancestra_farm.batch.schema import Prompt

#: More wordings than this in one prompt are a slip, not a search: a thousand pictures need a few dozen wordings.
MAX_WORDINGS = 10_000

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(NAME_PATTERN)


def placeholders(template: str) -> list[str]:
    """The axes a template uses, each once, in order of first use. Raises ValueError for a brace that means nothing."""
    return list(dict.fromkeys(axis for _, axis in _pieces(template) if axis is not None))


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with each ``{axis}`` replaced by ``values[axis]``; values are put in as they are, not filled again.

    Raises ValueError for a malformed template or an axis without a value.
    """
    text = []
    for literal, axis in _pieces(template):
        if axis is None:
            text.append(literal)
        elif axis in values:
            text.append(values[axis])
        else:
            raise ValueError(f"the template uses {{{axis}}}, which is no declared axis")
    return "".join(text)


def count_wordings(prompt: Prompt) -> int:
    """How many wordings `wordings` gives, without making them. An axis that is not declared counts as empty.

    Raises ValueError for a malformed template.
    """
    total = 0
    for text in prompt.texts:
        count = 1
        for axis in placeholders(text):
            count *= len(prompt.axes.get(axis, ()))
        total += count
    return total


def wordings(prompt: Prompt) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """Every wording of a prompt: the resolved text and the axis values in it, sorted by axis.

    A template is multiplied only by the axes that it uses, so none comes twice for an axis it does not mention. Order:
    by template, then by value in the order written, the axis that sorts last changing fastest. Raises KeyError for an
    axis that is not declared, ValueError for a malformed template.
    """
    for text in prompt.texts:
        axes = sorted(placeholders(text))
        for values in product(*(prompt.axes[axis] for axis in axes)):
            chosen = tuple(zip(axes, values, strict=True))
            yield fill(text, dict(chosen)), chosen


def _pieces(template: str) -> Iterator[tuple[str, str | None]]:
    """(literal, None) and ("", axis) pieces of a template, in order."""
    end = 0
    for token in _TOKEN.finditer(template):
        if token.start() > end:
            yield template[end : token.start()], None
        end = token.end()
        word = token.group()
        if word in {"{{", "}}"}:
            yield word[0], None
        elif token.group(1) is None:
            raise ValueError(
                f"a lone {word} at character {token.start() + 1}; write {word * 2} for the character itself"
            )
        elif not _NAME.fullmatch(token.group(1)):
            raise ValueError(
                f"{word} is not the name of an axis; a placeholder is {{name}}, without attributes, indices or formats"
            )
        else:
            yield "", token.group(1)
    if end < len(template):
        yield template[end:], None
