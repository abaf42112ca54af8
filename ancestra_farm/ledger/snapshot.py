"""Snapshots: what was folded from the log up to some commit, kept so that a start need not fold all of it again.

``snapshots/00001234.parquet`` is what was known as of commit 1234, in sections, each with the version of the code that
wrote it. A snapshot is sealed like a commit, written whole, and holds plain data and bytes only. It is a convenience:
one that cannot be read, is of another version, or does not lie on the log is passed over, and whoever starts takes an
older one or folds the log from its beginning. What the sections mean is not known here.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ancestra_farm.ledger.errors import LogDamaged, NotThere
from ancestra_farm.ledger.packs import last_number, link_of
from ancestra_farm.ledger.points import reached
from ancestra_farm.ledger.sealed import check_seal, sealed, unsealed
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import Mark

FOLDER = "snapshots"
#: Version of the form below. What the sections hold has versions of its own.
FORM = 1
#: How many are kept: where the newest cannot be read, the one before it saves most of the folding.
KEPT = 2
#: The name under which it is kept where the tables stood, as `Projection.kept` tells it.
KEPT_TABLES = "tables"
_PIECE_BYTES = 4 << 20
_NAME = re.compile(rf"{FOLDER}/(\d{{8}})\.parquet")
_SCHEMA = pa.schema([("section", pa.string()), ("data", pa.large_binary())])


@dataclass(frozen=True, slots=True)
class Section:
    """What one part of the farm knows. ``plain``: JSON, with NaN and infinity; ``blobs``: what it refers to by place.

    ``version``: only the code that names the same one can read it.
    """

    version: str
    plain: Any
    blobs: tuple[bytes | memoryview, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was known as of the commit at ``mark``."""

    mark: Mark
    sections: dict[str, Section]


def snapshot_path(number: int) -> str:
    """``snapshots/00001234.parquet``."""
    return f"{FOLDER}/{number:08d}.parquet"


def write_snapshot(store: Store, snapshot: Snapshot) -> int:
    """Write a snapshot and let older ones go; its size in bytes. Durable on return."""
    data = encode_snapshot(snapshot, store.id)
    store.replace(snapshot_path(snapshot.mark.number), data)
    reached("snapshot.after_write")
    for _, path in _listed(store)[KEPT:]:
        store.delete(path)
    return len(data)


def snapshots(store: Store) -> Iterator[Snapshot]:
    """Those that can be read and lie on the log, newest first. Raises StoreUnavailable only."""
    found = _listed(store)
    last = last_number(store) if found else 0
    for number, path in found:
        if number > last:
            continue  # the log is that of an earlier time: somebody put an older copy of it back
        try:
            snapshot = decode_snapshot(path, store.read(path), store.id)
            if snapshot.mark.number == number and link_of(store, number) == snapshot.mark.digest:
                yield snapshot
        except (LogDamaged, NotThere):
            continue


def write_kept(store: Store, name: str, kept: Snapshot) -> None:
    """Keep something else that was folded, under a name of its own: the newest alone. Durable on return."""
    store.replace(f"{FOLDER}/{name}.parquet", encode_snapshot(kept, store.id))


def read_kept(store: Store, name: str) -> Snapshot | None:
    """What was kept under a name, if it can be read and lies on the log."""
    path = f"{FOLDER}/{name}.parquet"
    try:
        kept = decode_snapshot(path, store.read(path), store.id)
        if kept.mark.number <= last_number(store) and link_of(store, kept.mark.number) == kept.mark.digest:
            return kept
    except (LogDamaged, NotThere):
        pass
    return None


def forget_snapshots(store: Store) -> None:
    """Delete them all: the log does not mean any more what it meant when they were taken."""
    for path in store.list(FOLDER):
        store.delete(path)


def _listed(store: Store) -> list[tuple[int, str]]:
    """(number, path) of every snapshot, newest first."""
    paths = store.list(FOLDER)
    return sorted(((int(match[1]), path) for path in paths if (match := _NAME.fullmatch(path))), reverse=True)


def encode_snapshot(snapshot: Snapshot, store_id: str) -> bytes:
    """The file of a snapshot."""
    names: list[str] = []
    pieces: list[bytes] = []
    heads = {}
    for name, section in snapshot.sections.items():
        body = b"".join([json.dumps(section.plain).encode(), *section.blobs])
        lengths = [len(body) - sum(map(len, section.blobs)), *map(len, section.blobs)]
        heads[name] = {"version": section.version, "lengths": lengths}
        for start in range(0, len(body), _PIECE_BYTES):
            names.append(name)
            pieces.append(body[start : start + _PIECE_BYTES])
    mark = snapshot.mark
    facts = {
        "ancestra.snapshot": str(FORM),
        "ancestra.store": store_id,
        "ancestra.mark": json.dumps([mark.number, mark.epoch, mark.digest, list(mark.aside.items())]),
        "ancestra.sections": json.dumps(heads),
    }
    table = pa.Table.from_arrays([pa.array(names, pa.string()), pa.array(pieces, pa.large_binary())], schema=_SCHEMA)
    return sealed(table, facts, rows_per_group=16)[0]


def decode_snapshot(path: str, data: bytes, store_id: str) -> Snapshot:
    """The snapshot in a file. Raises LogDamaged for one that cannot be read, is of another form or of another store."""
    check_seal(path, data, "a snapshot")
    try:
        with unsealed(data) as (file, facts):
            if int(facts["ancestra.snapshot"]) != FORM or facts["ancestra.store"] != store_id:
                raise LogDamaged(f"{path} is of another form or of another store")
            number, epoch, digest, aside = json.loads(facts["ancestra.mark"])
            heads = json.loads(facts["ancestra.sections"])
            # Piece by piece: a snapshot is large, and nothing of it is held twice.
            bodies = {name: bytearray() for name in heads}
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, use_threads=False)
                for name, piece in zip(table["section"].to_pylist(), table["data"], strict=True):
                    bodies[name] += piece.as_buffer()
        pa.default_memory_pool().release_unused()  # its columns were as large as all that is known
        sections = {name: _section(head, memoryview(bodies[name])) for name, head in heads.items()}
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise LogDamaged(f"{path} cannot be read as a snapshot: {type(error).__name__}: {error}") from error
    mark = Mark(number, epoch, digest, {int(commit): tuple(places) for commit, places in aside})
    return Snapshot(mark, sections)


def _section(head: dict[str, Any], body: memoryview) -> Section:
    parts, place = [], 0
    for length in head["lengths"]:
        parts.append(body[place : place + length])
        place += length
    if place != len(body):
        raise ValueError("a section is longer or shorter than it says")
    return Section(head["version"], json.loads(bytes(parts[0])), tuple(parts[1:]))
