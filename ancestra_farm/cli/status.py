"""``ancestra status``: how far every shot of a store is, now."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ancestra_farm.cli.listing import column, number, print_json, print_rows
from ancestra_farm.cli.options import BatchOption, JsonOption, StoreOption
from ancestra_farm.cli.summary import StageCount, duration, shell_word, shot_line, shot_names, to_go_on

if TYPE_CHECKING:
    from ancestra_farm.api.client import Client
    from ancestra_farm.api.wire import BatchStanding
    from ancestra_farm.ledger.liveness import Presence
    from ancestra_farm.scheduler.progress import ShotProgress

EPILOG = (
    "JSON keys: store, at_work (who, host, pid, epoch, at, endpoint, fingerprint; null for nobody), go_on (the command "
    "that has unfinished shots worked on where nobody is at work, else null), last_commit, "
    "last_commit_at, device_s, trouble (what keeps hosts from their work: nodes that do not come, a store that takes "
    "nothing), batches (batch, priority, weight, paused), shots (batch, show, shot, state, versions), "
    "stages (batch, role, shot, stage, state, released, judged, survivors, rejected, failed, skipped, drafts, wanted, "
    "device_s)."
)


@dataclass(frozen=True, slots=True)
class BatchRow:
    """How a batch stands in line. ``priority``: its class; ``weight``: its share among those of its class."""

    batch: str = column("batch")
    priority: str = column("class")
    weight: float = column("weight", number)
    paused: bool = column("", lambda paused: "paused" if paused else "", quiet=True)

    @property
    def ordinary(self) -> bool:
        """Whether there is nothing to say of it: it stands in line as batches do that nobody said anything about."""
        return (self.priority, self.weight, self.paused) == ("shot", 1, False)


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of one shot: full candidates by what became of them. ``device_s``: device-seconds so far."""

    role: str
    batch: str = column("batch")
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
    head, progress, presence = _look(store, batch, shot)
    rows = stage_rows(progress)
    left = [one for one in progress if one.state == "running"] if presence is None else []
    go_on = f"ancestra resume --store {shell_word(store)}" if left else None
    if as_json:
        keys = ("who", "host", "pid", "epoch", "at", "endpoint", "fingerprint")
        answer: dict[str, Any] = {
            "store": head.url,
            "at_work": None if presence is None else {key: getattr(presence, key) for key in keys},
            "go_on": go_on,
            "last_commit": head.commit,
            "last_commit_at": head.last_at or None,
            "device_s": head.device_s,
            "trouble": head.trouble,
            "batches": head.batches,
            "shots": [
                {key: getattr(one, key) for key in ("batch", "show", "shot", "state", "versions")} for one in progress
            ],
            "stages": rows,
        }
        print_json(answer)
        return
    nobody = "nobody is at work"
    ago = f", last commit {duration(time.time() - head.last_at)} ago" if head.last_at else ""
    typer.echo(f"{head.url}: {nobody if presence is None else f'{presence} is at work'}{ago}")
    if go_on is not None:
        typer.echo(
            f"{len(left):,} of {len(progress):,} shots are unfinished, and nothing of them goes on: {to_go_on(store)}"
        )
        rows = [replace(row, state="at_rest") if row.state == "running" else row for row in rows]
    if presence is not None and presence.fingerprint:
        typer.echo(f"for whoever has a token and no store: --store {presence.endpoint}#{presence.fingerprint}")
    for line in head.trouble:
        typer.echo(line)
    if not all(one.ordinary for one in head.batches):
        print_rows(BatchRow, head.batches)
        typer.echo("")
    several = len({row.batch for row in rows}) > 1
    print_rows(StageRow, rows, none="no batch has been submitted", without=() if several else ("batch",))
    lines = shot_lines(progress)
    for line in ["", *lines] if lines else []:
        typer.echo(line)


@dataclass(frozen=True, slots=True)
class _Head:
    """A store as a whole. ``last_at``: when something last happened, 0 for never.

    ``trouble``: what keeps hosts from their work, a sentence each.
    """

    url: str
    commit: int
    last_at: float
    device_s: float
    batches: tuple[BatchRow, ...]
    trouble: tuple[str, ...] = ()


def _look(url: str, batch: str | None, shot: str | None) -> "tuple[_Head, tuple[ShotProgress, ...], Presence | None]":
    """Ask the controller that is at work, or fold the log."""
    from ancestra_farm.cli.live import live

    seen = live(url)
    if seen is not None:
        progress = seen.progress(batch, shot)
        batches = seen.client.batches().batches
        rows = _batch_rows(batches, batch)
        device_s = sum(one.device_s for one in batches)
        head = _Head(seen.store.url, seen.status.commit, seen.status.last_at, device_s, rows, _trouble(seen.client))
        return head, progress, seen.client.presence
    from ancestra_farm.cli.reading import Reading
    from ancestra_farm.ledger.liveness import who_is_alive

    reading = Reading.open(url)
    standing = [
        BatchRow(one.name, one.priority, one.weight, one.paused) for one in reading.scheduler.state.batches.values()
    ]
    head = _Head(
        reading.store.url, reading.tail.number, reading.last_at, reading.device_s, _batch_rows(standing, batch)
    )
    return head, reading.progress(batch, shot), who_is_alive(reading.store)


def _trouble(client: "Client") -> tuple[str, ...]:
    """As `ancestra hosts` says it. Whoever has a role on shows alone is told nothing of machines."""
    from ancestra_farm.api.people import NotAllowed
    from ancestra_farm.cli.hosts import trouble_of

    try:
        return trouble_of(client.hosts())
    except NotAllowed:
        return ()


def _batch_rows(batches: "Sequence[BatchRow | BatchStanding]", only: str | None) -> tuple[BatchRow, ...]:
    return tuple(
        BatchRow(one.batch, one.priority, one.weight, one.paused) for one in batches if only in {None, one.batch}
    )


def stage_rows(progress: "Sequence[ShotProgress]") -> list[StageRow]:
    """A row for each stage of each shot."""
    taken = [name for name in StageRow.__slots__ if name not in {"batch", "shot"}]
    return [
        StageRow(batch=shot.batch, shot=shot.shot, **{name: getattr(stage, name) for name in taken})
        for shot in progress
        for stage in shot.stages
    ]


def shot_lines(progress: "Sequence[ShotProgress]") -> list[str]:
    """One line for each shot: what was tried, what survived, what came of it."""
    names = shot_names(progress)
    width = max(map(len, names), default=0)
    lines = []
    for name, shot in zip(names, progress, strict=True):
        counts = [StageCount(stage.role, stage.released, stage.survivors, stage.drafts) for stage in shot.stages]
        ended = shot.state not in {"running", "waiting_for_people", "paused"}
        cut = shot.frames - 2 * shot.handles
        lines.append(shot_line(name, counts, len(shot.versions), cut, shot.handles, width, ended=ended))
    return lines
