"""The store: a folder or bucket that is a farm. Names appear whole, once, and durably; everything else builds on that.

This module opens stores and keeps every path inside them; it does not know what the files mean (`log`, `tables`). How
a name is taken atomically is each backend's own matter (`local`, `remote`); `probe` finds out whether it really is.
"""

import datetime as dt
import hashlib
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from ancestra_farm.batch.urls import check_store_url
from ancestra_farm.ledger.errors import NotThere, StoreMissing, StoreRefused
from ancestra_farm.ledger.local import TEMPORARY, LocalFolder
from ancestra_farm.ledger.probe import probe

#: The file that says that a folder is a store.
MARK = "STORE"
#: Where a repair moves what is damaged: nothing is thrown away.
DAMAGED = "damaged"
#: Version of the layout of a store; a store of a later one is refused, never guessed at.
LAYOUT = 1
#: Material that was put longer ago is renewed when it is wanted again. Far below the grace that `gc` gives.
YOUNG_S = 3600.0

_SUFFIX = re.compile(r"[a-z0-9]{1,8}")
_MEDIUM = re.compile(r"media/([0-9a-f]{2})/\1[0-9a-f]{62}\.[a-z0-9]{1,8}")
_MATERIAL = re.compile(r"materials/([0-9a-f]{2})/(\1[0-9a-f]{62})")
_COMMIT = re.compile(r"log/[0-9]{8}\.parquet")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")


class Backend(Protocol):
    """What a store needs of the place it is in. Keys are relative and already checked.

    ``resumes``: whether large files are better brought in parts that are joined there.
    """

    resumes: bool

    def create(self, key: str, data: bytes) -> bool:
        """Write under a new name, atomically and durably; False where the name exists."""

    def replace(self, key: str, data: bytes) -> None:
        """Write under a name, new or not, atomically and durably."""

    def create_from(self, key: str, file: Path, sha256: str) -> bool:
        """As `create`, of a file on this machine that may be large. Raises SourceChanged, and writes nothing then."""

    def replace_from(self, key: str, file: Path, sha256: str) -> None:
        """As `replace`, of a file on this machine. Raises SourceChanged, and writes nothing then."""

    def renew(self, key: str) -> None:
        """Have what is there count as written now, without its being sent; raises NotThere."""

    def join(self, key: str, parts: Sequence[str], sha256: str, *, checked: bool) -> None:
        """One file of others, one after the other, new or not, atomically and durably.

        ``checked``: they are known to come to ``sha256`` (hex); otherwise it is found out, by reading them.

        Raises NotThere, MaterialDamaged, and writes nothing then.
        """

    def read(self, key: str) -> bytes:
        """All bytes; raises NotThere."""

    def read_block(self, key: str, start: int, length: int) -> bytes:
        """At most ``length`` bytes from ``start`` on, fewer only at its end; raises NotThere."""

    def fetch(self, key: str, file: Path) -> None:
        """Copy to a file on this machine without holding it in memory; raises NotThere."""

    def exists(self, key: str) -> bool:
        """Whether the file is there."""

    def size(self, key: str) -> int:
        """Length in bytes; raises NotThere."""

    def modified(self, key: str) -> float:
        """When a file was last written, Unix seconds; raises NotThere."""

    def leftovers(self) -> Iterator[tuple[str, int, float]]:
        """Files in the making: key, bytes, when last written. Most belong to somebody who is at work."""

    def list(self, folder: str) -> list[str]:
        """Keys of all files below a folder."""

    def entries(self, folder: str) -> Sequence[tuple[str, int, float]]:
        """The same with lengths and when last written, asked for together: key, bytes, Unix seconds."""

    def delete(self, key: str) -> None:
        """Remove a file, if it is there."""


def check_path(path: str) -> str:
    """The path itself, if it is a plain relative path inside a store; raises StoreRefused otherwise."""
    parts = path.split("/")
    if not path or _CONTROL.search(path) or any(part in {"", ".", ".."} for part in parts):
        raise StoreRefused(f"{path!r} is not a path inside a store: it is relative, without '..', '//' or backslashes")
    if any(part.startswith(TEMPORARY) for part in parts):
        raise StoreRefused(f"{path!r}: names beginning with {TEMPORARY} are kept for files in the making")
    return path


