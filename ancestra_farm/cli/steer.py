"""``ancestra pause``, ``unpause``, ``cancel``, ``priority``, ``more`` and ``retry``: what a farm is to work on."""

import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.cli.moments import UntilOption, moment
from ancestra_farm.cli.options import BatchOption, JsonOption, NoteOption, PersonOption, StoreOption, person
from ancestra_farm.cli.ordered import tell
from ancestra_farm.plan.moments import clock

if TYPE_CHECKING:
    from ancestra_farm.api.door import Given
    from ancestra_farm.cli.live import View
    from ancestra_farm.plan.events import OrderGiven, OrderKind

ShotArgument = Annotated[str | None, typer.Argument(help="One shot; the whole batch without.", show_default=False)]
OneShotArgument = Annotated[str, typer.Argument(help="The shot.", show_default=False)]
StageArgument = Annotated[str | None, typer.Argument(help="The stage, where the shot has several.", show_default=False)]


def pause(
    store: StoreOption,
    shot: ShotArgument = None,
    until: UntilOption = "",
    batch: BatchOption = None,
    who: PersonOption = "",
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Start nothing more of a shot or a batch, until it is unpaused or a time. What runs goes on and counts."""
    _hold("pause", "paused", store, shot, batch, who, note, as_json, moment(until, "--until"))


def unpause(
    store: StoreOption,
    shot: ShotArgument = None,
    batch: BatchOption = None,
    who: PersonOption = "",
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Go on with what was paused."""
    _hold("unpause", "unpaused", store, shot, batch, who, note, as_json)


def cancel(
    store: StoreOption,
    shot: ShotArgument = None,
    batch: BatchOption = None,
    who: PersonOption = "",
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give up what is left of a shot, or of a batch named with --batch. What is published stays."""
    if shot is None and batch is None:
        raise CommandFailed("say which shot to cancel, or the whole batch with --batch NAME")
    _hold("cancel", "cancelled", store, shot, batch, who, note, as_json)


def priority(
    store: StoreOption,
    level: Annotated[
        Literal["dailies", "shot", "backfill"] | None,
        typer.Argument(metavar="CLASS", help="dailies, shot or backfill.", show_default=False),
    ] = None,
    batch: BatchOption = None,
    weight: Annotated[
        float | None,
        typer.Option("--weight", help="Share among batches of its class.", min=0.001, max=1000, show_default=False),
    ] = None,
    who: PersonOption = "",
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give a batch another class, another weight within its class, or both."""
    from ancestra_farm.cli.live import one_batch, view

    if level is None and weight is None:
        raise CommandFailed("say the class (dailies, shot or backfill), the --weight, or both")
    who = person(who)
    seen = view(store, who)
    name = one_batch(seen, batch)
    done = _give(seen, "priority", name, who, note, priority=level or "", weight=weight)
    now = " and ".join(
        part for part in (f"of class {level}" if level else "", f"of weight {weight:g}" if weight else "") if part
    )
    tell(*done, [f"{name} is now {now}"], None, as_json=as_json)


def more(
    shot: OneShotArgument,
    store: StoreOption,
    candidates: Annotated[
        int,
        typer.Option("--candidates", "-n", help="How many more are tried.", min=1, max=10_000_000, show_default=False),
    ],
    stage: StageArgument = None,
    batch: BatchOption = None,
    who: PersonOption = "",
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Have more candidates of a stage tried than the batch asks for."""
    from ancestra_farm.cli.live import one_stage, view

    who = person(who)
    seen = view(store, who)
    progress = seen.one_shot(shot, batch)
    name = one_stage(progress, stage)
    done = _give(seen, "more", progress.batch, who, note, shot=shot, stage=name, candidates=candidates)
    tell(*done, [f"{candidates:,} more candidates of {shot} {name}"], store, as_json=as_json)


def retry(
    shot: OneShotArgument,
    store: StoreOption,
    stage: StageArgument = None,
    cause: Annotated[
        Literal["failed", "quarantined", "lost", "exception", "out_of_memory", "deadline", "crash", "host_lost"] | None,
        typer.Option("--cause", help="What became of them, or why they failed.", show_default=False),
    ] = None,
    filter_: Annotated[str | None, typer.Option("--filter", help="Rejects of this filter.", show_default=False)] = None,
    batch: BatchOption = None,
    who: PersonOption = "",
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Try candidates of a stage again: those that failed for a cause, or that a filter rejected."""
    from ancestra_farm.batch.problems import did_you_mean
    from ancestra_farm.cli.live import one_stage, view
    from ancestra_farm.filters.settings import DEFAULTS

    if (cause is None) == (filter_ is None):
        raise CommandFailed("say what is tried again: --cause CAUSE or --filter FILTER")
    if filter_ is not None and filter_ not in DEFAULTS:
        raise CommandFailed(f"there is no filter {filter_}; {did_you_mean(filter_, DEFAULTS, 'filters')}")
    who = person(who)
    seen = view(store, who)
    progress = seen.one_shot(shot, batch)
    name = one_stage(progress, stage)
    what = {"cause": cause} if cause else {"filter": filter_}
    done = _give(seen, "retry", progress.batch, who, note, shot=shot, stage=name, **what)
    which = f"failed by {cause}" if cause else f"rejected by {filter_}"
    tell(*done, [f"trying again what {shot} {name} had {which}"], store, as_json=as_json)


def _hold(
    kind: Literal["pause", "unpause", "cancel"],
    says: str,
    store: str,
    shot: str | None,
    batch: str | None,
    who: str,
    note: str,
    as_json: bool,
    until: float | None = None,
) -> None:
    from ancestra_farm.cli.live import one_batch, view

    who = person(who)
    seen = view(store, who)
    name = one_batch(seen, batch) if shot is None else seen.one_shot(shot, batch).batch
    done = _give(seen, kind, name, who, note, shot=shot or "", until=until)
    what = f"{says} {f'batch {name}' if shot is None else shot}" + ("" if until is None else f" until {clock(until)}")
    tell(*done, [what], store if kind == "unpause" else None, as_json=as_json)


def _give(
    seen: "View",
    kind: "OrderKind",
    batch: str,
    who: str,
    note: str,
    **more: Any,  # noqa: ANN401 - fields of an order
) -> "tuple[Given, list[OrderGiven]]":
    from ancestra_farm.api.door import give
    from ancestra_farm.plan.events import OrderGiven

    orders = [OrderGiven(batch, kind, who, time.time(), note=note, **more)]
    return give(seen.store, orders, who), orders
