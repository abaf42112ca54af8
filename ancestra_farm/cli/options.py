"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from ancestra_farm.cli.failures import CommandFailed

FileArgument = Annotated[Path, typer.Argument(help="A batch file (YAML, schema ancestra/v1).", show_default=False)]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="ANCESTRA_STORE",
        help="The farm's store: a folder, s3://, gs://, az://; or its door: https://HOST:PORT#FINGERPRINT.",
        show_default=False,
    ),
]
MaybeStoreOption = Annotated[
    str | None, typer.Option("--store", envvar="ANCESTRA_STORE", help="The store to compare with.", show_default=False)
]
BatchOption = Annotated[
    str | None, typer.Option("--batch", help="The batch, where the store has several.", show_default=False)
]
CardsOption = Annotated[
    Path | None, typer.Option("--cards", help="A folder with model cards of one's own.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
PersonOption = Annotated[
    str,
    typer.Option(
        "--as",
        envvar="ANCESTRA_USER",
        help="Give it for this person; by default as yourself. Only operators act for others.",
        show_default=False,
    ),
]
CertificateOption = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        help="What the controller shows beyond loopback, as PEM; by default one of its own.",
        show_default=False,
        exists=True,
        dir_okay=False,
        resolve_path=True,
    ),
]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        "--key",
        help="The certificate's key, as PEM.",
        show_default=False,
        exists=True,
        dir_okay=False,
        resolve_path=True,
    ),
]
PlainOption = Annotated[
    bool, typer.Option("--plain-http", help="No TLS beyond loopback: for a proxy that has it. Tokens go in the clear.")
]
InsecureOption = Annotated[bool, typer.Option("--insecure", help="Join a Ray that lets in whoever asks, too.")]
NoteOption = Annotated[str, typer.Option("--note", help="Why; kept with the order.")]


def person(name: str) -> str:
    """The name of the person an order is given for; empty: oneself. Raises `CommandFailed` for what is no name."""
    name = name.strip()
    if len(name) > 120 or not name.isprintable():
        raise CommandFailed("--as: a name is at most 120 printable characters")
    return name