class Store:
    """One opened store. Safe to use from several threads; pickled by its address.

    ``url``: the normalised address. ``id``: the store's own id, which stays when it is moved.
    """

    def __init__(self, url: str, backend: Backend, identity: str) -> None:
        self.url = url
        self.id = identity
        self._backend = backend

    @classmethod
    def open(cls, url: str, *, create: bool = False) -> "Store":
        """Open the store at ``url``, or make one there with ``create``.

        Raises StoreMissing where there is none, StoreRefused where the address is not allowed, where ``create`` finds a
        folder that holds other things, and where the backend cannot take a name atomically.
        """
        if str(url).startswith(("http://", "https://")):
            raise StoreRefused(f"{url} is a farm's door: this is done with its store, which --store names")
        try:
            url = check_store_url(str(url))
        except ValueError as error:
            raise StoreRefused(str(error)) from error
        backend = _backend(url)
        # The listing comes first: whoever is making the same store writes the mark before anything else.
        others = backend.list("") if create and not backend.exists(MARK) else []
        try:
            return cls(url, backend, _identity(url, backend.read(MARK)))
        except NotThere:
            pass
        if not create:
            raise StoreMissing(f"{url}: there is no store here (no {MARK} file); `ancestra run` makes one")
        others = [name for name in others if not name.startswith("probe/")]
        if others:
            raise StoreRefused(f"{url} holds other things ({others[0]}) and is no store; give an empty or a new folder")
        probe(url, backend)
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        mark = {"ancestra_store": LAYOUT, "id": str(uuid.uuid4()), "created": now}
        backend.create(MARK, json.dumps(mark).encode() + b"\n")
        # Read back: another one may have made the store meanwhile, and its id counts.
        return cls(url, backend, _identity(url, backend.read(MARK)))

    def __reduce__(self) -> tuple[Callable[[str], "Store"], tuple[str]]:
        return (Store.open, (self.url,))

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def probe(self) -> None:
        """Race for names on this backend; raises StoreRefused if any name ever has two winners, or none."""
        probe(self.url, self._backend)

    def create(self, path: str, data: bytes) -> bool:
        """Write a new file; False if the name is taken. Atomic: of any racers one wins. Durable on return."""
        return self._backend.create(check_path(path), data)

    def replace(self, path: str, data: bytes) -> None:
        """Write a file, new or not. Readers see all of the old bytes or all of the new. Durable on return."""
        self._backend.replace(check_path(path), data)

    def read(self, path: str) -> bytes:
        """All bytes of a file. Raises NotThere."""
        return self._backend.read(check_path(path))

    def read_block(self, path: str, start: int, length: int) -> bytes:
        """At most ``length`` bytes of a file from ``start`` on, fewer only at its end. Raises NotThere."""
        return self._backend.read_block(check_path(path), start, length)

    def exists(self, path: str) -> bool:
        """Whether there is a file of this name."""
        return self._backend.exists(check_path(path))

    def size(self, path: str) -> int:
        """Length of a file in bytes. Raises NotThere."""
        return self._backend.size(check_path(path))

    def modified(self, path: str) -> float:
        """When a file was last written or put again, Unix seconds. Raises NotThere."""
        return self._backend.modified(check_path(path))

    def list(self, prefix: str = "") -> list[str]:
        """Paths of all files below the folder ``prefix`` (``""``: of the whole store), sorted."""
        return sorted(self._backend.list(check_path(prefix.rstrip("/")) if prefix else ""))

    def entries(self, prefix: str) -> Sequence[tuple[str, int, float]]:
        """All files below a folder in one listing: path, bytes, when last written (Unix seconds), sorted."""
        return sorted(self._backend.entries(check_path(prefix.rstrip("/"))))

    def delete(self, path: str) -> None:
        """Remove a file that can be made again (a part of a table, a presence mark). Never a commit or a medium."""
        if path.startswith(("log/", "media/", "materials/")) or path == MARK:
            raise StoreRefused(f"{path} is part of the record and is never deleted")
        self._backend.delete(check_path(path))

    def delete_packed(self, path: str) -> None:
        """Remove a commit that stands in a pack too, which whoever calls has read back. Nothing else goes this way."""
        if not _COMMIT.fullmatch(path):
            raise StoreRefused(f"{path} is not the name of a commit")
        self._backend.delete(path)

    def delete_collected(self, path: str) -> None:
        """Remove a medium or material that the log does not name, or not any more: for `gc`, which has made sure."""
        if not _MEDIUM.fullmatch(path) and not _MATERIAL.fullmatch(path):
            raise StoreRefused(f"{path} is not the name of a medium or of material")
        self._backend.delete(path)

    def leftovers(self) -> Iterator[tuple[str, int, float]]:
        """Files in the making, which no listing shows: path, bytes, when last written. The killed leave some."""
        return self._backend.leftovers()

    def delete_leftover(self, path: str) -> None:
        """Remove a file in the making that nobody can be making any more."""
        if not path.rpartition("/")[2].startswith(TEMPORARY):
            raise StoreRefused(f"{path} is not a file in the making")
        self._backend.delete(path)

    def keep_damaged(self, path: str) -> str:
        """Copy a file that is damaged to ``damaged/``, under its name and the start of its digest; where it is then."""
        data = self.read(path)
        stem, dot, suffix = path.rpartition(".")
        copy = f"{DAMAGED}/{stem if dot else path}.{hashlib.sha256(data).hexdigest()[:12]}{dot}{suffix if dot else ''}"
        self.create(copy, data)
        return copy

    def remove_damaged(self, path: str) -> None:
        """Remove a file of the record of which `keep_damaged` has a copy. Raises StoreRefused where there is none."""
        if self.read(self.keep_damaged(path)) != self.read(path):
            raise StoreRefused(f"{path} has changed since it was copied to {DAMAGED}/; it stays")
        self._backend.delete(check_path(path))

    def put_media(self, data: bytes, suffix: str) -> str:
        """Keep bytes under the name of their SHA-256; the path, ``media/ab/<sha256>.<suffix>``. Repeatable."""
        path = media_path(data, suffix)
        if not self._backend.create(path, data) and self._backend.size(path) != len(data):
            # A file of that name but of another length is not these bytes: a copy cut short by another tool.
            self._backend.replace(path, data)
        return path

    def put_material(self, file: Path, sha256: str) -> str:
        """Keep a file under the name of its SHA-256 (hex); the path, ``materials/ab/<sha256>``. Repeatable.

        What is there already is made young, so that no `gc` takes it before the batch that names it is committed.
        Raises SourceChanged where the file has other bytes by now, or cannot be read.
        """
        path = material_path(sha256)
        if self._backend.create_from(path, file, sha256):
            return path
        if not self._is_sound(path, file, sha256):
            self._backend.replace_from(path, file, sha256)
        elif self._backend.modified(path) < time.time() - YOUNG_S:
            self._backend.renew(path)
        return path

    @property
    def resumes(self) -> bool:
        """Whether large files are better brought in parts that are joined there (`uploads`)."""
        return self._backend.resumes

    def join_material(self, sha256: str, parts: Sequence[str], *, checked: bool) -> str:
        """Keep as material what ``parts`` (paths) come to, one after the other; where it lies. Repeatable.

        ``checked``: they are known to come to ``sha256`` (hex); otherwise they are read.

        Raises NotThere where one of them is gone, MaterialDamaged where they come to something else.
        """
        path = material_path(sha256)
        self._backend.join(path, [check_path(part) for part in parts], sha256, checked=checked)
        return path

    def has_material(self, sha256: str, size: int) -> bool:
        """Whether there is material of this digest (hex) and length; nothing of it is read."""
        path = material_path(sha256)
        return self._backend.exists(path) and self._backend.size(path) == size

    def keeps(self, file: Path, sha256: str) -> bool:
        """Whether `put_material` would leave what is there as it is."""
        path = material_path(sha256)
        return self._backend.exists(path) and self._is_sound(path, file, sha256)

    def _is_sound(self, path: str, file: Path, sha256: str) -> bool:
        """Whether material may stay as it is: in a folder it is read, in a bucket it has its length."""
        here = self.local_path(path)
        if here is not None:
            with here.open("rb") as there:
                return hashlib.file_digest(there, "sha256").hexdigest() == sha256
        return self._backend.size(path) == file.stat().st_size

    def fetch(self, path: str, file: Path) -> None:
        """Copy a file of the store to ``file`` on this machine without holding it in memory. Raises NotThere."""
        self._backend.fetch(check_path(path), file)

    def local_path(self, path: str) -> Path | None:
        """Where a file lies on this machine; None for a store that is not a folder here."""
        if isinstance(self._backend, LocalFolder):
            return self._backend.root / check_path(path)
        return None


