"""``ancestra verify``: whether everything in a store is what the log says it is."""

import dataclasses
from typing import Annotated

import typer

from ancestra_farm.batch.numbers import counted
from ancestra_farm.cli.failures import FAILED, CommandFailed
from ancestra_farm.cli.listing import print_json
from ancestra_farm.cli.options import JsonOption


def verify(
    url: Annotated[str | None, typer.Argument(metavar="STORE", help="The store.", show_default=False)] = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store", envvar="ANCESTRA_STORE", help="The same, as other commands are told it.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check every commit, digest, medium and count of a store, and say what is wrong. Ends with 1 if anything is.

    JSON keys: store, good, problems, notes, commits, void, events, candidates, undecided, media, orphans, materials,
    deliveries, bytes.
    """
    from ancestra_farm.ledger.store import Store
    from ancestra_farm.ledger.verify import verify as verified

    named = url or store
    if named is None:
        raise CommandFailed("say which store: ancestra verify STORE")
    opened = Store.open(named)
    report = verified(opened)
    found = dataclasses.asdict(report)
    problems, notes = found.pop("problems"), found.pop("notes")
    if as_json:
        print_json({"store": opened.url, "good": not problems, "problems": problems, "notes": notes, **found})
    else:
        for note in notes:
            typer.echo(f"note: {note}")
        for problem in problems:
            typer.echo(problem)
        counts = ", ".join(f"{count:,} {what}" for what, count in found.items() if count or what != "void")
        verdict = "good" if not problems else counted(len(problems), "problem")
        typer.echo(f"{opened.url}: {verdict} ({counts})")
    if problems:
        raise typer.Exit(FAILED)
