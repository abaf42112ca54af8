"""Digests of weight files, worked out once per node: a mark in the cache says which files were found good.

Tens of gigabytes are read once, not by every host that starts. A mark holds length and time of change of each file that
was checked; a file that differs in either is read again. Marks are a convenience: where none can be written, every host
checks for itself.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from filelock import FileLock

from ancestra_farm.batch.urls import safe_join
from ancestra_farm.models.diffusion.layout import WeightsMissing, WeightsRefused

#: What a mark keeps of each file: bytes, nanoseconds of its last change, SHA-256.
Marked = dict[str, tuple[int, int, str]]


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_digests(folder: Path, digests: Mapping[str, str], cache: Path, *, anew: bool = False) -> None:
    """Check files of ``folder`` against ``digests``: SHA-256 (hex, with or without ``sha256:``) by path in the folder.

    ``cache``: the node's cache, for the mark. ``anew``: read every byte whatever the mark says. One process of a node
    reads, the others wait and find the mark. Raises `WeightsMissing` and `WeightsRefused`.
    """
    if not digests:
        return
    wanted = {name: digest.removeprefix("sha256:").lower() for name, digest in digests.items()}
    paths = {name: _inside(folder, name) for name in wanted}
    mark = _mark_of(folder, cache)
    if not anew and _is_marked(paths, wanted, mark):
        return
    with _locked_if_possible(cache / "locks" / f"checked-{mark.stem}.lock"):
        if not anew and _is_marked(paths, wanted, mark):
            return
        found: Marked = {}
        for name, path in paths.items():
            before = _stamp(path)
            digest = digest_of(path)
            if digest != wanted[name]:
                with contextlib.suppress(OSError):
                    mark.unlink()
                raise WeightsRefused(
                    f"{path} has the digest sha256:{digest[:12]}… and sha256:{wanted[name][:12]}… is wanted: it was "
                    "changed or damaged; put the right file there, or fetch it again (ancestra models fetch)"
                )
            found[name] = (*before, digest)
        with contextlib.suppress(OSError):
            write_whole(mark, json.dumps(found))


def note_good(folder: Path, digests: Mapping[str, str], cache: Path) -> None:
    """Mark files that were compared with these digests (SHA-256, hex) just now, byte by byte."""
    found: Marked = {name: (*_stamp(_inside(folder, name)), digest) for name, digest in digests.items()}
    with contextlib.suppress(OSError):
        write_whole(_mark_of(folder, cache), json.dumps(found))


def _mark_of(folder: Path, cache: Path) -> Path:
    """Two folders have two marks, and one folder has one however it is spelt."""
    return cache / "checked" / f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]}.json"


def _inside(folder: Path, name: str) -> Path:
    try:
        path = Path(safe_join(folder, name))
    except ValueError:
        raise WeightsRefused(f"{name!r}, which has a digest, is no path inside the folder of weights") from None
    if not path.is_file():
        raise WeightsMissing(f"{path} is not there, and the card states its digest")
    return path


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _is_marked(paths: Mapping[str, Path], wanted: Mapping[str, str], mark: Path) -> bool:
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
        return all(found[name] == [*_stamp(path), wanted[name]] for name, path in paths.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False  # no mark, or one that says less


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that a reader sees all of it, or what was there before. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among the processes of this node; a process that dies lets go. Raises OSError where no lock can be made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield


@contextlib.contextmanager
def _locked_if_possible(path: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(locked(path))
        yield
