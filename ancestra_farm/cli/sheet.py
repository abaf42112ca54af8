"""``ancestra sheet``: a shot's candidates on one picture, best first."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.cli.options import BatchOption, StoreOption

if TYPE_CHECKING:
    from ancestra_farm.cli.reading import Reading


def sheet(
    shot: Annotated[str, typer.Argument(help="The shot.", show_default=False)],
    store: StoreOption,
    batch: BatchOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the PNG here too, outside the store.", show_default=False)
    ] = None,
) -> None:
    """Make a shot's contact sheet anew, best first with scores and picks, and print where it is."""
    from ancestra_farm.cli.reading import Reading
    from ancestra_farm.cli.run import place

    reading = Reading.open(store)
    found = reading.one_shot(shot, batch)
    data = make_sheet(reading, found.batch, shot)
    if data is None:
        raise CommandFailed(f"nothing of {shot} has been judged yet; there is nothing to show", code=1)
    if out is not None:
        out.write_bytes(data)
    typer.echo(str(out) if out is not None else place(reading.store.url, sheet_path(found.batch, shot)))


def sheet_path(batch: str, shot: str) -> str:
    """Where a shot's contact sheet is in its store."""
    return f"sheets/{batch}/{shot}.png"


def make_sheet(reading: "Reading", batch: str, shot: str) -> bytes | None:
    """Draw a shot's contact sheet and put it in the store; None where there is nothing to show yet."""
    from ancestra_farm.cli.query import table_of
    from ancestra_farm.stitch.sheet import contact_sheet

    store, plan = reading.store, reading.plan(batch).shot(shot)
    rows = table_of(store, "candidates", batch, shot).to_pylist()
    picked = {
        pick["candidate_id"]
        for pick in table_of(store, "picks", batch, shot).to_pylist()
        if pick["withdrawn_at"] is None
    }
    shown = [row | {"scores": dict(row["scores"] or ()), "picked": row["candidate_id"] in picked} for row in rows]
    if not any(row["thumbnail"] for row in shown):
        return None
    data = contact_sheet(shown, store.read, title=plan.shot.title, rank=plan.stages[0].spec.rank)
    store.replace(sheet_path(batch, shot), data)
    return data
