"""What the door does about each request, once it is known who asks and that the request is sound."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from ancestra_farm.api import incoming, questions, wire
from ancestra_farm.api.batchfile import soundness
from ancestra_farm.api.desk import answered
from ancestra_farm.api.people import Person, named, noted
from ancestra_farm.api.problems import Refusal
from ancestra_farm.api.reach import EVERYTHING, may_order, may_submit, sight, somebody
from ancestra_farm.batch.materials import digests_in
from ancestra_farm.ledger.errors import StoreError
from ancestra_farm.plan.events import OrderGiven
from ancestra_farm.scheduler.progress import ShotProgress
from ancestra_farm.scheduler.world import Submit

if TYPE_CHECKING:
    from ancestra_farm.api.routes import Call

#: How often news is looked for while somebody waits for events, in seconds.
LOOK_S = 0.1


async def health(call: "Call") -> wire.Health:
    """Whose store, which epoch."""
    return call.desk.health


async def status(call: "Call") -> wire.Status:
    """The picture, or the part of it that was asked for and is the asker's to see."""
    seen = await sight(call)
    found = call.desk.status()
    query: incoming.OfShots = call.query
    if seen.shows is not None:
        shots = [shot for shot in found.shots if seen.of_show(shot.show)]
        waiting = [ref for ref in found.waiting if seen.of_batch(ref.batch)]
        # Sentences about what is stuck name batches of any show; `explain` says the same of one's own. Hosts and queues
        # tell of the work of all.
        found = found.model_copy(update={"shots": shots, "waiting": waiting, "stuck": [], "hosts": []})
    if query.batch is None and query.shot is None:
        return found
    shots = _of(found.shots, query)
    waiting = [ref for ref in found.waiting if query.batch in {None, ref.batch} and query.shot in {None, ref.shot}]
    return found.model_copy(update={"shots": shots, "waiting": waiting})


def _of(shots: Sequence[ShotProgress], query: incoming.OfShots) -> list[ShotProgress]:
    found = [shot for shot in shots if query.batch in {None, shot.batch} and query.shot in {None, shot.shot}]
    if not found:
        names = sorted({shot.shot for shot in shots if query.batch in {None, shot.batch}})
        if not names:
            batches = ", ".join(sorted({shot.batch for shot in shots})[:8]) or "none yet"
            raise Refusal("not-there", f"there is no batch {query.batch}; there are: {batches}")
        raise Refusal("not-there", f"there is no shot {query.shot}; there are: {', '.join(names[:8])}")
    return found


async def explain(call: "Call") -> wire.Explanations:
    """Asked of the loop: the sentences rest on hosts and queues of this moment."""
    query: incoming.OfShots = call.query
    seen = await sight(call)
    found = await answered(
        call.desk.ask(lambda scheduler: questions.explained(scheduler, query.batch, query.shot, seen.shows))
    )
    if not found and (query.batch is not None or query.shot is not None):
        _of([shot for shot in call.desk.status().shots if seen.of_show(shot.show)], query)
        raise Refusal("not-there", "there is no such shot")
    return wire.Explanations(shots=found)


async def batches(call: "Call") -> wire.Batches:
    """All batches that are the asker's to see."""
    seen = await sight(call)
    found = await answered(call.desk.ask(questions.batches))
    return wire.Batches(batches=[one for one in found if seen.of_show(one.show)])


async def queues(call: "Call") -> wire.Queues:
    """What waits, from the picture."""
    return wire.Queues(queues=call.desk.status().hosts)


async def candidates(call: "Call") -> wire.Candidates:
    """Candidates by the beginning of their id."""
    query: incoming.OfPrefix = call.query
    seen = await sight(call)
    return await answered(
        call.desk.ask(lambda scheduler: questions.candidates(scheduler, query.prefix, query.batch, seen.shows))
    )


async def events(call: "Call") -> wire.Events:
    """What is new. Waits for it without holding a thread."""
    query: incoming.After = call.query
    seen = await sight(call)
    until = time.monotonic() + query.wait_s
    while True:
        found = call.desk.events(query.after, query.limit)
        if found is None:
            raise Refusal(
                "gone",
                f"what follows commit {query.after} is no longer kept here; begin with /v1/status, or read the log",
            )
        if found.events or time.monotonic() >= until:
            if seen is not EVERYTHING:
                seen = await sight(call)  # anew: a batch that one of them brought is known by now
            return found.model_copy(update={"events": [one for one in found.events if seen.of_event(one)]})
        await asyncio.sleep(LOOK_S)


