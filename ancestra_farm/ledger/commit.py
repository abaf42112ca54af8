"""One commit of the log as a Parquet file: its columns, its seal, and what makes it damaged.

A row is an event. Attempts, of which there are as many as candidates, have typed columns (a struct, which DuckDB reads
too); every other kind is JSON in ``body``. Measured on 10,000 attempts with twelve numbers each: typed columns
encode three and decode nearly four times as fast as JSON.

The file is sealed (`sealed`): nothing of it is parsed before its digest is checked. `packs` keeps many commits as one
file and reads their rows with what stands here.
"""

import dataclasses
import hashlib
import re
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ancestra_farm.ledger.errors import LogDamaged
from ancestra_farm.ledger.sealed import check_seal, sealed, unsealed
from ancestra_farm.plan.codec import decode_event, encode_event
from ancestra_farm.plan.events import AttemptEnded, Event

#: Version of the columns below, written into every commit.
SCHEMA_VERSION = 1
_NAME = re.compile(r"log/(\d{8})\.parquet")
_LINK = "ancestra.link"
_KEYS = ("number", "epoch", "nonce", "schema", "previous", "at")


@dataclass(frozen=True, slots=True)
class Commit:
    """Some events that became true together. ``at``: seconds since the Unix epoch, by the writer's clock.

    ``digest``: SHA-256 (hex) of the file with the seal zeroed; ``previous``: the ``link`` of the commit before. That is
    its digest, save where a repair put it in the place of a lost one: then the digest that the lost one had.
    """

    number: int
    epoch: int
    nonce: str
    at: float
    events: tuple[Event, ...]
    digest: str
    previous: str
    link: str = ""

    def __post_init__(self) -> None:
        if not self.link:
            object.__setattr__(self, "link", self.digest)


def commit_path(number: int) -> str:
    """``log/00000001.parquet``."""
    return f"log/{number:08d}.parquet"


def number_of(path: str) -> int | None:
    """The number in the name of a commit; None for a file that is not named like one."""
    match = _NAME.fullmatch(path)
    return int(match[1]) if match else None


def first_link(store_id: str) -> str:
    """What the first commit of a store's log names as the digest before it: logs of two stores can't be mixed."""
    return hashlib.sha256(store_id.encode()).hexdigest()


