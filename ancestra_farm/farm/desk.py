"""The controller's side of the door: what HTTP asks for, handed to the loop or answered from what is known.

Nothing here decides or waits. Orders go into the loop's inbox like any other news; where things stand is read from the
picture that the loop replaces now and then; commits are remembered for a while for those who follow them.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from pydantic import TypeAdapter

from ancestra_farm import __version__
from ancestra_farm.api import wire
from ancestra_farm.api.batchfile import lacking
from ancestra_farm.api.people import Person
from ancestra_farm.api.register import Register
from ancestra_farm.api.uploads import Uploads
from ancestra_farm.farm.news import Inbox
from ancestra_farm.farm.upkeep import Picture
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.codec import encode_event
from ancestra_farm.plan.events import BatchSubmitted, Event, OrderGiven
from ancestra_farm.plan.farm_events import NodeOrdered, SettingsGiven
from ancestra_farm.scheduler.scheduler import Scheduler
from ancestra_farm.scheduler.world import ChangeSettings, NodeOrder, Order, StopRequested, Submit
from ancestra_farm.telemetry.metrics import Metrics

T = TypeVar("T")
_JSON = TypeAdapter(dict[str, Any])

#: Events kept for those who follow; at a few hundred bytes each this is tens of megabytes at most.
MOST_KEPT = 20_000


class Recent:
    """The last commits, for those who follow them. Filled by the loop, read by any thread."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._commits: deque[tuple[int, Sequence[Event]]] = deque()
        self._count = 0
        self._lock = threading.Lock()
        self._forgotten = 0
        self.last = 0
        self.last_at = 0.0

    def add(self, number: int, events: Sequence[Event]) -> None:
        """A commit is durable."""
        with self._lock:
            if not self._commits:
                self._forgotten = number - 1  # what a snapshot stands for was never here
            self._commits.append((number, events))
            self._count += len(events)
            self.last = number
            self.last_at = max([self.last_at, *(getattr(event, "at", 0.0) for event in events)])
            while self._count > self._most and len(self._commits) > 1:
                self._forgotten, gone = self._commits.popleft()
                self._count -= len(gone)

    def after(self, number: int, limit: int) -> wire.Events | None:
        """Whole commits after ``number``, until there are ``limit`` events; None where some of them are forgotten."""
        with self._lock:
            if number < self._forgotten:
                return None
            later = [commit for commit in self._commits if commit[0] > number]
            last = self.last
        found: list[wire.EventOut] = []
        through = number
        for commit, events in later:
            if found and len(found) + len(events) > limit:
                break
            found += [_told(commit, event) for event in events]
            through = commit
        return wire.Events(through=through, last=last, events=found)


def _told(commit: int, event: Event) -> wire.EventOut:
    kind, body = encode_event(event)
    fields = _JSON.validate_json(body)
    if isinstance(event, BatchSubmitted):
        fields = {name: value for name, value in fields.items() if name not in {"document", "cards"}}
    if isinstance(event, SettingsGiven):  # webhooks' URLs stand in it; who may see them asks for the settings
        fields = {name: value for name, value in fields.items() if name != "document"}
    return wire.EventOut(commit=commit, kind=kind, event=fields)


class LoopDesk:
    """`ancestra_farm.api.desk.Desk` over one loop under one epoch. ``picture``: reads the newest one.

    ``register``: of people, where there was one before this epoch; it may know more than the store now says.
    """

    def __init__(
        self,
        store: Store,
        epoch: int,
        scheduler: Scheduler,
        inbox: Inbox,
        metrics: Metrics,
        recent: Recent,
        picture: Callable[[], Picture],
        register: Register | None = None,
    ) -> None:
        self._store = store
        self._epoch = epoch
        self._scheduler = scheduler
        self._inbox = inbox
        self._metrics = metrics
        self._recent = recent
        self._picture = picture
        self._register = register or Register(store)
        self.uploads = Uploads(store)

    @property
    def health(self) -> wire.Health:
        """Ready once the first picture was taken, which is after the log was folded."""
        return wire.Health(store=self._store.id, epoch=self._epoch, version=__version__, ready=self._picture().at > 0.0)

    def delivered(self, path: str, start: int, length: int) -> bytes:
        """From the store."""
        return self._store.read_block(path, start, length)

    def status(self) -> wire.Status:
        """The newest picture."""
        picture = self._picture()
        models = sorted(picture.hosts.keys() | picture.tickets.keys() | picture.queues.keys())
        counts = [
            wire.HostCount(
                model=model,
                ready=picture.hosts.get(model, (0, 0))[0],
                starting=picture.hosts.get(model, (0, 0))[1],
                tickets=picture.tickets.get(model, 0),
                queued=picture.queues.get(model, 0),
            )
            for model in models
        ]
        done = picture.done
        waiting = (
            []
            if done is None
            else [wire.StageRef(batch=batch, shot=shot, stage=stage) for batch, shot, stage in done.waiting_for_people]
        )
        return wire.Status(
            store=self._store.id,
            epoch=self._epoch,
            commit=picture.commits,
            last_at=self._recent.last_at,
            at=picture.at,
            idle=done is not None,
            stuck=[] if done is None else list(done.stuck),
            waiting=waiting,
            hosts=counts,
            shots=list(picture.shots),
        )

    def person(self, token: str, *, sure: bool) -> Person | None:
        """Whose token this is."""
        return self._register.person(token, sure=sure)

    def give(self, orders: Sequence[OrderGiven]) -> "Future[int]":
        """Into the inbox, together."""
        first, *more = (Order(order) for order in orders)
        return self._inbox.ask(first, *more)

    def submit(
        self, document: str, cards: Mapping[str, str], who: str, start_at: float | None = None, order_id: str = ""
    ) -> "Future[int]":
        """Into the inbox."""
        return self._inbox.ask(Submit(document, dict(cards), who, start_at=start_at, order_id=order_id))

    def change(self, given: SettingsGiven, based_on: str) -> "Future[int]":
        """Into the inbox."""
        return self._inbox.ask(ChangeSettings(given, based_on))

    def order_node(self, given: NodeOrdered) -> "Future[int]":
        """Into the inbox."""
        return self._inbox.ask(NodeOrder(given))

    def lacking(self, document: str) -> list[wire.Fault]:
        """From the store."""
        return lacking(self._store, document)

    def stop(self, who: str) -> "Future[int]":
        """Into the inbox."""
        return self._inbox.ask(StopRequested(who))

    def ask(self, question: Callable[[Scheduler], T]) -> "Future[T]":
        """Answered by the loop's thread, which alone touches the scheduler."""
        return self._inbox.question(lambda: question(self._scheduler))

    def events(self, after: int, limit: int) -> wire.Events | None:
        """From what is remembered."""
        return self._recent.after(after, limit)

    def metrics(self) -> bytes:
        """Rendered now."""
        return self._metrics.render()
