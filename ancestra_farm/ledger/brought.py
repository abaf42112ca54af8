"""Who has brought what that no batch names yet, so that what one person leaves lying in a store has a bound.

For each file that somebody brings through the door there is a mark, ``brought/<person>/<sha256 of the file>``, from
before its first part until a batch that names it is handed in. What lies there for them is counted from the store:
material where it is whole by now, parts where it is not. Marks of files of which nothing is left are swept once they
are old: one that was made a moment ago is of a file whose first part is on its way.
"""

import hashlib
from collections import Counter
from collections.abc import Collection

from ancestra_farm.ledger.store import Store, material_path
from ancestra_farm.ledger.uploads import FOLDER as PARTS

FOLDER = "brought"


def mark(store: Store, who: str, sha256: str) -> None:
    """Somebody brings a file, from now on or still. Repeatable."""
    store.replace(f"{FOLDER}/{key_of(who)}/{sha256}", b"")


def lying(store: Store, who: str) -> int:
    """Bytes of what somebody brought, whole or in parts, and no batch names."""
    return sum(_bytes_of(store, {_file(path) for path in store.list(f"{FOLDER}/{key_of(who)}")}).values())


def named(store: Store, sha256s: Collection[str]) -> frozenset[str]:
    """A batch names these files: they lie about no more. By whom some of them had been brought, as `key_of` has it."""
    gone = [path for path in store.list(FOLDER) if _file(path) in sha256s]
    for path in gone:
        store.delete(path)
    return frozenset(path.split("/")[1] for path in gone)


def sweep_marks(store: Store, before: float) -> None:
    """Remove marks that were made before a time (Unix seconds) and of whose files nothing is left."""
    old = [path for path, _, modified in store.entries(FOLDER) if modified < before]
    left = _bytes_of(store, {_file(path) for path in old})
    for path in old:
        if _file(path) not in left:
            store.delete(path)


def key_of(who: str) -> str:
    """Any name as a folder's."""
    return hashlib.sha256(who.encode("utf-8", "replace")).hexdigest()[:16]


def _file(path: str) -> str:
    return path.rpartition("/")[2]


def _bytes_of(store: Store, sha256s: Collection[str]) -> Counter[str]:
    """What lies there of some files, in bytes; those of which there is nothing are left out.

    By listings alone: of a large file there are thousands of parts, and a bucket is asked one by one for each length.
    """
    if not sha256s:
        return Counter()
    folders = {PARTS, *(material_path(sha256).rpartition("/")[0] for sha256 in sha256s)}
    found: Counter[str] = Counter()
    for path, size, _ in (entry for folder in folders for entry in store.entries(folder)):
        sha256 = path.split("/")[1] if path.startswith(f"{PARTS}/") else _file(path)
        if sha256 in sha256s:
            found[sha256] += size
    return found
