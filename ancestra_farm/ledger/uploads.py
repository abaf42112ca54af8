"""Large files on their way into a store, in parts: what has arrived stays where a line breaks or a process ends.

A file is cut into parts of one size. Each is kept as ``uploads/<sha256 of the file>/<number>-<sha256 of the part>`` and
appears whole, so whoever goes on needs no notes: what is listed is there. Parts are named by their content, so that two
who bring the same file at once bring the same parts. Once all are there they become material in one step, and go. What
nobody goes on with for a day is swept, by the controller at work or by `gc`.

Whoever reads material and finds it damaged leaves a note beside its parts, so that it is brought once more by whoever
hands it in again: by its length alone, which is all that is asked of material otherwise, it would seem to be there.
"""

import hashlib
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ancestra_farm.ledger.errors import MaterialDamaged, NotThere, SourceChanged, StoreRefused
from ancestra_farm.ledger.local import blocks_of
from ancestra_farm.ledger.points import reached
from ancestra_farm.ledger.store import Store, material_path

#: Where parts lie in a store.
FOLDER = "uploads"
_MIB = 2**20
#: Bytes of a part of any file that is not huge: what a broken line costs at most. S3 joins no parts below 5 MiB.
PART_BYTES = 8 * _MIB
#: S3 joins so many at most; https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html has both numbers.
MOST_PARTS = 10_000
#: Parts are held in memory while they are sent.
MOST_PART_BYTES = 64 * _MIB
MOST_BYTES = MOST_PARTS * MOST_PART_BYTES
#: Parts under way to a bucket at once, each over a connection of its own.
_SENT_AT_ONCE = 4
#: Deletions under way at once: a large file leaves thousands of parts.
_DELETED_AT_ONCE = 8
#: Parts that went while they were counted on (another one finished, or a sweep) are brought again so often.
_TRIES = 3

#: The note that material was found damaged; it goes with the parts.
_NOTE = "damaged"
_PART = re.compile(r"uploads/([0-9a-f]{64})/(\d{5})-([0-9a-f]{64})")

Progressed = Callable[[int, int], None]
"""Told of so many bytes more that are where they belong, and how many of them had to be sent."""


def untold(_arrived: int, _sent: int) -> None:
    """For whoever wants to know nothing of progress."""


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One part of a file. ``number``: from 0; ``sha256``: of its bytes, hex."""

    number: int
    sha256: str

    def path(self, sha256: str) -> str:
        """Where it lies in a store; ``sha256``: of the whole file, hex."""
        return f"{FOLDER}/{sha256}/{self.number:05d}-{self.sha256}"


@dataclass(slots=True)
class Count:
    """Passes progress on and adds up what was sent, in bytes."""

    progressed: Progressed
    sent: int = 0

    def __call__(self, arrived: int, sent: int) -> None:
        """See `Progressed`."""
        self.sent += sent
        self.progressed(arrived, sent)


@dataclass(slots=True)
class Meter:
    """How much of one file has arrived, told once, however often it is begun anew. ``told``: in bytes."""

    progressed: Progressed
    told: int = 0

    def at(self, done: int, sent: int) -> None:
        """So many bytes are where they belong, and so many were sent since the last word."""
        more = max(done - self.told, 0)
        if more or sent:
            self.progressed(more, sent)
            self.told += more


def part_bytes(size: int) -> int:
    """How long the parts of a file of ``size`` bytes are, but for its last: a whole number of MiB.

    The same for everybody who brings it. Raises StoreRefused for a file that is larger than can be joined.
    """
    if not 0 <= size <= MOST_BYTES:
        raise StoreRefused(f"a file of {size:,} bytes is too large to be uploaded; the most is {MOST_BYTES:,}")
    return max(PART_BYTES, -(-size // (MOST_PARTS * _MIB)) * _MIB)


def count_of(size: int) -> int:
    """How many parts a file of ``size`` bytes has. Raises StoreRefused as `part_bytes`."""
    return -(-size // part_bytes(size))


def parts_of(file: Path, sha256: str) -> Iterator[tuple[Part, bytes]]:
    """The parts of a file on this machine, in order. Raises SourceChanged, after them where the bytes are others."""
    for number, data in enumerate(blocks_of(file, sha256, part_bytes(size_of(file)))):
        yield Part(number, hashlib.sha256(data).hexdigest()), data


def size_of(file: Path) -> int:
    """Length of a file that is to be kept, in bytes. Raises SourceChanged where it is gone."""
    try:
        return file.stat().st_size
    except OSError as error:
        raise SourceChanged(f"{file} cannot be read any more: {error.strerror or error}") from error


def held(store: Store, sha256: str) -> frozenset[Part]:
    """The parts of a file that a store holds. What else lies there is nobody's part."""
    found = (_PART.fullmatch(path) for path in store.list(f"{FOLDER}/{sha256}"))
    return frozenset(Part(int(match[2]), match[3]) for match in found if match is not None)


def note_damaged(store: Store, sha256: str) -> None:
    """Somebody has read material and found other bytes than its digest (hex) says. Repeatable."""
    store.create(f"{FOLDER}/{sha256}/{_NOTE}", b"")


