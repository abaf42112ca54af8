"""Reading a store for people: its tables as Arrow, as they were last refreshed, and the story of a candidate."""

from collections.abc import Iterator

import pyarrow as pa

from ancestra_farm.ledger.columns import TABLES
from ancestra_farm.ledger.errors import LogDamaged, NotThere
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.story import story
from ancestra_farm.ledger.tables import concatenated, decode_part

__all__ = ["candidates", "deliveries", "orders", "parts_of", "picks", "read_table", "stitches", "story"]


def parts_of(store: Store, table: str) -> Iterator[tuple[str, str, str]]:
    """(path, batch, shot) of every part of a table as it lies in the store, by path."""
    for path in store.list(f"tables/{table}"):
        name = path.rpartition("/")[2]
        batch, tilde, shot = name.removeprefix("part-").removesuffix(".parquet").partition("~")
        if name.startswith("part-") and name.endswith(".parquet") and tilde and batch:
            yield path, batch, shot


def read_table(store: Store, table: str, batch: str | None = None, shot: str | None = None) -> pa.Table:
    """Rows of a table as last refreshed, of one batch or shot if given. Raises LogDamaged for an unreadable part."""
    if table not in TABLES:
        raise KeyError(f"there is no table {table!r}; there are: {', '.join(TABLES)}")
    found = []
    for path, of_batch, of_shot in parts_of(store, table):
        if batch not in {None, of_batch} or shot not in {None, of_shot}:
            continue
        try:
            found.append(decode_part(store.read(path))[0])
        except NotThere:
            continue  # removed by a rebuild since it was listed
        except (pa.ArrowException, OSError, ValueError) as error:
            raise LogDamaged(f"{path} cannot be read ({error}); the tables can be made anew from the log") from error
    return concatenated(table, found)


def candidates(store: Store, batch: str | None = None, shot: str | None = None) -> pa.Table:
    """The rows of candidates, with the columns of `columns.candidate_schema`."""
    return read_table(store, "candidates", batch, shot)


def picks(store: Store, batch: str | None = None, shot: str | None = None) -> pa.Table:
    """The picks, standing (``withdrawn_at`` null) and withdrawn."""
    return read_table(store, "picks", batch, shot)


def stitches(store: Store, batch: str | None = None, shot: str | None = None) -> pa.Table:
    """The stitches that were planned."""
    return read_table(store, "stitches", batch, shot)


def deliveries(store: Store, batch: str | None = None, shot: str | None = None) -> pa.Table:
    """The files that were published."""
    return read_table(store, "deliveries", batch, shot)


def orders(store: Store, batch: str | None = None, shot: str | None = None) -> pa.Table:
    """The orders that were taken; those about a whole batch only where no shot is named."""
    return read_table(store, "orders", batch, shot)
