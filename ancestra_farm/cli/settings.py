"""``ancestra settings``: what the farm has and costs, and what holds for a show; read, and changed by order."""

import datetime as dt
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.basis import basis_of, line, note
from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.cli.listing import column, json_keys, number, print_json, print_rows
from ancestra_farm.cli.options import JsonOption, PersonOption, StoreOption, person
from ancestra_farm.cli.summary import shell_word

if TYPE_CHECKING:
    from ancestra_farm.api.wire import SettingsStanding
    from ancestra_farm.plan.farm_events import SettingsGiven
    from ancestra_farm.scheduler.world import SettingsConflict

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
OverOption = Annotated[
    str | None,
    typer.Option(
        "--over",
        metavar="VERSION",
        help="The version that these take the place of. Where the file was edited from what `show` printed, or given "
        "from here before, that is known.",
        show_default=False,
    ),
]
_KEYS = "JSON keys: kind, name, document, who, at, spent, currency, version."


@dataclass(frozen=True, slots=True)
class SettingsRow:
    """Settings in force. ``spent``: money of the show so far; of the farm: of all shows. ``at``: Unix seconds."""

    of: str = column("of")
    who: str = column("given by")
    at: float = column("at", lambda at: _when(at) if at else "–")
    spent: float = column("spent", number)
    currency: str = column("in")
    version: str = column("version")


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
        SettingsRow(
            "the farm" if one.kind == "farm" else one.name, one.who, one.at, one.spent, one.currency, one.version
        )
        for one in found
    ]
    print_rows(SettingsRow, rows, as_json=as_json)


@farm_app.command("show", epilog=_KEYS)
def show_farm(store: StoreOption, as_json: JsonOption = False) -> None:
    """Print the farm's settings as YAML that can be edited and given anew."""
    _print(_of_farm(store), "the farm", as_json=as_json)


@farm_app.command("set")
def set_farm(file: SettingsFile, store: StoreOption, who: PersonOption = "", over: OverOption = None) -> None:
    """Give the farm's settings anew. They are in force, and in the log, on return.

    Refused, with what differs, where others are in force than those that the file was edited from.
    """
    from ancestra_farm.batch.document import bytes_of, read_bytes
    from ancestra_farm.batch.farm_settings import farm_settings_in
    from ancestra_farm.batch.load import canonical
    from ancestra_farm.plan.farm_events import SettingsGiven

    data = bytes_of(file)
    document = canonical(farm_settings_in(read_bytes(data, str(file))))
    given = SettingsGiven("farm", "", document, person(who), time.time())
    _give(store, given, file, data.decode(), over, "settings farm set")


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
def set_show(
    context: typer.Context, file: SettingsFile, store: StoreOption, who: PersonOption = "", over: OverOption = None
) -> None:
    """Give the show's settings anew. They are in force, and in the log, on return.

    Refused, with what differs, where others are in force than those that the file was edited from.
    """
    from ancestra_farm.batch.document import bytes_of, read_bytes
    from ancestra_farm.batch.load import canonical
    from ancestra_farm.batch.show_settings import show_settings_in
    from ancestra_farm.plan.farm_events import SettingsGiven

    name: str = context.obj
    data = bytes_of(file)
    document = canonical(show_settings_in(read_bytes(data, str(file)), name))
    given = SettingsGiven("show", name, document, person(who), time.time())
    _give(store, given, file, data.decode(), over, f"settings show {shell_word(name)} set")


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
    typer.echo(line(found.version, found.at))
    typer.echo(yaml.safe_dump(found.document, sort_keys=False, allow_unicode=True, default_flow_style=None).rstrip())


def _give(url: str, given: "SettingsGiven", file: Path, text: str, over: str | None, command: str) -> None:
    """``text``: what the file says. ``command``: how it is called, without the file."""
    from ancestra_farm.api.afar import farm_at
    from ancestra_farm.api.door import give_settings
    from ancestra_farm.scheduler.settings import key_of
    from ancestra_farm.scheduler.versions import NONE, version_of
    from ancestra_farm.scheduler.world import SettingsConflict

    if over is not None and not re.fullmatch(f"[0-9a-f]{{16}}|{NONE}", over):
        raise CommandFailed(f"{over} is no version: 16 hexadecimal digits, as `ancestra settings ls` tells them")
    place, key = farm_at(url), key_of(given)
    based_on = over or basis_of(file, text, place.id, key)
    try:
        taken = give_settings(place, given, based_on, given.who)
    except SettingsConflict as conflict:
        knows = f"{file} is based on version {based_on}" if based_on != NONE else f"{file} does not say it knows them"
        again = f"ancestra {command} {shell_word(str(file))} --store {shell_word(url)} --over {conflict.version}"
        raise _told(conflict, f"other settings of {_whose(given)} are in force", knows, again) from conflict
    note(file, text, place.id, key, version_of(given))
    typer.echo(f"settings of {_whose(given)} are in force as {taken.who} gave them (commit {taken.commit})")


def _told(conflict: "SettingsConflict", others: str, knows: str, again: str) -> Exception:
    """Say what differs, a line each; what is left to be raised."""
    if not conflict.differences:
        return conflict
    typer.echo(f"{others} (version {conflict.version}), and {knows}:", err=True)
    for where, values in conflict.differences:
        typer.echo(f"  {where}: {values}", err=True)
    return CommandFailed(
        f"nothing was changed. Edit what `show` prints, or, if these are to take the place of those: {again}"
    )


def _whose(given: "SettingsGiven") -> str:
    return "the farm" if given.kind == "farm" else f"show {given.name}"
