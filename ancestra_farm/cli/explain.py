"""``ancestra explain``: why a shot is where it is."""

from dataclasses import dataclass
from typing import Annotated

import typer

from ancestra_farm.cli.listing import column, json_keys, print_json
from ancestra_farm.cli.options import BatchOption, JsonOption, StoreOption


@dataclass(frozen=True, slots=True)
class Explained:
    """One shot and the sentences that explain it."""

    batch: str = column("batch")
    shot: str = column("shot")
    state: str = column("state")
    says: tuple[str, ...] = column("why")


EPILOG = json_keys(Explained)


def explain(
    store: StoreOption,
    shot: Annotated[str | None, typer.Argument(help="The shot; all of them without.", show_default=False)] = None,
    batch: BatchOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say of each shot, or of one, what it waits for and why."""
    rows = _explained(store, shot, batch)
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo(f"no batch has been submitted to {store}")
    for row in rows:
        typer.echo(f"{row.batch} {row.shot}: {row.state.replace('_', ' ')}")
        for sentence in row.says:
            typer.echo(f"  {sentence}")


def _explained(store: str, shot: str | None, batch: str | None) -> list[Explained]:
    """Ask the controller that is at work, which alone knows hosts and queues, or fold the log."""
    from ancestra_farm.cli.live import live

    seen = live(store)
    if seen is not None:
        seen.progress(batch, shot)
        found = seen.client.explain(batch, shot).shots
        return [Explained(one.batch, one.shot, one.state, tuple(one.says)) for one in found]
    from ancestra_farm.cli.reading import Reading

    reading = Reading.open(store)
    return [
        Explained(one.batch, one.shot, one.state, tuple(reading.scheduler.explain(one.batch, one.shot)))
        for one in reading.progress(batch, shot)
    ]
