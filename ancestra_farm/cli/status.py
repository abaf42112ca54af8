"""``ancestra status``: how far every shot of a store is, now."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ancestra_farm.cli.listing import column, number, print_json, print_rows
from ancestra_farm.cli.options import BatchOption, JsonOption, StoreOption
from ancestra_farm.cli.summary import StageCount, duration, shot_line

if TYPE_CHECKING:
    from ancestra_farm.cli.reading import Reading
    from ancestra_farm.scheduler.progress import ShotProgress

EPILOG = (
    "JSON keys: store, at_work (who, host, pid, epoch, at, endpoint; null for nobody), last_commit, last_commit_at, "
    "device_s, shots (batch, show, shot, state, versions), stages (batch, role, shot, stage, state, released, judged, "
    "survivors, rejected, failed, skipped, drafts, wanted, device_s)."
)


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of one shot: full candidates by what became of them. ``device_s``: device-seconds so far."""

    batch: str
    role: str
    shot: str = column("shot")
    stage: str = column("stage")
    state: str = column("state", lambda state: state.replace("_", " "))
    released: int = column("released", number)
    judged: int = column("judged", number)
    survivors: int = column("survivors", number)
    rejected: int = column("rejected", number)
    failed: int = column("failed", number, quiet=True)
    skipped: int = column("skipped", number, quiet=True)
    drafts: int = column("drafts", number, quiet=True)
    wanted: int = column("wanted", number)
    device_s: float = column("device-s", number)


def status(
    store: StoreOption,
    shot: Annotated[str | None, typer.Argument(help="One shot; all of them without.", show_default=False)] = None,
    batch: BatchOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print how far every shot is, and who is at work in the store."""
    from ancestra_farm.cli.reading import Reading
    from ancestra_farm.ledger.liveness import who_is_alive

    reading = Reading.open(store)
    progress = reading.progress(batch, shot)
    presence = who_is_alive(reading.store)
    rows = stage_rows(progress)
    if as_json:
        keys = ("who", "host", "pid", "epoch", "at", "endpoint")
        answer: dict[str, Any] = {
            "store": reading.store.url,
            "at_work": None if presence is None else {key: getattr(presence, key) for key in keys},
            "last_commit": reading.tail.number,
            "last_commit_at": reading.last_at or None,
            "device_s": reading.device_s,
            "shots": [
                {key: getattr(one, key) for key in ("batch", "show", "shot", "state", "versions")} for one in progress
            ],
            "stages": rows,
        }
        print_json(answer)
        return
    nobody = "nobody is at work"
    ago = f", last commit {duration(time.time() - reading.last_at)} ago" if reading.last_at else ""
    typer.echo(f"{reading.store.url}: {nobody if presence is None else f'{presence} is at work'}{ago}")
    print_rows(StageRow, rows, none="no batch has been submitted")
    for line in shot_lines(reading, progress):
        typer.echo(line)


def stage_rows(progress: "Sequence[ShotProgress]") -> list[StageRow]:
    """A row for each stage of each shot."""
    taken = [name for name in StageRow.__slots__ if name not in {"batch", "shot"}]
    return [
        StageRow(batch=shot.batch, shot=shot.shot, **{name: getattr(stage, name) for name in taken})
        for shot in progress
        for stage in shot.stages
    ]


def shot_lines(reading: "Reading", progress: "Sequence[ShotProgress]") -> list[str]:
    """One line for each shot: what was tried, what survived, what came of it."""
    width = max((len(shot.shot) for shot in progress), default=0)
    lines = []
    for shot in progress:
        plan = reading.plan(shot.batch).shot(shot.shot)
        counts = [StageCount(stage.role, stage.released, stage.survivors, stage.drafts) for stage in shot.stages]
        ended = shot.state not in {"running", "waiting_for_people"}
        lines.append(shot_line(shot.shot, counts, len(shot.versions), plan.frames, plan.handles, width, ended=ended))
    return lines
