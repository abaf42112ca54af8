"""Whose token it is: the people of a store as a controller knows them, also while the store does not answer.

The store is read anew every `BELIEVED_S`, on a thread of its own, and nobody waits for it longer than `PATIENCE_S`: a
bucket that is away takes its time to say so. Meanwhile those who were read last are believed, for `KEPT_S` at most, so
that people see from the farm what it does through an outage; whoever wants something done waits until the store says
that their token still counts, and for what. What was revoked counts as soon as it is read, and a token's end when it
comes. No command changes a record, but a hand can: with each reading a few are read again, and at once those of
whoever wants something done. Whoever keeps the log is told who has a token whenever that is another than before.
"""

import hmac
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from math import inf

from ancestra_farm.api.people import FOLDER, Person, digest_of, gone, holders, read_person, record_path
from ancestra_farm.ledger.errors import StoreUnavailable
from ancestra_farm.ledger.store import MARK, Store
from ancestra_farm.scheduler.holders import PeopleSeen

#: Seconds for which the people read from the store are believed: so soon does a revoked token stop to count.
BELIEVED_S = 2.0
#: Seconds for which those who were read last may go on asking while the store does not answer. Most outages of a bucket
#: are over by then.
KEPT_S = 900.0
#: Seconds that whoever asks waits for the store. One that is there answers in a fraction of one.
PATIENCE_S = 5.0
#: So many unknown tokens make the store be read anew within `BELIEVED_S`; whoever guesses makes no more work than this.
MOST_UNKNOWN = 16
#: Records that are read again with each reading, in turn: a few requests of a bucket, and all of hundreds in minutes.
AGAIN = 4

_LOG = logging.getLogger(__name__)

Known = Mapping[str, tuple[Person, str]]
"""Somebody and the SHA-256 of their token, by the path of the record; those that were read longest ago come first."""

Told = Callable[[PeopleSeen], None]
"""Told who has a token."""


