"""How much one person may leave lying in a store through the door: files, whole or in parts, that no batch names.

What was brought is counted here as it comes, and from the store (`ledger.brought`) whenever somebody is first seen or
seems to have come to the bound: by then it may have been joined, handed in or swept. So a controller that begins anew
forgets nothing.
"""

import threading
import time
from collections.abc import Callable, Collection

from ancestra_farm.ledger import brought
from ancestra_farm.ledger.errors import StoreRefused
from ancestra_farm.ledger.store import Store

#: Bytes that one person may leave lying: the weights of a few of the largest models, or an hour of plates.
MOST_BYTES = 256 * 2**30
#: Somebody who has come to the bound has the store read once in so many seconds, however often they try.
COUNTED_S = 10.0


class Allowance:
    """Of everybody who brings files to one store. Safe from several threads. ``clock``: seconds, never falling."""

    def __init__(self, store: Store, most: int = MOST_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._most = most
        self._clock = clock
        self._lying: dict[str, int] = {}
        self._counted_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, who: str, sha256: str, size: int) -> None:
        """Somebody brings so many bytes more of a file. Raises StoreRefused where that is too much, StoreError.

        ``sha256``: of the whole file, hex.
        """
        if not self._reserve(who, size):
            lying = self._count(who)
            if not self._reserve(who, size):
                raise StoreRefused(
                    f"files of {lying / 2**30:,.1f} GiB that {who} brought lie here and no batch names them; the most "
                    f"is {self._most / 2**30:,.1f} GiB. Hand in the batches that they are for; parts of a file with "
                    "which nobody goes on are removed after a day. What is larger is brought to the store itself, by "
                    "somebody who can write it"
                )
        brought.mark(self._store, who, sha256)

    def give_back(self, who: str, size: int) -> None:
        """So many of them were there already, or did not arrive."""
        with self._lock:
            if who in self._lying:
                self._lying[who] -= size

    def named(self, sha256s: Collection[str]) -> None:
        """A batch names these files: they lie about no more. Everybody is counted anew."""
        brought.named(self._store, sha256s)
        with self._lock:
            self._lying.clear()

    def _reserve(self, who: str, size: int) -> bool:
        with self._lock:
            lying = self._lying.get(who)
            if lying is None or lying + size > self._most:
                return False
            self._lying[who] = lying + size
            return True

    def _count(self, who: str) -> int:
        """As the store has it now, or had it a moment ago."""
        now = self._clock()
        with self._lock:
            if who in self._lying and now < self._counted_at.get(who, -COUNTED_S) + COUNTED_S:
                return self._lying[who]
            self._counted_at[who] = now
        lying = brought.lying(self._store, who)
        with self._lock:
            self._lying[who] = lying
        return lying
