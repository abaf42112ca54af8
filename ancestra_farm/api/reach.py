"""On which shows somebody may ask or order something: for every request that a role on a show is enough for.

Whoever may do it everywhere is not looked up. Of anybody else the loop is asked, between two turns, which roles the
settings of shows give them and which show each batch belongs to, so that both are as of the same moment. A batch of a
show on which they have no role is, to them, not there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from ancestra_farm.api import incoming, questions, wire
from ancestra_farm.api.desk import Desk, answered
from ancestra_farm.api.people import NotAllowed, Person, Reach, Right, a_role, lowest
from ancestra_farm.plan.plan import Plan
from ancestra_farm.scheduler.precedence import beyond_ceiling, weights_raised

if TYPE_CHECKING:
    from ancestra_farm.api.routes import Call


#: What may be ordered of a batch.
_ORDERS = frozenset[Right](
    {"pick", "unpick", "restore", "close", "more", "retry", "cancel", "pause", "unpause", "priority"}
)


@dataclass(frozen=True, slots=True)
class Sight:
    """What one asker may be told of. ``shows``: of these, None: of everything. ``batches``: the show of each batch."""

    shows: frozenset[str] | None
    batches: Mapping[str, str]

    def of_show(self, show: str) -> bool:
        """Whether they may be told of this show."""
        return self.shows is None or show in self.shows

    def of_batch(self, batch: str) -> bool:
        """Whether they may be told of this batch. Of one that is not there only whoever may be told everything."""
        return self.shows is None or self.batches.get(batch, "") in self.shows

    def of_event(self, told: wire.EventOut) -> bool:
        """Whether they may be told of this event: one of a batch of theirs, or the settings of a show of theirs."""
        if told.kind == "SettingsGiven":
            of_show = told.event.get("kind") == "show" and self.of_show(str(told.event.get("name")))
            return self.shows is None or of_show
        return self.of_batch(str(told.event.get("batch", "")))


EVERYTHING = Sight(None, {})


def somebody(person: Person | None) -> Person:
    """The person of a request that only somebody can make."""
    assert person is not None, "only questions of health are open to everybody"
    return person


async def sight(call: "Call") -> Sight:
    """What the asker may be told of. Raises NotAllowed where that is nothing at all."""
    person = somebody(call.person)
    if person.may("ask"):
        return EVERYTHING
    reach, batches = await _reach(call.desk, person)
    shows = reach.shows("ask")
    if not shows:
        raise NotAllowed(
            f"{person.name} has no role on any show: ask a supervisor of one (people, in its settings) or an operator"
        )
    return Sight(shows, batches)


async def may_order(desk: Desk, person: Person, orders: "Iterable[incoming.AnyOrder]") -> None:
    """Raise NotAllowed unless somebody may give all of these orders."""
    wanted: list[tuple[Right, str]] = [(order.order, order.batch) for order in orders if not person.may(order.order)]
    if not wanted:
        return
    reach, batches = await _reach(desk, person)
    for right, batch in wanted:
        show = batches.get(batch)
        if show is None and person.may("ask"):
            person.need(right)
        if show is None or not reach.may("ask", show):
            raise NotAllowed(_no_batch(batch, person))
        reach.need(right, show)


def _no_batch(name: str, person: Person) -> str:
    """Of one that is not there, and of one of another show: whoever asks learns nothing of what others call theirs."""
    return f"there is no batch {name} on a show on which {person.name} has a role"


async def may_submit(desk: Desk, person: Person, document: str, cards: Mapping[str, str]) -> None:
    """Raise NotAllowed unless somebody may submit this batch, which has been found to be sound, on its show.

    Nor may it follow what they may not ask about, or go further up than its show's batches do, unless they may change
    priorities.
    """
    if person.may("submit") and person.may("priority"):
        return
    reach, batches = await _reach(desk, person)
    # The plan is the one the scheduler makes: what one reader of JSON takes for the show, another must not.
    plan = await run_in_threadpool(Plan.from_documents, document, cards)
    show = plan.batch.show
    reach.need("submit", show)
    for name in sorted({after.batch or plan.batch.batch for shot in plan.shots for after in shot.after}):
        if name != plan.batch.batch and not reach.may("ask", batches.get(name, "")):
            raise NotAllowed(f"after: {_no_batch(name, person)}")
    if reach.may("priority", show):
        return
    if too_much := await answered(desk.ask(lambda scheduler: beyond_ceiling(plan, scheduler.state))):
        raise NotAllowed(
            f"{person.name} may not change priorities, and {plan.batch.batch} asks for {', and for '.join(too_much)} "
            f"(submitting and show_caps of the farm's settings); {a_role(lowest('priority'))} may: have one hand it "
            "in, or order it afterwards (ancestra priority)"
        )


async def shows_where(desk: Desk, person: Person, right: Right) -> frozenset[str] | None:
    """The shows on which somebody may do this; None: on all, whatever they are called."""
    return None if person.may(right) else (await _reach(desk, person))[0].shows(right)


async def may_submit_at_all(desk: Desk, person: Person) -> None:
    """Raise NotAllowed for whoever may submit nothing anywhere, before anything of theirs is read."""
    await _need_somewhere(desk, person, "submit")


async def may_order_at_all(desk: Desk, person: Person) -> None:
    """Raise NotAllowed for whoever may order nothing anywhere, before anything of theirs is read."""
    if any(map(person.may, _ORDERS)):
        return
    reach, _ = await _reach(desk, person)
    if not any(map(reach.shows, _ORDERS)):
        raise NotAllowed(
            f"{person.name} may order nothing on any show: ask a supervisor of one (people, in its settings) or an "
            "operator"
        )


async def may_change_some_show(desk: Desk, person: Person) -> None:
    """Raise NotAllowed for whoever may change the settings of no show, before anything of theirs is read."""
    await _need_somewhere(desk, person, "show_settings")


async def _need_somewhere(desk: Desk, person: Person, right: Right) -> None:
    if await shows_where(desk, person, right) == frozenset():
        person.need(right)


async def may_change_show(desk: Desk, person: Person, show: str) -> None:
    """Raise NotAllowed unless somebody may change the settings of a show."""
    if not person.may("show_settings"):
        (await _reach(desk, person))[0].need("show_settings", show)


async def may_weigh(desk: Desk, person: Person, show: str, document: str) -> None:
    """Raise NotAllowed where new settings would make a show weigh more, unless somebody may change priorities."""
    if person.may("priority"):
        return
    if raised := await answered(desk.ask(lambda scheduler: weights_raised(show, document, scheduler.state.settings))):
        raise NotAllowed(
            f"{person.name} may not change priorities, and these settings make {show} weigh {', and '.join(raised)} "
            f"(weights): other shows feel that; {a_role(lowest('priority'))} may"
        )


async def _reach(desk: Desk, person: Person) -> tuple[Reach, Mapping[str, str]]:
    """(what somebody may do on shows, the show of each batch)."""
    roles, batches = await answered(desk.ask(lambda scheduler: questions.on_shows(scheduler, person.name)))
    return Reach(person, roles), batches