def _column_type(name: str, hint: object) -> pa.DataType:
    if name == "phash":
        return pa.uint64()
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return _column_type(name, next(arg for arg in args if arg is not type(None)))
    if origin is typing.Literal:
        return pa.string()
    if origin is tuple:
        return pa.list_(_column_type(name, args[0]))
    if origin is dict:
        return pa.map_(_column_type(name, args[0]), _column_type(name, args[1]))
    plain: dict[object, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    return plain[hint]


#: The columns of an attempt, from the event itself, so that a field added there is kept here.
_ATTEMPT_FIELDS = tuple(field.name for field in dataclasses.fields(AttemptEnded))
_ATTEMPT = pa.struct([(name, _column_type(name, hint)) for name, hint in typing.get_type_hints(AttemptEnded).items()])
_COLUMNS = pa.schema(
    [
        ("seq", pa.int32()),
        ("kind", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("batch", pa.string()),
        ("body", pa.string()),
    ]
)
_COLUMNS_WITH_ATTEMPTS = _COLUMNS.append(pa.field("attempt", _ATTEMPT))


def encode_commit(
    events: Sequence[Event], *, number: int, epoch: int, nonce: str, previous: str, at: float, link: str = ""
) -> tuple[bytes, str]:
    """The file of a commit, and its digest. ``at`` and the times of events: seconds since the Unix epoch.

    ``link``: for repairs, the digest that the next commit names as the one before it.
    """
    attempts = [event if isinstance(event, AttemptEnded) else None for event in events]
    columns: list[Any] = [
        range(len(events)),
        [type(event).__name__ for event in events],
        [round(event.at * 1e6) for event in events],
        [getattr(event, "batch", None) for event in events],
        [None if attempt else encode_event(event)[1] for event, attempt in zip(events, attempts, strict=True)],
    ]
    schema = _COLUMNS
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    if any(attempts):
        schema = _COLUMNS_WITH_ATTEMPTS
        arrays.append(_attempt_array(attempts))
    table = pa.Table.from_arrays(arrays, schema=schema)
    values = (number, epoch, nonce, SCHEMA_VERSION, previous, repr(at))
    facts = {f"ancestra.{key}": str(fact) for key, fact in zip(_KEYS, values, strict=True)}
    return sealed(table, facts | {_LINK: link} if link else facts)


def _attempt_array(attempts: Sequence[AttemptEnded | None]) -> pa.Array:
    arrays = []
    for field in _ATTEMPT:
        values = [None if attempt is None else getattr(attempt, field.name) for attempt in attempts]
        if pa.types.is_map(field.type):
            values = [None if value is None else list(value.items()) for value in values]
        arrays.append(pa.array(values, field.type))
    missing = pa.array([attempt is None for attempt in attempts])
    return pa.StructArray.from_arrays(arrays, fields=list(_ATTEMPT), mask=missing)


def decode_commit(path: str, data: bytes, *, events: bool = True) -> Commit:
    """The commit in a file named ``path``; raises LogDamaged naming it and what is wrong.

    With ``events`` false the rows are left unread (the seal vouches for them) and the commit has none.
    """
    digest = check_seal(path, data)
    try:
        with unsealed(data) as (file, pairs):
            number, epoch, nonce, schema, previous, at = (pairs[f"ancestra.{key}"] for key in _KEYS)
            if int(schema) != SCHEMA_VERSION:
                raise LogDamaged(f"{path} has schema version {schema}; this Ancestra Farm reads {SCHEMA_VERSION}")
            found = decode_events(file.read(use_threads=False)) if events else ()
        commit = Commit(int(number), int(epoch), nonce, float(at), found, digest, previous, pairs.get(_LINK, ""))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise LogDamaged(f"{path} cannot be read as a commit: {type(error).__name__}: {error}") from error
    if commit.number != number_of(path):
        raise LogDamaged(f"{path} holds commit {commit.number}: it has been renamed or copied")
    return commit


def decode_events(table: pa.Table) -> tuple[Event, ...]:
    """The events in the rows of a commit, or of several. Raises ValueError, KeyError or TypeError."""
    kinds, bodies = table["kind"].to_pylist(), table["body"].to_pylist()
    attempts = iter(_decode_attempts(table["attempt"].combine_chunks()) if "attempt" in table.column_names else ())
    return tuple(
        next(attempts) if body is None else decode_event(kind, body) for kind, body in zip(kinds, bodies, strict=True)
    )


def attempts_as_now(rows: pa.Table) -> pa.Table:
    """Rows of a commit with the attempts' columns as this version writes them, whatever version wrote them.

    Raises ValueError where the file has columns that this version does not know: they would be lost.
    """
    place = rows.schema.get_field_index("attempt")
    if place < 0:
        return rows
    names = tuple(field.name for field in rows.schema.field(place).type)
    if names == _ATTEMPT_FIELDS:
        return rows
    if unknown := sorted(set(names) - set(_ATTEMPT_FIELDS)):
        raise ValueError(f"attempts have columns that this version does not know: {', '.join(unknown)}")
    column = rows.column(place).combine_chunks()
    found = iter(_decode_attempts(column))
    attempts = [next(found) if there else None for there in column.is_valid().to_pylist()]
    return rows.set_column(place, pa.field("attempt", _ATTEMPT), _attempt_array(attempts))


def _decode_attempts(column: pa.StructArray) -> list[AttemptEnded]:
    """The attempts among the rows. A field that this version has and the file has not takes its default."""
    there = column.drop_null()
    names = [field.name for field in there.type if field.name in _ATTEMPT_FIELDS]
    values: list[list[Any]] = []
    for name in names:
        child = there.field(name)
        rows = child.to_pylist()
        if pa.types.is_map(child.type):
            rows = [dict(row) for row in rows]
        elif pa.types.is_list(child.type):
            rows = [tuple(row) for row in rows]
        values.append(rows)
    if tuple(names) == _ATTEMPT_FIELDS:
        return [AttemptEnded(*row) for row in zip(*values, strict=True)]
    return [AttemptEnded(**dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)]
