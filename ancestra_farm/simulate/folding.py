"""Whether a log folds to the state it came from: two states compared field by field, wherever they differ."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from math import isnan
from typing import Any

from pydantic import BaseModel

from ancestra_farm.plan.plan import Plan
from ancestra_farm.plan.space import Space
from ancestra_farm.scheduler.settings import WORKED_OUT, Settings
from ancestra_farm.scheduler.state import FarmState

#: What is not in the log, on purpose: who waits in which queue, and a note to look only once.
NOT_LOGGED = frozenset({"queue", "started_from"})


def differences(one: FarmState, other: FarmState) -> Iterator[str]:
    """Where two states differ, a line each: a path, and both values."""
    yield from _compare(one, other, "state", set())


def _compare(one: Any, other: Any, path: str, seen: set[tuple[int, int]]) -> Iterator[str]:  # noqa: ANN401 - any part
    if one is other or (id(one), id(other)) in seen:
        return
    seen.add((id(one), id(other)))
    if type(one) is not type(other):
        yield f"{path}: {one!r:.80} and {other!r:.80}"
    elif isinstance(one, Mapping):
        yield from _keys(one, other, path)
        for key in one:
            if key in other:
                yield from _compare(one[key], other[key], f"{path}[{key!r}]", seen)
    elif isinstance(one, list | tuple):
        if len(one) != len(other):
            yield f"{path}: {len(one)} and {len(other)} entries"
        for number, (mine, theirs) in enumerate(zip(one, other, strict=False)):
            yield from _compare(mine, theirs, f"{path}[{number}]", seen)
    elif (parts := _parts(one)) is not None:
        for name in parts:
            yield from _compare(getattr(one, name), getattr(other, name), f"{path}.{name}", seen)
    elif one != other and not _nan(one, other):
        yield f"{path}: {str(one)[:80]} and {str(other)[:80]}"


def _parts(value: object) -> list[str] | None:
    """Names of what makes a value up; None for one that is compared as a whole."""
    if isinstance(value, Plan | Space | BaseModel):
        return None
    if is_dataclass(value):
        left_out = NOT_LOGGED | WORKED_OUT if isinstance(value, Settings) else NOT_LOGGED
        return [field.name for field in fields(value) if field.name not in left_out]
    return list(vars(value)) if hasattr(value, "__dict__") else None


def _keys(one: Mapping[Any, Any], other: Mapping[Any, Any], path: str) -> Iterator[str]:
    if list(one) != list(other):
        yield f"{path}: keys {str(list(one))[:200]} and {str(list(other))[:200]}"


def _nan(one: object, other: object) -> bool:
    return isinstance(one, float) and isinstance(other, float) and isnan(one) and isnan(other)
