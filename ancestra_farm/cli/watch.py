"""``ancestra watch``: see a farm work, from anywhere that reads its store."""

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.display import display
from ancestra_farm.cli.options import BatchOption, StoreOption
from ancestra_farm.cli.status import shot_lines

if TYPE_CHECKING:
    from ancestra_farm.cli.reading import Reading


def watch(
    store: StoreOption,
    batch: BatchOption = None,
    interval_s: Annotated[float, typer.Option("--interval", help="Seconds between two looks.", min=0.1)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="One look, and no waiting.")] = False,
) -> None:
    """Show progress, rate and time to go, shot by shot, until nothing is left to do. Only reads the store's log."""
    from ancestra_farm.cli.reading import Reading
    from ancestra_farm.ledger.liveness import who_is_alive

    reading = Reading.open(store)
    reading.progress(batch)
    with display() as shown, suppress(KeyboardInterrupt):  # Ctrl-C is how a person stops watching
        while True:
            presence = who_is_alive(reading.store)
            note = "nobody is at work" if presence is None else f"{presence.who} is at work on {presence.host}"
            shown.show(reading.progress(batch), reading.rate(time.time()), note)
            if once or (presence is None and not _anything_runs(reading, batch)):
                break
            time.sleep(interval_s)
            reading.follow()
    for line in shot_lines(reading, reading.progress(batch)):
        typer.echo(line)


def _anything_runs(reading: "Reading", batch: str | None) -> bool:
    """Whether a controller would have work. An empty store is waited for: somebody may be about to submit."""
    progress = reading.progress(batch)
    return not progress or any(shot.state == "running" for shot in progress)
