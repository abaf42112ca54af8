"""The rows of one wave in the table of candidates: what a recipe says of each, and what has become of it so far.

While a wave is undecided its rows are small objects that events change; then they are kept as Arrow arrays, a quarter
of the size, and made into objects again if something late arrives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import pyarrow as pa

from ancestra_farm.ledger.columns import candidate_schema
from ancestra_farm.plan.events import AttemptEnded, Outcome
from ancestra_farm.plan.recipe import Rung
from ancestra_farm.plan.space import Space


@dataclass(slots=True)
class Row:
    """What has become of one candidate. Names and meanings are those of the columns; times are microseconds.

    ``awaited``: a verdict would count. ``by_word``: a person wants it made, whatever the verdict. Neither is a column.
    """

    epoch: int
    outcome: Outcome = "released"
    reasons: tuple[str, ...] = ()
    judged_in_full: bool = False
    scores: dict[str, float] = field(default_factory=dict)
    media: str | None = None
    thumbnail: str | None = None
    generate_s: float | None = None
    judge_s: float | None = None
    device_s: float = 0.0
    host: str | None = None
    attempts: int = 0
    finished_at: int | None = None
    message: str = ""
    passed: bool | None = None
    duplicate_of: str | None = None
    phash: int | None = None
    awaited: bool = True
    by_word: bool = False

    def attempt(self, ended: AttemptEnded, epoch: int) -> None:
        """Fold an attempt in. Its cost always counts; its verdict only while one is awaited, so never a second one."""
        self.epoch = epoch
        self.attempts += 1
        self.device_s += ended.device_s
        self.host = ended.host or None
        self.finished_at = round(ended.at * 1e6)
        if ended.cause != "judged":
            self.message = ended.message or ended.cause
        elif self.awaited:
            self._judge(ended)

    def _judge(self, ended: AttemptEnded) -> None:
        self.awaited = False
        self.passed, self.judged_in_full, self.reasons = ended.passed, ended.judged_in_full, ended.reasons
        self.scores, self.phash = ended.scores, ended.phash
        self.media, self.thumbnail = ended.media, ended.thumbnail
        self.generate_s, self.judge_s = ended.generate_s, ended.judge_s
        self.message = ended.message
        # No wave can save a reject, a person can. What passed stays `released` until its wave is closed.
        self.outcome = "released" if ended.passed or self.by_word else "rejected"

    def release_again(self, epoch: int) -> None:
        """A newer revision or round wants this candidate too: what is known of it stays, the decision is open again."""
        self.epoch, self.awaited = epoch, True
        self.outcome = "rejected" if self.passed is False else "released"
        if self.duplicate_of is not None or self.passed is not False:
            self.reasons, self.duplicate_of = (), None

    def try_again(self, epoch: int, *, by_word: bool) -> None:
        """It is made once more. What was known of it is void; but of one that is restored and kept, it holds."""
        self.epoch, self.outcome, self.by_word, self.duplicate_of = epoch, "released", by_word, None
        self.awaited = not (by_word and self.media is not None)
        if self.awaited:
            self.forget(epoch)

    def forget(self, epoch: int) -> None:
        """Its verdict counts no more and another is awaited. What its attempts cost stays."""
        self.epoch, self.outcome, self.awaited = epoch, "released", True
        self.passed, self.judged_in_full, self.reasons, self.scores = None, False, (), {}
        self.phash, self.media, self.thumbnail, self.duplicate_of = None, None, None, None
        self.generate_s, self.judge_s = None, None

    def decide(self, outcome: Outcome, epoch: int) -> None:
        """Set the outcome that a closed wave, a stop or too many failures give it. Verdict and reasons stay."""
        self.epoch, self.outcome, self.awaited, self.by_word = epoch, outcome, False, False


_CHANGING = tuple(column.name for column in fields(Row))
_CHANGING_SCHEMA = pa.schema(
    [
        pa.field(name, pa.bool_()) if name in ("awaited", "by_word") else candidate_schema().field(name)
        for name in _CHANGING
    ]
)


@dataclass(frozen=True, slots=True)
class Branch:
    """What all candidates of a branch share. ``full_sample``: of its stage, 0 to 1. ``root``: it follows no tail."""

    batch: str
    show: str
    name: str
    shot: str
    full_sample: float
    space: Space
    root: bool = True


class WaveRows:
    """The rows that one release brought: those of its candidates that had none yet, in the order of positions."""

    def __init__(
        self, branch: Branch, rung: Rung, wave: int, positions: Sequence[int], *, epoch: int, released_at: float
    ) -> None:
        self.branch: Branch | None = branch
        self.rung = rung
        self.wave = wave
        self.positions = tuple(positions)
        self._released_us = round(released_at * 1e6)
        self._rows: list[Row] | None = [Row(epoch) for _ in positions]
        self._frozen: pa.RecordBatch | None = None
        self._recipes: pa.RecordBatch | None = None

    @classmethod
    def of_part(cls, part: pa.RecordBatch, awaited: Sequence[bool], by_word: Sequence[bool]) -> "WaveRows":
        """Rows of one release as they are in a part of the table; what is no column is said beside it."""
        made = cls.__new__(cls)
        made.branch = None  # it may be that of an earlier revision; what there is to know of it is in the rows
        made.rung, made.wave = part.column("rung")[0].as_py(), part.column("wave")[0].as_py()
        made.positions = tuple(part.column("position").to_pylist())
        made._recipes = part.select([name for name in part.schema.names if name not in _CHANGING])
        more = {"awaited": pa.array(awaited, pa.bool_()), "by_word": pa.array(by_word, pa.bool_())}
        arrays = [more[name] if name in more else part.column(name) for name in _CHANGING]
        made._rows, made._frozen = None, pa.RecordBatch.from_arrays(arrays, schema=_CHANGING_SCHEMA)
        if "released" in part.column("outcome").to_pylist():
            made._rows, made._frozen = _thawed(made._frozen), None
        return made

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def branch_name(self) -> str:
        """Key of the branch it was released in."""
        return self.branch.name if self.branch is not None else self._said("branch", 0)

    @property
    def stage(self) -> str:
        """The stage it is of."""
        return self.branch.space.stage if self.branch is not None else self._said("stage", 0)

    def place(self, number: int) -> tuple[int, str, tuple[str, ...]]:
        """(index within the variant, variant id, parent ids) of a row."""
        if self.branch is not None:
            index, variant, parents = self.branch.space.place(self.positions[number])
            return index, variant.id, parents
        return self._said("index", number), self._said("variant", number), tuple(self._said("parents", number))

    def _said(self, column: str, number: int) -> Any:  # noqa: ANN401 - whatever the column holds
        assert self._recipes is not None
        return self._recipes.column(column)[number].as_py()

    @property
    def rows(self) -> list[Row]:
        """The rows, to be changed."""
        if self._rows is None:
            assert self._frozen is not None
            self._rows = _thawed(self._frozen)
            self._frozen = None
        return self._rows

    @property
    def decided(self) -> bool:
        """Whether every row is known to have an outcome (rows kept as arrays do)."""
        return self._rows is None

    def places(self, name: Literal["awaited", "by_word"]) -> list[int]:
        """The numbers of the rows of which this holds."""
        if self._rows is not None:
            return [number for number, row in enumerate(self._rows) if getattr(row, name)]
        assert self._frozen is not None
        flags = self._frozen.column(name)
        return [number for number, flag in enumerate(flags.to_pylist()) if flag] if flags.true_count else []

    def batch(self) -> pa.RecordBatch:
        """The rows as they are now, with the columns of `candidate_schema`."""
        if self._recipes is None:
            self._recipes = self._of_recipes()
        changing = self._frozen
        if self._rows is not None:
            changing = _arrays(self._rows)
            if all(row.outcome != "released" for row in self._rows):
                self._rows, self._frozen = None, changing
        assert changing is not None
        schema = candidate_schema()
        arrays = [changing.column(name) if name in _CHANGING else self._recipes.column(name) for name in schema.names]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _of_recipes(self) -> pa.RecordBatch:
        """What the recipes say; never changes."""
        branch, schema = self.branch, candidate_schema()
        assert branch is not None
        recipes = [branch.space.recipe(position, self.rung) for position in self.positions]
        values: dict[str, list[object]] = {
            name: [getattr(recipe, name) for recipe in recipes]
            for name in [
                "candidate_id",
                "shot",
                "stage",
                "segment",
                "variant",
                "index",
                "seed",
                "rung",
                "model",
                "model_digest",
                "look",
                "prompt",
                "parents",
                "frames",
            ]
        }
        values["width"] = [recipe.size[0] for recipe in recipes]
        values["height"] = [recipe.size[1] for recipe in recipes]
        values["position"] = list(self.positions)
        constant = {
            "batch": branch.batch,
            "show": branch.show,
            "full_sample": branch.full_sample,
            "branch": branch.name,
            "wave": self.wave,
            "released_at": self._released_us,
        }
        for name, value in constant.items():
            values[name] = [value] * len(recipes)
        kept = pa.schema([column for column in schema if column.name in values])
        return pa.RecordBatch.from_arrays([pa.array(values[c.name], c.type) for c in kept], schema=kept)


def _arrays(rows: Sequence[Row]) -> pa.RecordBatch:
    arrays = []
    for column in _CHANGING_SCHEMA:
        values = [getattr(row, column.name) for row in rows]
        if pa.types.is_map(column.type):
            values = [list(value.items()) for value in values]
        arrays.append(pa.array(values, column.type))
    return pa.RecordBatch.from_arrays(arrays, schema=_CHANGING_SCHEMA)


def _thawed(frozen: pa.RecordBatch) -> list[Row]:
    columns = []
    for column in _CHANGING_SCHEMA:
        array = frozen.column(column.name)
        if pa.types.is_timestamp(column.type):
            columns.append(array.cast(pa.int64()).to_pylist())
        elif pa.types.is_map(column.type):
            columns.append([dict(value) for value in array.to_pylist()])
        elif pa.types.is_list(column.type):
            columns.append([tuple(value) for value in array.to_pylist()])
        else:
            columns.append(array.to_pylist())
    return [Row(*values) for values in zip(*columns, strict=True)]
