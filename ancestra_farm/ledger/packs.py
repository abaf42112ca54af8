"""Packs: closed ranges of the log, each as one file, so that folders stay small and reading stays quick.

``log/pack-00000001-00000256.parquet`` holds commits 1 to 256 whole: every event as it was written, and for each commit
its number, epoch, nonce, time, digest, the digest before it and its link, so that the chain can be followed through
packs as through commits. A pack is written under its name once, read back and compared with the commits, and only then
are these deleted, in ascending order. Whatever is left of them by a kill is passed over by every reader and deleted the
next time. Ranges are aligned and never change: which pack would hold a number is known without listing.

When packing is due is not decided here.
"""

import itertools
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from ancestra_farm.ledger.commit import (
    SCHEMA_VERSION,
    Commit,
    attempts_as_now,
    commit_path,
    decode_commit,
    decode_events,
    number_of,
)
from ancestra_farm.ledger.errors import LogDamaged, NotThere
from ancestra_farm.ledger.points import reached
from ancestra_farm.ledger.sealed import check_seal, sealed, unsealed
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.events import Event

#: Commits in a pack. Part of the layout of a store: packs of another length would cover the same numbers twice.
PACKED = 256
#: So many of the newest commits are left as they are: whoever follows the log is reading them, and whoever lost the
#: right to write may not know it yet.
LEFT = 32
#: A pack is read in pieces of so many events: a few MB each, whatever the pack holds.
_ROWS_AT_ONCE = 8192

_NAME = re.compile(r"log/pack-(\d{8})-(\d{8})\.parquet")
_FIELDS = ("number", "epoch", "nonce", "at", "digest", "previous", "link", "rows")


@dataclass(frozen=True, slots=True)
class Pack:
    """A file that holds commits ``first`` to ``last``, both included."""

    path: str
    first: int
    last: int


def pack_of(number: int) -> Pack:
    """The pack that holds commit ``number``, whether or not it has been written."""
    first = (number - 1) // PACKED * PACKED + 1
    last = first + PACKED - 1
    return Pack(f"log/pack-{first:08d}-{last:08d}.parquet", first, last)


def covering(store: Store, number: int) -> str | None:
    """Path of the pack that holds commit ``number``; None while that stands on its own, or is not there yet.

    A file of that number which appears afterwards is void: the range is closed.
    """
    path = pack_of(number).path
    return path if store.exists(path) else None


