"""The projection: events folded, mechanically, into the rows that people and DuckDB read.

Nothing is decided here. `Projection` holds the rows; `refresh` writes the parts of the shots that changed. A part is
``tables/<table>/part-<batch>~<shot>.parquet`` (a tilde, which no name can hold: no two shots share a part). Every
table also has an empty ``part-~.parquet``, so that a glob always finds a file with all columns. ``tables/THROUGH``
holds the number of the commit as of which no part is missing.

How outcomes follow from events:

- released: ``released``; an attempt that was judged and did not pass: ``rejected``, at once;
- an attempt that passed stays ``released`` (with ``passed`` true) until its wave closes;
- a full wave closes: its survivors are ``survivor``, duplicates ``rejected`` with the reason ``duplicate``, skipped
  ones ``skipped`` whatever was known of them;
- a draft wave closes: passing drafts are ``promoted`` or ``not_promoted``;
- given up: ``quarantined``, ``lost`` or ``failed``;
- a branch ends, or a newer revision of the batch comes: what was still ``released`` is ``skipped``;
- released again by a newer revision or round: the same row, undecided again; the verdict it has is kept and counts;
- tried again by order, or its verdict void because its host was sick: the same row, undecided, the verdict gone;
- restored: ``survivor`` once it is made, whatever the verdict, with the reason ``restored by NAME``.
"""

import io
import json
from collections.abc import Iterable, Iterator, Set
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ancestra_farm.ledger.batch_rows import BatchRows
from ancestra_farm.ledger.columns import TABLES, schema_of
from ancestra_farm.ledger.commit import Commit
from ancestra_farm.ledger.errors import NotThere
from ancestra_farm.ledger.shot_rows import CandidateEvent, Place, ShotRows
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.plan.events import (
    AttemptEnded,
    BatchSubmitted,
    BranchClosed,
    BranchOpened,
    CandidateGivenUp,
    EpochTaken,
    Event,
    MediaCollected,
    OrderGiven,
    StitchEnded,
    StitchPlanned,
    VerdictsVoided,
    WaveClosed,
    WaveReleased,
)

#: Where a table's empty part lies.
EMPTY_PART = "part-~.parquet"
THROUGH_PATH = "tables/THROUGH"
#: File metadata of a part: number of the last commit folded into it; empty where the writer did not say.
THROUGH = b"ancestra.through"
#: File metadata of a part of candidates: JSON, what its rows do not say and folding on needs.
BESIDE = b"ancestra.beside"


class PartLost(Exception):
    """A part that was to be gone on from is not there as it was; the tables have to be folded from the log."""


def part_path(table: str, batch: str, shot: str) -> str:
    """Where the rows of a shot lie."""
    return f"tables/{table}/part-{batch}~{shot}.parquet"


