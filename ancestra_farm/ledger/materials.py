"""Material: what a batch names beside itself (looks, guides), kept once by digest and brought to where it is read.

In the store it lies under ``materials/``, named by its SHA-256. On a node it is read where the store is a folder there;
from a bucket it is fetched once into a cache that all hosts of the node share. What a name promises is checked before
it is believed: when a file comes into the cache, and once in each process that reads it. A kill in the middle of a
fetch leaves a part that the next fetch begins anew. Nothing here knows what the bytes mean.

Cached files that a process read last are open there under a shared lock: whoever makes room on the node leaves them.
"""

import fcntl
import hashlib
import os
import re
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ancestra_farm.ledger.errors import MaterialDamaged, NotThere, StoreError, StoreRefused
from ancestra_farm.ledger.points import reached
from ancestra_farm.ledger.store import Store, fetch_url, material_path
from ancestra_farm.ledger.uploads import (
    Progressed,
    forget,
    found_damaged,
    note_damaged,
    part_bytes,
    put_in_parts,
    size_of,
    untold,
)

#: Where material lies in a store.
FOLDER = "materials"
#: Names another place for the cache of a node, such as a fast local disk.
CACHE_VARIABLE = "ANCESTRA_CACHE"
#: Files that a reader holds at once: what the candidates of a few tickets need, many times over.
HELD = 128

#: Makes room on this node for so many bytes.
Room = Callable[[int], None]

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


def sha256_of(digest: str) -> str:
    """The hexadecimal digits of a digest. Raises StoreRefused for what is not ``sha256:`` and 64 of them."""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise StoreRefused(f"{digest!r} is not a digest: sha256: and 64 hexadecimal digits")
    return match[1]


