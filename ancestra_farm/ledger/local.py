"""A store in a local folder: files that appear whole, once, and stay.

Creating is a temporary file in the same folder, fsync, ``os.link`` and fsync of the folder. ``link`` fails where the
name exists, so exactly one of several racing creators wins, and what becomes visible is complete and durable. Only the
standard library is imported here: the probe starts this module in processes of its own.
"""

import contextlib
import errno
import hashlib
import os
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ancestra_farm.ledger.errors import (
    MaterialDamaged,
    NotThere,
    SourceChanged,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from ancestra_farm.ledger.points import reached

#: Names of files in the making. They are never listed and never part of a store.
TEMPORARY = ".tmp-"
#: What is named by its content and may be wanted again: creating it anew makes it young.
_BY_CONTENT = ("media/", "materials/")
#: Large files are copied in blocks of so many bytes.
_BLOCK_BYTES = 1 << 22


class LocalFolder:
    """The backend over one folder. Keys are relative POSIX paths, checked by `Store`."""

    #: A copy on one machine, or in one studio's network, is begun anew sooner than it is cut into parts and joined.
    resumes = False

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, key: str, data: bytes) -> bool:
        """Write ``data`` under a new name; False where the name exists. Durable on return either way."""
        return self._create(key, (data,))

    def create_from(self, key: str, file: Path, sha256: str) -> bool:
        """Copy a file to a new name, block by block; False where the name exists. Raises SourceChanged."""
        if self.exists(key):  # a large file is not copied to learn that
            with contextlib.suppress(OSError):
                os.utime(self.root / key)
            return False
        return self._create(key, blocks_of(file, sha256))

    def _create(self, key: str, blocks: Iterable[bytes]) -> bool:
        target = self.root / key
        with _writing(target), self._written(target, blocks) as temporary:
            if key.startswith("media/"):
                reached("media.before_link")
            made = True
            try:
                os.link(temporary, target)
            except OSError as error:
                # Over NFS a repeated request may answer "exists" to the one who made it, and any answer may be lost:
                # the second link tells.
                made = os.stat(temporary).st_nlink > 1  # noqa: PTH116 - one call, no Path
                if error.errno in {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}:
                    raise StoreRefused(
                        f"{self.root}: this file system has no hard links, so a name cannot be taken atomically "
                        f"({error.strerror}); put the store on a local disk or in a bucket"
                    ) from error
                if not made and error.errno != errno.EEXIST:
                    raise
            if not made and key.startswith(_BY_CONTENT):
                # It is wanted now, however old: what nobody wants is told by its age.
                with contextlib.suppress(OSError):
                    os.utime(target)
            # Also after losing: what the winner made is then durable before anybody builds on it.
            _sync_folder(target.parent)
        return made

    def replace(self, key: str, data: bytes) -> None:
        """Write ``data`` under a name, new or not. A reader sees the old bytes or the new ones, never a mixture."""
        self._replace(key, (data,))

    def replace_from(self, key: str, file: Path, sha256: str) -> None:
        """Copy a file to a name, new or not, block by block. Raises SourceChanged."""
        self._replace(key, blocks_of(file, sha256))

    def _replace(self, key: str, blocks: Iterable[bytes]) -> None:
        target = self.root / key
        with _writing(target), self._written(target, blocks) as temporary:
            os.replace(temporary, target)  # noqa: PTH105 - one call, no Path
            _sync_folder(target.parent)

    def join(self, key: str, parts: Sequence[str], sha256: str, *, checked: bool) -> None:  # noqa: ARG002 - all is read
        """One file of others, one after the other, new or not. Raises NotThere, MaterialDamaged."""
        self._replace(key, joined(sha256, (self.read(part) for part in parts)))

    def read(self, key: str) -> bytes:
        """The bytes of a file; NotThere if there is none."""
        path = self.root / key
        with _reading(path):
            return path.read_bytes()

    def read_block(self, key: str, start: int, length: int) -> bytes:
        """Bytes of a file from ``start`` on; NotThere if there is none."""
        path = self.root / key
        with _reading(path), path.open("rb") as file:
            file.seek(start)
            return file.read(length)

    def fetch(self, key: str, file: Path) -> None:
        """Copy a file of the store to ``file``; NotThere if there is none."""
        path = self.root / key
        with _reading(path), path.open("rb") as source, file.open("wb") as copy:
            while block := source.read(_BLOCK_BYTES):
                copy.write(block)

    def exists(self, key: str) -> bool:
        """Whether a file of this name is there."""
        path = self.root / key
        with _reading(path):
            return path.is_file()

    def size(self, key: str) -> int:
        """Length of a file in bytes; NotThere if there is none."""
        path = self.root / key
        with _reading(path):
            return path.stat().st_size

    def modified(self, key: str) -> float:
        """When a file was last written, or created again; NotThere if there is none."""
        path = self.root / key
        with _reading(path):
            return path.stat().st_mtime

    def renew(self, key: str) -> None:
        """Have a file count as written now; NotThere if there is none."""
        path = self.root / key
        with _reading(path):
            os.utime(path)

    def leftovers(self) -> Iterator[tuple[str, int, float]]:
        """Temporary files, wherever they lie: key, bytes, when last written."""
        for path in self.root.rglob(f"{TEMPORARY}*"):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                yield path.relative_to(self.root).as_posix(), stat.st_size, stat.st_mtime

    def list(self, folder: str) -> list[str]:
        """Keys of all files below a folder (``""``: the whole store), in no order."""
        return [key for key, _ in self._files(folder)]

    def entries(self, folder: str) -> Sequence[tuple[str, int, float]]:
        """The same with lengths in bytes and when last written."""
        found = []
        for key, entry in self._files(folder):
            with _reading(self.root / key), contextlib.suppress(FileNotFoundError):
                stat = entry.stat()
                found.append((key, stat.st_size, stat.st_mtime))
        return found

    def _files(self, folder: str) -> "Iterator[tuple[str, os.DirEntry[str]]]":
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            path = self.root / here
            gone = contextlib.suppress(FileNotFoundError, NotADirectoryError)
            with _reading(path), gone, os.scandir(path) as entries:
                for entry in entries:
                    if entry.name.startswith(TEMPORARY):
                        continue
                    key = f"{here}/{entry.name}" if here else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(key)
                    else:
                        yield key, entry

    def delete(self, key: str) -> None:
        """Remove a file; one that is not there is fine. Folders left empty go too."""
        path = self.root / key
        with _writing(path):
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                for parent in path.parents:
                    if parent == self.root:
                        break
                    parent.rmdir()

    @contextlib.contextmanager
    def _written(self, target: Path, blocks: Iterable[bytes]) -> Iterator[Path]:
        """A durable temporary file beside ``target`` that is gone afterwards, whatever happened."""
        _make_folders(target.parent)
        temporary = target.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            # A bare descriptor: this runs once per medium, and buffering would only copy.
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                for block in blocks:
                    view = memoryview(block)
                    while view:
                        view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def joined(sha256: str, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same blocks. Raises MaterialDamaged at their end, where the SHA-256 (hex) of all of them is another."""
    state = hashlib.sha256()
    for block in blocks:
        state.update(block)
        yield block
    if state.hexdigest() != sha256:
        raise MaterialDamaged(f"what arrived has other bytes than its digest says, sha256:{sha256}; send it again")


def blocks_of(file: Path, sha256: str, block_bytes: int = _BLOCK_BYTES) -> Iterator[bytes]:
    """The bytes of a file in blocks. Raises SourceChanged, at their end where their SHA-256 is another."""
    state = hashlib.sha256()
    try:
        with file.open("rb") as source:
            while block := source.read(block_bytes):
                state.update(block)
                yield block
    except OSError as error:
        raise SourceChanged(f"{file} cannot be read any more: {error.strerror or error}") from error
    if state.hexdigest() != sha256:
        raise SourceChanged(f"{file} has been changed since it was looked at; check the batch again")


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """The operating system's errors as the store's own, with the file's name."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotThere(f"{path} is not there") from error
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror or error}") from error


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull(
                f"{path}: {error.strerror}; free some space there, and `ancestra resume` goes on: nothing that was "
                "acknowledged is lost"
            ) from error
        raise StoreUnavailable(f"{path}: {error.strerror or error}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folders(folder: Path) -> None:
    """Make a folder and those above it, each durable in its parent."""
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    _sync_folder(folder.parent)


def race(root: Path, keys: list[str], racer: str) -> int:
    """Try to create every key; how many this racer won. Waits for a line on standard input first."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    folder = LocalFolder(root)
    return sum(folder.create(key, racer.encode()) for key in keys)


if __name__ == "__main__":  # the racers of `ancestra_farm.ledger.probe`
    sys.stdout.write(f"{race(Path(sys.argv[1]), sys.argv[3:], sys.argv[2])}\n")
