"""Dataclasses as plain data and back, by their type hints: what a snapshot of a running farm is made of.

Plain data are lists, dictionaries with text as keys, text, numbers, booleans and None: JSON with NaN and infinity. A
dataclass becomes the list of its fields in order, so both sides must know the very same fields; `Codec.digest` says
whether they do. Which fields are left out, and how a class that is no dataclass is written, is up to whoever makes the
codec. Nothing is guessed: a hint that is not understood is a TypeError when the codec is made.
"""

# ruff: noqa: ANN401 - values of any type go in and come out

import hashlib
import types
import typing
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any

_Fn = Callable[[Any], Any]
#: How a class is written and read that is no dataclass, or not as one.
Special = tuple[_Fn, _Fn]


def _same(value: Any) -> Any:
    return value


class Codec:
    """Writes and reads values of the classes that are reached from ``root``.

    ``without``: fields that are left out, by class; a value read has no such attribute until it is given one.
    ``special``: ways to write and read other classes.
    """

    def __init__(
        self,
        root: type,
        *,
        without: Mapping[type, frozenset[str]] | None = None,
        special: Mapping[type, Special] | None = None,
    ) -> None:
        self._without = without or {}
        self._special = special or {}
        self._classes: dict[type, tuple[_Fn, _Fn]] = {}
        self._spelled: dict[str, str] = {}
        self._write, self._read = self._of(root)

    def write(self, value: Any) -> Any:
        """Plain data. Raises TypeError or ValueError for a value that is not what its hint says."""
        return self._write(value)

    def read(self, data: Any) -> Any:
        """The value again. Raises TypeError, ValueError, KeyError or IndexError for data that are not of this codec."""
        return self._read(data)

    def digest(self, *more: str) -> str:
        """32 hex digits over every class, its fields and their types, and over ``more``."""
        lines = [*more, *(f"{name}: {spelled}" for name, spelled in sorted(self._spelled.items()))]
        return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()

    # ---- by hint ---------------------------------------------------------------------------------------------------

    def _of(self, hint: Any) -> tuple[_Fn, _Fn]:  # noqa: PLR0911 - one for each kind of hint
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if hint in _LEAVES or origin is typing.Literal:
            return _same, _same
        if origin in (typing.Union, types.UnionType):
            return self._union(args)
        if isinstance(hint, type) and hint in self._special:
            self._spelled[hint.__qualname__] = "special"
            return self._special[hint]
        if hint in _SCALARS:
            return _SCALARS[hint]
        if origin is tuple:
            return self._tuple(args)
        if origin in (list, set, frozenset):
            return self._many(origin, args[0])
        if origin in (dict, defaultdict, Mapping):
            return self._mapping(dict, *args)
        if origin is Counter:
            return self._mapping(Counter, args[0], int)
        if isinstance(hint, type) and is_dataclass(hint):
            return self._lazily(hint)
        raise TypeError(f"{hint!r} has no plain form")

    def _union(self, arms: tuple[Any, ...]) -> tuple[_Fn, _Fn]:
        """None as itself; of one other arm its form, of several (number of the arm, its form)."""
        some = [arm for arm in arms if arm is not type(None)]
        if all(arm in _LEAVES or typing.get_origin(arm) is typing.Literal for arm in some):
            return _same, _same
        forms = [self._of(arm) for arm in some]
        if len(some) == 1:
            write, read = forms[0]
            return (lambda v: None if v is None else write(v)), (lambda d: None if d is None else read(d))
        kinds = [typing.get_origin(arm) or arm for arm in some]

        def write_arm(value: Any) -> Any:
            if value is None:
                return None
            place = next((n for n, kind in enumerate(kinds) if isinstance(value, kind)), None)
            if place is None:
                raise TypeError(f"{type(value).__name__} is none of {arms}")
            return [place, forms[place][0](value)]

        return write_arm, lambda data: None if data is None else forms[data[0]][1](data[1])

    def _tuple(self, args: tuple[Any, ...]) -> tuple[_Fn, _Fn]:
        if len(args) == 2 and args[1] is Ellipsis:
            return self._many(tuple, args[0])
        forms = [self._of(arg) for arg in args]
        return (
            lambda value: [write(part) for (write, _), part in zip(forms, value, strict=True)],
            lambda data: tuple(read(part) for (_, read), part in zip(forms, data, strict=True)),
        )

    def _many(self, kind: type, item: Any) -> tuple[_Fn, _Fn]:
        write, read = self._of(item)
        if write is _same:
            return list, kind
        return (lambda value: [write(part) for part in value]), (lambda data: kind(read(part) for part in data))

    def _mapping(self, kind: type, key: Any, item: Any) -> tuple[_Fn, _Fn]:
        (write_key, read_key), (write, read) = self._of(key), self._of(item)
        return (
            lambda value: [[write_key(k), write(v)] for k, v in value.items()],
            lambda data: kind({read_key(k): read(v) for k, v in data}),
        )

    # ---- dataclasses -----------------------------------------------------------------------------------------------

    def _lazily(self, cls: type) -> tuple[_Fn, _Fn]:
        """Through a look-up, since classes refer to each other in circles."""
        if cls not in self._classes:
            self._classes[cls] = (_same, _same)  # stands in while its own fields are looked at
            self._classes[cls] = self._dataclass(cls)
        found = self._classes

        def write(value: Any) -> Any:
            return found[cls][0](value)

        def read(data: Any) -> Any:
            return found[cls][1](data)

        return write, read

    def _dataclass(self, cls: type) -> tuple[_Fn, _Fn]:
        without = self._without.get(cls, frozenset())
        hints = typing.get_type_hints(cls)
        names = [field.name for field in fields(cls) if field.name not in without]
        if unknown := without - {field.name for field in fields(cls)}:
            raise TypeError(f"{cls.__name__} has no field {', '.join(sorted(unknown))}")
        self._spelled[cls.__qualname__] = ", ".join(f"{name}={hints[name]}" for name in names)
        forms = [(name, *self._of(hints[name])) for name in names]

        def write(value: Any) -> list[Any]:
            return [form(getattr(value, name)) for name, form, _ in forms]

        def read(data: Any) -> Any:
            made: Any = object.__new__(cls)
            for (name, _, form), part in zip(forms, data, strict=True):
                object.__setattr__(made, name, form(part))  # whether frozen or not
            return made

        return write, read


def _range_of(data: Any) -> range:
    return range(*data)


_LEAVES = frozenset({str, int, float, bool})
_SCALARS: dict[Any, Special] = {
    bytes: (bytes.hex, bytes.fromhex),
    bytearray: (bytearray.hex, bytearray.fromhex),
    range: (lambda value: [value.start, value.stop, value.step], _range_of),
    Fraction: (str, Fraction),
}
