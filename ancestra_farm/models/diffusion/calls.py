"""The arguments of a call: one that a recipe may leave out, and those of several candidates put together."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from PIL.Image import Image

from ancestra_farm.plan.recipe import Recipe

#: What every candidate of a call must have alike, since the pipeline takes one value for all of them.
_SHARED = (bool, int, float, str, tuple, type(None))


class NotTogether(Exception):
    """These candidates cannot share a call."""


def argument(pipeline: Any, recipe: Recipe, name: str) -> Any:  # noqa: ANN401 - a pipeline, and what its arguments are
    """The value of a pipeline's argument: the recipe's, or the default of the pipeline's call."""
    if name in recipe.parameters:
        return recipe.parameters[name]
    return _defaults(type(pipeline).__call__)[name]


@lru_cache(maxsize=16)
def takes(call: Callable[..., Any]) -> frozenset[str]:
    """The arguments that the call of a pipeline class takes by name."""
    return frozenset(inspect.signature(call).parameters)


@lru_cache(maxsize=16)
def _defaults(call: Callable[..., Any]) -> dict[str, Any]:
    called = inspect.signature(call).parameters.values()
    return {one.name: one.default for one in called if one.default is not inspect.Parameter.empty}


def merged(each: list[dict[str, Any]]) -> dict[str, Any]:
    """The arguments of several candidates as those of one call, in the order of the candidates.

    Tensors have a batch dimension first and are joined along it, lists have an entry for each candidate and are put one
    after another; all else (sizes, frame counts, strengths) is one value for the whole call. Raises `NotTogether` where
    that value differs, or where tensors have different shapes.
    """
    if len(each) == 1:
        return dict(each[0])
    names = each[0].keys()
    if any(one.keys() != names for one in each):
        raise NotTogether(f"arguments differ: {sorted({name for one in each for name in one.keys() ^ names})}")
    return {name: _joined(name, [one[name] for one in each]) for name in names}


def shape_of(arguments: dict[str, Any]) -> tuple[object, ...]:
    """What must be alike for candidates to share a call: the names of arguments, tensor shapes, shared values."""
    return tuple((name, _shape(value)) for name, value in sorted(arguments.items()))


def _shape(value: Any) -> object:  # noqa: ANN401 - whatever a pipeline takes
    if isinstance(value, _SHARED):
        return value
    if isinstance(value, list):
        # Entries of a list are each candidate's own: embeddings of any length, pictures of one size.
        return (len(value), *(one.size for one in value if isinstance(one, Image)))
    return tuple(value.shape)


def _joined(name: str, values: list[Any]) -> Any:  # noqa: ANN401 - as above
    first = values[0]
    if isinstance(first, _SHARED):
        if any(value != first for value in values):
            raise NotTogether(f"{name} differs: {values}")
        return first
    if isinstance(first, list):
        return [entry for value in values for entry in value]
    if any(value.shape != first.shape for value in values):
        raise NotTogether(f"{name} has different shapes: {[tuple(value.shape) for value in values]}")
    import torch  # noqa: PLC0415 - whoever has tensors has it loaded; checks read this module without

    return torch.cat(values)