def media_path(data: bytes, suffix: str) -> str:
    """Where these bytes belong in a store: ``media/ab/<sha256>.<suffix>``."""
    if not _SUFFIX.fullmatch(suffix):
        raise StoreRefused(f"{suffix!r} is not a file suffix such as png or mkv")
    digest = hashlib.sha256(data).hexdigest()
    return f"media/{digest[:2]}/{digest}.{suffix}"


def material_path(sha256: str) -> str:
    """Where the material with this SHA-256 (hex) belongs in a store. Raises StoreRefused for what is no digest."""
    path = f"materials/{sha256[:2]}/{sha256}"
    if not _MATERIAL.fullmatch(path):
        raise StoreRefused(f"{sha256!r} is not a SHA-256 in hexadecimal digits")
    return path


def fetch_url(url: str, file: Path) -> None:
    """Copy what lies at a URL of a bucket to ``file``. Raises NotThere, StoreUnavailable, StoreRefused."""
    try:
        folder, _, name = check_store_url(url).rpartition("/")
    except ValueError as error:
        raise StoreRefused(str(error)) from error
    _backend(folder).fetch(check_path(name), file)


def _backend(url: str) -> Backend:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        folder = Path(rest if separator else url)
        if folder.exists() and not folder.is_dir():
            raise StoreRefused(f"{url} is a file; a store is a folder")
        return LocalFolder(folder.absolute())
    from ancestra_farm.ledger.remote import Bucket, Memory  # noqa: PLC0415 - a local store needs no fsspec

    return Memory(url) if scheme == "memory" else Bucket(url)


def _identity(url: str, mark: bytes) -> str:
    try:
        found: Any = json.loads(mark)
        layout, identity = int(found["ancestra_store"]), str(found["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreRefused(f"{url}: its {MARK} file is not one of a store ({error!r})") from error
    if layout != LAYOUT:
        raise StoreRefused(f"{url}: this store has layout {layout}, this Ancestra Farm knows layout {LAYOUT}")
    return identity
