"""Room for weights and material on a node: what was not used for longest makes way, never what a live host holds.

A process that uses weights holds a shared lock on ``locks/<folder>.use`` for as long as it does, which ends with the
process however that ends; the file's time says when that was last. Whoever needs room takes the same lock for itself
alone, so it gets none that is held. What goes is renamed to ``leaving/`` first and deleted there, so that a name has
whole weights or none; the next one who needs room ends what a killed one began.

Material (guides and looks, `ledger.materials`) lies in the same cache, a file each, and counts with the weights.
Whoever reads it holds a shared lock on the file itself; the time it was last read says when it was used.

The bound is that of the disk, and of ANCESTRA_CACHE_GIB where the node's environment has it.
"""

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from uuid import uuid4

from filelock import FileLock, Timeout

from ancestra_farm.models.diffusion.checked import locked
from ancestra_farm.models.diffusion.layout import WeightsMissing

#: Environment: how many GiB of weights from hubs, and of material from buckets, this node keeps at most; without it as
#: many as its disk has room for.
LIMIT = "ANCESTRA_CACHE_GIB"
MODELS, FETCHING, LEAVING, LOCKS, MATERIALS = "models", "fetching", "leaving", "locks", "materials"
_GIB = 2**30
_GIGABYTE = 1e9
#: Material that is whole: what is being fetched has a suffix.
_IS_MATERIAL = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Kept:
    """Weights or material in a cache. ``path``: in it; ``used_at``: Unix seconds; ``held``: by a process that lives."""

    path: str
    bytes: int
    used_at: float
    held: bool


def to_go(kept: Sequence[Kept], surplus_bytes: int) -> tuple[str, ...] | None:
    """What makes way for so many bytes, the least recently used first; None where all that may go is not enough."""
    chosen: list[str] = []
    for one in sorted(kept, key=lambda one: (one.used_at, one.path)):
        if surplus_bytes <= 0:
            break
        if not one.held:
            chosen.append(one.path)
            surplus_bytes -= one.bytes
    return None if surplus_bytes > 0 else tuple(chosen)


class Hold:
    """The weights that somebody uses: until it is closed, or the process ends, nobody makes room at their cost."""

    def __init__(self) -> None:
        self._files: dict[Path, IO[bytes]] = {}

    def take(self, cache: Path, name: str) -> None:
        """Hold the weights of this name, there or not. Where nothing can be written nobody makes room either."""
        path = cache / LOCKS / f"{name}.use"
        if path in self._files:
            return
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.open("ab"))
            fcntl.flock(file, fcntl.LOCK_SH)
            os.utime(path)
            self._files[path] = file
            stack.pop_all()  # held from here on

    def close(self) -> None:
        """Let go; from now on it counts as used until now."""
        while self._files:
            path, file = self._files.popitem()
            with file, contextlib.suppress(OSError):
                os.utime(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def make_room(cache: Path, name: str, repository: str, needed_bytes: int, say: Callable[[str], None]) -> None:
    """See to it that weights fit which are being fetched under ``name``, and of which so many bytes are still to come.

    Whoever calls holds the fetch lock of ``name``. ``say``: told what goes. Raises WeightsMissing where there is no
    room and none can be made; then nothing goes. Raises OSError where the cache cannot be written.
    """
    with locked(cache / LOCKS / "room.lock"):
        _note(cache, name, needed_bytes)
        _make_room(cache, name, repository, needed_bytes, say)


def make_room_for_material(cache: Path, needed_bytes: int, say: Callable[[str], None]) -> None:
    """See to it that so many bytes of material fit, as far as that can be.

    Where it cannot nothing goes, and the disk itself says whether it has room: guides are small beside weights. Raises
    OSError where the cache cannot be written.
    """
    with locked(cache / LOCKS / "room.lock"), contextlib.suppress(WeightsMissing):
        _make_room(cache, None, "material", needed_bytes, say)


def _make_room(cache: Path, name: str | None, what: str, needed_bytes: int, say: Callable[[str], None]) -> None:
    """``name``: under which weights are being fetched; None: no weights are. Raises WeightsMissing."""
    limit = _limit_bytes()
    shutil.rmtree(cache / LEAVING, ignore_errors=True)
    while True:
        kept, coming = _survey(cache, name)
        free = shutil.disk_usage(cache).free - coming
        there = sum(one.bytes for one in kept) + coming + (_size(cache / FETCHING / name) if name else 0)
        over = 0 if limit is None else there + needed_bytes - limit
        chosen = to_go(kept, max(needed_bytes - free, over))
        if chosen is None:
            held = sum(one.bytes for one in kept if one.held)
            raise WeightsMissing(_no_room(what, needed_bytes, cache, free, limit, over, held))
        by_path = {one.path: one for one in kept}
        if all(_let_go(cache, by_path[path], say) for path in chosen):
            return  # else somebody has taken hold of one meanwhile, and it is looked anew


def forget_plan(cache: Path, name: str) -> None:
    """What was being fetched under ``name`` is there, or given up."""
    _plan(cache, name).unlink(missing_ok=True)


def _plan(cache: Path, name: str) -> Path:
    return cache / FETCHING / f"{name}.bytes"


def _note(cache: Path, name: str, needed_bytes: int) -> None:
    """How large it will be, so that somebody who fetches other weights at once counts with it."""
    _plan(cache, name).parent.mkdir(parents=True, exist_ok=True)
    _plan(cache, name).write_text(str(_size(cache / FETCHING / name) + needed_bytes), encoding="utf-8")


def _no_room(repository: str, needed: int, cache: Path, free: int, limit: int | None, over: int, held: int) -> str:
    use = f"; hosts that are up hold {held / _GIGABYTE:.1f} GB of weights there" if held else ""
    if limit is not None and over > needed - free:
        return (
            f"{repository} takes {needed / _GIGABYTE:.1f} GB more, and {cache} keeps at most {limit / _GIB:g} GiB of "
            f"weights ({LIMIT}){use}; raise that, or run models of this size elsewhere"
        )
    return (
        f"{repository} takes {needed / _GIGABYTE:.1f} GB more and {cache} has {max(free, 0) / _GIGABYTE:.1f} GB free"
        f"{use}; make room, or set ANCESTRA_CACHE to a larger disk"
    )


def _limit_bytes() -> int | None:
    said = os.environ.get(LIMIT, "").strip()
    if not said:
        return None
    try:
        gib = float(said)
    except ValueError:
        gib = -1.0
    if not 0 < gib < float("inf"):
        raise WeightsMissing(f"{LIMIT} is {said!r}; it is how many GiB of weights this node keeps, such as 500")
    return int(gib * _GIB)


# ---- what there is --------------------------------------------------------------------------------------------------


def _survey(cache: Path, own: str | None) -> tuple[list[Kept], int]:
    """(what is kept but for ``own``, bytes that others who fetch now will still bring)."""
    kept, coming = [], 0
    for folder in _folders(cache / MODELS):
        held = not _is_free(cache, folder.name)
        kept.append(Kept(f"{MODELS}/{folder.name}", _size(folder), _used_at(cache, folder), held))
    for file in sorted((cache / MATERIALS).glob("??/*")):
        if _IS_MATERIAL.fullmatch(file.name):
            with contextlib.suppress(FileNotFoundError):
                read = file.stat()
                kept.append(
                    Kept(f"{MATERIALS}/{file.parent.name}/{file.name}", read.st_size, read.st_atime, _is_read(file))
                )
    for folder in _folders(cache / FETCHING):
        if folder.name == own:
            continue
        fetched, size = _is_fetched(cache, folder.name), _size(folder)
        kept.append(Kept(f"{FETCHING}/{folder.name}", size, folder.stat().st_mtime, fetched))
        if fetched:
            coming += max(_planned(cache, folder.name) - size, 0)
    return kept, coming


def _folders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.is_dir())