class Projection:
    """All rows, as of the events folded so far. ``through``: number of the last commit folded, None if not known.

    With a ``store``, rows of candidates that nothing happens to are left to their parts there from refresh to refresh,
    so that what is held does not grow with the log; and every commit is folded with its number.
    ``oddities``: what events said of candidates or branches that no earlier event had named; a sound log has none.
    """

    def __init__(self, store: Store | None = None) -> None:
        self._store = store
        self._number: int | None = None
        self.through: int | None = None
        self.oddities: list[str] = []
        self._epoch = 0
        self._batches: dict[str, BatchRows] = {}
        self._changed: set[tuple[str, str, str]] = set()
        self._fresh = True

    def fold(self, commit: Commit) -> None:
        """Fold all events of a commit."""
        self.fold_events(commit.number, commit.events)

    def fold_events(self, number: int, events: Iterable[Event]) -> None:
        """Fold all events of the commit of this number."""
        self._number = number
        for event in events:
            self.apply(event)
        self.through = number

    def apply(self, event: Event) -> None:
        """Fold one event. Whoever folds events rather than commits tells `refresh` how far the log had come."""
        self.through = None
        match event:
            case EpochTaken():
                self._epoch = event.epoch
            case BatchSubmitted():
                self._submitted(event)
            case BranchOpened() | WaveReleased() | WaveClosed() | BranchClosed() | AttemptEnded() | CandidateGivenUp():
                self._candidates(event)
            case VerdictsVoided():
                self._candidates(event)
            case MediaCollected():
                self._collected(event)
            case OrderGiven() | StitchPlanned() | StitchEnded():
                self._rest(event)
            case _:
                pass

    # ---- folding ---------------------------------------------------------------------------------------------------

    def _submitted(self, event: BatchSubmitted) -> None:
        before = self._batches.get(event.batch)
        if before is None:
            self._batches[event.batch] = BatchRows(event)
            return
        for shot in before.revise(event):
            if self._awake(shot) and shot.skip_open(self._epoch):
                self._mark("candidates", event.batch, shot.name)

    def _candidates(self, event: BranchOpened | CandidateEvent) -> None:
        batch = self._batches.get(event.batch)
        if batch is None:
            self.oddities.append(f"{type(event).__name__} of {event.batch}, a batch that was never submitted")
            return
        if isinstance(event, BranchOpened):
            batch.open(event)
            return
        shot = batch.shot_of(event.branch)
        if shot is None:
            self.oddities.append(
                f"{type(event).__name__} of {event.batch}/{event.branch}, a branch that was never opened"
            )
            return
        if not self._awake(shot):
            return
        if problem := shot.fold(event, batch.branches.get(event.branch), self._epoch):
            self.oddities.append(problem)
        self._mark("candidates", event.batch, shot.name)

    def _collected(self, event: MediaCollected) -> None:
        gone = set(event.candidate_ids)
        for name, shot in (self._batches[event.batch].shots if event.batch in self._batches else {}).items():
            if self._awake(shot) and shot.collected(gone):
                self._mark("candidates", event.batch, name)

    def _rest(self, event: OrderGiven | StitchPlanned | StitchEnded) -> None:
        batch = self._batches.get(event.batch)
        if batch is None:
            self.oddities.append(f"{type(event).__name__} of {event.batch}, a batch that was never submitted")
            return
        name = event.shot
        if not name and isinstance(event, OrderGiven):
            shots = batch.shots.values() if event.candidate_id else ()
            name = next((shot.name for shot in shots if self._has(shot, event.candidate_id)), "")
        if isinstance(event, OrderGiven) and event.order == "more":
            batch.more(event)
        if isinstance(event, OrderGiven) and event.candidate_id and (event.order == "restore" or not event.stage):
            self._awake(batch.shot(name))
        for table in batch.shot(name).record(event, batch.show, self._epoch):
            self._mark(table, event.batch, name)

    def _awake(self, shot: ShotRows) -> bool:
        """Have the rows of a shot at hand; False where they know of what is being folded already.

        Raises `PartLost` where they were to be in their part and are not.
        """
        if self._store is None:
            return True
        if shot.at_rest:
            part, beside, through = read_part(self._store, part_path("candidates", shot.batch, shot.name))
            if through < shot.through:
                raise PartLost(f"{shot.batch}/{shot.name}: its part is older than it was")
            shot.wake(part, beside, through)
        return self._number is None or self._number > shot.through

    def _has(self, shot: ShotRows, candidate_id: str) -> bool:
        self._awake(shot)
        return candidate_id in shot

    def _mark(self, table: str, batch: str, shot: str) -> None:
        self._changed.add((table, batch, shot))

    # ---- reading ---------------------------------------------------------------------------------------------------

    def parts(self) -> Iterator[tuple[str, str, str]]:
        """(table, batch, shot) of every part there is to write, in a fixed order."""
        for batch in sorted(self._batches):
            for name in sorted(shots := self._batches[batch].shots):
                for table in TABLES:
                    if shots[name].has(table):
                        yield table, batch, name

    def table(self, table: str, batch: str, shot: str) -> pa.Table:
        """The rows of one part."""
        rows = self._batches[batch].shot(shot)
        if table == "candidates":
            self._awake(rows)
            return rows.candidates()
        return rows.listed(table)

    def places(self, candidate_id: str) -> dict[str, Place]:
        """Where a candidate stands, by batch: batches may share candidates."""
        return {
            batch: place
            for batch, rows in self._batches.items()
            for shot in rows.shots.values()
            if (place := shot.place(candidate_id)) is not None
        }

    def undecided(self) -> tuple[int, list[str]]:
        """How many released candidates have no outcome yet; and those that no open wave will give one, as sentences."""
        count, stuck = 0, []
        for batch, rows in self._batches.items():
            for shot in rows.shots.values():
                some, left = shot.undecided()
                count += some
                stuck += [
                    f"{batch}/{shot.name}: candidate {name} is undecided, but its wave is closed" for name in left
                ]
        return count, stuck

    # ---- writing ---------------------------------------------------------------------------------------------------

    def refresh(self, store: Store, *, only_changed: bool = True, through: int | None = None) -> int:
        """Write the parts that changed since the last refresh (or all), each atomically; how many were written.

        ``through``: number of the last commit folded, where the caller folded events. Parts of shots that this
        projection does not know are left alone.
        """
        through = self.through if through is None else through
        if self._fresh:
            for table in TABLES:
                path = f"tables/{table}/{EMPTY_PART}"
                if not store.exists(path):
                    store.replace(path, encode_part(schema_of(table).empty_table(), 0))
            self._fresh = False
        wanted = sorted(self._changed) if only_changed else list(self.parts())
        for table, batch, shot in wanted:
            rows = self.table(table, batch, shot)
            beside = self._batches[batch].shot(shot).beside_part() if table == "candidates" else None
            store.replace(part_path(table, batch, shot), encode_part(rows, through, beside))
            if table == "candidates" and through is not None:
                self._batches[batch].shot(shot).through = through
            self._changed.discard((table, batch, shot))
        if through is not None:
            store.replace(THROUGH_PATH, f"{through}\n".encode())
            if self._store is not None:
                self._let_go(but={(batch, shot) for table, batch, shot in wanted if table == "candidates"})
        return len(wanted)

    def _let_go(self, but: Set[tuple[str, str]]) -> None:
        """Let go of the rows of candidates of all other shots; their parts have them."""
        for batch, rows in self._batches.items():
            for name, shot in rows.shots.items():
                if (batch, name) not in but:
                    shot.rest()

    # ---- kept between runs -------------------------------------------------------------------------------------------

    def kept(self) -> dict[str, Any]:
        """All that the parts of candidates do not hold, as JSON, right after a refresh."""
        return {"epoch": self._epoch, "batches": {name: rows.kept() for name, rows in self._batches.items()}}

    @classmethod
    def of_kept(cls, store: Store, kept: dict[str, Any]) -> "Projection":
        """The rows of which that was `kept`; those of candidates are read from their parts when they are needed.

        Parts may have been written since then: what they know already is passed over when it is folded again.
        """
        made = cls(store)
        made._epoch = kept["epoch"]
        made._batches = {name: BatchRows.of_kept(rows) for name, rows in kept["batches"].items()}
        return made


