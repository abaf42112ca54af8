"""What an order, once taken, changes in the state. Folding only: whether it can be taken is decided in `orders`.

What an order makes the farm do (waves, closings, stitches) follows from the state it leaves, as decisions of their own.
"""

from collections.abc import Callable
from typing import cast

from ancestra_farm.batch.schema import Priority
from ancestra_farm.plan.events import OrderGiven
from ancestra_farm.plan.recipe import digest_of
from ancestra_farm.scheduler.state import BatchState, FarmState, ShotState, StageState

#: Ids of orders that are remembered. A client whose answer was lost asks again within minutes; after so many other
#: orders nobody does, and remembering all would let the state grow for ever.
ORDER_IDS = 10_000


def fold_order(state: FarmState, given: OrderGiven) -> None:
    """Change the state by one order."""
    if given.order_id:
        state.orders[given.order_id] = order_digest(given)
        while len(state.orders) > ORDER_IDS:
            del state.orders[next(iter(state.orders))]
    _HANDLERS[given.order](state.batches[given.batch], given)


def order_digest(given: OrderGiven) -> str:
    """What the order says, but for when: 32 hex digits."""
    names = [name for name in OrderGiven.__slots__ if name != "at"]
    return digest_of("order", [(name, repr(getattr(given, name))) for name in names]).hex()


def _stage(batch: BatchState, given: OrderGiven) -> StageState:
    return batch.shots[given.shot].stages[given.stage]


def shots_of(batch: BatchState, given: OrderGiven) -> list[ShotState]:
    """The shots an order is about: the one it names, or all."""
    return [batch.shots[given.shot]] if given.shot else list(batch.shots.values())


def _pick(batch: BatchState, given: OrderGiven) -> None:
    _stage(batch, given).picks.setdefault(given.candidate_id, set()).add(given.who)


def _unpick(batch: BatchState, given: OrderGiven) -> None:
    picks = _stage(batch, given).picks
    people = picks.get(given.candidate_id, set())
    people.discard(given.who)
    if not people:
        picks.pop(given.candidate_id, None)


def _close(_batch: BatchState, _given: OrderGiven) -> None:
    """What it closes is said by the StageClosed that follows."""


def _pause(batch: BatchState, given: OrderGiven) -> None:
    holder: BatchState | ShotState = batch.shots[given.shot] if given.shot else batch
    holder.pause = given if given.order == "pause" else None


def _cancel(batch: BatchState, given: OrderGiven) -> None:
    for shot in shots_of(batch, given):
        if shot.has_work and shot.cancelled is None:
            shot.cancelled = given
            shot.pause = None


def _priority(batch: BatchState, given: OrderGiven) -> None:
    if given.priority:
        batch.priority = cast("Priority", given.priority)
    if given.weight is not None:
        batch.weight = given.weight


def _not_yet(_batch: BatchState, _given: OrderGiven) -> None:
    pass


_HANDLERS: dict[str, Callable[[BatchState, OrderGiven], None]] = {
    "pick": _pick,
    "unpick": _unpick,
    "close": _close,
    "pause": _pause,
    "unpause": _pause,
    "cancel": _cancel,
    "priority": _priority,
    "more": _not_yet,
    "retry": _not_yet,
    "restore": _not_yet,
}
