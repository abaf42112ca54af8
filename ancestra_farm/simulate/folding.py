"""Whether a log folds to the state it came from: two states compared field by field, wherever they differ."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from typing import Any

from ancestra_farm.plan.plan import Plan
from ancestra_farm.plan.space import Space
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
    if type(one) is not type(other) and not (isinstance(one, Sequence) and isinstance(other, Sequence)):
        yield f"{path}: {one!r:.80} and {other!r:.80}"
    elif isinstance(one, Plan | Space):
        if one != other:
            yield f"{path}: not the same {type(one).__name__}"
    elif isinstance(one, Mapping):
        if list(one) != list(other):
            yield f"{path}: keys {str(list(one))[:200]} and {str(list(other))[:200]}"
        for key in one:
            if key in other:
                yield from _compare(one[key], other[key], f"{path}[{key!r}]", seen)
    elif is_dataclass(one):
        for name in (field.name for field in fields(one)):
            if name not in NOT_LOGGED:
                yield from _compare(getattr(one, name), getattr(other, name), f"{path}.{name}", seen)
    elif isinstance(one, str | int | float | bytes | Set | range) or one is None:
        if one != other and not (one != one and other != other):  # NaN is itself  # noqa: PLR0124
            yield f"{path}: {str(one)[:80]} and {str(other)[:80]}"
    elif isinstance(one, Sequence):
        if len(one) != len(other):
            yield f"{path}: {len(one)} and {len(other)} entries"
        for number, (mine, theirs) in enumerate(zip(one, other, strict=False)):
            yield from _compare(mine, theirs, f"{path}[{number}]", seen)
    elif hasattr(one, "__dict__"):
        yield from _compare(vars(one), vars(other), path, seen)
    elif one != other:
        yield f"{path}: {one!r:.80} and {other!r:.80}"
