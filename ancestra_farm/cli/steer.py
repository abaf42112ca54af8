"""``ancestra pause``, ``unpause``, ``cancel``, ``priority``, ``more`` and ``retry``: what a farm is to work on."""

import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.cli.options import BatchOption, NoteOption, PersonOption, StoreOption, person

if TYPE_CHECKING:
    from ancestra_farm.api.door import Given
    from ancestra_farm.cli.live import View
    from ancestra_farm.plan.events import OrderKind

ShotArgument = Annotated[str | None, typer.Argument(help="One shot; the whole batch without.", show_default=False)]
OneShotArgument = Annotated[str, typer.Argument(help="The shot.", show_default=False)]
StageArgument = Annotated[str | None, typer.Argument(help="The stage, where the shot has several.", show_default=False)]


def pause(
    store: StoreOption,
    shot: ShotArgument = None,
    batch: BatchOption = None,
    who: PersonOption = "",
    note: NoteOption = "",
) -> None:
    """Start nothing more of a shot or a batch, until it is unpaused. What runs goes on and counts."""
    _hold("pause", "paused", store, shot, batch, who, note)


def unpause(
    store: StoreOption,
    shot: ShotArgument = None,
    batch: BatchOption = None,
    who: PersonOption = "",
    note: NoteOption = "",
) -> None:
    """Go on with what was paused."""
    _hold("unpause", "unpaused", store, shot, batch, who, note)


def cancel(
    store: StoreOption,
    shot: ShotArgument = None,
    batch: BatchOption = None,
    who: PersonOption = "",
    note: NoteOption = "",
) -> None:
    """Give up what is left of a shot, or of a batch named with --batch. What is published stays."""
    if shot is None and batch is None:
        raise CommandFailed("say which shot to cancel, or the whole batch with --batch NAME")
    _hold("cancel", "cancelled", store, shot, batch, who, note)


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
) -> None:
    """Give a batch another class, another weight within its class, or both."""
    from ancestra_farm.cli.live import one_batch, view

    if level is None and weight is None:
        raise CommandFailed("say the class (dailies, shot or backfill), the --weight, or both")
    who = person(who)
    seen = view(store, who)
    name = one_batch(seen, batch)
    given = _give(seen, "priority", name, who, note, priority=level or "", weight=weight)
    now = " and ".join(
        part for part in (f"of class {level}" if level else "", f"of weight {weight:g}" if weight else "") if part
    )
    _tell(given, f"{name} is now {now}")


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
) -> None:
    """Have more candidates of a stage tried than the batch asks for."""
    from ancestra_farm.cli.live import one_stage, view

    who = person(who)
    seen = view(store, who)
    progress = seen.one_shot(shot, batch)
    name = one_stage(progress, stage)
    given = _give(seen, "more", progress.batch, who, note, shot=shot, stage=name, candidates=candidates)
    _tell(given, f"{candidates:,} more candidates of {shot} {name}", store)


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
    given = _give(seen, "retry", progress.batch, who, note, shot=shot, stage=name, **what)
    which = f"failed by {cause}" if cause else f"rejected by {filter_}"
    _tell(given, f"trying again what {shot} {name} had {which}", store)


def _hold(
    kind: Literal["pause", "unpause", "cancel"],
    done: str,
    store: str,
    shot: str | None,
    batch: str | None,
    who: str,
    note: str,
) -> None:
    from ancestra_farm.cli.live import one_batch, view

    who = person(who)
    seen = view(store, who)
    name = one_batch(seen, batch) if shot is None else seen.one_shot(shot, batch).batch
    given = _give(seen, kind, name, who, note, shot=shot or "")
    _tell(given, f"{done} {f'batch {name}' if shot is None else shot}", store if kind == "unpause" else None)


def _give(seen: "View", kind: "OrderKind", batch: str, who: str, note: str, **more: Any) -> "Given":  # noqa: ANN401 - fields of an order
    from ancestra_farm.api.door import give
    from ancestra_farm.plan.events import OrderGiven

    return give(seen.store, [OrderGiven(batch, kind, who, time.time(), note=note, **more)], who)


def _tell(given: "Given", what: str, store: str | None = None) -> None:
    """Say what is in the log now. ``store``: where there is more work now, so that somebody has to be at work."""
    from ancestra_farm.cli.orders import go_on

    typer.echo(f"{what} as {given.who} (commit {given.commit})")
    if store is not None:
        go_on(given, store)
