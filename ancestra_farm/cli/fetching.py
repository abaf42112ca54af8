"""Finished work brought to this machine: what `sync` does about each version of a shot.

A version is fetched file by file, each checked against its manifest before it gets its name, and the manifest last:
where that lies, the version is whole. What is here already is not fetched again, and what is here and differs is never
written over. A file that was cut off goes on at the length that it came to, in this run or in the next; whether it is
the right one its digest says at the end. Of several who fetch into one folder, one at a time is at work on a file.
"""

import fcntl
import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from ancestra_farm.cli.failures import FAILED, CommandFailed
from ancestra_farm.cli.listing import column, number

if TYPE_CHECKING:
    from ancestra_farm.api.client import Client
    from ancestra_farm.cli.live import View
    from ancestra_farm.ledger.store import Store
    from ancestra_farm.scheduler.progress import ShotProgress

MANIFEST = "MANIFEST.json"
#: Of a file that is not whole yet.
PART = ".part"
#: Bytes that are asked of a store at once: through a line of 30 kB a second they come in the time that a call may take.
BLOCK_BYTES = 2**24
#: Looks at which a version that did not come whole is left alone, at most: what is damaged is fetched only to find out.
MOST_LOOKS = 4096

_OTHER = "another file is here; it stays"


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file of a version. ``state``: ``fetched``, ``here`` (already), or what is wrong with it."""

    file: str = column("file")
    bytes: int = column("bytes", number)
    state: str = column("state")

    @property
    def sound(self) -> bool:
        """Whether it is here as its manifest has it."""
        return self.state in {"fetched", "here"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be fetched. ``kinds``: empty: all."""

    picked: bool
    kinds: frozenset[str]

    def takes(self, version: str) -> bool:
        """Whether this version is wanted."""
        return not self.picked or version.startswith("v")


class Source(Protocol):
    """Where files are fetched from: a store, or a farm that is known by its door alone."""

    def block(self, path: str, offset: int) -> bytes:
        """Bytes of a file from an offset on, none only at its end. Raises NotThere, OrderRefused."""


@dataclass(frozen=True, slots=True)
class FromStore:
    """Files as the store has them. Raises NotThere, StoreUnavailable."""

    store: "Store"

    def block(self, path: str, offset: int) -> bytes:
        """See `Source`."""
        return self.store.read_block(path, offset, BLOCK_BYTES)


@dataclass(frozen=True, slots=True)
class ThroughDoor:
    """Finished work as the farm at work hands it out. ``line_s``: so long a door that does not answer is asked again.

    Raises OrderRefused, EndpointGone, NotAllowed.
    """

    client: "Client"
    line_s: float

    def block(self, path: str, offset: int) -> bytes:
        """See `Source`."""
        from ancestra_farm.api.uploading import patiently

        _, show, shot, version, file = path.split("/", 4)
        return patiently(lambda: self.client.delivered(show, shot, version, file, offset), self.line_s)


def source_of(seen: "View") -> Source:
    """Where the finished work of a farm is fetched from."""
    from ancestra_farm.cli.live import Live
    from ancestra_farm.ledger.store import Store

    if isinstance(seen.store, Store):
        return FromStore(seen.store)
    from ancestra_farm.api.uploading import LINE_S

    assert isinstance(seen, Live), "behind a door only a controller answers"
    return ThroughDoor(seen.client, LINE_S)


