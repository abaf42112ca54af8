"""An order given while nobody is at work: the command takes the epoch, decides what follows, commits, and leaves.

What follows from the order in the world (hosts, tickets, stitches) is not carried out here: it stands in the log, and
the next `resume` carries on from it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ancestra_farm.api.standing import standing_of
from ancestra_farm.ledger.liveness import Presence, who_would_be_ended
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.events import Event, OrderGiven
from ancestra_farm.scheduler.scheduler import Scheduler
from ancestra_farm.scheduler.world import Happening, Order, Record


class StoreBusy(Exception):
    """A controller is at work in the store; the order was not given. ``presence`` says who, where and since when."""

    def __init__(self, url: str, presence: Presence) -> None:
        super().__init__(
            f"{url}: {presence} is at work there; nothing was ordered. Give the order again when it has ended"
        )
        self.presence = presence


Wanted = Callable[[], Sequence[Happening]]
"""Says what somebody wants."""


@dataclass(frozen=True, slots=True)
class OrderTaken:
    """An order that is in the log. ``events``: the order itself and everything decided because of it."""

    commit: int
    epoch: int
    events: tuple[Event, ...]


def give_order(store: Store, order: OrderGiven, clock: Callable[[], float] = time.time) -> OrderTaken:
    """As `give_orders`, of one."""
    return give_orders(store, (order,), clock)


def give_orders(store: Store, orders: Sequence[OrderGiven], clock: Callable[[], float] = time.time) -> OrderTaken:
    """Commit one person's ``orders`` and what follows from them, as `take`."""
    return take(store, lambda: [Order(order) for order in orders], orders[0].who, _purpose(orders), clock)


def take(store: Store, wanted: Wanted, who: str, purpose: str, clock: Callable[[], float] = time.time) -> OrderTaken:
    """Commit what one person wants and what follows from it, as one; it is durable on return.

    ``wanted`` is asked once the log is folded, and again where somebody has written since: what it reads of the store
    is never older than the log that it is held against.

    All is taken or nothing. Raises OrderRefused where one of them names what is not there (nothing is written then, no
    epoch taken), `StoreBusy` while a controller is alive, Superseded where somebody began to write in between (the
    orders did not happen), LogDamaged.
    """
    presence = who_would_be_ended(store)
    if presence is not None:
        raise StoreBusy(store.url, presence)
    standing, tail = standing_of(store)
    events = _follows(standing.scheduler, wanted, tail.epoch, clock())
    if not events:  # taken before under the same ids, by a controller whose answer was lost
        return OrderTaken(tail.number, tail.epoch, ())
    writer = Writer.begin(store, who, purpose, clock, tail=tail)
    if len(writer.history) > 1:  # somebody has written since
        events = _follows(standing_of(store)[0].scheduler, wanted, writer.epoch, clock())
    if not events:
        return OrderTaken(writer.number, writer.epoch, ())
    return OrderTaken(writer.commit(events), writer.epoch, events)


def _purpose(orders: Sequence[OrderGiven]) -> str:
    first = orders[0]
    more = f" and {len(orders) - 1} more" if len(orders) > 1 else ""
    about = first.candidate_id or "/".join(filter(None, (first.shot or first.batch, first.stage)))
    return f"{first.order} {about}{more}"


def _follows(scheduler: Scheduler, wanted: Wanted, epoch: int, now: float) -> tuple[Event, ...]:
    """The events of what is wanted, and of whatever the log had left to be decided before it."""
    scheduler.epoch = epoch
    instructions = scheduler.resume(now)
    for happening in wanted():
        instructions = [*instructions, *scheduler.handle(happening, now)]
    return tuple(one.event for one in instructions if isinstance(one, Record))
