"""Checking a whole store: every commit, every referenced file, and that the tables say what the log says.

Nothing is repaired here. What is wrong is a problem; what is merely worth knowing is a note: media that nothing refers
to (a killed host leaves some), tables that are behind the log (they are refreshed by the next run).
"""

import hashlib
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa

from ancestra_farm.batch.materials import digests_in
from ancestra_farm.ledger.columns import TABLES
from ancestra_farm.ledger.commit import Commit, commit_path, decode_commit
from ancestra_farm.ledger.errors import LogDamaged, NotThere, StoreError, StoreUnavailable
from ancestra_farm.ledger.materials import FOLDER as MATERIALS
from ancestra_farm.ledger.materials import sha256_of
from ancestra_farm.ledger.packs import LogFiles, decode_pack
from ancestra_farm.ledger.read import parts_of
from ancestra_farm.ledger.snapshot import FOLDER as SNAPSHOTS
from ancestra_farm.ledger.snapshot import decode_snapshot
from ancestra_farm.ledger.store import DAMAGED, Store, material_path
from ancestra_farm.ledger.tables import EMPTY_PART, THROUGH_PATH, Projection, decode_part, part_path
from ancestra_farm.ledger.tail import Tail
from ancestra_farm.plan.events import BatchSubmitted, Repaired

