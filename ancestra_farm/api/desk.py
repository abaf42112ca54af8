"""The seam between the HTTP door and the controller behind it: what may be asked of a farm, and how it can fail.

`Desk` is what the door needs. `farm/` implements it over the controller's loop; nothing here knows Ray, HTTP or the
loop. Calls do not block: what takes a turn of the loop is a future.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol, TypeVar

from ancestra_farm.api.people import Person
from ancestra_farm.plan.events import OrderGiven
from ancestra_farm.plan.farm_events import NodeOrdered, SettingsGiven
from ancestra_farm.scheduler.scheduler import Scheduler
from ancestra_farm.scheduler.world import OrderRefused

if TYPE_CHECKING:
    from ancestra_farm.api.uploads import Uploads
    from ancestra_farm.api.wire import Events, Fault, Health, Status

T = TypeVar("T")

#: A turn of the loop takes a fraction of a second; a commit on a slow bucket that is tried anew takes up to about 20 s.
ANSWER_S = 45.0


class Leaving(OrderRefused):
    """The controller is on its way out and takes nothing more. Nothing happened; ask again in a moment."""


class OutcomeUnknown(Exception):
    """The store failed in the middle of the commit. Ask again with the same ``order_id``: it counts once."""


class Desk(Protocol):
    """One controller under one epoch, as the door sees it. Every method may be called from any thread."""

    @property
    def health(self) -> "Health":
        """Whose store this is, under which epoch, and whether the log has been folded."""

    @property
    def uploads(self) -> "Uploads":
        """Files on their way into the store. Its methods ask the store, and may take a while."""

    def delivered(self, path: str, start: int, length: int) -> bytes:
        """Bytes of a published file. Asks the store. Raises NotThere, StoreRefused, StoreUnavailable."""

    def status(self) -> "Status":
        """Where things stand, at most a second old or so; never waits for the loop."""

    def person(self, token: str, *, sure: bool) -> Person | None:
        """Whose token this is; None for nobody's. May read the store.

        ``sure``: as the store has it now. Raises StoreUnavailable.
        """

    def give(self, orders: Sequence[OrderGiven]) -> "Future[int]":
        """Take these orders, all or none: the commit they are in, once it is durable.

        The future raises OrderRefused, `Leaving`, `OutcomeUnknown`, or Superseded.
        """

    def submit(
        self, document: str, cards: Mapping[str, str], who: str, start_at: float | None = None, order_id: str = ""
    ) -> "Future[int]":
        """Take a batch in; otherwise as `give`."""

    def change(self, given: SettingsGiven, based_on: str) -> "Future[int]":
        """Take settings in place of the version that they are based on; otherwise as `give`.

        The future raises SettingsConflict, too.
        """

    def order_node(self, given: NodeOrdered) -> "Future[int]":
        """Take an order about a node, a host or a model; otherwise as `give`."""

    def lacking(self, document: str) -> "list[Fault]":
        """The material that a batch names and the store does not hold. Asks the store."""

    def stop(self, who: str) -> "Future[int]":
        """Stop cleanly, as somebody ordered: the future ends when the stop has begun."""

    def ask(self, question: Callable[[Scheduler], T]) -> "Future[T]":
        """Have the loop answer a question between two turns. The question only reads, and is quick."""

    def events(self, after: int, limit: int) -> "Events | None":
        """Commits after number ``after``, at most ``limit``; None where they are no longer kept in memory."""

    def metrics(self) -> bytes:
        """The metrics as Prometheus reads them."""


async def answered(future: "Future[T]") -> T:
    """Wait for the loop without holding a thread, and without taking the future back where the client goes away.

    Raises `OutcomeUnknown` after `ANSWER_S`, and what the future raises.
    """
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), ANSWER_S)
    except TimeoutError:
        raise OutcomeUnknown("the controller has not answered yet; ask again with the same order_id") from None
