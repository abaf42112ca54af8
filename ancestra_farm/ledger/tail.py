"""Reading the log: numbered commits in order, each checked before it is believed.

What they mean is not decided here.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from ancestra_farm.ledger.commit import Commit, commit_path, decode_commit, first_link, number_of
from ancestra_farm.ledger.errors import LogDamaged, NotThere
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.events import Repaired

#: Commits of a bucket fetched at once while folding: a read there takes tens of milliseconds, most of it waiting.
_READ_AHEAD = 16


class Tail:
    """Follows a log from its beginning: what has been read so far, and what may come next.

    ``number``: the last commit read, 0 before any; ``digest``: what the next one names as the digest before it;
    ``epoch``: the highest epoch begun.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.number = 0
        self.epoch = 0
        self.digest = first_link(store.id)
        self._aside: dict[int, set[int]] = {}

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
        self.number, self.digest = number, commit.link
        if commit.epoch < self.epoch:
            return None
        self.epoch = commit.epoch
        return self._counting(commit) if events else commit

    def _counting(self, commit: Commit) -> Commit:
        """The commit without the events that a repair set aside, because they rest on what was lost."""
        aside = self._aside.pop(commit.number, None)
        if aside is not None:
            left = tuple(event for place, event in enumerate(commit.events) if place not in aside)
            commit = dataclasses.replace(commit, events=left)
        for event in commit.events:
            if isinstance(event, Repaired):
                for number, places in event.aside.items():
                    self._aside.setdefault(number, set()).update(places)
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
