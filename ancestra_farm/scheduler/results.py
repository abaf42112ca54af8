"""What is known of the candidates of a branch at one rung, by position: a few as objects, the many in columns.

A farm knows millions of candidates and asks about few of them: those of open waves, and survivors. What belongs to a
decided wave is put into columns (`settle`), some 90 bytes each instead of 400, which are also what a snapshot keeps.
Whoever asks for one gets an object, which from then on is the one that counts; whoever goes through all of them
(`items`, `values`) gets objects to look at only.
"""

import typing
from array import array
from collections.abc import Callable, ItemsView, Iterable, Iterator, MutableMapping, Sequence, Set, ValuesView
from dataclasses import dataclass, fields
from typing import Any, Literal

from ancestra_farm.plan.events import Cause, Outcome
from ancestra_farm.scheduler.columns import ID_DIGITS, Bytes, Coded, Ids, column_for


@dataclass(slots=True)
class Result:
    """What is known of one position at one rung. ``rank``: the score its stage ranks by. Counts survive a restart.

    ``limit``: the largest ticket it may be in (crashed tickets are halved until the guilty one ran alone). ``cause``:
    of the last failed attempt. ``given_up``: as what it was given up, also while it is skipped.
    """

    candidate_id: str
    outcome: Outcome = "released"
    passed: bool = False
    rank: float = 0.0
    phash: int | None = None
    media: str | None = None
    attempts: int = 0
    strikes: int = 0
    losses: int = 0
    limit: int | None = None
    reason: str = ""
    judged_by: bytes = b""
    cause: Cause | None = None
    given_up: Literal["quarantined", "lost", "failed"] | None = None

    @property
    def ended(self) -> bool:
        """Nothing further will be tried."""
        return self.outcome != "released"


_HINTS = typing.get_type_hints(Result)
NAMES = tuple(field.name for field in fields(Result))

_PAGE_BITS = 6
_PAGE = 1 << _PAGE_BITS


class _Rows:
    """The row of each position that has one. Pages of positions: they lie together, but for waves spent by yield."""

    __slots__ = ("_pages",)

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}

    def find(self, position: int) -> int:
        """The row, -1 where there is none."""
        page = self._pages.get(position >> _PAGE_BITS)
        return -1 if page is None else page[position & _PAGE - 1]

    def note(self, positions: Iterable[int], row: int) -> None:
        """These positions have the rows from ``row`` on."""
        for position in positions:
            page = self._pages.get(position >> _PAGE_BITS)
            if page is None:
                page = self._pages[position >> _PAGE_BITS] = array("i", [-1]) * _PAGE
            page[position & _PAGE - 1] = row
            row += 1


