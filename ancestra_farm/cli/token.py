"""``ancestra token``: who may give orders to a farm. A token is shown once, when it is made."""

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ancestra_farm.batch.numbers import counted
from ancestra_farm.cli.failures import FAILED, CommandFailed
from ancestra_farm.cli.listing import column, json_keys, print_rows
from ancestra_farm.cli.moments import CountsUntilOption, moment
from ancestra_farm.cli.options import JsonOption, StoreOption
from ancestra_farm.plan.moments import clock

if TYPE_CHECKING:
    from ancestra_farm.ledger.store import Store

app = typer.Typer(
    name="token", help="Who may give orders to a farm: issue, revoke, list and keep tokens.", no_args_is_help=True
)
NameArgument = Annotated[
    str, typer.Argument(help="The person's name, as it stands with their orders.", show_default=False)
]
RoleOption = Annotated[
    Literal["member", "viewer", "artist", "supervisor", "wrangler", "operator"],
    typer.Option(
        "--role",
        help="On every show. member: nothing but what the settings of shows say (people: submitter, reviewer, "
        "supervisor); viewer asks; artist picks; supervisor closes, too, and wants more; wrangler pauses, cancels, "
        "ranks, submits, sees to machines and settings, and stops, too; operator acts for others, too.",
    ),
]


def _day(at: float) -> str:
    return clock(at).removesuffix(" UTC")


def _until(at: float | None) -> str:
    return "–" if at is None else _day(at) + (" (ended)" if at <= time.time() else "")


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One token. ``token_id``: the beginning of its digest, which is no secret. ``at``, ``until``: Unix seconds."""

    name: str = column("name")
    role: str = column("role")
    at: float = column("since (UTC)", _day)
    until: float | None = column("until (UTC)", _until, quiet=True)
    by: str = column("by")
    token_id: str = column("id")


@app.command("issue")
def issue_token(
    name: NameArgument, store: StoreOption, role: RoleOption = "member", until: CountsUntilOption = ""
) -> None:
    """Make a token for a person and print it, once; the store keeps only its digest, and the log who made it."""
    from ancestra_farm.api.door import own_name
    from ancestra_farm.api.people import checked_name, issue
    from ancestra_farm.ledger.store import Store

    try:
        name = checked_name(name)
    except ValueError as error:
        raise CommandFailed(str(error)) from error
    end = moment(until, "--until")
    opened = Store.open(store)
    by = own_name(opened)
    typer.echo(issue(opened, name, role, by=by, until=end))
    _note(opened, by, f"token for {name}")
    typer.echo(f"{name} keeps it with `ancestra token use --store {store}`; it is not shown again", err=True)
    if end is not None:
        typer.echo(f"it ends at {clock(end)}", err=True)
    if role == "member":
        typer.echo(f"{name} may do what the settings of shows say (people), and nothing until then", err=True)


@app.command("revoke")
def revoke_token(name: NameArgument, store: StoreOption) -> None:
    """Take all tokens of a person away. A controller at work stops to take them within seconds."""
    from ancestra_farm.api.door import own_name
    from ancestra_farm.api.people import revoke
    from ancestra_farm.ledger.store import Store

    opened, name = Store.open(store), name.strip()
    by = own_name(opened)
    count = revoke(opened, name, by=by)
    if not count:
        raise CommandFailed(f"nobody called {name} has a token of {store}")
    typer.echo(f"{counted(count, 'token')} of {name} revoked")
    _note(opened, by, f"tokens of {name} revoked")


def _note(store: "Store", by: str, purpose: str) -> None:
    """Have the log say so. It is done by then; where the log cannot be written, that is an error all the same."""
    from ancestra_farm.api.audit import note_tokens

    if note_tokens(store, by, purpose) is None:
        typer.echo("the farm at work writes it to its log within seconds", err=True)


@app.command("ls", epilog=json_keys(TokenRow))
def list_tokens(store: StoreOption, as_json: JsonOption = False) -> None:
    """List who has a token, and in which role."""
    from ancestra_farm.api.people import everybody
    from ancestra_farm.ledger.store import Store

    people = sorted((person for person, _ in everybody(Store.open(store)).values()), key=lambda one: (one.name, one.at))
    rows = [TokenRow(one.name, one.role, one.at, one.until, one.by, one.token_id) for one in people]
    print_rows(TokenRow, rows, as_json=as_json, none="nobody has a token")


@app.command("use")
def use_token(store: StoreOption) -> None:
    """Keep a token that an operator made for you: read from standard input, kept where only you can read it."""
    from ancestra_farm.api.afar import is_door
    from ancestra_farm.api.people import owner
    from ancestra_farm.api.tokens import keep_token, looks_like_token
    from ancestra_farm.ledger.store import Store

    token = typer.prompt("token", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    token = token.strip()
    if not looks_like_token(token):
        raise CommandFailed("this is no token")
    if is_door(store):
        _use_afar(store, token)
        return
    opened = Store.open(store)
    person = owner(opened, token)
    if person is None:
        raise CommandFailed(f"this token is none of {opened.url} (any more)")
    person.need_now(time.time())
    typer.echo(f"kept in {keep_token(opened.id, token, person.name)}: {person.name}, {person.role}")


def _use_afar(door: str, token: str) -> None:
    """Keep a token for a farm that is known by its door, once the farm takes it."""
    from ancestra_farm.api.afar import Afar
    from ancestra_farm.api.client import Client
    from ancestra_farm.api.people import NotAllowed, TokenEnded, UnknownPerson
    from ancestra_farm.api.tokens import OwnToken, keep_token

    farm = Afar.at(door)
    client = Client.of(farm, token=OwnToken(token, "", "standard input"))
    if client is None:
        raise CommandFailed(f"{door}: nobody answers there any more", FAILED)
    with client:
        try:
            client.status()
        except (TokenEnded, UnknownPerson):
            raise
        except NotAllowed as nothing:  # known, and on no show yet: those who are on one are told by its settings
            typer.echo(str(nothing), err=True)
    typer.echo(f"kept in {keep_token(farm.id, token, '')}")
