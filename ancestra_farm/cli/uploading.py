"""How the files of a batch come to a farm, as a person sees it: one bar over all of them, or a line for each."""

from typing import TYPE_CHECKING

import typer

from ancestra_farm.cli.failures import on_terminal

if TYPE_CHECKING:
    from ancestra_farm.api.batchfile import Prepared, Told
    from ancestra_farm.api.client import Client
    from ancestra_farm.batch.materials import Material
    from ancestra_farm.ledger.store import Store
    from ancestra_farm.ledger.uploads import Progressed


def upload(ready: "Prepared", to: "Store | Client") -> None:
    """Bring the files that a batch names into a store, or through a farm's door, and show how far that is.

    What arrived before is not sent again: neither whole files nor parts of large ones.
    """
    if not ready.materials:
        return
    if not on_terminal():
        _bring(ready, to, lambda material, sent: typer.echo(_line(material, sent)), lambda _arrived, _sent: None)
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("uploading", total=sum(material.bytes for material in ready.materials))
        _bring(
            ready,
            to,
            lambda material, _sent: bar.update(task, description=material.file.name),
            lambda arrived, _sent: bar.update(task, advance=arrived),
        )


def _bring(ready: "Prepared", to: "Store | Client", told: "Told", progressed: "Progressed") -> None:
    from ancestra_farm.ledger.store import Store

    if isinstance(to, Store):
        ready.upload(to, told, progressed)
    else:
        from ancestra_farm.api.uploading import carry

        carry(to, ready.materials, told, progressed)


def _line(material: "Material", sent: int) -> str:
    if not sent:
        return f"there already: {material.file} ({material.bytes:,} bytes)"
    before = f", {material.bytes - sent:,} of which were there" if sent < material.bytes else ""
    return f"uploaded: {material.file} ({material.bytes:,} bytes{before})"