def found_damaged(store: Store, sha256: str) -> bool:
    """Whether somebody found this material damaged since it was last put."""
    return store.exists(f"{FOLDER}/{sha256}/{_NOTE}")


def is_there(store: Store, sha256: str, size: int) -> bool:
    """Whether there is material of this digest (hex) and length that nobody found damaged; nothing of it is read."""
    return store.has_material(sha256, size) and not found_damaged(store, sha256)


def put_part(store: Store, sha256: str, part: Part, data: bytes) -> bool:
    """Keep one part; False where it was there. Raises StoreRefused where ``data`` is not what the part says."""
    if not 0 <= part.number < MOST_PARTS or hashlib.sha256(data).hexdigest() != part.sha256:
        raise StoreRefused(f"part {part.number} arrived with other bytes than it says; send it again")
    new = store.create(part.path(sha256), data)
    reached("uploads.after_part")
    return new


def join(store: Store, sha256: str, size: int, parts: Sequence[Part], *, checked: bool) -> str:
    """Make material of all parts of a file; where it lies. Repeatable; the parts are gone on return.

    ``checked``: whoever calls has the file itself and saw that these parts are it; otherwise every byte is read here.

    Raises StoreRefused where these are not all parts of a file of ``size`` bytes, NotThere where the store lacks one,
    MaterialDamaged where they come to other bytes than ``sha256``. Parts that are what they say stay then: who named
    them together may be another than who brought them, and the right ones among them are gone on with.
    """
    if [part.number for part in parts] != list(range(count_of(size))):
        raise StoreRefused(f"a file of {size:,} bytes has {count_of(size):,} parts, and they are named in their order")
    reached("uploads.before_join")
    try:
        path = store.join_material(sha256, [part.path(sha256) for part in parts], checked=checked)
    except MaterialDamaged:
        _forget_damaged(store, sha256, parts)
        raise
    reached("uploads.after_join")
    forget(store, sha256)
    return path


def _forget_damaged(store: Store, sha256: str, parts: Sequence[Part]) -> None:
    """Remove those parts that have come to other bytes than they say since they were kept."""
    for part in parts:
        with suppress(NotThere):
            if hashlib.sha256(store.read(part.path(sha256))).hexdigest() != part.sha256:
                store.delete(part.path(sha256))


def aged(store: Store) -> Iterator[tuple[str, int, float]]:
    """Parts that lie in a store: path, bytes, when the last part of the same file came (Unix seconds)."""
    files: dict[str, list[tuple[str, int, float]]] = defaultdict(list)
    for entry in store.entries(FOLDER):
        if entry[0].endswith(f"/{_NOTE}"):
            continue  # it is good until the file has come
        files[entry[0].split("/")[1]].append(entry)
    for parts in files.values():
        last = max(modified for _, _, modified in parts)
        yield from ((path, size, last) for path, size, _ in parts)


def sweep(store: Store, before: float) -> int:
    """Remove the parts of files of which no part came since ``before`` (Unix seconds); how many there were.

    Whoever goes on with one in that very moment is told that parts are missing, and brings them again.
    """
    old = [path for path, _, last in aged(store) if last < before]
    for path in old:
        store.delete(path)
    return len(old)


def forget(store: Store, sha256: str) -> None:
    """Remove all parts of a file."""
    with ThreadPoolExecutor(_DELETED_AT_ONCE) as threads:
        list(threads.map(store.delete, store.list(f"{FOLDER}/{sha256}")))


def put_in_parts(store: Store, file: Path, sha256: str, progressed: Progressed = untold) -> str:
    """Keep a file as material, part by part, without those that are there; where it lies.

    Raises SourceChanged where the file has other bytes by now (whoever has the right ones goes on with the parts that
    are right), and what the store raises.
    """
    size, meter = size_of(file), Meter(progressed)
    for last in [False] * (_TRIES - 1) + [True]:
        parts, done = [], 0
        for part, more, sent in _sent(store, file, sha256):
            parts.append(part)
            done += more
            meter.at(done, more if sent else 0)
        try:
            return join(store, sha256, size, parts, checked=True)
        except NotThere:
            if last and not is_there(store, sha256, size):
                raise
        if is_there(store, sha256, size):  # somebody else brought it meanwhile
            break
    meter.at(size, 0)
    forget(store, sha256)
    return material_path(sha256)


def _sent(store: Store, file: Path, sha256: str) -> Iterator[tuple[Part, int, bool]]:
    """Bring every part of a file, a few at a time: each once it is there, its bytes, and whether it had to be sent."""
    there = held(store, sha256)
    under_way: deque[tuple[Part, int, Future[bool] | None]] = deque()
    with ThreadPoolExecutor(_SENT_AT_ONCE) as threads:
        try:
            for part, data in parts_of(file, sha256):
                job = None if part in there else threads.submit(put_part, store, sha256, part, data)
                under_way.append((part, len(data), job))
                if len(under_way) > _SENT_AT_ONCE:
                    yield _awaited(*under_way.popleft())
            while under_way:
                yield _awaited(*under_way.popleft())
        finally:
            for _, _, job in under_way:
                if job is not None:
                    job.cancel()


def _awaited(part: Part, size: int, job: "Future[bool] | None") -> tuple[Part, int, bool]:
    if job is not None:
        job.result()
    return part, size, job is not None