def rebuild(store: Store) -> Projection:
    """Fold the whole log and write every table anew; parts that no shot of the log has are removed. The projection."""
    projection = Projection()
    for commit in read_commits(store):
        projection.fold(commit)
    projection.refresh(store, only_changed=False)
    kept = {part_path(*part) for part in projection.parts()} | {f"tables/{table}/{EMPTY_PART}" for table in TABLES}
    kept.add(THROUGH_PATH)
    for path in store.list("tables"):
        if path not in kept:
            store.delete(path)
    return projection


def encode_part(table: pa.Table, through: int | None, beside: dict[str, Any] | None = None) -> bytes:
    """A part as a Parquet file with page checksums; ``through`` and ``beside`` go into its metadata."""
    facts = {THROUGH: b"" if through is None else str(through).encode()}
    if beside is not None:
        facts[BESIDE] = json.dumps(beside).encode()
    schema = table.schema.with_metadata(facts)
    buffer = io.BytesIO()
    pq.write_table(table.cast(schema), buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def read_part(store: Store, path: str) -> tuple[pa.Table, dict[str, Any], int]:
    """The rows of a part of candidates, what stands beside them, and the commit through which both say all.

    Raises `PartLost` where they are not there, or not whole.
    """
    try:
        data = store.read(path)
        table, through = decode_part(data)
        with pq.ParquetFile(io.BytesIO(data), pre_buffer=False) as file:
            beside = json.loads((file.schema_arrow.metadata or {})[BESIDE])
    except (NotThere, pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise PartLost(f"{path}: {type(error).__name__}: {error}") from error
    if through is None:
        raise PartLost(f"{path} does not say through which commit it was written")
    return table, beside, through


def decode_part(data: bytes) -> tuple[pa.Table, int | None]:
    """The rows of a part, and how far the log had come then. Raises ArrowException or OSError."""
    # On this thread alone: one of Arrow's that holds the Python file when the interpreter ends aborts the process.
    with pq.ParquetFile(io.BytesIO(data), pre_buffer=False, page_checksum_verification=True) as file:
        table = file.read(use_threads=False)
    through = (table.schema.metadata or {}).get(THROUGH, b"")
    return table.replace_schema_metadata(None), int(through) if through else None


def concatenated(table: str, parts: Iterable[pa.Table]) -> pa.Table:
    """Parts of one table as one, with its schema even where there are none."""
    schema = schema_of(table)
    return pa.concat_tables([schema.empty_table(), *(part.cast(schema) for part in parts)])