class Register:
    """The people of one store. Safe from several threads. ``clock``: seconds, never falling; ``wall``: of the day."""

    def __init__(
        self, store: Store, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._clock = clock
        self._wall = wall
        self._turn = threading.Condition()
        self._known: Known = {}
        self._read_at = -inf  # when the reading began that told who is known
        self._until = clock()  # until then nothing newer is asked for
        self._trouble: Exception | None = None  # why nothing newer is known
        self._reading: threading.Thread | None = None
        self._given_up: threading.Thread | None = None  # a reading that was waited for long enough
        self._asked_for: set[str] = set()
        self._doubted: set[str] = set()  # records of whoever wants something done
        self._fresh: Collection[str] = ()  # records that the last reading read
        self._told: Told | None = None
        self._last_told: frozenset[Person] | None = None

    def tell(self, told: Told) -> None:
        """Tell from now on who has a token: once as soon as it is read, and then whenever it is another than before.

        In place of whoever was told until now. ``told`` is called on a thread of the register's own, and must not wait.
        """
        with self._turn:
            self._told, self._last_told = told, None

    def look(self) -> None:
        """Have the store read anew if that is due, and wait for nothing."""
        with self._turn:
            if self._reading is None and self._clock() >= self._until:
                self._begin()

    def person(self, token: str, *, sure: bool = False) -> Person | None:
        """Whose token this is; None for nobody's. One that is not known yet is looked for at once, though only once.

        ``sure``: by what the store says now, not by what it said last. Raises TokenEnded for one that does not count
        any more, StoreUnavailable where only the store could say and does not, or has not for too long.
        """
        digest = digest_of(token)
        path = record_path(digest)
        with self._turn:
            if sure and path in self._known:
                self._doubted.add(path)
            if self._clock() >= self._until:
                self._asked_for.clear()
                self._read()
            found = self._find(digest)
            stale = sure and found is not None and path not in self._fresh
            if self._trouble is None and (stale or (found is None and self._is_new(digest))):
                self._read(after_this=True)
                found = self._find(digest)
            if self._trouble is not None and (sure or found is None or self._clock() >= self._read_at + KEPT_S):
                raise StoreUnavailable(f"nobody can say whose token this is: {self._trouble}") from self._trouble
            if found is not None:
                found.need_now(self._wall())
            return found

    def _find(self, digest: str) -> Person | None:
        # Every digest is compared, each in constant time: how long it takes says nothing about which ones there are.
        found = [person for person, known in self._known.values() if hmac.compare_digest(known, digest)]
        return found[0] if found else None

    def _is_new(self, digest: str) -> bool:
        """Whether the store is to be read for a token that is not known; noted."""
        if digest in self._asked_for or len(self._asked_for) >= MOST_UNKNOWN:
            return False
        self._asked_for.add(digest)
        return True

    def _read(self, *, after_this: bool = False) -> None:
        """Have the store read, or wait with those who do. ``after_this``: what it holds now has to be in it."""
        if self._reading is not None:
            self._wait(self._reading)
            if not after_this or self._trouble is not None:
                return
        self._wait(self._reading or self._begin())

    def _begin(self) -> threading.Thread:
        reading = threading.Thread(target=self._look, name="people", daemon=True)
        reading.start()  # it ends only when whoever begins it waits, or lets go of the turn
        self._reading = reading
        return reading

    def _wait(self, reading: threading.Thread) -> None:
        if reading is self._given_up:
            return
        if not self._turn.wait_for(lambda: self._reading is not reading, PATIENCE_S):
            self._given_up = reading
            self._trouble = StoreUnavailable(f"{self._store.url} does not answer")

    def _look(self) -> None:
        began = self._clock()
        with self._turn:
            known, doubted, told, trouble, seen = self._known, frozenset(self._doubted), self._told, None, None
        fresh: Collection[str] = ()
        try:
            known, fresh = _people_in(self._store, known, doubted)
            seen = self._to_tell(known)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told, and it is tried again
            trouble = error
        with self._turn:
            if trouble is None:
                self._known, self._fresh, self._read_at = known, fresh, began
                self._doubted -= doubted
            elif self._trouble is None:
                _LOG.warning("who has a token cannot be read; who had one is believed for a while: %s", trouble)
            self._trouble = trouble
            self._until = self._clock() + BELIEVED_S
            self._reading = None
            self._turn.notify_all()
            # Before anybody is believed: one reading after the other. To whoever has come since, what was read is old.
            if seen is not None and told is not None and told is self._told:
                self._last_told = self._counting(known)
                told(seen)

    def _to_tell(self, known: Known) -> PeopleSeen | None:
        """What whoever keeps the log is to be told of; None: nothing new, or it cannot be told yet."""
        with self._turn:
            if self._told is None or self._last_told == self._counting(known):
                return None
        try:
            return PeopleSeen(holders(person for person, _ in known.values()), gone(self._store))
        except Exception as error:  # noqa: BLE001 - tokens count all the same; the next reading tries again
            _LOG.warning("who took tokens away cannot be read: %s", error)
            return None

    def _counting(self, known: Known) -> frozenset[Person]:
        """Those whose tokens count by now."""
        now = self._wall()
        return frozenset(one for one, _ in known.values() if one.counts(now))


def _people_in(store: Store, known: Known, doubted: Collection[str]) -> tuple[Known, Collection[str]]:
    """Everybody with a token, and the records that were read: new ones, those in doubt, and the `AGAIN` oldest.

    Raises StoreError, also where a store that had people holds nothing at all any more: the folder that something was
    mounted on is empty, and says of nobody that they were revoked.
    """
    paths = store.list(FOLDER)
    if known and not paths and not store.exists(MARK):
        raise StoreUnavailable(f"{store.url} holds nothing any more: is what it lies on mounted?")
    believed = known.keys() - doubted - set(islice(known, AGAIN))
    read = {path: one for path in paths if path not in believed and (one := read_person(store, path))}
    there = believed.intersection(paths)
    return {path: one for path, one in known.items() if path in there} | read, read.keys()
