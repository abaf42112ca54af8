"""``ancestra stitch``: the versions of a shot, what they are made of, and publishing what is due."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.cli.listing import column, json_keys, number, print_rows
from ancestra_farm.cli.options import BatchOption, JsonOption, StoreOption
from ancestra_farm.cli.summary import shell_word

if TYPE_CHECKING:
    from ancestra_farm.ledger.store import Store


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version of a shot. ``worst_seam``: the highest score of any of its seams, by name; ``files`` by kind."""

    version: str = column("version")
    state: str = column("state")
    picked: bool = column("picked", lambda picked: "by people" if picked else "", quiet=True)
    chain: tuple[str, ...] = column("made of", lambda chain: ", ".join(one[:12] for one in chain))
    frames: int | None = column("frames", number)
    worst_seam: tuple[str, float] | None = column(
        "worst seam", lambda worst: f"{worst[0]} {worst[1]:.2f}" if worst else "–"
    )
    files: dict[str, str] = column("file", lambda files: files.get("mp4") or next(iter(files.values()), "–"))
    message: str = column("message", quiet=True)


EPILOG = json_keys(VersionRow)


def stitch(
    shot: Annotated[str, typer.Argument(help="The shot.", show_default=False)],
    store: StoreOption,
    batch: BatchOption = None,
    now: Annotated[
        bool, typer.Option("--now", help="Publish what is due first: goes on with the store, like resume.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print a shot's versions: made of what, how the seams score, which files. With --now publish what is due."""
    from ancestra_farm.cli.reading import Reading

    reading = Reading.open(store)
    progress = reading.one_shot(shot, batch)
    if now and progress.state == "running":
        from ancestra_farm.farm.run import run_batch

        summary = run_batch(None, store, on_message=lambda message: typer.echo(message, err=True))
        if summary.how not in {"done", "waiting"}:
            raise CommandFailed(f"{summary.how.replace('_', ' ')}: {summary.message}", code=1)
    rows = version_rows(reading.store, progress.batch, shot)
    print_rows(VersionRow, rows, as_json=as_json, none=f"{shot} has no version yet")
    if not as_json and any(row.state == "planned" for row in rows):
        typer.echo(f"to publish what is planned: ancestra stitch {shot} --now --store {shell_word(reading.store.url)}")


def version_rows(store: "Store", batch: str, shot: str) -> list[VersionRow]:
    """A row for each version of a shot, oldest first, from the log."""
    from ancestra_farm.cli.query import table_of

    files: dict[str, dict[str, str]] = {}
    for row in table_of(store, "deliveries", batch, shot).to_pylist():
        files.setdefault(row["version"], {})[row["kind"]] = row["path"]
    rows = sorted(table_of(store, "stitches", batch, shot).to_pylist(), key=lambda row: row["planned_at"])
    return [
        VersionRow(
            version=row["version"],
            state=row["state"],
            picked=row["picked"],
            chain=tuple(row["chain"]),
            frames=row["frames"],
            worst_seam=_worst([dict(seam) for seam in row["seams"] or ()]),
            files=files.get(row["version"], {}),
            message=row["message"],
        )
        for row in rows
    ]


def _worst(seams: list[dict[str, float]]) -> tuple[str, float] | None:
    scores = [(name, value) for seam in seams for name, value in seam.items()]
    return max(scores, key=lambda score: score[1], default=None)
