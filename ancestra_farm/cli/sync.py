"""``ancestra sync``: finished work on this machine, as it appears.

A version is fetched file by file, each checked against its manifest before it gets its name, and the manifest last:
where that lies, the version is whole. What is here already is not fetched again, and what is here and differs is never
written over.
"""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from ancestra_farm.cli.failures import FAILED, CommandFailed
from ancestra_farm.cli.listing import column, json_keys, number, print_json
from ancestra_farm.cli.options import BatchOption, JsonOption, StoreOption

if TYPE_CHECKING:
    from ancestra_farm.api.client import Client
    from ancestra_farm.cli.live import View
    from ancestra_farm.scheduler.progress import ShotProgress

MANIFEST = "MANIFEST.json"
#: Seconds between two looks for new versions.
LOOK_S = 1.0
#: Of a file that is not whole yet.
PART = ".part"
_ENDED = frozenset({"done", "failed", "starved", "cancelled"})


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file of a version. ``state``: ``fetched``, ``here`` (already), or what is wrong with it."""

    file: str = column("file")
    bytes: int = column("bytes", number)
    state: str = column("state")


EPILOG = json_keys(FileRow)


def sync(
    to: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where it goes on this machine.", show_default=False)],
    store: StoreOption,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on as work is finished, until all that is meant has ended, or Ctrl-C."),
    ] = False,
    batch: BatchOption = None,
    shot: Annotated[str | None, typer.Option("--shot", help="Only of this shot.", show_default=False)] = None,
    picked: Annotated[bool, typer.Option("--picked", help="Only v001, v002, …, which people picked.")] = False,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Only files of this kind: mp4, master, otio, report, …", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch finished versions into FOLDER/SHOW/SHOT/VERSION, each file once and checked; repeat it to go on."""
    from ancestra_farm.cli.live import view

    seen = view(store)
    wanted = Wanted(picked, frozenset(kinds or ()))
    seen.progress(batch, shot)  # says what is not there before anything is made
    fetcher = Fetcher(source_of(seen), to, wanted)
    rows: list[FileRow] = []
    with suppress(KeyboardInterrupt):
        while True:
            progress = seen.progress(batch, shot)
            for row in fetcher.fetch(progress):
                rows.append(row)
                if not as_json and row.state != "here":
                    typer.echo(f"{row.state}: {row.file} ({row.bytes:,} bytes)")
            named = batch is not None or shot is not None
            if not follow or (named and all(one.state in _ENDED for one in progress)):
                break
            time.sleep(LOOK_S)
            seen = looked(seen)
    if fetcher.kinds and (missing := wanted.kinds - fetcher.kinds):
        there_are = ", ".join(sorted(fetcher.kinds))
        typer.echo(f"nothing published is of the kind {', '.join(sorted(missing))}; there are: {there_are}", err=True)
    if as_json:
        print_json(rows)
    else:
        there, fetched = (sum(row.state == state for row in rows) for state in ("here", "fetched"))
        failed = len(rows) - there - fetched
        typer.echo(
            f"{fetched:,} files fetched to {to}, {there:,} were there already"
            + (f", {failed:,} not (see above)" if failed else "")
        )
    if any(row.state not in {"fetched", "here"} for row in rows):
        raise typer.Exit(FAILED)


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

    def read(self, path: str) -> bytes:
        """All bytes of a file. Raises NotThere."""

    def fetch(self, path: str, file: Path) -> None:
        """Copy a file to this machine. Raises NotThere."""


@dataclass(frozen=True, slots=True)
class ThroughDoor:
    """Finished work as the farm at work hands it out, a block at a time. Raises NotThere, EndpointGone, NotAllowed."""

    client: "Client"

    def read(self, path: str) -> bytes:
        """See `Source`."""
        return b"".join(self._blocks(path))

    def fetch(self, path: str, file: Path) -> None:
        """See `Source`."""
        with file.open("wb") as copy:
            for block in self._blocks(path):
                copy.write(block)

    def _blocks(self, path: str) -> Iterator[bytes]:
        from ancestra_farm.ledger.errors import NotThere
        from ancestra_farm.scheduler.world import OrderRefused

        _, show, shot, version, file = path.split("/", 4)
        offset = 0
        while True:
            try:
                block = self.client.delivered(show, shot, version, file, offset)
            except OrderRefused as refused:
                raise NotThere(str(refused)) from refused
            if not block:
                return
            yield block
            offset += len(block)


