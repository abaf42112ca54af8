"""``ancestra settings``: what the farm has and costs, and what holds for a show; read, and changed by order."""

import datetime as dt
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.cli.listing import column, json_keys, number, print_json, print_rows
from ancestra_farm.cli.options import JsonOption, PersonOption, StoreOption, person

if TYPE_CHECKING:
    from ancestra_farm.api.wire import SettingsStanding
    from ancestra_farm.plan.events import SettingsGiven

app = typer.Typer(
    name="settings", help="What the farm has and costs, and what holds for each show.", no_args_is_help=True
)
farm_app = typer.Typer(
    name="farm", help="Node types, prices, caps and classes (schema ancestra/farm/v1).", no_args_is_help=True
)
show_app = typer.Typer(
    name="show",
    help="Rules, people, weights and notifications of one show (schema ancestra/show/v1).",
    no_args_is_help=True,
    subcommand_metavar="show|set",
)
app.add_typer(farm_app)
app.add_typer(show_app)

SettingsFile = Annotated[
    Path, typer.Argument(help="A YAML file; it takes the place of all before.", show_default=False)
]
_KEYS = "JSON keys: kind, name, document, who, at, spent, currency."


@dataclass(frozen=True, slots=True)
class SettingsRow:
    """Settings in force. ``spent``: money of the show so far; of the farm: of all shows. ``at``: Unix seconds."""

    of: str = column("of")
    who: str = column("given by")
    at: float = column("at", lambda at: _when(at) if at else "–")
    spent: float = column("spent", number)
    currency: str = column("in")


def _when(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@app.command("ls", epilog=json_keys(SettingsRow))
def list_settings(store: StoreOption, as_json: JsonOption = False) -> None:
    """List whose settings there are, who gave them and when, and what was spent."""
    from ancestra_farm.api.people import NotAllowed

    found = _of_shows(store)
    with suppress(NotAllowed):  # whoever has a role on shows alone is told of those
        found = [_of_farm(store), *found]
    rows = [
        SettingsRow("the farm" if one.kind == "farm" else one.name, one.who, one.at, one.spent, one.currency)
        for one in found
    ]
    print_rows(SettingsRow, rows, as_json=as_json)


@farm_app.command("show", epilog=_KEYS)
def show_farm(store: StoreOption, as_json: JsonOption = False) -> None:
    """Print the farm's settings as YAML that can be edited and given anew."""
    _print(_of_farm(store), "the farm", as_json=as_json)


@farm_app.command("set")
def set_farm(file: SettingsFile, store: StoreOption, who: PersonOption = "") -> None:
    """Give the farm's settings anew. They are in force, and in the log, on return."""
    from ancestra_farm.batch.farm_settings import load_farm_settings
    from ancestra_farm.batch.load import canonical
    from ancestra_farm.plan.events import SettingsGiven

    document = canonical(load_farm_settings(file))
    _give(store, SettingsGiven("farm", "", document, person(who), time.time()), "the farm")


@show_app.callback()
def _show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The show.", show_default=False)],
) -> None:
    """Rules, people, weights and notifications of one show (schema ancestra/show/v1)."""
    context.obj = name


@show_app.command("show", epilog=_KEYS)
def show_show(context: typer.Context, store: StoreOption, as_json: JsonOption = False) -> None:
    """Print the show's settings as YAML that can be edited and given anew."""
    name: str = context.obj
    found = next((one for one in _of_shows(store, name) if one.name == name), None)
    if found is None:
        raise CommandFailed(
            f"show {name} has no settings in {store}; `ancestra settings show {name} set FILE` gives it some"
        )
    _print(found, f"show {name}", as_json=as_json)


@show_app.command("set")
def set_show(context: typer.Context, file: SettingsFile, store: StoreOption, who: PersonOption = "") -> None:
    """Give the show's settings anew. They are in force, and in the log, on return."""
    from ancestra_farm.batch.load import canonical
    from ancestra_farm.batch.show_settings import load_show_settings
    from ancestra_farm.plan.events import SettingsGiven

    name: str = context.obj
    document = canonical(load_show_settings(file, name))
    _give(store, SettingsGiven("show", name, document, person(who), time.time()), f"show {name}")


def _of_farm(url: str) -> "SettingsStanding":
    """Those of the farm in force, from the controller at work, else from the log. Raises NotAllowed."""
    from ancestra_farm.cli.live import live

    found = live(url)
    if found is not None:
        return found.client.farm_settings()
    from ancestra_farm.api.questions import farm_settings
    from ancestra_farm.cli.reading import Reading

    return farm_settings(Reading.open(url).scheduler)


def _of_shows(url: str, show: str | None = None) -> "list[SettingsStanding]":
    """Those of a show in force, or of all that one has to do with, as `_of_farm`."""
    from ancestra_farm.cli.live import live

    found = live(url)
    if found is not None:
        return found.client.show_settings(show).settings
    from ancestra_farm.api.questions import show_settings
    from ancestra_farm.cli.reading import Reading

    return show_settings(Reading.open(url).scheduler, None if show is None else {show})


def _print(found: "SettingsStanding", what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    import yaml

    if found.document is None:
        typer.echo(f"# {what} was given no settings: it uses whatever its cluster has, at no stated price")
        return
    typer.echo(f"# settings of {what}, given by {found.who} at {_when(found.at)}")
    typer.echo(f"# spent so far: {found.spent:,.2f} {found.currency}")
    typer.echo(yaml.safe_dump(found.document, sort_keys=False, allow_unicode=True, default_flow_style=None).rstrip())


def _give(url: str, given: "SettingsGiven", what: str) -> None:
    from ancestra_farm.api.afar import farm_at
    from ancestra_farm.api.door import give_settings

    taken = give_settings(farm_at(url), given, given.who)
    typer.echo(f"settings of {what} are in force as {taken.who} gave them (commit {taken.commit})")
