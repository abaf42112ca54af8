"""A store as a command sees it: through the controller that is at work there, or by folding its log.

Asking the controller takes a moment whatever the length of the log, and loads neither pyarrow nor the log's reader.
Where nobody is at work, or out of reach, questions are answered by folding.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ancestra_farm.cli.failures import CommandFailed

if TYPE_CHECKING:
    from ancestra_farm.api.afar import Place
    from ancestra_farm.api.client import Client
    from ancestra_farm.api.wire import BatchStanding, Explained, Status
    from ancestra_farm.scheduler.progress import ShotProgress

#: Seconds that a question waits for a controller that does not answer, before the log is folded instead.
QUESTION_S = 3.0
#: Seconds between two looks for one that is newer.
LOOK_S = 0.1
#: Names listed in a refusal; the rest is counted.
MOST_NAMES = 8


class View(Protocol):
    """What commands look up in a store, however it is read."""

    @property
    def store(self) -> "Place":
        """Where it is."""

    def progress(self, batch: str | None = None, shot: str | None = None) -> "tuple[ShotProgress, ...]":
        """Every shot, or those of one batch or name. Raises `CommandFailed` where the batch or shot is not there."""

    def one_shot(self, shot: str, batch: str | None = None) -> "ShotProgress":
        """The one shot of this name. Raises `CommandFailed`."""

    def batches(self) -> "Sequence[BatchStanding]":
        """Every batch as it stands, in the order of submission."""

    def explained(self, batch: str | None = None, shot: str | None = None) -> "Sequence[Explained]":
        """Why shots are where they are."""


@dataclass(slots=True)
class Live:
    """A store through its controller. ``status``: as it was last asked for."""

    store: "Place"
    client: "Client"
    status: "Status" = field(init=False)

    def __post_init__(self) -> None:
        self.look()

    def look(self) -> "Status":
        """Ask anew. Raises EndpointGone."""
        self.status = self.client.status()
        return self.status

    def progress(self, batch: str | None = None, shot: str | None = None) -> "tuple[ShotProgress, ...]":
        """As of the last look, or of a newer one: what was submitted a moment ago may not have been seen by then."""
        try:
            return chosen(self.status.shots, self.store.url, batch, shot)
        except CommandFailed:
            before, until = self.status.at, time.monotonic() + QUESTION_S
            while self.look().at == before and time.monotonic() < until:
                time.sleep(LOOK_S)
            return chosen(self.status.shots, self.store.url, batch, shot)

    def one_shot(self, shot: str, batch: str | None = None) -> "ShotProgress":
        """As of the last look."""
        return only(self.progress(batch, shot), shot)

    def batches(self) -> "Sequence[BatchStanding]":
        """Asked now."""
        return self.client.batches().batches

    def explained(self, batch: str | None = None, shot: str | None = None) -> "Sequence[Explained]":
        """Asked now."""
        return self.client.explain(batch, shot).shots


def chosen(shots: "list[ShotProgress]", url: str, batch: str | None, shot: str | None) -> "tuple[ShotProgress, ...]":
    """The shots of a batch, of a name, or both. Raises `CommandFailed` for a batch or a shot that is not there."""
    of_batch = [one for one in shots if batch in {None, one.batch}]
    if batch is not None and not of_batch:
        raise CommandFailed(f"there is no batch {batch} in {url}{_listed(one.batch for one in shots)}")
    found = tuple(one for one in of_batch if shot in {None, one.shot})
    if shot is not None and not found:
        raise CommandFailed(f"there is no shot {shot} in {batch or url}{_listed(one.shot for one in of_batch)}")
    return found


def only(found: "tuple[ShotProgress, ...]", shot: str) -> "ShotProgress":
    """The one of them. Raises `CommandFailed` where several batches have a shot of this name."""
    if len(found) > 1:
        raise CommandFailed(f"{shot} is in the batches {', '.join(one.batch for one in found)}: say which with --batch")
    return found[0]


def one_batch(view: View, batch: str | None) -> str:
    """The batch that is meant: the one named, or the only one there is. Raises `CommandFailed`."""
    names = list(dict.fromkeys(one.batch for one in view.progress(batch)))
    if not names:
        raise CommandFailed(f"no batch has been submitted to {view.store.url}")
    if len(names) > 1:
        raise CommandFailed(f"there are the batches {', '.join(names[:MOST_NAMES])}: say which with --batch")
    return names[0]


def one_stage(shot: "ShotProgress", stage: str | None) -> str:
    """The stage that is meant: the one named, or the only one there is. Raises `CommandFailed`."""
    names = [one.stage for one in shot.stages]
    if stage is None and len(names) == 1:
        return names[0]
    if stage not in names:
        which = "say which stage" if stage is None else f"{shot.shot} has no stage {stage}; it has"
        raise CommandFailed(f"{which}: {' or '.join(names)}")
    return stage


def live(url: str, who: str = "") -> Live | None:
    """The store through its controller; None where nobody is at work, or nobody who answers us.

    Behind a door there is nobody else to ask: one that does not answer is an error. Raises StoreMissing, StoreRefused,
    DoorClosed; of a door EndpointGone and NotAllowed, too.
    """
    from ancestra_farm.api.afar import Afar, farm_at
    from ancestra_farm.api.client import Client, EndpointGone
    from ancestra_farm.api.people import NotAllowed

    place = farm_at(url)
    try:
        client = Client.of(place, who, patience_s=QUESTION_S)
        if client is not None:
            return Live(place, client)
    except (EndpointGone, NotAllowed):
        if isinstance(place, Afar):
            raise
        return None  # whoever can read the store can read its log
    if isinstance(place, Afar):
        raise EndpointGone(f"{url}: nobody answers there any more")
    return None


def view(url: str, who: str = "") -> View:
    """The store, however it is read best. Raises StoreMissing, StoreRefused, LogDamaged."""
    found = live(url, who)
    if found is not None:
        return found
    from ancestra_farm.cli.reading import Reading

    return Reading.open(url)


def _listed(names: Iterable[str]) -> str:
    known = sorted(set(names))
    if not known:
        return ""
    more = f" and {len(known) - MOST_NAMES:,} more" if len(known) > MOST_NAMES else ""
    return f"; there is {', '.join(known[:MOST_NAMES])}{more}"