_FRAGMENT = re.compile(r"xywh=\d+,\d+,\d+,\d+")
_MEDIUM = re.compile(r"media/([0-9a-f]{2})/(\1[0-9a-f]{62})\.[a-z0-9]{1,8}")
#: Files read at once: hashing leaves Python's lock, and a bucket answers in parallel.
_READERS = 8


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` found. ``problems`` is empty for a sound store.

    ``candidates``: rows; ``undecided``: of these, released and still open; ``media``: files under ``media/``;
    ``orphans``: of these, referred to by no row; ``materials``: files that submissions name; ``bytes``: size of all
    commits, media, material and delivered files.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    commits: int
    void: int
    events: int
    candidates: int
    undecided: int
    media: int
    orphans: int
    materials: int
    deliveries: int
    bytes: int


@dataclass(slots=True)
class _Findings:
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    commits: int = 0
    void: int = 0
    events: int = 0
    media: int = 0
    orphans: int = 0
    deliveries: int = 0
    bytes: int = 0
    #: whose each material is, by its digest
    materials: dict[str, str] = field(default_factory=dict)


def verify(store: Store) -> Report:
    """Check the whole store and say everything that is wrong with it. Raises StoreUnavailable only.

    May run beside a controller: files that appear meanwhile are not held against it.
    """
    found = _Findings()
    tables = _TableCheck(store, found)
    projection = Projection()
    sound = _check_log(store, found, projection, tables)
    found.problems += projection.oddities
    undecided, stuck = projection.undecided()
    if sound:
        found.problems += stuck
        tables.finish(projection)
    candidates = _check_files(store, found, projection)
    _check_materials(store, found)
    _check_rest(store, found)
    return Report(
        problems=tuple(found.problems),
        notes=tuple(found.notes),
        commits=found.commits,
        void=found.void,
        events=found.events,
        candidates=candidates,
        undecided=undecided,
        media=found.media,
        orphans=found.orphans,
        materials=len(found.materials),
        deliveries=found.deliveries,
        bytes=found.bytes,
    )


def _check_log(store: Store, found: _Findings, projection: Projection, tables: "_TableCheck") -> bool:
    """Fold the log as far as it can be trusted; whether that was to its end."""
    files = LogFiles(store.list("log"))
    found.problems += [f"{path} is not named like a commit" for path in files.others]
    if not files.last:
        found.notes.append("the log is empty")
    if files.leftovers:
        found.notes.append(f"{len(files.leftovers)} commits lie beside the pack that holds them and count for nothing")
    tail, trusted, number = Tail(store), True, 0
    while number < files.last:
        if files.pack_with(number + 1) is None and not store.exists(commit_path(number + 1)):
            files = LogFiles(store.list("log"))  # it may have been packed meanwhile
        pack = files.pack_with(number + 1)
        path = commit_path(number + 1) if pack is None else pack.path
        try:
            data = store.read(path)
            found.bytes += len(data)
            commits = iter([decode_commit(path, data)]) if pack is None else decode_pack(path, data, after=number)
            for commit in commits:
                found.commits += 1
                _count(tail.follow(path, commit) if trusted else commit, path, found, projection, tables, trusted)
        except NotThere:
            found.problems.append(f"{path} is missing though later commits are there")
            trusted = False
        except (LogDamaged, StoreUnavailable) as damage:
            found.problems.append(str(damage))
            trusted = False
        number = number + 1 if pack is None else pack.last
    if not trusted:
        found.notes.append(f"the log is trusted up to commit {tail.number}; what lies after it was not folded")
        found.notes.append(
            "nobody writes to a damaged log; `ancestra repair` saves what can be saved (--dry-run first)"
        )
    return trusted


def _count(
    commit: Commit | None,
    path: str,
    found: _Findings,
    projection: Projection,
    tables: "_TableCheck",
    trusted: bool,  # noqa: FBT001 - private
) -> None:
    if commit is None:
        found.void += 1
    elif trusted:
        _fold(commit, path, found, projection, tables)


def _fold(commit: Commit, path: str, found: _Findings, projection: Projection, tables: "_TableCheck") -> None:
    found.events += len(commit.events)
    for event in commit.events:
        if isinstance(event, Repaired):
            _note_repair(commit.number, event, found)
        elif isinstance(event, BatchSubmitted):
            for digest, whose in digests_in(event.document).items():
                found.materials.setdefault(digest, f"{whose} of batch {event.batch}")
    try:
        projection.fold(commit)
    except (ValueError, KeyError, IndexError) as error:
        place = "" if path == commit_path(commit.number) else f" (commit {commit.number})"
        found.problems.append(f"{path}{place} says what cannot be folded: {type(error).__name__}: {error}")
    tables.compare(projection, commit.number)


def _note_repair(number: int, event: Repaired, found: _Findings) -> None:
    where = f"; its file is {event.was}" if event.was else ""
    found.notes.append(f"commit {number} was lost and stands repaired by {event.who} ({event.what}){where}")


def _check_rest(store: Store, found: _Findings) -> None:
    """What nothing rests on: snapshots, files in the making, what repairs set aside."""
    for path in store.list(SNAPSHOTS):
        try:
            decode_snapshot(path, store.read(path), store.id)
        except NotThere:
            continue
        except (LogDamaged, StoreUnavailable) as damage:
            found.problems.append(f"{damage}; it is passed over, and starting takes longer until the next one is there")
    making = sum(1 for _ in store.leftovers())
    if making:
        found.notes.append(f"{making} files are in the making, or were left by the killed (`ancestra gc`)")
    aside = len(store.list(DAMAGED))
    if aside:
        found.notes.append(f"{aside} files that repairs set aside lie in {DAMAGED}/; nothing needs them")


class _TableCheck:
    """The parts of the tables, each compared with the log as of the commit through which it was written."""

    def __init__(self, store: Store, found: _Findings) -> None:
        self._store = store
        self._found = found
        self._complete = self._complete_through()
        self._waiting: dict[int | None, list[tuple[str, str, str, str]]] = {}
        self._seen: set[str] = set()
        self._due: set[str] = set()
        for table in TABLES:
            for path, batch, shot in parts_of(store, table):
                self._seen.add(path)
                read = self._read(path)
                if read is not None:
                    self._waiting.setdefault(read[1], []).append((path, table, batch, shot))

    def _complete_through(self) -> int | None:
        try:
            return int(self._store.read(THROUGH_PATH))
        except NotThere:
            return None
        except ValueError:
            self._found.problems.append(f"{THROUGH_PATH} does not hold a number")
            return None

    def _read(self, path: str) -> tuple[pa.Table, int | None] | None:
        try:
            return decode_part(self._store.read(path))
        except NotThere:
            return None
        except (pa.ArrowException, OSError, ValueError) as error:
            self._found.problems.append(f"{path} cannot be read ({error}); the tables can be made anew from the log")
            return None

    def compare(self, projection: Projection, number: int | None) -> None:
        """Compare the parts that were written through commit ``number``."""
        waiting = self._waiting.pop(number, [])
        known = set(projection.parts()) if waiting or number == self._complete else set()
        for path, table, batch, shot in waiting:
            read = self._read(path)
            if read is None or read[1] != number:
                continue  # written again since
            if (table, batch, shot) not in known:
                self._found.problems.append(f"{path} has rows of a shot that the log does not know")
            elif not same_rows(read[0], projection.table(table, batch, shot)):
                if number is None:
                    self._found.notes.append(f"{path} is behind the log, or differs from it")
                else:
                    self._found.problems.append(f"{path} does not say what the log says as of commit {number}")
        if number is not None and number == self._complete:
            self._due = {part_path(*part) for part in known}

    def finish(self, projection: Projection) -> None:
        """After the last commit: what is left over knows of commits that are not there."""
        self.compare(projection, None)
        last = projection.through or 0
        for number in sorted(key for key in self._waiting if key is not None):
            for path, *_ in self._waiting[number]:
                self._found.problems.append(
                    f"{path} was written through commit {number}, but the log ends at {last}: commits are missing there"
                )
        if self._complete is not None:
            self._due |= {f"tables/{table}/{EMPTY_PART}" for table in TABLES}
            if self._complete < last:
                self._found.notes.append(f"the tables are complete through commit {self._complete} of {last}")
        self._found.problems += [
            f"{path} is missing; the tables can be made anew from the log"
            for path in sorted(self._due - self._seen)
            if not self._store.exists(path)
        ]


def same_rows(left: pa.Table, right: pa.Table) -> bool:
    """Whether two tables have the same rows in the same order; NaN equals NaN here."""
    if left.schema.names != right.schema.names or left.schema.types != right.schema.types:
        return False
    if left.num_rows != right.num_rows:
        return False
    # Text, because NaN differs from itself in Arrow as in Python; only columns that differ are spelled out.
    return all(
        a.equals(b) or repr(a.to_pylist()) == repr(b.to_pylist())
        for a, b in zip(left.columns, right.columns, strict=True)
    )


def _check_files(store: Store, found: _Findings, projection: Projection) -> int:
    """Every medium, thumbnail and delivered file that a row names; the number of candidates."""
    candidates = 0
    referenced: dict[str, str] = {}
    deliveries: dict[str, tuple[str, str | None]] = {}
    for part in projection.parts():
        table = part[0]
        if table == "candidates":
            rows = projection.table(*part).select(["candidate_id", "media", "thumbnail"])
            candidates += rows.num_rows
            for name, medium, thumbnail in zip(*(column.to_pylist() for column in rows.columns), strict=True):
                _note_medium(found, referenced, name, medium, thumbnail)
        elif table == "deliveries":
            for row in projection.table(*part).to_pylist():
                deliveries[row["path"]] = (f"{row['shot']} {row['version']}", row["sha256"])
    there = set(store.list("media"))
    found.media, found.orphans = len(there), len(there - set(referenced))
    if found.orphans:
        found.notes.append(f"{found.orphans} media are referred to by no row")
    found.problems += [f"{path} is not named like a medium" for path in sorted(there) if not _MEDIUM.fullmatch(path)]
    checked = ((path, _MEDIUM.fullmatch(path), who) for path, who in referenced.items())
    _check_digests(store, found, [(path, match[2] if match else None, who) for path, match, who in checked])
    found.deliveries = len(deliveries)
    for folder in sorted({"/".join(path.split("/")[:4]) for path in deliveries}):
        if not store.exists(f"{folder}/MANIFEST.json"):
            found.problems.append(f"{folder}/MANIFEST.json is missing: the version counts as unpublished")
    _check_digests(store, found, [(path, sha256, who) for path, (who, sha256) in deliveries.items()])
    return candidates


def _note_medium(
    found: _Findings, referenced: dict[str, str], candidate: str, medium: str | None, thumbnail: str | None
) -> None:
    if medium is not None:
        referenced.setdefault(medium, f"candidate {candidate}")
    if thumbnail is not None:
        path, _, fragment = thumbnail.partition("#")
        referenced.setdefault(path, f"the thumbnail of candidate {candidate}")
        if not _FRAGMENT.fullmatch(fragment):
            found.problems.append(f"candidate {candidate}: thumbnail {thumbnail} names no place on its sheet")
    for path in filter(None, (medium, thumbnail and thumbnail.partition("#")[0])):
        if not _MEDIUM.fullmatch(path):
            found.problems.append(f"candidate {candidate}: {path} is not the name of a medium")


def _check_materials(store: Store, found: _Findings) -> None:
    """Every file that a submission names; what nothing names is only told of."""
    named = {material_path(sha256_of(digest)): (sha256_of(digest), whose) for digest, whose in found.materials.items()}
    spare = len(set(store.list(MATERIALS)) - set(named))
    if spare:
        found.notes.append(f"{spare} materials are named by no batch (`ancestra gc`)")
    _check_digests(store, found, [(path, sha256, whose) for path, (sha256, whose) in named.items()])


def _check_digests(store: Store, found: _Findings, files: Iterable[tuple[str, str | None, str]]) -> None:
    """Read each file (path, SHA-256 or None, whose it is) and compare."""

    def check(item: tuple[str, str | None, str]) -> tuple[int, str | None]:
        path, stated, whose = item
        try:
            size, digest = _digest(store, path)
        except NotThere:
            return 0, f"{path} of {whose} is missing"
        except StoreError as error:
            return 0, f"{path} of {whose} cannot be read: {error}"
        if stated is not None and digest != stated:
            return size, f"{path} of {whose} has been changed: its SHA-256 is {digest}, not {stated}"
        return size, None

    with ThreadPoolExecutor(_READERS, thread_name_prefix="verify") as pool:
        for size, problem in pool.map(check, files):
            found.bytes += size
            if problem:
                found.problems.append(problem)


def _digest(store: Store, path: str) -> tuple[int, str]:
    """Length and SHA-256 of a file; one on this machine is never read into memory whole."""
    local = store.local_path(path)
    if local is None:
        data = store.read(path)
        return len(data), hashlib.sha256(data).hexdigest()
    size = store.size(path)
    try:
        with local.open("rb") as file:
            return size, hashlib.file_digest(file, "sha256").hexdigest()
    except IsADirectoryError as error:
        raise NotThere(f"{path} is a folder") from error
