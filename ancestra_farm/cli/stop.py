"""``ancestra stop``: end the farm that is at work, cleanly."""

import time
from typing import Annotated

import typer

from ancestra_farm.cli.failures import TIMED_OUT
from ancestra_farm.cli.options import StoreOption
from ancestra_farm.cli.summary import duration, to_go_on

#: A stop waits up to 30 s for hosts to hand in what they have, and then for tables and hosts to close.
PATIENCE_S = 90.0
LOOK_S = 0.1


def stop(
    store: StoreOption,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Return once it has ended.")] = True,
) -> None:
    """Stop the farm cleanly: nothing new is begun, what is finished is committed; resume goes on from there."""
    from ancestra_farm.api.afar import at_work_in, farm_at, is_door
    from ancestra_farm.api.client import Client, EndpointGone

    opened = farm_at(store)
    client = Client.of(opened)
    if client is None:
        typer.echo(f"{opened.url}: nobody is at work there")
        return
    with client:
        try:
            client.stop()
        except EndpointGone as gone:
            if gone.presence is not None:
                raise
        epoch = client.presence.epoch
    began = time.monotonic()
    while wait and (presence := at_work_in(opened)) is not None and presence.epoch == epoch:
        if time.monotonic() - began > PATIENCE_S:
            typer.echo(f"{presence} is still stopping after {duration(PATIENCE_S)}", err=True)
            raise typer.Exit(TIMED_OUT)
        time.sleep(LOOK_S)
    typer.echo("stopped" if wait else "stopping")
    if not is_door(store):  # behind which nobody is any more
        typer.echo(f"to go on: {to_go_on(store)}")