def source_of(seen: "View") -> Source:
    """Where the finished work of a farm is fetched from."""
    from ancestra_farm.cli.live import Live
    from ancestra_farm.ledger.store import Store

    if isinstance(seen.store, Store):
        return seen.store
    assert isinstance(seen, Live), "behind a door only a controller answers"
    return ThroughDoor(seen.client)


def looked(seen: "View") -> "View":
    """The store as it is now; read from its log where its controller has ended. Raises EndpointGone for a door."""
    from ancestra_farm.api.afar import Afar
    from ancestra_farm.api.client import EndpointGone
    from ancestra_farm.cli.live import Live
    from ancestra_farm.cli.reading import Reading

    if isinstance(seen, Live):
        try:
            seen.look()
        except EndpointGone:
            if isinstance(seen.store, Afar):
                raise
            return Reading.open(seen.store.url)
    elif isinstance(seen, Reading):
        seen.follow()
    return seen


class Fetcher:
    """Fetches versions of one farm into one folder, each once in its life."""

    def __init__(self, store: Source, to: Path, wanted: Wanted) -> None:
        self._store = store
        self._to = to
        self._wanted = wanted
        self._done: set[str] = set()
        #: of files that were looked at, wanted or not
        self.kinds: set[str] = set()

    def fetch(self, progress: "Iterable[ShotProgress]") -> Iterator[FileRow]:
        """Whatever of these shots is published, wanted and was not looked at before; a row for each file, in order."""
        from ancestra_farm.ledger.errors import NotThere
        from ancestra_farm.scheduler.stitches import delivery_folder

        for one in progress:
            for version in one.versions:
                folder = delivery_folder(one.show, one.shot, version)
                if folder in self._done or not self._wanted.takes(version):
                    continue
                try:
                    manifest = self._store.read(f"{folder}/{MANIFEST}")
                except NotThere:
                    yield FileRow(f"{folder}/{MANIFEST}", 0, "gone from the store")
                else:
                    yield from self._version(folder, f"{one.show}/{one.shot}/{version}", manifest)
                self._done.add(folder)

    def _version(self, folder: str, below: str, manifest: bytes) -> Iterator[FileRow]:
        from ancestra_farm.ledger.materials import settle

        entries = entries_of(folder, manifest)
        whole = True
        self.kinds |= {entry.kind for entry in entries}
        for entry in entries:
            if self._wanted.kinds and entry.kind not in self._wanted.kinds:
                whole = False
                continue
            row = self._file(f"{folder}/{entry.name}", f"{below}/{entry.name}", entry)
            whole = whole and row.state in {"fetched", "here"}
            yield row
        if whole:  # the manifest says that all of it is here
            target = self._place(f"{below}/{MANIFEST}")
            if target.exists() and target.read_bytes() != manifest:
                yield FileRow(str(target), len(manifest), "another file is here; it stays")
            elif not target.exists():
                part = target.with_name(target.name + PART)
                part.write_bytes(manifest)
                settle(part, target)
                yield FileRow(str(target), len(manifest), "fetched")
            else:
                yield FileRow(str(target), len(manifest), "here")

    def _file(self, path: str, below: str, entry: "Entry") -> FileRow:
        from ancestra_farm.ledger.errors import NotThere
        from ancestra_farm.ledger.materials import file_sha256, settle

        target = self._place(below)
        if target.exists():
            same = target.is_file() and target.stat().st_size == entry.bytes and file_sha256(target) == entry.sha256
            return FileRow(str(target), entry.bytes, "here" if same else "another file is here; it stays")
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + PART)
        try:
            self._store.fetch(path, part)
        except NotThere:
            return FileRow(str(target), entry.bytes, "gone from the store")
        if file_sha256(part) != entry.sha256:
            part.unlink()
            return FileRow(str(target), entry.bytes, "damaged in the store: not what its manifest says")
        settle(part, target)
        return FileRow(str(target), entry.bytes, "fetched")

    def _place(self, below: str) -> Path:
        from ancestra_farm.batch.urls import safe_join

        try:
            return Path(safe_join(self._to, below))
        except ValueError as error:
            raise CommandFailed(f"the manifest of {below} names a file that would leave {self._to}: {error}") from error


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
