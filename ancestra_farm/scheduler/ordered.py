"""What an order, once taken, changes in the state. Folding only: whether it can be taken is decided in `orders`.

What an order makes the farm do (waves, closings, stitches) follows from the state it leaves, as decisions of their own.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import cast

from ancestra_farm.batch.schema import Priority
from ancestra_farm.plan.events import BatchSubmitted, OrderGiven, Outcome, SubmissionRepeated
from ancestra_farm.plan.farm_events import NodeOrdered
from ancestra_farm.plan.recipe import Rung, digest_of
from ancestra_farm.scheduler.phases import Retry
from ancestra_farm.scheduler.results import Results
from ancestra_farm.scheduler.state import DISOWNED, BatchState, Branch, FarmState, ShotState, StageState
from ancestra_farm.scheduler.world import OrderRefused

#: Ids of orders that are remembered. A client whose answer was lost asks again within minutes; after so many other
#: orders nobody does, and remembering all would let the state grow for ever.
ORDER_IDS = 10_000
#: Blocks and drains of nodes that stand. A node that is gone never comes back under its id, and nobody blocks more.
NODE_ORDERS = 1_000
#: Ends after which a branch is never opened again: the next round takes its place.
ENDED_FOR_GOOD = frozenset({"superseded", "cancelled"})
#: Outcomes of candidates that failed.
GIVEN_UP: frozenset[Outcome] = frozenset({"failed", "quarantined", "lost"})


def fold_order(state: FarmState, given: OrderGiven) -> None:
    """Change the state by one order."""
    if given.order_id:
        remember(state, given.order_id, order_digest(given))
    _HANDLERS[given.order](state.batches[given.batch], given)


def remember(state: FarmState, order_id: str, digest: str) -> None:
    """An order was taken under an id of its giver's."""
    state.orders[order_id] = digest
    while len(state.orders) > ORDER_IDS:
        del state.orders[next(iter(state.orders))]


def fold_node_order(state: FarmState, given: NodeOrdered) -> None:
    """Change the state by an order about a node or a host. Blocks and drains of nodes stand, the newest of them."""
    if given.order_id:
        remember(state, given.order_id, node_order_digest(given))
    if not given.node:
        return
    state.nodes.pop(given.node, None)
    if given.order != "forgive":
        state.nodes[given.node] = given
    while len(state.nodes) > NODE_ORDERS:
        del state.nodes[next(iter(state.nodes))]


def node_order_digest(given: NodeOrdered) -> str:
    """What it says, but for when and of which machine or host (worked out on taking it): 32 hex digits."""
    names = [name for name in NodeOrdered.__slots__ if name not in ("at", "node", "host")]
    return digest_of("node order", [(name, repr(getattr(given, name))) for name in names]).hex()


def order_digest(given: OrderGiven) -> str:
    """What the order says, but for when, and for which stage (which may be worked out on taking it): 32 hex digits."""
    names = [name for name in OrderGiven.__slots__ if name not in ("at", "stage")]
    return digest_of("order", [(name, repr(getattr(given, name))) for name in names]).hex()


def taken_before(state: FarmState, order_id: str, digest: str) -> bool:
    """Whether this was taken under its id. ``digest``: what it says. Raises OrderRefused where something else was."""
    known = state.orders.get(order_id) if order_id else None
    if known is not None and known != digest:
        raise OrderRefused(f"the id {order_id} was given to another order before; give this one its own")
    return known is not None


def submission_digest(submitted: BatchSubmitted | SubmissionRepeated) -> str:
    """What was handed in, and by whom: 32 hex digits. When it was to begin is an order that follows it."""
    return digest_of("submission", submitted.batch, submitted.digest, submitted.who).hex()


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
            for stage in shot.stages.values():
                stage.reopened = False  # what it was closed with before stays its result


def _priority(batch: BatchState, given: OrderGiven) -> None:
    if given.priority:
        batch.priority = cast("Priority", given.priority)
    if given.weight is not None:
        batch.weight = given.weight


def _more(batch: BatchState, given: OrderGiven) -> None:
    """The space of the first segments grows, with the budget's limits, and they open again."""
    stage = _stage(batch, given)
    _take_up(stage.shot)
    stage.same_plan = False
    stage.more = (*stage.more, stage.extra + given.candidates)
    for branch in stage.branches.values():
        if branch.opened.tail is None:
            extend(branch, given.candidates)
            _open_again(branch)


