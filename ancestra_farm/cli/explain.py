"""``ancestra explain``: why a shot is where it is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.listing import column, json_keys, print_json
from ancestra_farm.cli.options import BatchOption, JsonOption, StoreOption

if TYPE_CHECKING:
    from ancestra_farm.cli.live import View


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
    from ancestra_farm.cli.live import view

    seen = view(store)
    seen.progress(batch, shot)
    rows = explained(seen, batch, shot)
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo(f"no batch has been submitted to {store}")
    for row in rows:
        typer.echo(f"{row.batch} {row.shot}: {row.state.replace('_', ' ')}")
        for sentence in row.says:
            typer.echo(f"  {sentence}")


def explained(seen: "View", batch: str | None, shot: str | None) -> list[Explained]:
    """What is asked of the controller that is at work, which alone knows hosts and queues, or of the log."""
    return [Explained(one.batch, one.shot, one.state, tuple(one.says)) for one in seen.explained(batch, shot)]
