"""Who has brought what that no batch names yet, so that what one person leaves lying in a store has a bound.

For each file that somebody brings through the door there is a mark, ``brought/<person>/<sha256 of the file>``, from
before its first part until a batch that names it is handed in. What lies there for them is counted from the store:
material where it is whole by now, parts where it is not. Marks of files of which nothing is left are swept.
"""

import hashlib
from collections.abc import Collection
from contextlib import suppress

from ancestra_farm.ledger.errors import NotThere
from ancestra_farm.ledger.store import Store, material_path
from ancestra_farm.ledger.uploads import FOLDER as PARTS

FOLDER = "brought"


def mark(store: Store, who: str, sha256: str) -> None:
    """Somebody begins to bring a file. Repeatable."""
    store.create(f"{FOLDER}/{_key(who)}/{sha256}", b"")


def lying(store: Store, who: str) -> int:
    """Bytes of what somebody brought, whole or in parts, and no batch names."""
    return sum(_bytes_of(store, path.rpartition("/")[2]) for path in store.list(f"{FOLDER}/{_key(who)}"))


def named(store: Store, sha256s: Collection[str]) -> None:
    """A batch names these files: they lie about no more, whoever brought them."""
    for path in store.list(FOLDER):
        if path.rpartition("/")[2] in sha256s:
            store.delete(path)


def sweep_marks(store: Store) -> None:
    """Remove marks of files of which nothing is left. With each part that comes its mark is made again."""
    for path in store.list(FOLDER):
        sha256 = path.rpartition("/")[2]
        if not store.exists(material_path(sha256)) and not store.list(f"{PARTS}/{sha256}"):
            store.delete(path)


def _bytes_of(store: Store, sha256: str) -> int:
    total = 0
    for path in [material_path(sha256), *store.list(f"{PARTS}/{sha256}")]:
        with suppress(NotThere):
            total += store.size(path)
    return total


def _key(who: str) -> str:
    """Any name as a folder's."""
    return hashlib.sha256(who.encode("utf-8", "replace")).hexdigest()[:16]
