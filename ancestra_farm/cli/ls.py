"""``ancestra ls`` and ``show``: the batches of a store, and one of them whole."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.display import totals_of
from ancestra_farm.cli.explain import explained
from ancestra_farm.cli.listing import column, json_keys, number, print_json, print_rows
from ancestra_farm.cli.options import JsonOption, StoreOption
from ancestra_farm.cli.status import StageRow, shot_lines, stage_rows

if TYPE_CHECKING:
    from ancestra_farm.api.wire import BatchStanding
    from ancestra_farm.cli.live import View
    from ancestra_farm.scheduler.progress import ShotProgress

#: States of shots that say how the whole batch stands, the one that says most first.
_TELLING = ("running", "waiting_for_people", "paused", "failed", "starved")


def _day(at: float | None) -> str:
    return "" if at is None else dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M")


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One batch. ``done`` of ``shots`` are done, and wait for nobody; ``ended`` of ``wanted`` have an outcome.

    ``versions``: published ones; None where no stage makes clips, so that there is nothing to publish.
    ``goes_on_at``: when what is paused of it goes on by itself, Unix seconds.
    ``device_h``: hours that devices were held for it, of at most ``device_hours``; ``at``: when it was last submitted,
    Unix seconds.
    """

    batch: str = column("batch")
    show: str = column("show")
    owner: str = column("owner")
    state: str = column("state", lambda state: state.replace("_", " "))
    goes_on_at: float | None = column("until (UTC)", _day, quiet=True)
    priority: str = column("class")
    weight: float = column("weight", number)
    shots: int = column("shots", number)
    done: int = column("done", number)
    ended: int = column("candidates", number)
    wanted: int = column("of", number)
    survivors: int = column("survivors", number)
    versions: int | None = column("versions", number)
    device_h: float = column("device-h", number)
    device_hours: float | None = column("of", number, quiet=True)
    at: float = column("submitted (UTC)", _day)


EPILOG = json_keys(BatchRow)
SHOW_EPILOG = (
    "JSON keys: batch (as of ls), stages (as of status), versions (batch, shot, version), waiting (shot, stage), "
    "why (as of explain)."
)


def ls(
    store: StoreOption,
    of_show: Annotated[
        str | None, typer.Option("--show", help="Only batches of this show.", show_default=False)
    ] = None,
    owner: Annotated[
        str | None, typer.Option("--owner", help="Only batches that this person submitted.", show_default=False)
    ] = None,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Only batches with something left to do.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the batches of a store: whose they are, how far, in which class, and what they have cost."""
    from ancestra_farm.cli.live import view

    rows = batch_rows(view(store))
    wanted = [
        row
        for row in rows
        if of_show in {None, row.show}
        and owner in {None, row.owner, row.owner.partition(" (by ")[0]}
        and not (unfinished and row.state in {"done", "cancelled", "failed"})
    ]
    none = "no batch is as you say" if rows else "no batch has been submitted"
    print_rows(BatchRow, wanted, as_json=as_json, none=none)


def show(
    batch: Annotated[str, typer.Argument(help="The batch.", show_default=False)],
    store: StoreOption,
    shot: Annotated[str | None, typer.Argument(help="One shot of it; all without.", show_default=False)] = None,
    as_json: JsonOption = False,
) -> None:
    """Show one batch whole: its place in line, its stages, its versions, what waits for people, and why it waits."""
    from ancestra_farm.cli.live import view

    seen = view(store)
    progress = seen.progress(batch, shot)
    row = next(one for one in batch_rows(seen) if one.batch == batch)
    versions = [
        {"batch": one.batch, "shot": one.shot, "version": version} for one in progress for version in one.versions
    ]
    waiting = [
        {"shot": one.shot, "stage": stage.stage}
        for one in progress
        for stage in one.stages
        if stage.state == "waiting_for_people"
    ]
    undone = {one.shot for one in progress if one.state != "done"}
    why = [one for one in explained(seen, batch, shot) if one.shot in undone]
    if as_json:
        whole = {"batch": row, "stages": stage_rows(progress), "versions": versions, "waiting": waiting, "why": why}
        print_json(whole)
        return
    print_rows(BatchRow, [row])
    typer.echo("")
    print_rows(StageRow, stage_rows(progress), without=("batch",))
    for line in ["", *shot_lines(progress)]:
        typer.echo(line)
    for one in progress:
        if one.versions:
            typer.echo(f"{one.shot}: {', '.join(one.versions)}")
    for told in why:
        typer.echo(f"{told.shot}: {told.state.replace('_', ' ')}")
        for sentence in told.says:
            typer.echo(f"  {sentence}")


def batch_rows(seen: "View") -> list[BatchRow]:
    """Every batch, in the order of submission."""
    shots = seen.progress()
    return [_row(standing, [one for one in shots if one.batch == standing.batch]) for standing in seen.batches()]


def _row(standing: "BatchStanding", shots: "Sequence[ShotProgress]") -> BatchRow:
    totals = totals_of(shots)
    return BatchRow(
        batch=standing.batch,
        show=standing.show,
        owner=standing.who,
        state=state_of(shots, paused=standing.paused),
        goes_on_at=min((one.goes_on_at for one in shots if one.goes_on_at is not None), default=None),
        priority=standing.priority,
        weight=standing.weight,
        shots=len(shots),
        done=totals.done,
        ended=totals.ended,
        wanted=totals.wanted,
        survivors=totals.survivors,
        versions=versions_of(shots),
        device_h=standing.device_s / 3600,
        device_hours=standing.device_hours,
        at=standing.at,
    )


def versions_of(shots: "Sequence[ShotProgress]") -> int | None:
    """How many versions are published; None where there can be none, since no stage makes clips."""
    if not any(stage.makes_clips for shot in shots for stage in shot.stages):
        return None
    return sum(len(shot.versions) for shot in shots)


def state_of(shots: "Sequence[ShotProgress]", *, paused: bool) -> str:
    """How a batch stands, by how its shots stand."""
    states = {shot.state for shot in shots}
    if paused and states & {"running", "paused"}:
        return "paused"
    if states == {"cancelled"}:
        return "cancelled"
    return next((state.replace("starved", "failed") for state in _TELLING if state in states), "done")
