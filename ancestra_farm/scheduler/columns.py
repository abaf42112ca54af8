"""Columns: the values of one field of many results, by row, each kind in as few bytes as it takes.

Which results are kept in columns, and which as objects, is decided in `results`.
"""

# ruff: noqa: ANN401 - a column holds values of its field's type, and there is one column for each type

import types
import typing
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

Bytes = bytes | memoryview
#: Hex digits of a candidate's id.
ID_DIGITS = 32


class Column(Protocol):
    """The values of one field of many results, by row."""

    def __len__(self) -> int:
        """How many rows there are."""

    def extend(self, values: Iterable[Any]) -> None:
        """More rows at the end."""

    def put(self, row: int, value: Any) -> None:
        """Another value in a row."""

    def get(self, row: int) -> Any:
        """The value in a row."""

    def dump(self) -> tuple[list[bytes], list[Any]]:
        """Its bytes, and what they refer to."""

    def load(self, parts: Sequence[Bytes], values: list[Any]) -> None:
        """Take over what `dump` gave."""


class Numbers:
    """Numbers of one machine type (a code of `array`)."""

    def __init__(self, code: str) -> None:
        self._values: array[Any] = array(code)

    def __len__(self) -> int:
        return len(self._values)

    def extend(self, values: Iterable[Any]) -> None:
        """More rows at the end."""
        self._values.extend(values)

    def put(self, row: int, value: Any) -> None:
        """Another value in a row."""
        self._values[row] = value

    def get(self, row: int) -> Any:
        """The value in a row."""
        return self._values[row]

    def dump(self) -> tuple[list[bytes], list[Any]]:
        """One part."""
        return [self._values.tobytes()], []

    def load(self, parts: Sequence[Bytes], values: list[Any]) -> None:
        """Take over what `dump` gave."""
        del values
        self._values = array(self._values.typecode)
        self._values.frombytes(parts[0])


class Flags(Numbers):
    """Booleans."""

    def get(self, row: int) -> bool:
        """The value in a row."""
        return bool(self._values[row])


class Counts:
    """Whole numbers from 0 to 2⁶⁴−1, or None."""

    def __init__(self) -> None:
        self._values = array("Q")
        self._there = array("B")

    def __len__(self) -> int:
        return len(self._values)

    def extend(self, values: Iterable[Any]) -> None:
        """More rows at the end."""
        values = list(values)
        self._values.extend(value or 0 for value in values)
        self._there.extend(value is not None for value in values)

    def put(self, row: int, value: Any) -> None:
        """Another value in a row."""
        self._values[row], self._there[row] = value or 0, value is not None

    def get(self, row: int) -> int | None:
        """The value in a row."""
        return self._values[row] if self._there[row] else None

    def dump(self) -> tuple[list[bytes], list[Any]]:
        """Two parts."""
        return [self._values.tobytes(), self._there.tobytes()], []

    def load(self, parts: Sequence[Bytes], values: list[Any]) -> None:
        """Take over what `dump` gave."""
        del values
        self._values, self._there = array("Q"), array("B")
        self._values.frombytes(parts[0])
        self._there.frombytes(parts[1])


class Ids:
    """Texts of 32 hex digits."""

    def __init__(self) -> None:
        self._values = bytearray()

    def __len__(self) -> int:
        return len(self._values) // 16

    def extend(self, values: Iterable[Any]) -> None:
        """More rows at the end. Raises ValueError for what is no id."""
        some = [bytes.fromhex(value) for value in values]
        if any(len(value) != 16 for value in some):
            raise ValueError("a candidate id has 32 hex digits")
        self._values += b"".join(some)

    def put(self, row: int, value: Any) -> None:
        """Another value in a row."""
        self._values[row * 16 : row * 16 + 16] = bytes.fromhex(value)

    def get(self, row: int) -> str:
        """The value in a row."""
        return self._values[row * 16 : row * 16 + 16].hex()

    def rows_of(self, prefix: str) -> Iterator[int]:
        """The rows whose ids begin so, in order. ``prefix``: 2 hex digits at least. Raises ValueError."""
        whole = bytes.fromhex(prefix[: len(prefix) & ~1])
        at = self._values.find(whole)
        while at >= 0:
            if at % 16 == 0 and self.get(at // 16).startswith(prefix):
                yield at // 16
            at = self._values.find(whole, at + 1)

    def dump(self) -> tuple[list[bytes], list[Any]]:
        """One part."""
        return [bytes(self._values)], []

    def load(self, parts: Sequence[Bytes], values: list[Any]) -> None:
        """Take over what `dump` gave."""
        del values
        self._values = bytearray(parts[0])


class Coded:
    """Anything that can be a key, each different value kept once."""

    def __init__(self) -> None:
        self._codes = array("I")
        self._values: list[Any] = []
        self._code_of: dict[Any, int] = {}

    def __len__(self) -> int:
        return len(self._codes)

    def extend(self, values: Iterable[Any]) -> None:
        """More rows at the end."""
        self._codes.extend(map(self._code, values))

    def put(self, row: int, value: Any) -> None:
        """Another value in a row."""
        self._codes[row] = self._code(value)

    def get(self, row: int) -> Any:
        """The value in a row."""
        return self._values[self._codes[row]]

    def dump(self) -> tuple[list[bytes], list[Any]]:
        """One part, and the values."""
        return [self._codes.tobytes()], list(self._values)

    def load(self, parts: Sequence[Bytes], values: list[Any]) -> None:
        """Take over what `dump` gave."""
        self._codes = array("I")
        self._codes.frombytes(parts[0])
        self._values = values
        self._code_of = {value: code for code, value in enumerate(values)}

    def rows_where(self, test: Callable[[Any], bool]) -> list[int]:
        """The rows whose value passes the test, which is asked once for each different value."""
        passing = [bool(test(value)) for value in self._values]
        return [row for row, code in enumerate(self._codes) if passing[code]] if any(passing) else []

    def _code(self, value: Any) -> int:
        code = self._code_of.get(value)
        if code is None:
            code = self._code_of[value] = len(self._values)
            self._values.append(value)
        return code


def column_for(name: str, hint: Any) -> Column:
    """An empty column for a field of a result. ``hint``: its type."""
    if name == "candidate_id":
        return Ids()
    if hint is bool:
        return Flags("B")
    if hint is int:
        return Numbers("q")
    if hint is float:
        return Numbers("d")
    if typing.get_origin(hint) is types.UnionType and set(typing.get_args(hint)) == {int, type(None)}:
        return Counts()
    return Coded()