class Fetcher:
    """Fetches versions of one farm into one folder.

    What came, or was here, it looks at once in its life; a version that did not come whole again and again, at ever
    fewer looks. ``kinds``: of files that it met, wanted or not; ``at_work``: it is in the middle of a look.
    """

    def __init__(self, source: Source, to: Path, wanted: Wanted) -> None:
        self._source = source
        self._to = to
        self._wanted = wanted
        self._done: set[str] = set()
        self._told: dict[str, FileRow] = {}
        self._rests: dict[str, _Rest] = {}
        self.kinds: set[str] = set()
        self.at_work = False

    def fetch(self, progress: "Iterable[ShotProgress]", *, last: bool = True) -> Iterator[FileRow]:
        """Whatever of these shots is published, wanted and not known to be here; a row for each file, once, in order.

        ``last``: no look follows, so that nothing is left alone for now.
        """
        from ancestra_farm.scheduler.stitches import delivery_folder

        self.at_work = True
        for one in progress:
            for version in one.versions:
                folder = delivery_folder(one.show, one.shot, version)
                if folder in self._done or not self._wanted.takes(version):
                    continue
                rest = self._rests.setdefault(folder, _Rest())
                if rest.goes_on() and not last:
                    continue
                sound = True
                for row in self._version(folder, f"{one.show}/{one.shot}/{version}"):
                    sound = sound and row.sound
                    if self._told.get(row.file) != row:
                        self._told[row.file] = row
                        yield row
                if sound:
                    self._done.add(folder)
                else:
                    rest.begin()
        self.at_work = False

    def _version(self, folder: str, below: str) -> Iterator[FileRow]:
        from ancestra_farm.ledger.errors import NotThere
        from ancestra_farm.scheduler.world import OrderRefused

        target = self._place(f"{below}/{MANIFEST}")
        try:
            manifest = b"".join(self._blocks(f"{folder}/{MANIFEST}"))
        except (NotThere, OrderRefused) as error:
            yield FileRow(str(target), 0, _why(error))
            return
        entries = entries_of(folder, manifest)
        whole = True
        self.kinds |= {entry.kind for entry in entries}
        for entry in entries:
            if self._wanted.kinds and entry.kind not in self._wanted.kinds:
                whole = False
                continue
            row = self._file(f"{folder}/{entry.name}", f"{below}/{entry.name}", entry)
            whole = whole and row.sound
            yield row
        if whole:  # the manifest says that all of it is here
            yield _kept(target, manifest)

    def _file(self, path: str, below: str, entry: "Entry") -> FileRow:
        from ancestra_farm.ledger.materials import file_sha256

        target = self._place(below)
        known = self._told.get(str(target))
        if known is not None and known.sound:
            return known
        with _unfinished(target) as part:
            if part is not None:
                return FileRow(str(target), entry.bytes, self._brought(path, target, part, entry))
        same = target.is_file() and target.stat().st_size == entry.bytes and file_sha256(target) == entry.sha256
        return FileRow(str(target), entry.bytes, "here" if same else _OTHER)

    def _brought(self, path: str, target: Path, part: BinaryIO, entry: "Entry") -> str:
        """Fetch what is missing of a file, and give it its name; how that went."""
        from ancestra_farm.ledger.errors import NotThere
        from ancestra_farm.ledger.materials import file_sha256, settle
        from ancestra_farm.scheduler.world import OrderRefused

        unfinished = Path(part.name)
        while True:
            offset = part.seek(0, os.SEEK_END)
            try:
                for block in self._blocks(path, offset, entry.bytes):
                    part.write(block)
            except (NotThere, OrderRefused) as error:
                if isinstance(error, NotThere):
                    unfinished.unlink()
                return _why(error)
            part.flush()
            if file_sha256(unfinished) == entry.sha256:
                settle(unfinished, target)
                return "fetched"
            part.truncate(0)
            if not offset:
                unfinished.unlink()
                return "damaged in the store: not what its manifest says"
            # What lay here was the beginning of something else: once more, from the first byte on.

    def _blocks(self, path: str, offset: int = 0, until: float = math.inf) -> Iterator[bytes]:
        while offset < until and (block := self._source.block(path, offset)):
            yield block
            offset += len(block)

    def _place(self, below: str) -> Path:
        from ancestra_farm.batch.urls import safe_join

        try:
            return Path(safe_join(self._to, below))
        except ValueError as error:
            raise CommandFailed(f"the manifest of {below} names a file that would leave {self._to}: {error}") from error


@dataclass(slots=True)
class _Rest:
    """For how many looks a version is left alone: ``left`` of ``looks``, twice as many each time."""

    looks: int = 0
    left: int = 0

    def goes_on(self) -> bool:
        """Whether one look more passes without it."""
        self.left -= 1
        return self.left >= 0

    def begin(self) -> None:
        """It did not come whole."""
        self.left = self.looks = min(2 * self.looks or 1, MOST_LOOKS)


def _kept(target: Path, manifest: bytes) -> FileRow:
    """The manifest of a version that is here, put beside it."""
    from ancestra_farm.ledger.materials import settle

    with _unfinished(target) as part:
        if part is not None:
            part.truncate(0)
            part.write(manifest)
            part.flush()
            settle(Path(part.name), target)
            return FileRow(str(target), len(manifest), "fetched")
    same = target.is_file() and target.read_bytes() == manifest
    return FileRow(str(target), len(manifest), "here" if same else _OTHER)


@contextmanager
def _unfinished(target: Path) -> Iterator[BinaryIO | None]:
    """The unfinished file of ``target``, opened at its end, for one process at a time; None where ``target`` is there.

    Others wait, and a lock dies with its holder.
    """
    part = target.with_name(target.name + PART)
    target.parent.mkdir(parents=True, exist_ok=True)
    while not target.exists():
        with part.open("ab") as opened:
            with suppress(OSError):  # of a file system that knows no locks
                fcntl.flock(opened, fcntl.LOCK_EX)
            if not _is_at(part, opened):
                continue  # whoever held it before has given it its name, or thrown it away
            if target.exists():
                part.unlink()  # opened after whoever held it before had given it its name
                break
            yield opened
            return
    yield None


def _is_at(path: Path, opened: BinaryIO) -> bool:
    """Whether an open file is the one of this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(opened.fileno()))
    except FileNotFoundError:
        return False


def _why(error: Exception) -> str:
    """Why a file did not come."""
    from ancestra_farm.ledger.errors import NotThere

    return "gone from the store" if isinstance(error, NotThere) else f"not handed out: {error}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as its manifest has it. ``name``: relative to the version's folder; ``sha256``: hex."""

    kind: str
    name: str
    sha256: str
    bytes: int


def entries_of(folder: str, manifest: bytes) -> list[Entry]:
    """The files that a manifest names. Raises CommandFailed for what is no manifest."""
    try:
        found: Any = json.loads(manifest)
        return [
            Entry(str(one["kind"]), str(one["name"]), str(one["sha256"]), int(one["bytes"])) for one in found["files"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise CommandFailed(f"{folder}/{MANIFEST} is damaged; `ancestra verify` says more", FAILED) from error
