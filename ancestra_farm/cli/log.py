"""``ancestra log``: who wanted what, and when: every submission, order, change of settings and token."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, fields
from heapq import merge
from typing import Annotated

import typer

from ancestra_farm.cli.listing import column, json_keys, number, print_rows
from ancestra_farm.cli.options import BatchOption, JsonOption, StoreOption
from ancestra_farm.plan.events import BatchSubmitted, Event, MediaCollected, OrderGiven, SubmissionRepeated
from ancestra_farm.plan.farm_events import NodeOrdered, SettingsGiven, StopOrdered, TokenNoted
from ancestra_farm.plan.moments import until

app = typer.Typer(name="log", help="What the log tells of people.", no_args_is_help=True)

#: Of what was done in the store itself, and by nobody who said so.
NOBODY_SAID = "(nobody said)"
#: Fields of an order that have a column of their own, or tell nobody anything.
_SHOWN = frozenset({"batch", "order", "who", "at", "note", "order_id", "shot", "stage", "candidate_id"})


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One thing that somebody wanted and that was taken. ``at``: Unix seconds.

    ``commit``: where it is in the log; 0 of a revocation, which stands in the store in a file of its own.
    """

    commit: int = column("commit", lambda commit: number(commit) if commit else "–")
    at: float = column("at (UTC)", lambda at: dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S"))
    who: str = column("who")
    order: str = column("order")
    batch: str = column("batch", quiet=True)
    about: str = column("about", quiet=True)
    says: str = column("says", quiet=True)
    order_id: str = ""


@app.callback()
def _log() -> None:
    """What the log tells of people."""


@app.command("orders", epilog=json_keys(OrderRow))
def orders(
    store: StoreOption,
    batch: BatchOption = None,
    who: Annotated[str | None, typer.Option("--who", help="Only of this person.", show_default=False)] = None,
    as_json: JsonOption = False,
) -> None:
    """List every submission, order, revocation, change of settings and token: who, when, what. Reads the whole log."""
    from ancestra_farm.ledger.revoked import revocations
    from ancestra_farm.ledger.store import Store
    from ancestra_farm.ledger.tail import read_commits

    opened = Store.open(store)
    taken = [row for commit in read_commits(opened) for event in commit.events for row in told(commit.number, event)]
    revoked = [
        OrderRow(0, one.at, one.who, "revoke", "", one.digest, one.note)
        for one in sorted(revocations(opened).values(), key=lambda one: one.at)
    ]
    rows = [
        row
        for row in merge(taken, revoked, key=lambda row: row.at)
        if batch in {None, row.batch} and who in {None, row.who}
    ]
    print_rows(OrderRow, rows, as_json=as_json, none="nobody has ordered anything")


def told(commit: int, event: Event) -> Iterator[OrderRow]:
    """The row of an event that somebody wanted; nothing for others."""
    match event:
        case BatchSubmitted() | SubmissionRepeated():
            says = f"digest {event.digest[:12]}" + (", as it stood" if isinstance(event, SubmissionRepeated) else "")
            yield OrderRow(commit, event.at, event.who, "submit", event.batch, "", says, event.order_id)
        case OrderGiven():
            about = event.candidate_id or "/".join(filter(None, (event.shot, event.stage)))
            says = ", ".join(filter(None, (*_said(event), event.note)))
            yield OrderRow(commit, event.at, event.who, event.order, event.batch, about, says, event.order_id)
        case SettingsGiven():
            about = event.name or "the farm"
            yield OrderRow(commit, event.at, event.who, f"{event.kind} settings", "", about, "", event.order)
        case NodeOrdered():
            about = event.node or event.host or event.model
            yield OrderRow(commit, event.at, event.who, event.order, "", about, event.note, event.order_id)
        case StopOrdered():
            yield OrderRow(commit, event.at, event.who, "stop", "", "the farm", "")
        case TokenNoted():
            who = event.who or NOBODY_SAID
            says = ", ".join(filter(None, (event.role, f"token {event.token_id[:8]}", until(event.until))))
            yield OrderRow(commit, event.at, who, f"token {event.what}", "", event.name, says)
        case MediaCollected():
            says = f"media of {len(event.candidate_ids):,} rejects"
            yield OrderRow(commit, event.at, event.who, "gc", event.batch, "", says)
        case _:
            return


def _said(event: OrderGiven) -> Iterator[str]:
    """What an order says beyond what it is about: ``candidates 200``."""
    for field in fields(event):
        value = getattr(event, field.name)
        if field.name == "until" and value is not None:
            yield until(value)
        elif field.name not in _SHOWN and value not in ("", 0, None):
            yield f"{field.name} {value:g}" if isinstance(value, float) else f"{field.name} {value}"
