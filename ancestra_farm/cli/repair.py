"""``ancestra repair``: a store whose log is damaged is made whole again, as far as it can be."""

import dataclasses
from typing import Annotated

import typer

from ancestra_farm.cli.failures import FAILED
from ancestra_farm.cli.listing import print_json
from ancestra_farm.cli.options import JsonOption, PersonOption, StoreOption, person

EPILOG = (
    "Nothing is thrown away: bad files are moved to damaged/ in the store. What a lost commit said comes back from the "
    "later commits and the tables; candidates that nothing speaks of any more are made again by `ancestra resume`."
)


def repair(
    url: StoreOption,
    who: PersonOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Set damaged commits aside, save what the rest allows, and say what is lost. Not while a controller is at work.

    JSON keys: store, dry_run, damage, moved, restored, kept, later, told, found, lost, epoch. Ends with 1 if facts are
    lost.
    """
    from ancestra_farm.api.door import own_name
    from ancestra_farm.ledger.repair import repair as repaired
    from ancestra_farm.ledger.store import Store
    from ancestra_farm.scheduler.retell import retell

    store = Store.open(url)
    done = repaired(store, retell, person(who) or own_name(store), dry_run=dry_run)
    if as_json:
        print_json({"store": store.url, "dry_run": dry_run, **dataclasses.asdict(done)})
    else:
        _say(store.url, done, dry_run)
    if done.lost:
        raise typer.Exit(FAILED)


def _say(url: str, done: object, dry_run: bool) -> None:
    from ancestra_farm.ledger.repair import Repair

    assert isinstance(done, Repair)
    if not done.damage:
        typer.echo(f"{url}: the log is sound ({done.kept:,} commits); nothing to repair")
        return
    for what in done.damage:
        typer.echo(what)
    for number in done.restored:
        typer.echo(f"commit {number} {'can be' if dry_run else 'was'} found whole elsewhere")
    for path in done.moved:
        typer.echo(f"moved to {path}")
    verb = "would be" if dry_run else "were"
    typer.echo(f"{done.kept:,} commits before the damage are untouched, {done.later:,} after it {verb} told again")
    if done.told:
        typer.echo(f"told again: {_counts(done.told)}")
    if done.found:
        typer.echo(f"found in the tables alone: {_counts(done.found)}")
    for sentence in done.lost:
        typer.echo(f"lost: {sentence}")
    typer.echo("nothing else is known to be lost; `ancestra resume` makes again what is missing")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))
