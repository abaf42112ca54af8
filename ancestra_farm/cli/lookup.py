"""Finding a candidate by the beginning of its id, as people give it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.events import AttemptEnded, BatchSubmitted, BranchOpened, Event, OrderGiven, WaveReleased
from ancestra_farm.plan.plan import Plan
from ancestra_farm.plan.recipe import Rung
from ancestra_farm.plan.space import Space

if TYPE_CHECKING:
    from ancestra_farm.api.client import Client

#: Shorter beginnings name too many. One that names several candidates is refused, and says which they are.
SHORTEST = 4


@dataclass(frozen=True, slots=True)
class Located:
    """Where a candidate is: its place in a branch, and the space that gives its recipe."""

    candidate_id: str
    batch: str
    branch: str
    shot: str
    stage: str
    position: int
    rung: Rung
    space: Space


@dataclass(frozen=True, slots=True)
class Place:
    """As much of where a candidate is as an order has to say."""

    candidate_id: str
    batch: str
    shot: str
    stage: str


def located(store: Store, prefix: str, batch: str | None = None) -> Place:
    """As `locate`, for an order."""
    found = locate(store, prefix, batch)
    return Place(found.candidate_id, found.batch, found.shot, found.stage)


def located_live(client: "Client", url: str, prefix: str, batch: str | None = None) -> Place:
    """As `located`, asked of the controller that is at work. Raises `CommandFailed` for none, or for several."""
    prefix = _checked(prefix)
    answer = client.candidates(prefix, batch)
    at = {(one.candidate_id, one.batch): (one.shot, one.stage) for one in answer.candidates}
    candidate_id, of_batch = _the_one(prefix, set(at), url, batch)
    return Place(candidate_id, of_batch, *at[candidate_id, of_batch])


def locate(store: Store, prefix: str, batch: str | None = None) -> Located:
    """The released candidate whose id begins with ``prefix``. Raises `CommandFailed` for none, or for several.

    ``batch``: look only there; batches may share candidates. Candidates that nobody tried yet are found too, at the
    price of working out their ids.
    """
    from ancestra_farm.ledger.tail import Tail

    prefix = _checked(prefix)
    search = _Search(prefix)
    for commit in Tail(store).poll():
        for event in commit.events:
            if batch is None or getattr(event, "batch", batch) == batch:
                search.look_at(event)
    found = search.tried or search.not_tried()
    candidate_id, of_batch = _the_one(prefix, set(found), store.url, batch)
    branch, position, rung = found[candidate_id, of_batch]
    opened = search.opened[of_batch, branch]
    return Located(
        candidate_id, of_batch, branch, opened.shot, opened.stage, position, rung, search.space(of_batch, branch)
    )


def _checked(prefix: str) -> str:
    prefix = prefix.strip().lower()
    if not SHORTEST <= len(prefix) <= 32 or set(prefix) - set("0123456789abcdef"):
        raise CommandFailed(f"{prefix!r} is no candidate id: give {SHORTEST} or more of its 32 hex digits")
    return prefix


def _the_one(prefix: str, found: set[tuple[str, str]], url: str, batch: str | None) -> tuple[str, str]:
    """The one (candidate id, batch) of those found. Raises `CommandFailed` for none, or for several."""
    if not found:
        where = url if batch is None else f"batch {batch} of {url}"
        raise CommandFailed(f"no released candidate of {where} has an id that begins with {prefix}")
    ids, batches = sorted({name for name, _ in found}), sorted({name for _, name in found})
    if len(ids) > 1:
        raise CommandFailed(f"{prefix} is the beginning of {len(ids)} ids ({_some(ids)}): give more digits")
    if len(batches) > 1:
        raise CommandFailed(f"{ids[0]} is in the batches {', '.join(batches)}: say which with --batch")
    return next(iter(found))


def _some(ids: list[str], most: int = 4) -> str:
    return ", ".join(one[:12] for one in ids[:most]) + (", …" if len(ids) > most else "")


class _Search:
    """Goes through the log once. ``tried``: (branch, position, rung) by (candidate id, batch), the newest attempt."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.tried: dict[tuple[str, str], tuple[str, int, Rung]] = {}
        self.opened: dict[tuple[str, str], BranchOpened] = {}
        self._plans: dict[str, Plan] = {}
        self._plan_of: dict[tuple[str, str], Plan] = {}
        self._untried: dict[tuple[str, str, Rung], set[int]] = {}
        #: candidates ordered beyond the file, by batch, shot and stage
        self._more: dict[tuple[str, str, str], int] = {}

    def look_at(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case BatchSubmitted():
                self._plans[event.batch] = Plan.from_documents(event.document, event.cards)
            case BranchOpened():
                self.opened[event.batch, event.branch] = event
                self._plan_of[event.batch, event.branch] = self._plans[event.batch]
            case OrderGiven() if event.order == "more":
                where = (event.batch, event.shot, event.stage)
                self._more[where] = self._more.get(where, 0) + event.candidates
            case WaveReleased():
                positions = range(event.start, event.stop) if event.positions is None else event.positions
                self._untried.setdefault((event.batch, event.branch, event.rung), set()).update(positions)
            case AttemptEnded():
                self._untried.get((event.batch, event.branch, event.rung), set()).discard(event.position)
                if event.candidate_id.startswith(self._prefix):
                    self.tried[event.candidate_id, event.batch] = (event.branch, event.position, event.rung)
            case _:
                pass

    def not_tried(self) -> dict[tuple[str, str], tuple[str, int, Rung]]:
        """As ``tried``, of released candidates without an attempt."""
        found: dict[tuple[str, str], tuple[str, int, Rung]] = {}
        for (batch, branch, rung), positions in self._untried.items():
            space = self.space(batch, branch)
            for position in sorted(positions):
                if (candidate_id := space.id_of(position, rung)).startswith(self._prefix):
                    found[candidate_id, batch] = (branch, position, rung)
        return found

    def space(self, batch: str, branch: str) -> Space:
        """The space of a branch, as it was last opened."""
        opened = self.opened[batch, branch]
        plan = self._plan_of[batch, branch]
        space = plan.shot(opened.shot).stage(opened.stage).space(opened.segment, opened.inputs)
        return space.with_more(self._more.get((batch, opened.shot, opened.stage), 0))