class LogFiles:
    """The files of a log by what they are, from a listing.

    ``packs`` in order; ``commits``: numbers that stand on their own, ascending; ``leftovers``: numbers that a pack
    holds too; ``others``: paths that are named like neither; ``last``: the highest number, 0 for none.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.packs: list[Pack] = []
        self.others: list[str] = []
        numbers = []
        for path in paths:
            if (number := number_of(path)) is not None:
                numbers.append(number)
            elif (match := _NAME.fullmatch(path)) is not None and pack_of(int(match[1])).path == path:
                self.packs.append(pack_of(int(match[1])))
            else:
                self.others.append(path)
        self.packs.sort(key=lambda pack: pack.first)
        self._starts = {pack.first: pack for pack in self.packs}
        self.commits = sorted(number for number in numbers if self.pack_with(number) is None)
        self.leftovers = sorted(number for number in numbers if self.pack_with(number) is not None)
        self.last = max([*self.commits[-1:], *(pack.last for pack in self.packs[-1:])], default=0)

    def pack_with(self, number: int) -> Pack | None:
        """The pack that holds a commit, if it is there."""
        return self._starts.get(pack_of(number).first)


def last_number(store: Store) -> int:
    """Number of the last commit of a log, 0 for an empty one. Nothing is read."""
    return LogFiles(store.list("log")).last


# ---- one pack --------------------------------------------------------------------------------------------------------


def encode_pack(commits: Sequence[tuple[Commit, pa.Table]]) -> bytes:
    """The file of a pack, from its commits in order and their rows as `decode_rows` gives them."""
    facts = [
        [c.number, c.epoch, c.nonce, repr(c.at), c.digest, c.previous, c.link, rows.num_rows] for c, rows in commits
    ]
    return sealed(
        pa.concat_tables([_numbered(*one) for one in commits], promote_options="default"),
        {
            "ancestra.pack": f"{commits[0][0].number}-{commits[-1][0].number}",
            "ancestra.schema": str(SCHEMA_VERSION),
            "ancestra.commits": json.dumps([_FIELDS, *facts]),
        },
        rows_per_group=_ROWS_AT_ONCE,
    )[0]


def _numbered(commit: Commit, rows: pa.Table) -> pa.Table:
    numbers = pa.array(itertools.repeat(commit.number, rows.num_rows), pa.int64())
    try:
        return attempts_as_now(rows).add_column(0, "number", numbers)
    except ValueError as error:
        raise LogDamaged(f"{commit_path(commit.number)} cannot be packed: {error}") from error


def _shaped(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), rows], promote_options="default")


def decode_pack(path: str, data: bytes, *, after: int = 0, events: bool = True) -> Iterator[Commit]:
    """The commits of a pack in order, those up to number ``after`` left out. Raises LogDamaged naming the pack.

    With ``events`` false the rows are left unread and the commits have none.
    """
    check_seal(path, data, "a pack")
    try:
        with unsealed(data) as (file, facts):
            heads = _heads(path, facts)
            skipped = sum(rows for commit, rows in heads if commit.number <= after)
            wanted = [(commit, rows) for commit, rows in heads if commit.number > after]
            stream = _events(file, skipped) if events else iter(())
            for commit, rows in wanted:
                yield replace(commit, events=tuple(itertools.islice(stream, rows))) if events else commit
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise LogDamaged(f"{path} cannot be read as a pack: {type(error).__name__}: {error}") from error


def _heads(path: str, facts: dict[str, str]) -> list[tuple[Commit, int]]:
    """What a pack says of each of its commits, their events left out, and how many rows each has."""
    if int(facts["ancestra.schema"]) != SCHEMA_VERSION:
        raise LogDamaged(
            f"{path} has schema version {facts['ancestra.schema']}; this Ancestra Farm reads {SCHEMA_VERSION}"
        )
    fields, *lines = json.loads(facts["ancestra.commits"])
    heads = []
    for line in lines:
        one = dict(zip(fields, line, strict=True))
        rows = int(one.pop("rows"))
        heads.append((Commit(**{**one, "at": float(one["at"]), "events": ()}), rows))
    match = _NAME.fullmatch(path)
    if match is None or [commit.number for commit, _ in heads] != list(range(int(match[1]), int(match[2]) + 1)):
        raise LogDamaged(f"{path} holds commits {facts['ancestra.pack']}: it has been renamed or copied")
    return heads


def _events(file: "pa.parquet.ParquetFile", skip: int) -> Iterator[Event]:
    """The events of all commits of a pack from row ``skip`` on, a piece at a time."""
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if skip >= rows:
            skip -= rows
            continue
        yield from decode_events(file.read_row_group(group, use_threads=False).slice(skip))
        skip = 0


def decode_rows(path: str, data: bytes) -> tuple[Commit, pa.Table]:
    """A commit without its events, and its rows as they are in the file. Raises LogDamaged."""
    commit = decode_commit(path, data, events=False)
    with unsealed(data) as (file, _):
        return commit, file.read(use_threads=False)


# ---- packing ---------------------------------------------------------------------------------------------------------


class Packer:
    """Packs what is closed of one log. For one thread; another one at the same work, even elsewhere, does no harm."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def run(self, through: int, left: int | None = None) -> int:
        """Pack every full range that ends ``left`` commits (`LEFT`) or more before ``through``; how many were deleted.

        ``through``: the last commit that is known to stand. What an earlier run left undone is done first. Raises
        LogDamaged where a commit is not what it should be; it and its range then stay as they are.
        """
        return sum(1 for _ in self.steps(through, left))

    def steps(self, through: int, left: int | None = None) -> Iterator[int]:
        """As `run`, giving the number of each commit that has been deleted, so that whoever calls can pause."""
        files = LogFiles(self._store.list("log"))
        ranges = {pack_of(number).first: pack_of(number) for number in (*files.leftovers, *files.commits)}
        there = {*files.leftovers, *files.commits}
        for pack in ranges.values():
            if pack.last + (LEFT if left is None else left) > through:
                continue
            singles = [number for number in range(pack.first, pack.last + 1) if number in there]
            whole = len(singles) == PACKED
            if files.pack_with(pack.first) is None:
                if not whole:
                    raise LogDamaged(f"{_missing(pack, singles)} is missing though later commits are there")
                self._store.create(pack.path, self._encoded(pack))
                reached("pack.after_write")
            elif whole and not self._readable(pack):
                self._store.replace(pack.path, self._encoded(pack))
            yield from self._delete(pack, singles)

    def _encoded(self, pack: Pack) -> bytes:
        commits = [self._single(number) for number in range(pack.first, pack.last + 1)]
        before = None if pack.first == 1 else link_of(self._store, pack.first - 1)
        for commit, _ in commits:
            if before is not None and commit.previous != before:
                raise LogDamaged(
                    f"{commit_path(commit.number)} follows on a commit with digest {commit.previous}, but the one "
                    f"before it has {before}: one of them was replaced"
                )
            before = commit.link
        return encode_pack(commits)

    def _single(self, number: int) -> tuple[Commit, pa.Table]:
        path = commit_path(number)
        return decode_rows(path, self._store.read(path))

    def _readable(self, pack: Pack) -> bool:
        try:
            deque(decode_pack(pack.path, self._store.read(pack.path)), maxlen=0)
        except LogDamaged:
            return False
        return True

    def _delete(self, pack: Pack, singles: Sequence[int]) -> Iterator[int]:
        """Delete the commits that the pack, read back, says over again. One that is another's is none of the log."""
        data = self._store.read(pack.path)
        check_seal(pack.path, data, "a pack")
        with unsealed(data) as (file, facts):
            heads, rows = _heads(pack.path, facts), file.read(use_threads=False)
        wanted, place = set(singles), 0
        for head, count in heads:
            mine, place = rows.slice(place, count), place + count
            if head.number not in wanted:
                continue
            try:
                commit, single = self._single(head.number)
            except NotThere:
                continue
            if commit.digest != head.digest:
                continue  # written by somebody who did not know that the range was closed
            if commit != head or not _same(mine, _shaped(_numbered(commit, single), mine.schema)):
                raise LogDamaged(f"{pack.path} does not hold what {commit_path(head.number)} says; nothing was deleted")
            self._store.delete_packed(commit_path(head.number))
            reached("pack.between_deletes")
            yield head.number


def link_of(store: Store, number: int) -> str:
    """What the commit after ``number`` names as the digest before it. Raises LogDamaged, NotThere."""
    path = commit_path(number)
    try:
        return decode_commit(path, store.read(path), events=False).link
    except NotThere:
        pack = pack_of(number)
        heads = decode_pack(pack.path, store.read(pack.path), after=number - 1, events=False)
        return next(heads).link


def _missing(pack: Pack, singles: Sequence[int]) -> str:
    there = set(singles)
    return commit_path(next(number for number in range(pack.first, pack.last + 1) if number not in there))


def _same(left: pa.Table, right: pa.Table) -> bool:
    """Whether two tables say the same; NaN equals NaN here."""
    return left.schema.names == right.schema.names and all(
        a.equals(b) or repr(a.to_pylist()) == repr(b.to_pylist())
        for a, b in zip(left.columns, right.columns, strict=True)
    )
