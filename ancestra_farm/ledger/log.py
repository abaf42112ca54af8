"""The log: numbered commits that are the only truth about a store, and the right to write the next one.

Reading checks every commit (its seal, its number, that it follows on the one before) and leaves out void ones. Writing
takes an epoch first. What the events mean is not decided here.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from ancestra_farm.ledger.commit import Commit, commit_path, decode_commit, encode_commit, first_link, number_of
from ancestra_farm.ledger.errors import LogDamaged, NotThere, StoreError, StoreUnavailable, Superseded
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.events import EpochTaken, Event

#: Commits of a bucket fetched at once while folding: a read there takes tens of milliseconds, most of it waiting.
_READ_AHEAD = 16


class Tail:
    """Follows a log from its beginning: what has been read so far, and what may come next.

    ``number``: the last commit read, 0 before any; ``digest``: its digest; ``epoch``: the highest epoch begun.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.number = 0
        self.epoch = 0
        self.digest = first_link(store.id)

    def poll(self, *, events: bool = True) -> Iterator[Commit]:
        """The commits written since, void ones left out. Raises LogDamaged; what was yielded before stands."""
        numbers = [number for path in self.store.list("log") if (number := number_of(path)) is not None]
        last = max(numbers, default=0)
        if last < self.number:
            raise LogDamaged(f"{commit_path(self.number)} was there and is gone")
        for number, data in self._read(range(self.number + 1, last + 1)):
            commit = self.take(number, data, events=events)
            if commit is not None:
                yield commit

    def take(self, number: int, data: bytes, *, events: bool = True) -> Commit | None:
        """Move on by one commit; None if it is void: written under an epoch that had ended."""
        path = commit_path(number)
        commit = decode_commit(path, data, events=events)
        if commit.previous != self.digest:
            before = commit_path(number - 1) if number > 1 else "the store's id"
            raise LogDamaged(
                f"{path} follows on a commit with digest {commit.previous}, but {before} has {self.digest}: "
                "one of them was replaced"
            )
        self.number, self.digest = number, commit.digest
        if commit.epoch < self.epoch:
            return None
        self.epoch = commit.epoch
        return commit

    def _read(self, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        if self.store.local_path("log") is not None or len(numbers) < 2:
            for number in numbers:
                yield number, self._read_one(number)
            return
        with ThreadPoolExecutor(_READ_AHEAD, thread_name_prefix="log") as pool:
            for start in range(0, len(numbers), _READ_AHEAD):
                some = numbers[start : start + _READ_AHEAD]
                yield from zip(some, pool.map(self._read_one, some), strict=True)

    def _read_one(self, number: int) -> bytes:
        try:
            return self.store.read(commit_path(number))
        except NotThere as error:
            raise LogDamaged(f"{commit_path(number)} is missing though later commits are there") from error


def read_commits(store: Store, after: int = 0) -> Iterator[Commit]:
    """The commits after number ``after``, in order, validated, void ones left out. Raises LogDamaged.

    Earlier commits are checked too, since they say which epochs had ended. To follow a log keep a `Tail`.
    """
    tail = Tail(store)
    for commit in tail.poll():
        if commit.number > after:
            yield commit


class Writer:
    """The right to write the log under one epoch. Made by `begin`; `commit` may be called from several threads.

    ``history``: what was in the log before this epoch began, and this epoch's own first commit.
    """

    def __init__(self, tail: Tail, epoch: int, history: tuple[Commit, ...], clock: Callable[[], float]) -> None:
        self.epoch = epoch
        self.history = history
        self._tail = tail
        self._clock = clock
        self._lock = threading.Lock()
        self._ended: StoreError | None = None

    @classmethod
    def begin(cls, store: Store, who: str, purpose: str, clock: Callable[[], float] = time.time) -> "Writer":
        """Fold the log and take the next epoch by committing `EpochTaken`; every earlier writer is superseded.

        Raises LogDamaged if the log cannot be trusted: nothing is ever written after damage.
        """
        tail = Tail(store)
        history = list(tail.poll())
        while True:
            writer = cls(tail, tail.epoch + 1, (), clock)
            now = clock()
            own, commit = writer._try_next([EpochTaken(epoch=writer.epoch, who=who, purpose=purpose, at=now)], now)
            if commit is not None:
                # Where another one took the number, theirs is part of the history and the next number is tried.
                history.append(commit)
            if own:
                writer.history = tuple(history)
                return writer

    @property
    def number(self) -> int:
        """The last commit this writer knows."""
        return self._tail.number

    def commit(self, events: Sequence[Event]) -> int:
        """Make these events true together; the commit's number. Durable on return.

        Raises Superseded when a higher epoch has begun (nothing was written then), and StoreUnavailable when the
        store failed so that nobody knows whether it was; this writer is of no use afterwards: begin anew and fold.
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
            if tail.store.create(path, data):
                commit = Commit(number, self.epoch, nonce, at, tuple(events), digest, tail.digest)
                tail.number, tail.digest, tail.epoch = number, digest, self.epoch
                return True, commit
            found = tail.take(number, tail.store.read(path))
        except StoreError as error:
            self._ended = StoreUnavailable(
                f"commit {number} failed and may or may not be in the log; begin a new epoch and fold ({error})"
            )
            raise
        # Lost, or won by a request whose answer got lost on the way: the nonce in the file tells.
        return found is not None and found.nonce == nonce, found

    def _overtaken(self, commit: Commit) -> StoreError:
        if commit.epoch > self.epoch:
            return Superseded(self.epoch, commit.epoch, _who(commit))
        return LogDamaged(
            f"{commit_path(commit.number)} was written under epoch {self.epoch}, which another writer holds"
        )


def _who(commit: Commit) -> str:
    return next((event.who for event in commit.events if isinstance(event, EpochTaken)), "another writer")
