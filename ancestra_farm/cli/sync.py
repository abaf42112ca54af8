"""``ancestra sync``: finished work on this machine, as it appears. How a version is fetched: `fetching`."""

import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.failures import FAILED
from ancestra_farm.cli.fetching import Fetcher, FileRow, Wanted, source_of
from ancestra_farm.cli.listing import json_keys, print_json
from ancestra_farm.cli.options import BatchOption, JsonOption, StoreOption

if TYPE_CHECKING:
    from ancestra_farm.cli.live import View

#: Seconds between two looks for new versions.
LOOK_S = 1.0
_ENDED = frozenset({"done", "failed", "starved", "cancelled"})

EPILOG = json_keys(FileRow)


def sync(
    to: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where it goes on this machine.", show_default=False)],
    store: StoreOption,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on as work is finished, until all that is meant has ended, or Ctrl-C."),
    ] = False,
    batch: BatchOption = None,
    shot: Annotated[str | None, typer.Option("--shot", help="Only of this shot.", show_default=False)] = None,
    picked: Annotated[bool, typer.Option("--picked", help="Only v001, v002, …, which people picked.")] = False,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Only files of this kind: mp4, master, otio, report, …", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch finished versions into FOLDER/SHOW/SHOT/VERSION, each file once and checked; repeat it to go on."""
    from ancestra_farm.cli.live import view

    seen = view(store)
    wanted = Wanted(picked, frozenset(kinds or ()))
    seen.progress(batch, shot)  # says what is not there before anything is made
    fetcher = Fetcher(source_of(seen), to, wanted)
    rows: dict[str, FileRow] = {}
    interrupted = False
    try:
        while True:
            progress = seen.progress(batch, shot)
            named = batch is not None or shot is not None
            last = not follow or (named and all(one.state in _ENDED for one in progress))
            for row in fetcher.fetch(progress, last=last):
                rows[row.file] = row
                if not as_json and row.state != "here":
                    typer.echo(f"{row.state}: {row.file} ({row.bytes:,} bytes)")
            if last:
                break
            time.sleep(LOOK_S)
            seen = looked(seen)
    except KeyboardInterrupt:
        interrupted = not follow or fetcher.at_work  # between two looks it is how a person stops following
    if fetcher.kinds and (missing := wanted.kinds - fetcher.kinds):
        there_are = ", ".join(sorted(fetcher.kinds))
        typer.echo(f"nothing published is of the kind {', '.join(sorted(missing))}; there are: {there_are}", err=True)
    if as_json:
        print_json(list(rows.values()))
    else:
        typer.echo(_summary(rows.values(), to))
    if interrupted:
        typer.echo("interrupted; the same command goes on where it was", err=True)
    if interrupted or any(not row.sound for row in rows.values()):
        raise typer.Exit(FAILED)


def _summary(rows: Collection[FileRow], to: Path) -> str:
    there, fetched = (sum(row.state == state for row in rows) for state in ("here", "fetched"))
    failed = len(rows) - there - fetched
    told = f"{fetched:,} files fetched to {to}, {there:,} were there already"
    return told + (f", {failed:,} not (see above)" if failed else "")


def looked(seen: "View") -> "View":
    """The store as it is now; read from its log where its controller has ended. Raises EndpointGone for a door."""
    from ancestra_farm.api.afar import Afar
    from ancestra_farm.api.client import EndpointGone
    from ancestra_farm.api.uploading import LINE_S, patiently
    from ancestra_farm.cli.live import Live
    from ancestra_farm.cli.reading import Reading

    if isinstance(seen, Live):
        if isinstance(seen.store, Afar):
            patiently(seen.look, LINE_S)  # there is nobody else to ask
            return seen
        try:
            seen.look()
        except EndpointGone:
            return Reading.open(seen.store.url)
    elif isinstance(seen, Reading):
        seen.follow()
    return seen
