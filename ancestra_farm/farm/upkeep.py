"""What a controller does besides deciding: be seen to be alive, tables, metrics, and the picture of where things stand.

None of it may slow the farm down: whatever takes seconds is done so seldom that it stays a small share of the time.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tables import Projection
from ancestra_farm.plan.events import Event
from ancestra_farm.scheduler.progress import ShotProgress
from ancestra_farm.scheduler.world import AllDone
from ancestra_farm.telemetry.metrics import Metrics

#: The share of time that upkeep of one kind may take.
SHARE = 0.02
#: A controller that was not heard of for 20 s counts as gone; four tries fit into that.
PRESENCE_S = 5.0
#: Tables are refreshed so often at most: people read them, and each part is written whole.
TABLES_S = 5.0
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

    ``told``: called with every commit that is durable. ``done``: set by the loop, for the next picture.
    """

    def __init__(
        self,
        store: Store,
        presence: Presence,
        metrics: Metrics,
        told: Callable[[int, Sequence[Event]], None] | None = None,
    ) -> None:
        self.picture = Picture(epoch=presence.epoch)
        self.done: AllDone | None = None
        self._told = told
        self._store = store
        self._presence = presence
        self._metrics = metrics
        self._tables = Projection()
        self._commits = 0
        self._next: dict[str, float] = {}
        self._pools: set[str] = set()

    def committed(self, number: int, events: Sequence[Event], seconds: float | None = None) -> None:
        """These events are durable. ``seconds``: how long the commit took, None for those of the past."""
        for event in events:
            self._tables.apply(event)
        self._metrics.fold_commit(number, events)
        if seconds is not None:
            self._metrics.observe_commit(seconds)
        self._commits = number
        if self._told is not None:
            self._told(number, events)

    def due(self, what: str, every_s: float) -> bool:
        """Whether ``every_s`` have passed since this last said yes to ``what``."""
        now = time.monotonic()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + every_s
        return True

    def sometimes(self, books: Books, staff: Staff) -> None:
        """Called every turn: does what is due."""
        self._paced("presence", PRESENCE_S, lambda: self._presence.write(self._store))
        self._paced("picture", PICTURE_S, lambda: self._take_picture(books, staff))
        self._paced("tables", TABLES_S, lambda: self._tables.refresh(self._store, through=self._commits))

    def now(self, books: Books, staff: Staff) -> None:
        """Everything at once: at the start and at the end."""
        self._presence.write(self._store)
        self._tables.refresh(self._store, through=self._commits)
        self._take_picture(books, staff)

    def leave(self) -> None:
        """Nobody is at work here any more."""
        self._presence.withdraw(self._store)

    def _paced(self, what: str, every_s: float, do: Callable[[], object]) -> None:
        if not self.due(what, every_s):
            return
        before = time.monotonic()
        do()
        after = time.monotonic()
        self._next[what] = after + max(every_s, (after - before) / SHARE)

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
            self._metrics.set_hosts(model, hosts.get(model, (0, 0))[0])
            self._metrics.set_queue(model, tickets.get(model, 0), queues.get(model, 0))
        self._pools |= hosts.keys() | queues.keys()
