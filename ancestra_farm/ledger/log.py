"""Writing the log: the right to write the next commit, taken by an epoch and lost to a higher one.

What the events mean is not decided here.
"""

import threading
import time
import uuid
from collections.abc import Callable, Sequence

from ancestra_farm.ledger.commit import Commit, commit_path, encode_commit
from ancestra_farm.ledger.errors import LogDamaged, NotThere, StoreError, StoreFull, StoreUnavailable, Superseded
from ancestra_farm.ledger.packs import covering, pack_of
from ancestra_farm.ledger.points import reached
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import Mark, Tail
from ancestra_farm.plan.events import EpochTaken, Event

_AFTER_DAMAGE = (
    "nothing is written after damage: `ancestra verify` names all of it, `ancestra repair` saves what can be saved"
)


class Writer:
    """The right to write the log under one epoch. Made by `begin`; `commit` may be called from several threads.

    ``history``: what was in the log before this epoch began, and this epoch's own first commit; empty where whoever
    began it folded them one by one.
    """

    def __init__(self, tail: Tail, epoch: int, history: tuple[Commit, ...], clock: Callable[[], float]) -> None:
        self.epoch = epoch
        self.history = history
        self._tail = tail
        self._clock = clock
        self._lock = threading.Lock()
        self._ended: StoreError | None = None

    @classmethod
    def begin(
        cls,
        store: Store,
        who: str,
        purpose: str,
        clock: Callable[[], float] = time.time,
        *,
        tail: Tail | None = None,
        fold: Callable[[Commit], object] | None = None,
    ) -> "Writer":
        """Fold the log and take the next epoch by committing `EpochTaken`; every earlier writer is superseded.

        ``tail``: where to go on from, if what lies before is known already. ``fold`` is called with each commit, in
        order, and ``history`` stays empty then: a long log is not held in memory.
        Raises LogDamaged if the log cannot be trusted: nothing is ever written after damage.
        """
        tail = Tail(store) if tail is None else tail
        history: list[Commit] = []
        keep = history.append if fold is None else fold
        while True:
            try:
                for commit in tail.poll():
                    keep(commit)
            except LogDamaged as damage:
                raise LogDamaged(f"{damage}; {_AFTER_DAMAGE}") from damage
            mark = tail.mark
            writer = cls(tail, tail.epoch + 1, (), clock)
            now = clock()
            own, taken = writer._try_next([EpochTaken(epoch=writer.epoch, who=who, purpose=purpose, at=now)], now)
            if own and taken is not None:
                keep(taken)
                writer.history = tuple(history)
                return writer
            # Another one took the number, or has gone on far beyond it: theirs is read in order before the next try.
            tail = Tail(store, mark)

    @property
    def number(self) -> int:
        """The last commit this writer knows."""
        return self._tail.number

    @property
    def mark(self) -> Mark:
        """Where the log stands, as far as this writer knows."""
        return self._tail.mark

    def commit(self, events: Sequence[Event]) -> int:
        """Make these events true together; the commit's number. Durable on return.

        Raises Superseded when a higher epoch has begun (nothing was written then), and StoreUnavailable (StoreFull)
        when the store failed so that nobody knows whether it was; this writer is of no use afterwards: begin anew.
        """
        if not events:
            raise ValueError("a commit has at least one event")
        with self._lock:
            if self._ended is not None:
                raise self._ended
            while True:
                own, commit = self._try_next(events, self._clock())
                if own:
                    return self._tail.number
                if commit is None:
                    continue  # void for every reader
                self._ended = self._overtaken(commit)
                raise self._ended

    def _try_next(self, events: Sequence[Event], at: float) -> tuple[bool, Commit | None]:
        """Try the next number once: whether it is ours, and the commit that stands there now (None: a void one)."""
        tail = self._tail
        number, nonce = tail.number + 1, uuid.uuid4().hex
        data, digest = encode_commit(events, number=number, epoch=self.epoch, nonce=nonce, previous=tail.digest, at=at)
        path = commit_path(number)
        try:
            reached("commit.before_create")
            if tail.store.create(path, data):
                reached("commit.after_create")
                if covering(tail.store, number) is not None:
                    return False, self._beyond_the_pack(number)
                commit = Commit(number, self.epoch, nonce, at, tuple(events), digest, tail.digest)
                tail.number, tail.digest, tail.epoch = number, digest, self.epoch
                return True, commit
            try:
                found = tail.take(number, tail.store.read(path))
            except NotThere:
                return False, self._beyond_the_pack(number)
        except StoreError as error:
            self._ended = _unknown(number, error)
            raise self._ended from error
        # Lost, or won by a request whose answer got lost on the way: the nonce in the file tells.
        return found is not None and found.nonce == nonce, found

    def _beyond_the_pack(self, number: int) -> Commit:
        """Of a number that was free only because its commit was packed and deleted: the commit that ended this epoch.

        Others have gone on far beyond it. The file just made is void for every reader, since a pack holds its number.
        """
        for commit in self._tail.poll():
            if commit.epoch > self.epoch:
                return commit
        raise LogDamaged(f"{pack_of(number).path} holds commit {number}, which nobody wrote under a later epoch")

    def _overtaken(self, commit: Commit) -> StoreError:
        if commit.epoch > self.epoch:
            return Superseded(self.epoch, commit.epoch, _who(commit))
        return LogDamaged(
            f"{commit_path(commit.number)} was written under epoch {self.epoch}, which another writer holds"
        )


def _unknown(number: int, error: StoreError) -> StoreError:
    """What is said, at once and ever after, when nobody knows whether a commit took place."""
    if isinstance(error, LogDamaged):
        return LogDamaged(f"{error}; {_AFTER_DAMAGE}")
    kind = StoreFull if isinstance(error, StoreFull) else StoreUnavailable
    return kind(
        f"commit {number} could not be written, or was and nobody heard ({error}); every commit before it is safe; "
        "begin a new epoch to find out (`ancestra resume` does)"
    )


def _who(commit: Commit) -> str:
    return next((event.who for event in commit.events if isinstance(event, EpochTaken)), "another writer")
