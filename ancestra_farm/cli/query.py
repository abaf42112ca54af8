"""Asking a table: current rows, conditions on columns and scores, some of the columns."""

import re
from typing import get_args

import pyarrow as pa
import pyarrow.compute as pc

from ancestra_farm.batch.problems import did_you_mean
from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.ledger.packs import last_number
from ancestra_farm.ledger.read import read_table
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tables import THROUGH_PATH, Projection, concatenated
from ancestra_farm.ledger.tail import Tail
from ancestra_farm.plan.events import Outcome

_CONDITION = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.-]*?)\s*(<=|>=|!=|==|=|<|>)\s*(.*?)\s*", re.DOTALL)
_COMPARE = {
    "=": pc.equal,
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def table_of(store: Store, table: str, batch: str | None = None, shot: str | None = None) -> pa.Table:
    """The rows of a table as the log has them now.

    The files are read where they are up to date; where the log has gone on since, it is folded instead.
    """
    if _through(store) >= last_number(store):
        return read_table(store, table, batch, shot)
    projection = Projection()
    for commit in Tail(store).poll():
        projection.fold(commit)
    parts = [
        projection.table(*part)
        for part in projection.parts()
        if part[0] == table and batch in {None, part[1]} and shot in {None, part[2]}
    ]
    return concatenated(table, parts)


def _through(store: Store) -> int:
    """Number of the last commit that is in the tables; -1 where none are written."""
    try:
        return int(store.read(THROUGH_PATH)) if store.exists(THROUGH_PATH) else -1
    except ValueError:
        return -1


def narrowed(
    rows: pa.Table, *, outcomes: tuple[str, ...] = (), where: tuple[str, ...] = (), columns: tuple[str, ...] = ()
) -> pa.Table:
    """Rows with one of the outcomes for which all conditions hold, with these columns (``()``: all).

    A condition or column may name a score (``quality``). Raises `CommandFailed` for names and values that do not fit.
    """
    if outcomes:
        if "outcome" not in rows.column_names:
            raise CommandFailed("--outcome is for candidates")
        if unknown := sorted(set(outcomes) - set(get_args(Outcome))):
            raise CommandFailed(f"--outcome is one of: {', '.join(get_args(Outcome))}; not {', '.join(unknown)}")
        rows = rows.filter(pc.is_in(rows.column("outcome"), value_set=pa.array(outcomes, pa.string())))
    for condition in where:
        parsed = _CONDITION.fullmatch(condition)
        if parsed is None:
            raise CommandFailed(f"--where {condition!r}: write COLUMN=VALUE, or != < <= > >= between them")
        name, sign, text = parsed.groups()
        values = _column(rows, name)
        rows = rows.filter(_COMPARE[sign](values, _scalar(values.type, name, text)))
    if columns:
        rows = pa.table([_column(rows, name) for name in columns], names=list(columns))
    return rows


def _column(rows: pa.Table, name: str) -> pa.ChunkedArray:
    if name in rows.column_names:
        return rows.column(name)
    score = name.removeprefix("scores.")
    if "scores" in rows.column_names:
        values = [None if cell is None else dict(cell).get(score) for cell in rows.column("scores").to_pylist()]
        if any(value is not None for value in values) or name != score:
            return pa.chunked_array([pa.array(values, pa.float64())])
    if rows.num_rows == 0 and "scores" in rows.column_names:
        return pa.chunked_array([pa.array([], pa.float64())])
    scores = () if "scores" not in rows.column_names else rows.column("scores").to_pylist()
    of_scores = sorted({score for cell in scores for score, _ in cell or ()})
    says = did_you_mean(name, [*rows.column_names, *of_scores], "there are")
    raise CommandFailed(f"there is no column or score {name!r}; {says}")


def _scalar(kind: pa.DataType, name: str, text: str) -> pa.Scalar:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    if pa.types.is_nested(kind):
        raise CommandFailed(f"{name} is a list and cannot be compared; export it and use DuckDB")
    if pa.types.is_boolean(kind):
        if text.lower() not in _BOOLEANS:
            raise CommandFailed(f"{name} is true or false, not {text!r}")
        return pa.scalar(_BOOLEANS[text.lower()], kind)
    try:
        return pa.scalar(text, pa.string()).cast(kind)
    except pa.ArrowInvalid as error:
        raise CommandFailed(f"{name} is compared with a {kind}; {text!r} is none") from error
