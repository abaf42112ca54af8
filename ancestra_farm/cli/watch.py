"""``ancestra watch``: see a farm work, from anywhere that reads its store."""

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.display import display
from ancestra_farm.cli.follow import Rate, note_of
from ancestra_farm.cli.options import BatchOption, StoreOption
from ancestra_farm.cli.status import shot_lines

if TYPE_CHECKING:
    from ancestra_farm.cli.display import Display
    from ancestra_farm.cli.live import Live
    from ancestra_farm.scheduler.progress import ShotProgress


def watch(
    store: StoreOption,
    batch: BatchOption = None,
    interval_s: Annotated[float, typer.Option("--interval", help="Seconds between two looks.", min=0.1)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="One look, and no waiting.")] = False,
    farm: Annotated[
        bool, typer.Option("--farm", help="The whole farm instead: pools, queues, hosts, batches, rates, money.")
    ] = False,
) -> None:
    """Show progress, rate and time to go, shot by shot, until nothing is left to do. Changes nothing."""
    if farm:
        from ancestra_farm.cli.overview import watch_farm

        watch_farm(store, interval_s, once=once)
        return
    from ancestra_farm.api.afar import is_door
    from ancestra_farm.cli.live import live

    progress: tuple[ShotProgress, ...] = ()
    seen = live(store)
    door = seen is not None and is_door(store)
    with display() as shown, suppress(KeyboardInterrupt):  # Ctrl-C is how a person stops watching
        if seen is not None:
            progress = _watch_live(seen, shown, batch, interval_s, once)
        if seen is None or not (once or door):
            # Nobody is at work, or nobody who answers, or nobody any more: the log says where things stand.
            progress = _watch_log(store, shown, batch, interval_s, once)
    for line in shot_lines(progress):
        typer.echo(line)


def _watch_live(
    seen: "Live", shown: "Display", batch: str | None, interval_s: float, once: bool
) -> "tuple[ShotProgress, ...]":
    """Ask the controller again and again, until it has ended."""
    from ancestra_farm.api.client import EndpointGone

    rate = Rate()
    while True:
        presence = seen.client.presence
        note = "; ".join(
            part for part in (f"{presence.who} is at work on {presence.host}", note_of(seen.status)) if part
        )
        progress = seen.progress(batch)
        shown.show(progress, rate.of(progress, seen.status.at), note)
        if once:
            return progress
        time.sleep(interval_s)
        try:
            seen.look()
        except EndpointGone:
            return progress


def _watch_log(
    store: str, shown: "Display", batch: str | None, interval_s: float, once: bool
) -> "tuple[ShotProgress, ...]":
    """Follow the log until nobody is at work and nothing is left to do."""
    from ancestra_farm.cli.reading import Reading
    from ancestra_farm.ledger.liveness import who_is_alive

    reading = Reading.open(store)
    while True:
        presence = who_is_alive(reading.store)
        note = "nobody is at work" if presence is None else f"{presence.who} is at work on {presence.host}"
        progress = reading.progress(batch)
        shown.show(progress, reading.rate(time.time()), note)
        # An empty store is waited for: somebody may be about to submit.
        runs = not progress or any(shot.state == "running" for shot in progress)
        if once or (presence is None and not runs):
            return progress
        time.sleep(interval_s)
        reading.follow()
