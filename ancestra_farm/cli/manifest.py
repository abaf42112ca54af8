"""``ancestra manifest``: the tables, queried and exported."""

import csv
import datetime as dt
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.failures import CommandFailed, on_terminal
from ancestra_farm.cli.options import BatchOption, JsonOption, StoreOption

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = ("candidates", "picks", "stitches", "deliveries", "orders")
FORMATS = ("table", "csv", "json", "parquet")
#: What a person wants to see of each table; everything is exported.
SHOWN = {
    "candidates": ("candidate_id", "shot", "stage", "rung", "outcome", "quality", "reasons", "attempts", "media"),
    "picks": ("candidate_id", "shot", "stage", "who", "note", "at", "withdrawn_at"),
    "stitches": ("shot", "version", "state", "picked", "frames", "seconds", "message"),
    "deliveries": ("shot", "version", "kind", "frames", "rate", "path"),
    "orders": ("at", "who", "order", "shot", "stage", "candidate_id", "says", "note"),
}


def manifest(
    store: StoreOption,
    shot: Annotated[str | None, typer.Option("--shot", help="Only this shot.", show_default=False)] = None,
    outcome: Annotated[
        list[str] | None, typer.Option("--outcome", help="Only this outcome; may be repeated.", show_default=False)
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            help="COLUMN or score, = != < <= > >=, value: 'quality>=0.8'. Repeated ones must all hold.",
            show_default=False,
        ),
    ] = None,
    table: Annotated[str, typer.Option("--table", help=f"One of: {', '.join(TABLES)}.")] = "candidates",
    batch: BatchOption = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Columns or scores, joined by commas.", show_default=False)
    ] = None,
    out_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help=f"One of: {', '.join(FORMATS)}; by default as --out ends, or a table.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write to this file instead of the screen.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", help="At most so many rows.", min=0, show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Query a store's tables and export them. The columns are those of the tables; --json gives every one of them."""
    from ancestra_farm.cli.query import narrowed

    out_format = "json" if as_json else out_format or _format_of(out)
    for what, value, known in (("--table", table, TABLES), ("--format", out_format, FORMATS)):
        if value not in known:
            raise CommandFailed(f"{what} is one of: {', '.join(known)}; not {value}")
    if out_format == "parquet" and out is None:
        raise CommandFailed("Parquet goes to a file: add --out FILE")
    all_rows = _all_rows(store, table, batch, shot)
    rows = narrowed(
        all_rows,
        outcomes=tuple(outcome or ()),
        where=tuple(where or ()),
        columns=_wanted(columns, table, out_format, several=len(all_rows["batch"].unique()) > 1),
    )
    found = rows.num_rows
    if limit is None and out_format == "table" and on_terminal():
        limit = 50
    if limit is not None:
        rows = rows.slice(0, limit)
    _write(rows, out_format, out)
    if out is not None:
        typer.echo(f"{rows.num_rows:,} rows in {out}")
    elif rows.num_rows < found:
        typer.echo(f"… {found - rows.num_rows:,} more rows (--limit)", err=True)


def _all_rows(store: str, table: str, batch: str | None, shot: str | None) -> "pa.Table":
    """The rows of a table, of one batch and shot where they are named. Raises CommandFailed where there is no such."""
    from ancestra_farm.cli.query import table_of
    from ancestra_farm.cli.reading import Reading
    from ancestra_farm.ledger.store import Store

    rows = table_of(Store.open(store), table, batch, shot)
    if not rows.num_rows and (batch, shot) != (None, None):
        Reading.open(store).progress(batch, shot)  # says so where there is no such batch or shot
    return rows.sort_by("at") if table == "orders" else rows  # who wanted what, and when


def _format_of(out: Path | None) -> str:
    """What a file is to be by the end of its name: ``rows.parquet`` is Parquet, not a table for the eye."""
    suffix = "" if out is None else out.suffix.removeprefix(".").lower()
    return suffix if suffix in FORMATS else "table"


def _wanted(columns: str | None, table: str, out_format: str, *, several: bool) -> tuple[str, ...]:
    """The columns to show, none for all of them. ``several``: there are rows of more batches than one."""
    if columns is not None:
        return tuple(name.strip() for name in columns.split(",") if name.strip())
    if out_format != "table":
        return ()
    return ("batch", *SHOWN[table]) if several else SHOWN[table]


def _write(rows: "pa.Table", out_format: str, out: Path | None) -> None:
    if out_format == "parquet":
        import pyarrow.parquet as pq

        assert out is not None
        pq.write_table(rows, out, compression="zstd", write_page_checksum=True)
        return
    text = {"csv": _csv, "json": _json, "table": _plain}[out_format](rows)
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, encoding="utf-8")


def _json(rows: "pa.Table") -> str:
    return json.dumps([_row(row) for row in rows.to_pylist()], indent=1, default=_text, ensure_ascii=False) + "\n"


def _csv(rows: "pa.Table") -> str:
    """One line of headings; lists and scores as JSON within their cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(rows.column_names)
    for row in rows.to_pylist():
        writer.writerow(["" if value is None else _cell(value) for value in _row(row).values()])
    return buffer.getvalue()


def _plain(rows: "pa.Table") -> str:
    from ancestra_farm.cli.listing import number, plain_lines, words

    def text(name: str, value: object) -> str:
        if name.endswith("_id") and isinstance(value, str):
            return value[:12]
        return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else words(_short(value))

    cells = [[text(name, value) for name, value in _row(row).items()] for row in rows.to_pylist()]
    right = [all(_is_number(value) for value in rows.column(name).to_pylist()) for name in rows.column_names]
    if not cells:
        return "nothing\n"
    return "\n".join(plain_lines(list(rows.column_names), right, cells)) + "\n"


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _row(row: dict[str, object]) -> dict[str, object]:
    """A row as JSON has it: maps as objects, whether they are one cell or a list of them."""
    return {name: _maps(value) for name, value in row.items()}


def _maps(value: object) -> object:
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return dict(value)
    return [_maps(part) for part in value] if isinstance(value, list) else value


def _short(value: object) -> object:
    return value.strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, dt.datetime) else value


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else _text(value)


def _text(value: object) -> object:
    return value.isoformat() if isinstance(value, dt.datetime) else value