def _size(folder: Path) -> int:
    """Bytes of all files in a folder; of one that goes meanwhile, what is left."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file():
                total += path.lstat().st_size
    return total


def _used_at(cache: Path, folder: Path) -> float:
    with contextlib.suppress(OSError):
        return (cache / LOCKS / f"{folder.name}.use").stat().st_mtime
    with contextlib.suppress(OSError):
        return folder.stat().st_mtime
    return time.time()


def _planned(cache: Path, name: str) -> int:
    try:
        return int(_plan(cache, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def _is_fetched(cache: Path, name: str) -> bool:
    """Whether somebody fetches it at this moment."""
    try:
        with FileLock(cache / LOCKS / f"{name}.lock", timeout=0):
            return False
    except Timeout:
        return True


def _is_free(cache: Path, name: str) -> bool:
    with _alone(cache, name) as free:
        return free


@contextlib.contextmanager
def _alone(cache: Path, name: str) -> Iterator[bool]:
    """Whether nobody holds weights; while this lasts, nobody begins to."""
    path, is_new = cache / LOCKS / f"{name}.use", not (cache / LOCKS / f"{name}.use").exists()
    with path.open("ab") as file:
        if is_new:  # to look is not to use
            with contextlib.suppress(OSError):
                came = (cache / MODELS / name).stat().st_mtime
                os.utime(path, (came, came))
        yield _locked(file)


# ---- letting go -----------------------------------------------------------------------------------------------------


def _let_go(cache: Path, one: Kept, say: Callable[[str], None]) -> bool:
    """Remove weights, material, or what is left of a fetch; False where somebody holds them by now."""
    if one.path.startswith(f"{MATERIALS}/"):
        return _let_material_go(cache, one)
    folder = cache / one.path
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(FileLock(cache / LOCKS / f"{folder.name}.lock", timeout=0))
        except Timeout:
            return False
        if not stack.enter_context(_alone(cache, folder.name)):
            return False
        aside = cache / LEAVING / uuid4().hex
        aside.parent.mkdir(exist_ok=True)
        folder.rename(aside)
        # Only now: a folder without its digests would be believed unread.
        (folder.with_name(f"{folder.name}.digests.json")).unlink(missing_ok=True)
        forget_plan(cache, folder.name)
    when = time.strftime("%Y-%m-%d", time.gmtime(one.used_at))
    say(f"{folder.name} makes way: {one.bytes / _GIGABYTE:.1f} GB, last used on {when}")
    shutil.rmtree(aside, ignore_errors=True)
    return True


def _let_material_go(cache: Path, one: Kept) -> bool:
    """Remove a file of material; nobody is told: it is small, and comes again from the store. False as above."""
    with _read_alone(cache / one.path) as free:
        if free:
            (cache / one.path).unlink(missing_ok=True)
        return free


def _is_read(file: Path) -> bool:
    with _read_alone(file) as free:
        return not free


@contextlib.contextmanager
def _read_alone(file: Path) -> Iterator[bool]:
    """Whether nobody holds a file of material; while this lasts, nobody begins to. One that is gone is free."""
    try:
        opened = file.open("rb")
    except FileNotFoundError:
        yield True
        return
    with opened:
        yield _locked(opened)


def _locked(file: IO[bytes]) -> bool:
    """Whether nobody else holds an open file; this process does until it is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