class Results(MutableMapping[int, Result]):
    """Results by position. See above for which of them are objects."""

    __slots__ = ("_columns", "_live", "_positions", "_rows")

    def __init__(self) -> None:
        self._live: dict[int, Result] = {}
        self._columns = [column_for(name, _HINTS[name]) for name in NAMES]
        #: position of each row
        self._positions = array("q")
        self._rows = _Rows()

    def __getitem__(self, position: int) -> Result:
        found = self._live.get(position)
        if found is None:
            row = self._rows.find(position)
            if row < 0:
                raise KeyError(position)
            found = self._live[position] = self._made(row)
        return found

    def __setitem__(self, position: int, result: Result) -> None:
        self._live[position] = result

    def __delitem__(self, position: int) -> None:
        raise TypeError("what is known of a candidate is changed, never removed")

    def __contains__(self, position: object) -> bool:
        return position in self._live or (isinstance(position, int) and self._rows.find(position) >= 0)

    def __iter__(self) -> Iterator[int]:
        """Positions in the order in which they were settled, then those that never were."""
        yield from self._positions
        yield from [position for position in self._live if self._rows.find(position) < 0]

    def __len__(self) -> int:
        return len(self._positions) + sum(self._rows.find(position) < 0 for position in self._live)

    def look(self, position: int) -> Result | None:
        """The result at a position, to be looked at and not changed."""
        found = self._live.get(position)
        if found is not None:
            return found
        row = self._rows.find(position)
        return None if row < 0 else self._made(row)

    def position_of(self, candidate_id: str) -> int | None:
        """Where a candidate is; None where it is not, or this is no id."""
        if len(candidate_id) != ID_DIGITS:
            return None
        try:
            return next(self.positions_of(candidate_id), None)
        except ValueError:
            return None

    def positions_of(self, prefix: str) -> Iterator[int]:
        """Where the candidates are whose ids begin so, without looking at each of the others.

        ``prefix``: 2 hex digits at least. Raises ValueError for what is none.
        """
        for position, result in self._live.items():
            if result.candidate_id.startswith(prefix):
                yield position
        ids = self._columns[NAMES.index("candidate_id")]
        assert isinstance(ids, Ids)
        for row in ids.rows_of(prefix):
            if self._positions[row] not in self._live:
                yield self._positions[row]

    def having(self, outcomes: Set[Outcome], reason: Callable[[str], bool]) -> Iterator[int]:
        """Positions with one of these outcomes and a reason that passes, without looking at each of the others."""
        for position, result in self._live.items():
            if result.outcome in outcomes and reason(result.reason):
                yield position
        by_outcome, by_reason = (self._columns[NAMES.index(name)] for name in ("outcome", "reason"))
        assert isinstance(by_outcome, Coded)
        assert isinstance(by_reason, Coded)
        rows = set(by_outcome.rows_where(lambda outcome: outcome in outcomes))
        for row in rows.intersection(by_reason.rows_where(reason)) if rows else ():
            if self._positions[row] not in self._live:
                yield self._positions[row]

    def items(self) -> "ItemsView[int, Result]":
        """Each position with its result, to be looked at and not changed."""
        return _Looking(self)

    def values(self) -> "ValuesView[Result]":
        """Each result, to be looked at and not changed."""
        return _LookingOnly(self)

    def settle(self, positions: Iterable[int]) -> None:
        """Put what is known of these positions into columns. Objects of them that are still held count no more."""
        new = []
        for position in positions:
            result = self._live.pop(position, None)
            if result is None:
                continue
            row = self._rows.find(position)
            if row < 0:
                new.append((position, result))
                continue
            for name, column in zip(NAMES, self._columns, strict=True):
                column.put(row, getattr(result, name))
        if new:
            self._append(new)

    def _append(self, new: list[tuple[int, Result]]) -> None:
        for name, column in zip(NAMES, self._columns, strict=True):
            column.extend([getattr(result, name) for _, result in new])
        self._rows.note((position for position, _ in new), len(self._positions))
        self._positions.extend(position for position, _ in new)

    def _made(self, row: int) -> Result:
        return Result(*[column.get(row) for column in self._columns])

    # ---- for snapshots -----------------------------------------------------------------------------------------------

    def dump(self) -> "Dump":
        """Everything as it is now; nothing that happens later changes it."""
        columns = [column.dump() for column in self._columns]
        live = [(position, tuple(getattr(result, name) for name in NAMES)) for position, result in self._live.items()]
        return Dump(self._positions.tobytes(), [parts for parts, _ in columns], [values for _, values in columns], live)

    @classmethod
    def of(cls, dump: "Dump") -> "Results":
        """What was dumped. Raises ValueError where the columns do not fit together."""
        made = cls()
        made._positions.frombytes(dump.positions)
        for column, parts, values in zip(made._columns, dump.columns, dump.values, strict=True):
            column.load(parts, values)
            if len(column) != len(made._positions):
                raise ValueError(f"a column has {len(column)} rows of {len(made._positions)}")
        made._rows.note(made._positions, 0)
        made._live = {position: Result(*fields) for position, fields in dump.live}
        return made


@dataclass(frozen=True, slots=True)
class Dump:
    """`Results` outside of it: bytes of each column, the values they refer to, and the objects as tuples."""

    positions: Bytes
    columns: Sequence[Sequence[Bytes]]
    values: list[list[Any]]
    live: list[tuple[int, tuple[Any, ...]]]


class _Looking(ItemsView[int, Result]):
    def __init__(self, results: Results) -> None:
        super().__init__(results)
        self._results = results

    def __iter__(self) -> Iterator[tuple[int, Result]]:
        for position in self._results:
            found = self._results.look(position)
            assert found is not None
            yield position, found


class _LookingOnly(ValuesView[Result]):
    def __init__(self, results: Results) -> None:
        super().__init__(results)
        self._results = results

    def __iter__(self) -> Iterator[Result]:
        return (result for _, result in self._results.items())
