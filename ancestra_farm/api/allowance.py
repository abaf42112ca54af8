"""How much one person may leave lying in a store through the door: files, whole or in parts, that no batch names.

What was brought is counted here as it comes, and from the store (`ledger.brought`) whenever somebody is first seen or
seems to have come to the bound: by then it may have been joined, handed in or swept. So a controller that begins anew
forgets nothing. What is on its way is counted apart from what lies there, and rather twice than never where it arrives
while the store is read.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection

from ancestra_farm.api.problems import Refusal
from ancestra_farm.ledger import brought
from ancestra_farm.ledger.errors import StoreRefused
from ancestra_farm.ledger.store import Store

#: Bytes that one person may leave lying: the weights of a few of the largest models, or an hour of plates.
MOST_BYTES = 256 * 2**30
#: Somebody who has come to the bound has the store read once in so many seconds, however often they try.
COUNTED_S = 10.0
#: A file that somebody goes on bringing is marked anew once in so many seconds: far sooner than marks are swept.
MARKED_S = 3600.0
#: Marks that are remembered; then all are made anew.
MOST_MARKED = 10_000


class Allowance:
    """Of everybody who brings files to one store. Safe from several threads. ``clock``: seconds, never falling."""

    def __init__(self, store: Store, most: int = MOST_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._most = most
        self._clock = clock
        self._lying: dict[str, int] = {}
        self._under_way: Counter[str] = Counter()
        self._counted_at: dict[str, float] = {}
        self._arrived: dict[str, int] = {}  # since the count began that is being made
        self._marked: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def take(self, who: str, sha256: str, size: int) -> None:
        """Somebody brings so many bytes more of a file, until they have `ended`.

        ``sha256``: of the whole file, hex. Raises StoreRefused where that is too much, StoreError, and Refusal where
        what they have brought is being counted: the count is worth one thread of those that everybody needs.
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
        try:
            self._mark(who, sha256)
        except BaseException:
            self.ended(who, size, new=False)
            raise

    def ended(self, who: str, size: int, *, new: bool) -> None:
        """So many bytes are on their way no more. ``new``: they lie there, and did not before."""
        with self._lock:
            self._under_way[who] -= size
            if not self._under_way[who]:
                del self._under_way[who]
            if new:
                for told in (self._lying, self._arrived):
                    if who in told:
                        told[who] += size

    def named(self, sha256s: Collection[str]) -> None:
        """A batch names these files: they lie about no more. Whoever had brought one is counted anew."""
        theirs = brought.named(self._store, sha256s)
        with self._lock:
            self._marked = {key: at for key, at in self._marked.items() if key[1] not in sha256s}
            for who in [who for who in self._lying if brought.key_of(who) in theirs]:
                del self._lying[who]

    def _reserve(self, who: str, size: int) -> bool:
        with self._lock:
            lying = self._lying.get(who)
            if lying is None or lying + self._under_way[who] + size > self._most:
                return False
            self._under_way[who] += size
            return True

    def _count(self, who: str) -> int:
        """As the store has it now, or had it a moment ago. Raises Refusal where another one counts."""
        now = self._clock()
        with self._lock:
            if who in self._arrived:
                raise Refusal("busy", f"what {who} brought is being counted; send it again in a moment")
            if who in self._lying and now < self._counted_at.get(who, -COUNTED_S) + COUNTED_S:
                return self._lying[who]
            self._counted_at[who] = now
            self._arrived[who] = 0
        try:
            lying = brought.lying(self._store, who)
        except BaseException:
            with self._lock:
                del self._arrived[who]
            raise
        with self._lock:
            self._lying[who] = lying + self._arrived.pop(who)
            return self._lying[who]

    def _mark(self, who: str, sha256: str) -> None:
        """Have it known whose file this is, now and then."""
        now = self._clock()
        with self._lock:
            marked = self._marked.get((who, sha256))
            if marked is not None and now < marked + MARKED_S:
                return
        brought.mark(self._store, who, sha256)
        with self._lock:
            if len(self._marked) >= MOST_MARKED:
                self._marked.clear()
            self._marked[who, sha256] = now
