"""On which shows somebody may ask or order something: for every request that a role on a show is enough for.

Whoever may do it everywhere is not looked up. Of anybody else the loop is asked, between two turns, which roles the
settings of shows give them and which show each batch belongs to, so that both are as of the same moment. A batch of a
show on which they have no role is, to them, not there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from ancestra_farm.api import questions, wire
from ancestra_farm.api.desk import Desk, answered
from ancestra_farm.api.people import NotAllowed, Person, Reach, Right
from ancestra_farm.plan.plan import Plan

if TYPE_CHECKING:
    from ancestra_farm.api.routes import Call


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


async def may_order(desk: Desk, person: Person, orders: "Iterable[wire.AnyOrder]") -> None:
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
            # One sentence for both: whoever asks learns nothing of what others call their batches.
            raise NotAllowed(f"there is no batch {batch} on a show on which {person.name} has a role")
        reach.need(right, show)


async def may_submit(desk: Desk, person: Person, document: str, cards: Mapping[str, str]) -> None:
    """Raise NotAllowed unless somebody may submit this batch, which has been found to be sound, on its show."""
    if person.may("submit"):
        return
    reach, _ = await _reach(desk, person)
    # The plan is the one the scheduler makes: what one reader of JSON takes for the show, another must not.
    plan = await run_in_threadpool(Plan.from_documents, document, cards)
    reach.need("submit", plan.batch.show)


async def may_submit_at_all(desk: Desk, person: Person) -> None:
    """Raise NotAllowed for whoever may submit nothing anywhere, before anything of theirs is read."""
    if not person.may("submit") and not (await _reach(desk, person))[0].shows("submit"):
        person.need("submit")


async def may_change_show(desk: Desk, person: Person, show: str) -> None:
    """Raise NotAllowed unless somebody may change the settings of a show."""
    if not person.may("show_settings"):
        (await _reach(desk, person))[0].need("show_settings", show)


async def _reach(desk: Desk, person: Person) -> tuple[Reach, Mapping[str, str]]:
    """(what somebody may do on shows, the show of each batch)."""
    roles, batches = await answered(desk.ask(lambda scheduler: questions.on_shows(scheduler, person.name)))
    return Reach(person, roles), batches
