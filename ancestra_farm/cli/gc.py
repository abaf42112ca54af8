"""``ancestra gc``: give back the room that nobody needs."""

import dataclasses
from typing import Annotated

import typer

from ancestra_farm.cli.listing import print_json
from ancestra_farm.cli.options import JsonOption, PersonOption, StoreOption, person

EPILOG = (
    "Never collected: survivors, whatever was picked or delivered with everything it was made from, thumbnails, "
    "deliveries, the log, and anything younger than a day. A reject whose medium was collected is made again if it is "
    "restored."
)
_DAY_S = 24 * 3600.0


def gc(
    url: StoreOption,
    who: PersonOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go and change nothing.")] = False,
    rejects_older_than: Annotated[
        float | None,
        typer.Option(
            "--rejects-older-than",
            min=0,
            metavar="DAYS",
            help="Media of rejects too; by default as the settings of their show say (retention), else none.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Collect media that nothing names, what killed processes left, and old rejects if asked to.

    JSON keys: store, dry_run, orphans, leftovers, rejects, young (each with files and bytes), candidates.
    """
    from ancestra_farm.api.door import own_name
    from ancestra_farm.ledger.gc import gc as collected
    from ancestra_farm.ledger.store import Store

    store = Store.open(url)
    older_s = None if rejects_older_than is None else rejects_older_than * _DAY_S
    swept = collected(store, person(who) or own_name(store), rejects_older_than_s=older_s, dry_run=dry_run)
    if as_json:
        print_json({"store": store.url, "dry_run": dry_run, **dataclasses.asdict(swept)})
        return
    verb = "would go" if dry_run else "collected"
    for what, pile in (
        ("media that nothing names", swept.orphans),
        ("files left by the killed", swept.leftovers),
        (f"media of {swept.candidates:,} old rejects", swept.rejects),
    ):
        typer.echo(f"{pile.files:,} {what}, {pile.bytes:,} bytes: {verb}")
    if swept.young.files:
        typer.echo(
            f"{swept.young.files:,} files, {swept.young.bytes:,} bytes, are less than a day old and stay for now"
        )