async def metrics(call: "Call") -> bytes:
    """Rendered on a thread: there can be thousands of series."""
    return await run_in_threadpool(call.desk.metrics)


async def submit(call: "Call") -> wire.Taken:
    """Checked on a thread first, so that a large batch does not hold up the loop."""
    body: incoming.SubmitIn = call.body
    told = await _submitted(call, body)
    if faults := await run_in_threadpool(call.desk.lacking, body.document):
        raise _no_batch(faults)
    at = time.time()
    commit = await answered(call.desk.submit(body.document, body.cards, told, body.start_at, body.order_id or ""))
    await _named(call, body.document)
    return wire.Taken(commit=commit, epoch=call.desk.health.epoch, at=at)


async def check(call: "Call") -> wire.Checked:
    """As `submit`, but for the files that it names, which may not be here yet; nothing changes."""
    body: incoming.SubmitIn = call.body
    told = await _submitted(call, body)
    at = time.time()
    wanted = Submit(body.document, body.cards, told, start_at=body.start_at)
    await answered(call.desk.ask(lambda scheduler: scheduler.check(wanted, at)))
    return wire.Checked(epoch=call.desk.health.epoch, at=at)


async def _submitted(call: "Call", body: incoming.SubmitIn) -> str:
    """Who submits this, who may, and what the farm can plan. Raises Refusal, NotAllowed."""
    person = somebody(call.person)
    who, by = acting(person, body.who)
    if faults := await run_in_threadpool(soundness, body.document, body.cards):
        raise _no_batch(faults)
    await may_submit(call.desk, person, body.document, body.cards)
    return named(who, by)


def _no_batch(faults: Sequence[wire.Fault]) -> Refusal:
    detail = "this is no batch that the farm can plan: " + "; ".join(fault.message for fault in faults[:8])
    return Refusal("refused", detail, faults)


async def _named(call: "Call", document: str) -> None:
    """What the batch names lies about no more. It is taken in by now, whatever the store says to this."""
    if digests := digests_in(document):
        with suppress(StoreError):
            await run_in_threadpool(call.desk.uploads.named, digests)


async def give(call: "Call") -> wire.Taken:
    """Orders of one request are taken together or not at all."""
    body: incoming.OrdersIn = call.body
    _together(body.orders)
    person = somebody(call.person)
    await may_order(call.desk, person, body.orders)
    at = time.time()
    given, told = [], []
    for order in body.orders:
        who, by = acting(person, order.who)
        event = as_event(order, who, by, at)
        given.append(event)
        told.append(wire.Acknowledged(order_id=event.order_id, order=event.order, who=who, by=by))
    commit = await answered(call.desk.give(given))
    return wire.Taken(commit=commit, epoch=call.desk.health.epoch, at=at, orders=tuple(told))


async def stop(call: "Call") -> wire.Taken:
    """The stop has begun when this is answered."""
    commit = await answered(call.desk.stop(somebody(call.person).name))
    return wire.Taken(commit=commit, epoch=call.desk.health.epoch, at=time.time())


def acting(person: Person, wanted: str | None) -> tuple[str, str]:
    """(who an order is of, who gave it if that is somebody else). Raises NotAllowed."""
    if wanted is None or wanted == person.name:
        return person.name, ""
    person.need("act_for_others")
    return wanted, person.name


def _together(orders: Sequence["incoming.AnyOrder"]) -> None:
    """Only orders that cannot touch each other come together: each is looked at alone before any is taken."""
    if len(orders) == 1:
        return
    if any(not isinstance(order, incoming.OfCandidate) or order.order != orders[0].order for order in orders):
        raise Refusal("refused", "several orders in one request are picks, unpicks or restores, all of the same kind")
    named = {(order.batch, order.candidate_id) for order in orders if isinstance(order, incoming.OfCandidate)}
    ids = [order.order_id for order in orders if order.order_id is not None]
    if len(named) != len(orders) or len(set(ids)) != len(ids):
        raise Refusal("refused", "the same candidate, or the same order_id, stands twice in one request")


def as_event(order: "incoming.AnyOrder", who: str, by: str, at: float) -> OrderGiven:
    """The order as the log keeps it. Who gave it for somebody else stands in the note."""
    said = order.model_dump(exclude_unset=True, exclude={"who", "note", "order_id", "order", "batch"})
    return OrderGiven(
        batch=order.batch,
        order=order.order,
        who=who,
        at=at,
        note=noted(order.note, by),
        order_id=order.order_id or uuid.uuid4().hex,
        **{name: value for name, value in said.items() if value is not None},
    )
