"""Lists: rows of frozen dataclasses, shown as a table on a terminal, as plain columns in a log, as JSON on request.

The fields of a row class are the keys of its JSON, in their order; they are kept stable. ``column`` gives a field a
heading and so a place in the table; fields without one are in the JSON only.
"""

import dataclasses
import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

import typer

from ancestra_farm.cli.failures import on_terminal

#: A last column that is narrower than this, in characters, reads worse than a line that is too long.
LAST_COLUMN = 24


def number(value: object) -> str:
    """``1,000``; at most two digits after the point; a dash for nothing known."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}"


def words(value: object) -> str:
    """A text as it is, a list joined by commas, a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, tuple | list):
        return ", ".join(words(part) for part in value) or "–"
    return str(value) or "–"


def column(heading: str, text: Callable[[Any], str] = words, *, quiet: bool = False) -> Any:  # noqa: ANN401 - as dataclasses.field
    """A dataclass field that has a column. Columns of `number` are set to the right.

    ``quiet``: the column is left out where it says nothing (0, a dash, no text) in every row.
    """
    return dataclasses.field(metadata={"heading": heading, "text": text, "quiet": quiet})


def json_keys(row: type) -> str:
    """For a command's help: the keys that ``--json`` gives, from the row class itself."""
    return "JSON keys: " + ", ".join(field.name for field in dataclasses.fields(row)) + "."


def print_json(value: object) -> None:
    """JSON on stdout, indented. Dataclasses become objects; what JSON has no word for becomes its text."""
    typer.echo(json.dumps(value, indent=2, default=_plain, ensure_ascii=False))


def _plain(value: object) -> object:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else str(value)


def print_rows(
    row: type, rows: Sequence[Any], *, as_json: bool = False, none: str = "nothing", without: Collection[str] = ()
) -> None:
    """Print rows of class ``row``. ``none``: what to say where there are none (JSON then is ``[]``).

    ``without``: fields whose columns are left out.
    """
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo(none)
        return
    headings, right, cells = _table(row, rows, without)
    if on_terminal():
        _print_table(headings, right, cells)
    else:
        for line in plain_lines(headings, right, cells):
            typer.echo(line)


def row_lines(row: type, rows: Sequence[Any], without: Collection[str] = ()) -> list[str]:
    """What `print_rows` prints in a log, as lines."""
    return plain_lines(*_table(row, rows, without)) if rows else []


def _table(row: type, rows: Sequence[Any], without: Collection[str]) -> tuple[list[str], list[bool], list[list[str]]]:
    """Headings, whether each column is set to the right, and the cells."""
    columns = [
        field
        for field in dataclasses.fields(row)
        if "heading" in field.metadata and field.name not in without and _speaks(field, rows)
    ]
    headings = [field.metadata["heading"] for field in columns]
    right = [field.metadata["text"] is number for field in columns]
    cells = [[field.metadata["text"](getattr(one, field.name)) for field in columns] for one in rows]
    return headings, right, cells


def _speaks(field: "dataclasses.Field[Any]", rows: Sequence[Any]) -> bool:
    cells = (field.metadata["text"](getattr(one, field.name)) for one in rows)
    return not field.metadata["quiet"] or any(cell not in {"", "0", "–"} for cell in cells)


def plain_lines(headings: list[str], right: list[bool], cells: list[list[str]]) -> list[str]:
    """Aligned columns, two spaces apart, without trailing spaces."""
    table = [headings, *cells]
    widths = [max(len(line[at]) for line in table) for at in range(len(headings))]
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in table
    ]


def _print_table(headings: list[str], right: list[bool], cells: list[list[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for at, (heading, to_right) in enumerate(zip(headings, right, strict=True)):
        # Names and numbers stay whole; the last column, which is the wordy one, gives way in a narrow window.
        keep = at + 1 < len(headings)
        table.add_column(
            heading,
            justify="right" if to_right else "left",
            no_wrap=keep,
            overflow="fold",
            min_width=None if keep else LAST_COLUMN,
        )
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))
    console = Console()
    kept = sum(max(len(line[at]) for line in [headings, *cells]) + 2 for at in range(len(headings) - 1))
    # Rich would cut what does not fit; a line that the terminal wraps still says everything.
    console.print(table, width=max(console.width, kept + LAST_COLUMN), crop=False)
