"""The scheduler's state as plain data and back, so that a start need not fold the whole log.

`StateCodec.write` is quick, as it runs between two turns of a controller: what is held by the million are columns of
bytes, copied whole. Everything else goes by the fields of the state's dataclasses, so that a field that is added is
kept without a line here. `version` is a digest of those fields and of what folding means: what another version wrote
is left aside by whoever reads, never misread. Where it is kept, and as of which commit, is not known here.
"""

# ruff: noqa: ANN401 - plain data are of any type

import sys
import typing
from dataclasses import fields
from typing import Any

from ancestra_farm import __version__
from ancestra_farm.plan.plain import Codec
from ancestra_farm.plan.plan import Plan
from ancestra_farm.scheduler.duplicates import HashIndex
from ancestra_farm.scheduler.results import Dump, Result, Results
from ancestra_farm.scheduler.settings import WORKED_OUT, Settings
from ancestra_farm.scheduler.state import BatchState, Branch, FarmState, ShotState, StageState

#: To be raised whenever an event comes to change the state otherwise than before: states folded so far are not believed
#: then, and the log is folded anew.
FOLDING = 5

#: What is worked out again on reading: plans and settings from the documents, and who belongs to whom.
_WITHOUT = {
    BatchState: frozenset({"plan", "branches", "settings", "batches"}),
    ShotState: frozenset({"plan"}),
    StageState: frozenset({"batch", "shot", "plan", "started_from"}),
    Branch: frozenset({"stage"}),
    Settings: frozenset({"farm", "shows"}) | WORKED_OUT,
}

Written = tuple[Any, list[bytes | memoryview]]
"""Plain data, and the bytes that they refer to by place."""


class StateCodec:
    """Writes and reads `FarmState`. For one thread at a time."""

    def __init__(self) -> None:
        self._blobs: list[bytes | memoryview] = []
        self._codec = Codec(
            FarmState,
            without=_WITHOUT,
            special={
                Results: (self._write_results, self._read_results),
                HashIndex: (lambda index: index.dump(), HashIndex.of),
            },
        )
        hints = typing.get_type_hints(Result)
        results = [f"{field.name}={hints[field.name]}" for field in fields(Result)]
        self.version = self._codec.digest(__version__, str(FOLDING), sys.byteorder, *results)

    def write(self, state: FarmState) -> Written:
        """The state as it is now; nothing that happens later changes what is returned."""
        self._blobs = []
        plain = self._codec.write(state)
        order = {
            name: [[b.opened.shot, b.opened.stage, b.key] for b in batch.branches.values()]
            for name, batch in state.batches.items()
        }
        blobs, self._blobs = self._blobs, []
        return [plain, order], blobs

    def read(self, written: Written) -> FarmState:
        """The state again, as if the log up to there had been folded.

        Raises ValueError, TypeError, KeyError, IndexError or AttributeError for what this version has not written.
        """
        (plain, order), self._blobs = written
        try:
            state: FarmState = self._codec.read(plain)
        finally:
            self._blobs = []  # they are large, and everything is taken out of them
        state.settings.read_again()
        for name, batch in state.batches.items():
            batch.settings, batch.batches = state.settings, state.batches
            _join(batch, order[name])
        return state

    # ---- results -----------------------------------------------------------------------------------------------------

    def _write_results(self, results: Results) -> Any:
        dump = results.dump()
        columns = [[self._put(part) for part in parts] for parts in dump.columns]
        values = [[_spelled(value) for value in some] for some in dump.values]
        live = [[position, [_spelled(value) for value in some]] for position, some in dump.live]
        return [self._put(dump.positions), columns, values, live]

    def _read_results(self, data: Any) -> Results:
        positions, columns, values, live = data
        return Results.of(
            Dump(
                self._blobs[positions],
                [[self._blobs[part] for part in parts] for parts in columns],
                [[_meant(value) for value in some] for some in values],
                [(position, tuple(_meant(value) for value in some)) for position, some in live],
            )
        )

    def _put(self, blob: bytes | memoryview) -> int:
        self._blobs.append(blob)
        return len(self._blobs) - 1


def _spelled(value: Any) -> Any:
    return [value.hex()] if isinstance(value, bytes) else value


def _meant(value: Any) -> Any:
    return bytes.fromhex(value[0]) if isinstance(value, list) else value


def _join(batch: BatchState, order: list[list[str]]) -> None:
    """Give everything in a batch the plan it follows and what it belongs to."""
    batch.plan = Plan.from_documents(batch.submitted.document, batch.submitted.cards)
    for name, shot in batch.shots.items():
        shot.plan = batch.plan.shot(name)
        for stage_name, stage in shot.stages.items():
            stage.batch, stage.shot, stage.started_from = batch, shot, None
            stage.plan = shot.plan.stage(stage_name)
            for branch in stage.branches.values():
                branch.stage = stage
    batch.branches = {key: batch.shots[shot].stages[stage].branches[key] for shot, stage, key in order}
