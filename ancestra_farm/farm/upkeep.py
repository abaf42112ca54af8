"""What a controller does besides deciding: be seen to be alive, metrics, snapshots, the picture of where things stand.

None of it may slow the farm down: what takes long is the keeper's, on a thread of its own, and what has to be done
between two turns is done so seldom that it stays a small share of the time.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ancestra_farm.api.standing import Standing
from ancestra_farm.farm.gauges import live_totals, live_values
from ancestra_farm.farm.keeper import Keeper
from ancestra_farm.farm.pace import Pace
from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import Mark
from ancestra_farm.plan.events import Event
from ancestra_farm.scheduler.glance import Glance
from ancestra_farm.scheduler.progress import ShotProgress
from ancestra_farm.scheduler.world import AllDone
from ancestra_farm.telemetry.metrics import Metrics

#: A controller that was not heard of for 20 s counts as gone; four tries fit into that.
PRESENCE_S = 5.0
#: A snapshot is taken after so many commits or events, whichever comes first, and at most every half minute.
SNAPSHOT_COMMITS = 512
SNAPSHOT_ROWS = 50_000
SNAPSHOT_S = 30.0
#: Progress bars look alive at this rate.
PICTURE_S = 0.5


@dataclass(frozen=True, slots=True)
class Picture:
    """Where a farm stands, for bars and summaries.

    ``hosts``: (ready, starting) by model; ``tickets``: held by hosts, by model. ``commits`` and ``epoch`` of the log.
    ``at``: Unix seconds when it was taken. ``queues``: candidates waiting to be handed out, by model. ``done``: what is
    left when there is nothing to do for now; None while there is.
    """

    shots: tuple[ShotProgress, ...] = ()
    hosts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    tickets: Mapping[str, int] = field(default_factory=dict)
    commits: int = 0
    epoch: int = 0
    at: float = 0.0
    queues: Mapping[str, int] = field(default_factory=dict)
    done: AllDone | None = None


class Books(Protocol):
    """What the scheduler tells of where things stand."""

    def progress(self) -> tuple[ShotProgress, ...]:
        """How far every shot is."""

    def queues(self) -> Mapping[str, int]:
        """Candidates waiting to be handed out, by model."""

    def glance(self, progress: Iterable[ShotProgress]) -> Glance:
        """What a wrangler looks at first, given how far every shot is."""


class Staff(Protocol):
    """What is counted of the hosts."""

    @property
    def hosts(self) -> Mapping[str, tuple[int, int]]:
        """(ready, starting) by model."""

    @property
    def tickets(self) -> Mapping[str, int]:
        """Tickets that hosts hold, by model."""


class Upkeep:
    """For one controller under one epoch. ``picture`` is replaced whole, so any thread may read it at any time.

    ``told``: called with every commit that is durable. ``standing``: what snapshots are taken of; None: none are.
    ``done``: set by the loop, for the next picture. ``stays``: the controller does, when nothing is left to do.
    """

    def __init__(
        self,
        store: Store,
        presence: Presence,
        metrics: Metrics,
        told: Callable[[int, Sequence[Event]], None] | None = None,
        standing: Standing | None = None,
        *,
        stays: bool = False,
    ) -> None:
        self.picture = Picture(epoch=presence.epoch)
        self.done: AllDone | None = None
        self._told = told
        self._store = store
        self._presence = presence
        self._metrics = metrics
        self._standing = standing
        self._stays = stays
        self._keeper = Keeper(store, on_trouble=lambda: metrics.count_store_errors("tables"))
        self._pace = Pace()
        self._commits = 0
        self._rows_since = self._commits_since = 0
        self._pools: set[str] = set()

    def committed(self, number: int, events: Sequence[Event], seconds: float | None = None) -> None:
        """These events are durable. ``seconds``: how long the commit took, None for those of the past."""
        self._keeper.committed(number, events)
        if self._standing is not None:
            self._standing.note(number, events, time.time())
        else:
            self._metrics.fold_commit(number, events)
        if seconds is not None:
            self._metrics.observe_commit(seconds)
        self._commits = number
        self._commits_since += 1
        self._rows_since += len(events)
        if self._told is not None:
            self._told(number, events)

    def due(self, what: str, every_s: float) -> bool:
        """Whether ``every_s`` have passed since this last said yes to ``what``."""
        return self._pace.due(what, every_s)

    def begin(self, mark: Mark, books: Books, staff: Staff) -> None:
        """The log up to ``mark`` is folded: be seen, and keep tables, packs and snapshots from now on."""
        self._commits = mark.number
        self._presence.write(self._store)
        self._take_picture(books, staff)
        self._keeper.begin(mark.number)

    def sometimes(self, mark: Mark, books: Books, staff: Staff) -> None:
        """Called every turn, with the last commit: does what is due."""
        self._pace.when_due("presence", PRESENCE_S, lambda: self._presence.write(self._store))
        self._pace.when_due("picture", PICTURE_S, lambda: self._take_picture(books, staff))
        many = self._commits_since >= SNAPSHOT_COMMITS or self._rows_since >= SNAPSHOT_ROWS
        if (
            many
            and not self._keeper.snapshot_waits
            and self._pace.when_due("snapshot", SNAPSHOT_S, lambda: self._take_snapshot(mark))
        ):
            self._pace.spent("snapshot", self._keeper.snapshot_s)

    def end(self, mark: Mark, books: Books, staff: Staff) -> None:
        """Leave everything complete, as of the last commit."""
        self._presence.write(self._store)
        self._take_picture(books, staff)
        if self._commits_since:
            self._take_snapshot(mark)
        self._keeper.finish()

    def close(self) -> None:
        """Leave everything as it is."""
        self._keeper.close()

    def leave(self) -> None:
        """Nobody is at work here any more."""
        self._keeper.close()
        self._presence.withdraw(self._store)

    def _take_snapshot(self, mark: Mark) -> None:
        if self._standing is not None:
            self._keeper.keep(self._standing.snapshot(mark))
        self._commits_since = self._rows_since = 0

    def _take_picture(self, books: Books, staff: Staff) -> None:
        hosts, tickets, queues = staff.hosts, staff.tickets, books.queues()
        self.picture = Picture(
            books.progress(),
            hosts,
            tickets,
            self._commits,
            self._presence.epoch,
            time.time(),
            dict(queues),
            self.done,
        )
        for model in self._pools | hosts.keys() | queues.keys():
            self._metrics.set_hosts(model, *hosts.get(model, (0, 0)))
            self._metrics.set_queue(model, tickets.get(model, 0), queues.get(model, 0))
        self._pools |= hosts.keys() | queues.keys()
        glance = books.glance(self.picture.shots)
        self._metrics.show(live_values(glance, stays=self._stays))
        for name, totals in live_totals(glance).items():
            self._metrics.advance(name, totals)
