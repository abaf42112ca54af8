"""What a controller keeps in its store besides the log: tables for people, packs, snapshots. On a thread of its own.

It also sweeps what was brought of files and left there.

The loop hands over commits, which never change, and snapshots, which it takes between two turns; it never waits for
any of this but at its end. Nothing here is needed for the log to be right, and all of it can be made again, so trouble
with it is told and tried again later; the farm goes on.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue

from ancestra_farm import __version__
from ancestra_farm.farm.pace import Pace
from ancestra_farm.ledger.brought import sweep_marks
from ancestra_farm.ledger.errors import LogDamaged, StoreError
from ancestra_farm.ledger.packs import PACKED, Packer, link_of
from ancestra_farm.ledger.snapshot import KEPT_TABLES, Section, Snapshot, read_kept, write_kept, write_snapshot
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tables import PartLost, Projection
from ancestra_farm.ledger.tail import Mark, Tail
from ancestra_farm.ledger.uploads import sweep
from ancestra_farm.plan.events import Event

_LOG = logging.getLogger(__name__)

#: Tables are refreshed so often at most: people read them, and each part is written whole.
TABLES_S = 5.0
#: How often it is looked whether there is a range to be packed.
PACKS_S = 2.0
#: It is looked so often for parts of uploads that nobody goes on with, and they are kept for so long.
UPLOADS_S = 3600.0
PARTS_KEPT_S = 24 * 3600.0
#: After trouble with the store nothing is tried for so long.
TROUBLE_S = 15.0
#: How long the thread sleeps between looks at what has come.
LOOK_S = 0.25

#: To be changed when what is kept of the tables comes to mean something else.
_TABLES_VERSION = f"{__version__}/1"
#: It is kept so often at most.
KEPT_S = 30.0

Handed = tuple[int, Sequence[Event]]


class Keeper:
    """For one controller under one epoch. Methods are for the loop's thread; the rest is the keeper's own.

    ``on_trouble``: called, on the keeper's thread, each time the store fails it.
    """

    def __init__(self, store: Store, on_trouble: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._on_trouble = on_trouble
        self._handed: SimpleQueue[Handed] = SimpleQueue()
        self._snapshot: Snapshot | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ending = False
        self._finish = False
        self._through = 0
        self._thread: threading.Thread | None = None
        self._tables = _Tables(store)
        self._packer = Packer(store)
        self._pace = Pace()
        self._packed_to = self._kept_to = 0
        #: Seconds that the last snapshot took to write, for whoever decides when to take the next one.
        self.snapshot_s = 0.0

    def begin(self, number: int) -> None:
        """Start. ``number``: the last commit there is."""
        self._through = number
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def committed(self, number: int, events: Sequence[Event]) -> None:
        """These events are durable."""
        self._handed.put((number, events))

    def keep(self, snapshot: Snapshot) -> None:
        """Write this snapshot when there is time. One that was not written yet is dropped for it."""
        with self._lock:
            self._snapshot = snapshot
        self._wake.set()

    @property
    def snapshot_waits(self) -> bool:
        """The last one handed over is not written yet."""
        return self._snapshot is not None

    def finish(self) -> None:
        """Do all that is left and end: tables complete, what can be packed packed, the snapshot written. Waits."""
        self._finish = True
        self.close()

    def close(self) -> None:
        """End as soon as what is under way is done. Waits."""
        self._ending = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    # ---- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ending:
            self._wake.wait(LOOK_S)
            self._wake.clear()
            self._try(self._look)
        if self._finish:
            for last in (self._last_tables, self._write_snapshot, self._pack_all):
                self._try(last)

    def _try(self, do: Callable[[], None]) -> None:
        try:
            do()
        except LogDamaged as damage:
            # Whoever reads the damaged commit next is stopped by it; here it only means that its range stays unpacked.
            _LOG.error("%s", damage)
            self._stop_a_while(3600.0)
        except StoreError as trouble:
            _LOG.warning("tables, packs and snapshots wait: %s", trouble)
            self._on_trouble()
            self._stop_a_while(TROUBLE_S)

    def _stop_a_while(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._ending and time.monotonic() < until:
            self._wake.wait(LOOK_S)
            self._tables.fold(self._taken())

    def _look(self) -> None:
        self._tables.fold(self._taken())
        refreshed = self._pace.when_due("tables", TABLES_S, lambda: self._tables.refresh(self._through))
        if refreshed and self._tables.number >= self._kept_to + PACKED:
            self._pace.when_due("kept", KEPT_S, self._keep_tables)
        if self._snapshot is not None:
            self._write_snapshot()
        self._pace.when_due("packs", PACKS_S, self._pack_some)
        self._pace.when_due("uploads", UPLOADS_S, self._sweep_uploads)

    def _sweep_uploads(self) -> None:
        before = time.time() - PARTS_KEPT_S
        if count := sweep(self._store, before):
            _LOG.info("%d parts of files that nobody went on bringing are gone", count)
        sweep_marks(self._store, before)

    def _taken(self) -> Iterator[Handed]:
        """What was handed over since, in order."""
        while not self._handed.empty():
            number, events = self._handed.get()
            self._through = number
            yield number, events

    def _last_tables(self) -> None:
        self._tables.fold(self._taken())
        self._tables.refresh(self._through)
        if self._tables.number > self._kept_to:
            self._keep_tables()

    def _keep_tables(self) -> None:
        self._tables.keep()
        self._kept_to = self._tables.number

    def _write_snapshot(self) -> None:
        with self._lock:
            snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            before = time.monotonic()
            write_snapshot(self._store, snapshot)
            self.snapshot_s = time.monotonic() - before

    def _pack_some(self) -> None:
        """Pack the ranges that are full since the last time, until the loop ends."""
        if self._through < self._packed_to + PACKED:
            return
        for _ in self._packer.steps(self._through):
            if self._ending:
                return
        self._packed_to = self._through // PACKED * PACKED

    def _pack_all(self) -> None:
        self._packer.run(self._through)


class _Tables:
    """The tables of a store, kept by folding what is handed over, and what came before that from the log.

    Where it was left off is kept in the store too, so that only what came since is read at a start.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._projection = Projection(store)
        self._tail = Tail(store)
        self._number = 0
        self._waiting: list[Handed] = []
        self._begun = self._off = False

    @property
    def number(self) -> int:
        """The last commit that is in the tables' rows, though perhaps not in their files."""
        return self._number

    def fold(self, handed: Iterator[Handed]) -> None:
        """Take in commits; those before them that were never handed over are read when the tables are refreshed."""
        for number, events in handed:
            if not self._off and (self._waiting or number != self._number + 1):
                self._waiting.append((number, events))
            elif not self._off:
                self._take(number, events)

    def refresh(self, through: int) -> None:
        """Write the parts that changed."""
        if not self._begun:
            self._begin()
        try:
            self._refresh(through)
        except PartLost as lost:
            _LOG.warning("%s; the tables are made anew from the log", lost)
            self._projection, self._tail, self._number = Projection(self._store), Tail(self._store), 0
            self._waiting = []
            self._refresh(through)

    def _refresh(self, through: int) -> None:
        first = self._waiting[0][0] if self._waiting else through + 1
        if self._number < first - 1 and not self._off:
            self._read_before(first)
        waiting, self._waiting = self._waiting, []
        for number, events in waiting:
            if number > self._number:
                self._take(number, events)
        if not self._off:
            self._projection.refresh(self._store, through=self._number)

    def _begin(self) -> None:
        self._begun = True
        if self._number:
            return
        kept = read_kept(self._store, KEPT_TABLES)
        section = None if kept is None else kept.sections.get("tables")
        if kept is None or section is None or section.version != _TABLES_VERSION:
            return
        try:
            self._projection = Projection.of_kept(self._store, section.plain)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            _LOG.warning("what was kept of the tables cannot be read (%r); they are made anew from the log", error)
            return
        self._tail, self._number = Tail(self._store, kept.mark), kept.mark.number

    def keep(self) -> None:
        """Keep where the tables stand, right after a refresh."""
        if not self._off and self._number:
            mark = Mark(self._number, 0, link_of(self._store, self._number))
            section = Section(_TABLES_VERSION, self._projection.kept())
            write_kept(self._store, KEPT_TABLES, Snapshot(mark, {"tables": section}))

    def _read_before(self, first: int) -> None:
        for commit in self._tail.poll():
            self._take(commit.number, commit.events)
            if commit.number >= first - 1:
                break
        # Void commits in between have no events; there is nothing before ``first`` that is not folded now.
        self._number = max(self._number, first - 1)

    def _take(self, number: int, events: Sequence[Event]) -> None:
        try:
            self._projection.fold_events(number, events)
        except PartLost:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, it must not end the farm
            _LOG.exception("commit %d cannot be put into tables; they stay as they are, see `ancestra verify`", number)
            self._off = True
        self._number = number