def node_cache() -> Path:
    """Where this node keeps material: ``$ANCESTRA_CACHE``, or ``ancestra-farm`` in the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named) / FOLDER
    users = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(users) / "ancestra-farm" / FOLDER


def put_material(store: Store, file: Path, digest: str, progressed: Progressed = untold) -> str:
    """Keep a file in the store; where it lies there. Repeatable; a large one goes on where it was broken off.

    Raises SourceChanged where it has another digest.
    """
    sha256 = sha256_of(digest)
    size = size_of(file)
    damaged = found_damaged(store, sha256)
    if damaged or (store.resumes and size > part_bytes(size)):
        if damaged or not store.keeps(file, sha256):
            return put_in_parts(store, file, sha256, progressed)
        forget(store, sha256)  # of somebody who ended between the last step and the next to last
    missing = not store.has_material(sha256, size)
    path = store.put_material(file, sha256)
    progressed(size, size if missing else 0)
    return path


def missing_materials(store: Store, digests: Iterable[str]) -> list[str]:
    """Those of ``digests`` that the store does not hold, each once, in order."""
    return [digest for digest in dict.fromkeys(digests) if not store.exists(material_path(sha256_of(digest)))]


def material(store: Store, digest: str, cache: Path | None = None) -> Path:
    """A file on this machine with the material of a digest; see `NodeMaterials`."""
    return NodeMaterials(store, cache)(digest)


def as_it_is(_bytes: int) -> None:
    """Where nobody makes room."""


class NodeMaterials:
    """Material by digest as files on this machine: what generators are given. Safe to use from several threads.

    ``cache``: where fetched files are kept; None: `node_cache`. ``room``: asked for room before a file is fetched. A
    file has no suffix and is not to be written to.
    """

    def __init__(self, store: Store, cache: Path | None = None, room: Room = as_it_is) -> None:
        self._store = store
        self._cache = cache
        self._room = room
        self._believed: OrderedDict[str, _Held] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, digest: str) -> Path:
        """The file with ``digest``.

        Raises NotThere where the store does not have it, MaterialDamaged where it has something else under its name,
        StoreUnavailable, StoreRefused.
        """
        with self._lock:
            held = self._believed.get(digest)
            if held is None or not held.file.exists():
                held = self._believed[digest] = self._found(sha256_of(digest))
            self._believed.move_to_end(digest)
            while len(self._believed) > HELD:
                self._believed.popitem(last=False)
            return held.file

    def _found(self, sha256: str) -> "_Held":
        path = material_path(sha256)
        here = self._store.local_path(path)
        if here is None:
            return self._brought(sha256, path)
        if not here.is_file():
            raise NotThere(f"{here} is not there; hand the batch in again that names this material")
        if file_sha256(here) != sha256:
            self._note_damaged(sha256)
            raise MaterialDamaged(f"{here} has been changed; hand the batch in again that names this material")
        return _Held(here)

    def _brought(self, sha256: str, path: str) -> "_Held":
        def fetch(file: Path) -> None:
            self._room(self._store.size(path))
            self._store.fetch(path, file)

        while True:
            try:
                file = _cached(sha256, fetch, self._cache or node_cache(), path)
            except MaterialDamaged:
                self._note_damaged(sha256)
                raise
            if (held := _Held.cached(file)) is not None:
                return held  # else it made way this very moment

    def _note_damaged(self, sha256: str) -> None:
        with suppress(StoreError):  # what is wrong is said all the same
            note_damaged(self._store, sha256)


class _Held:
    """A file of material. ``descriptor``: of a cached one, open under a shared lock; closed with this object."""

    def __init__(self, file: Path, descriptor: int | None = None) -> None:
        self.file = file
        if descriptor is not None:
            weakref.finalize(self, os.close, descriptor)

    @classmethod
    def cached(cls, file: Path) -> "_Held | None":
        """Hold a cached file; None where it is gone by now."""
        try:
            held = cls(file, descriptor := os.open(file, os.O_RDONLY))
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            now = file.stat()
        except FileNotFoundError:
            return None
        if not os.path.samestat(now, os.fstat(descriptor)):
            return None
        with suppress(OSError):
            os.utime(file, ns=(time.time_ns(), now.st_mtime_ns))  # also where disks note no reading
        return held


def fetched_source(url: str, digest: str | None, cache: Path | None = None) -> Path:
    """A file on this machine with what lies at a URL of a bucket, for the side that hands a batch in.

    With a ``digest`` it is looked for in the cache first, and what is at the URL must have it. Raises NotThere,
    MaterialDamaged, StoreUnavailable, StoreRefused.
    """
    cache = cache or node_cache()
    if digest is not None:
        return _cached(sha256_of(digest), lambda file: fetch_url(url, file), cache, url)
    with _only_one(cache / "sources", hashlib.sha256(url.encode()).hexdigest()) as part:
        fetch_url(url, part)
        sha256 = file_sha256(part)
        file = cache / sha256[:2] / sha256
        file.parent.mkdir(parents=True, exist_ok=True)
        settle(part, file)
    return file


def _cached(sha256: str, fetch: Callable[[Path], None], cache: Path, whence: str) -> Path:
    """The file in the cache, fetched if it is not there or is not what its name says."""
    file = cache / sha256[:2] / sha256
    with _only_one(file.parent, sha256) as part:
        if file.is_file() and file_sha256(file) == sha256:
            return file
        fetch(part)
        reached("materials.before_rename")
        if file_sha256(part) != sha256:
            part.unlink()
            raise MaterialDamaged(f"{whence} has other bytes than its digest says, sha256:{sha256}")
        settle(part, file)
    return file


@contextmanager
def _only_one(folder: Path, name: str) -> Iterator[Path]:
    """The name of an unfinished file, for one process at a time; others wait, and a lock dies with its holder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder / f"{name}.part"


def settle(part: Path, file: Path) -> None:
    """Give a whole file on this machine its name, durably."""
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(file)


def file_sha256(file: Path) -> str:
    """The SHA-256 of a file on this machine, hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
