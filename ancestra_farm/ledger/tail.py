"""Reading the log: numbered commits in order, each checked before it is believed.

Commits are read from packs where they have been packed, and on their own where not. What they mean is not decided here.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ancestra_farm.ledger.commit import Commit, commit_path, decode_commit, first_link
from ancestra_farm.ledger.errors import LogDamaged, NotThere
from ancestra_farm.ledger.packs import LogFiles, Pack, decode_pack
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.events import Repaired

#: Commits of a bucket fetched at once while folding: a read there takes tens of milliseconds, most of it waiting.
_READ_AHEAD = 16


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a log, from which a `Tail` can go on. The fields are the tail's.

    ``aside``: places of events in later commits that a repair has set aside, by number of the commit.
    """

    number: int
    epoch: int
    digest: str
    aside: dict[int, tuple[int, ...]] = field(default_factory=dict)


class Tail:
    """Follows a log from its beginning, or on from a mark: what has been read so far, and what may come next.

    ``number``: the last commit read, 0 before any; ``digest``: what the next one names as the digest before it;
    ``epoch``: the highest epoch begun.
    """

    def __init__(self, store: Store, mark: Mark | None = None) -> None:
        self.store = store
        self.number = 0
        self.epoch = 0
        self.digest = first_link(store.id)
        self._aside: dict[int, set[int]] = {}
        if mark is not None:
            self.number, self.epoch, self.digest = mark.number, mark.epoch, mark.digest
            self._aside = {number: set(places) for number, places in mark.aside.items()}

    @property
    def mark(self) -> Mark:
        """Where this tail stands."""
        aside = {number: tuple(sorted(places)) for number, places in self._aside.items()}
        return Mark(self.number, self.epoch, self.digest, aside)

    def poll(self, *, events: bool = True) -> Iterator[Commit]:
        """The commits written since, void ones left out. Raises LogDamaged; what was yielded before stands."""
        files = LogFiles(self.store.list("log"))
        last = files.last
        if last < self.number:
            raise LogDamaged(f"{commit_path(self.number)} was there and is gone")
        while self.number < last:
            before = self.number
            pack = files.pack_with(self.number + 1)
            found = self._poll_pack(pack, events) if pack is not None else self._poll_commits(files, last, events)
            for commit in found:
                if commit is not None:
                    yield commit
            if self.number == before:
                # Neither the commit nor a pack of it: it has been packed since the files were listed, or it is missing.
                files = LogFiles(self.store.list("log"))
                if files.pack_with(self.number + 1) is None:
                    raise LogDamaged(f"{commit_path(self.number + 1)} is missing though later commits are there")

    def _poll_pack(self, pack: Pack, events: bool) -> Iterator[Commit | None]:  # noqa: FBT001 - private
        for commit in decode_pack(pack.path, self.store.read(pack.path), after=self.number, events=events):
            yield self.follow(pack.path, commit, events=events)

    def _poll_commits(self, files: LogFiles, last: int, events: bool) -> Iterator[Commit | None]:  # noqa: FBT001
        """The commits before the next pack, as far as they are there."""
        stop = next((pack.first for pack in files.packs if pack.first > self.number), last + 1)
        for number, data in self._read(range(self.number + 1, stop)):
            if data is None:
                return
            yield self.take(number, data, events=events)

    def take(self, number: int, data: bytes, *, events: bool = True) -> Commit | None:
        """Move on by one commit that stands on its own; None if it is void."""
        path = commit_path(number)
        return self.follow(path, decode_commit(path, data, events=events), events=events)

    def follow(self, path: str, commit: Commit, *, events: bool = True) -> Commit | None:
        """Move on by a commit from the file ``path``; None if it is void: written under an epoch that had ended.

        Raises LogDamaged where it does not follow on the one before.
        """
        if commit.previous != self.digest:
            before = commit_path(commit.number - 1) if commit.number > 1 else "the store's id"
            raise LogDamaged(
                f"{path} follows on a commit with digest {commit.previous}, but {before} has {self.digest}: "
                "one of them was replaced"
            )
        self.number, self.digest = commit.number, commit.link
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

    def _read(self, numbers: Sequence[int]) -> Iterator[tuple[int, bytes | None]]:
        """Each number with its file, None where there is none."""
        if self.store.local_path("log") is not None or len(numbers) < 2:
            for number in numbers:
                yield number, self._read_one(number)
            return
        with ThreadPoolExecutor(_READ_AHEAD, thread_name_prefix="log") as pool:
            for start in range(0, len(numbers), _READ_AHEAD):
                some = numbers[start : start + _READ_AHEAD]
                yield from zip(some, pool.map(self._read_one, some), strict=True)

    def _read_one(self, number: int) -> bytes | None:
        try:
            return self.store.read(commit_path(number))
        except NotThere:
            return None


def read_commits(store: Store, after: int = 0) -> Iterator[Commit]:
    """The commits after number ``after``, in order, validated, void ones left out. Raises LogDamaged.

    Earlier commits are checked too, since they say which epochs had ended. To follow a log keep a `Tail`.
    """
    tail = Tail(store)
    for commit in tail.poll():
        if commit.number > after:
            yield commit
