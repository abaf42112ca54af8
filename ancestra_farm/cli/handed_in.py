"""Handing in a batch that stands in the store already just so: nothing is done a second time, and it is said.

The farm itself takes the same batch again for a reminder that changes nothing; a person who hands it in wants to know.
"""

import time
from typing import TYPE_CHECKING

import typer

from ancestra_farm.cli.follow import goes_on
from ancestra_farm.cli.summary import duration
from ancestra_farm.plan.moments import clock

if TYPE_CHECKING:
    from ancestra_farm.api.client import Client
    from ancestra_farm.cli.live import View
    from ancestra_farm.plan.plan import Plan


def unchanged(view: "View", plan: "Plan") -> str | None:
    """A sentence where the batch stands there as ``plan`` has it; None where it is new or changes something.

    What was cancelled, in part or as a whole, is taken up by handing it in again.
    """
    name = plan.batch.batch
    found = next((one for one in view.batches() if one.batch == name), None)
    if found is None or found.digest != plan.digest:
        return None
    if any(one.state == "cancelled" for one in view.explained(name)):  # asked now; progress may be of a moment ago
        return None
    ago = duration(max(0.0, time.time() - found.at))
    return f"{name} is unchanged since {found.who} handed it in {ago} ago: nothing of it is done a second time"


def hand_over(client: "Client", plan: "Plan", start_at: float | None = None, order_id: str = "") -> int:
    """Submit a batch to the farm that is at work, and say so; a commit by which it is in the log.

    ``start_at``: when it is to begin, in seconds since the Unix epoch; None: now. ``order_id``: as of `Client.submit`.

    Raises OrderRefused, NotAllowed, and EndpointGone where the controller ended before it took the batch.
    """
    from ancestra_farm.cli.live import Live

    view = Live(client.store, client)
    said = unchanged(view, plan)
    taken = client.submit(plan.document, plan.card_documents, start_at, order_id)
    begins = "" if start_at is None else f"; it begins at {clock(start_at)}"
    typer.echo(said or f"{plan.batch.batch} is handed to {client.presence} (commit {taken.commit}){begins}")
    if start_at is None and (held := _held(view, plan.batch.batch)):
        typer.echo(held)
    return taken.commit


def _held(view: "View", batch: str) -> str:
    """What people paused of a batch before it was handed in (again) stays so: a sentence for the first; empty if none.

    Whoever corrects a batch that is put off does not have it begin by that, and wants to know.
    """
    paused = (one for one in view.explained(batch) if one.state == "paused")
    return next((one.says[0] for one in paused if one.says), "")


def at_rest(plan: "Plan", store: str, *, alone: bool) -> tuple[str | None, bool]:
    """(`unchanged`, whether a farm would find work) of a store where nobody is at work. ``alone``: of this batch only.

    Raises StoreRefused, LogDamaged.
    """
    from ancestra_farm.cli.reading import Reading
    from ancestra_farm.ledger.errors import StoreMissing

    try:
        reading = Reading.open(store)
    except StoreMissing:
        return None, True
    said = unchanged(reading, plan)
    if said is None:
        return None, True
    return said, any(map(goes_on, reading.progress(plan.batch.batch if alone else None)))