def extend(branch: Branch, candidates: int) -> None:
    """So many more candidates for each input; those there were keep their positions and ids."""
    branch.space = branch.space.with_more(candidates)
    positions = candidates * len(branch.opened.inputs)
    branch.wanted += positions
    branch.limit += positions


def _retry(batch: BatchState, given: OrderGiven) -> None:
    """Note what is to be tried again. Where something is, a branch that had ended opens again."""
    wanted = Retry(given.cause, given.filter)
    for shot in shots_of(batch, given):
        for stage in stages_of(shot, given):
            for branch in stage.branches.values():
                if shot.cancelled is not None:
                    _forget_verdicts(branch, wanted)
                elif branch.closed is None:
                    branch.retries.append(wanted)
                elif branch.closed.why not in ENDED_FOR_GOOD and any(to_retry(branch, (wanted,)).values()):
                    branch.retries.append(wanted)
                    _open_again(branch)
        _take_up(shot)


def stages_of(shot: ShotState, given: OrderGiven) -> list[StageState]:
    """The stages of a shot that an order is about: the one it names, or all; none where it has no such stage."""
    return [stage for name, stage in shot.stages.items() if given.stage in ("", name)]


def to_retry(branch: Branch, wanted: Iterable[Retry]) -> dict[Rung, tuple[int, ...]]:
    """The positions to be tried again, by rung, in index order."""
    wanted = tuple(wanted)
    found: dict[Rung, tuple[int, ...]] = {}
    for rung, results in branch.results.items():
        meant = {position for one in wanted for position in _meant(results, one)}
        found[rung] = tuple(sorted(meant - branch.by_word))
    return found


def _meant(results: Results, wanted: Retry) -> Iterator[int]:
    """The positions that one wish is about."""
    if wanted.filter:
        yield from results.having(frozenset({"rejected"}), lambda reason: _names(reason, wanted.filter))
        return
    for position in results.having(GIVEN_UP, lambda _reason: True):
        result = results.look(position)
        if result is not None and wanted.cause in ("", result.outcome, result.cause):
            yield position


def _names(reason: str, name: str) -> bool:
    """Whether the reason of a reject names the filter; a near-duplicate's is ``duplicate``."""
    return name in reason.split(", ") or (name == "duplicate" and reason.startswith("duplicate of "))


def _forget_verdicts(branch: Branch, wanted: Retry) -> None:
    """What a round that was cancelled came to is not to be believed in the next one."""
    for rung, positions in to_retry(branch, (wanted,)).items():
        for position in positions:
            branch.results[rung][position].judged_by = DISOWNED


def _restore(batch: BatchState, given: OrderGiven) -> None:
    """The reject is to be made for the person who wants it; it opens its branch again."""
    stage = _stage(batch, given)
    found = find(stage, given.candidate_id)
    if found is not None:
        branch, position = found
        stage.restored[branch.space.id_of(position, "full")] = given.who
        branch.to_restore.add(position)
        _open_again(branch)


def find(stage: StageState, candidate_id: str) -> tuple[Branch, int] | None:
    """Where a released full candidate, or the draft of one, is among the stage's present candidates."""
    for branch in stage.branches.values():
        for results in branch.results.values():
            position = results.position_of(candidate_id)
            if position is not None:
                return branch, position
    return None


def _open_again(branch: Branch) -> None:
    """Work on a branch that had ended, and on its stage; the stage's result holds until it is closed anew."""
    if branch.closed is None or branch.closed.why in ENDED_FOR_GOOD:
        return
    branch.closed = None
    if branch.stage.closed is not None:
        branch.stage.reopened = True


def _take_up(shot: ShotState) -> None:
    """Go on with a shot that was cancelled: what was cut off begins a new round, in which all verdicts still count."""
    if shot.cancelled is None:
        return
    shot.cancelled = None
    for stage in shot.stages.values():
        stage.stale = any(b.closed is not None and b.closed.why == "cancelled" for b in stage.branches.values())
        if stage.closed is None:
            continue
        if stage.closed.why == "cancelled":
            stage.closed, stage.stale = None, True
        elif stage.stale and stage.closed.selected:
            stage.carried, stage.same_plan = stage.closed, False


_HANDLERS: dict[str, Callable[[BatchState, OrderGiven], None]] = {
    "pick": _pick,
    "unpick": _unpick,
    "close": _close,
    "pause": _pause,
    "unpause": _pause,
    "cancel": _cancel,
    "priority": _priority,
    "more": _more,
    "retry": _retry,
    "restore": _restore,
}
