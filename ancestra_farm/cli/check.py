"""``ancestra check``: whether a batch is good, and what it would make anew."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from ancestra_farm.batch.numbers import counted
from ancestra_farm.cli.failures import BAD_INPUT
from ancestra_farm.cli.listing import column, number, print_json, print_rows
from ancestra_farm.cli.options import CardsOption, FileArgument, JsonOption, MaybeStoreOption

if TYPE_CHECKING:
    from ancestra_farm.batch.problems import Problem
    from ancestra_farm.plan.plan import Plan

EPILOG = (
    "JSON keys: file, good, batch, show, shots, digest, problems (file, line, path, message, hint), notes (where "
    "spending by yield changes nothing); with --store also changes (shot, stage, kept, new, dropped, counted: in all, "
    "or per input where a stage starts from survivors; again: how many of the kept are made once more to be judged, "
    "since the stage's filters or rank changed)."
)


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """Candidates of one stage of a shot: already in the store's batch of this name, to be made, no longer wanted.

    ``again``: how many of the kept ones are made once more to be judged, since the stage now judges otherwise.
    """

    shot: str = column("shot")
    stage: str = column("stage")
    kept: int = column("kept", number)
    new: int = column("new", number)
    dropped: int = column("dropped", number)
    counted: str = column("counted")
    again: int = column("judged again", number, quiet=True)


def check(
    file: FileArgument, store: MaybeStoreOption = None, cards: CardsOption = None, as_json: JsonOption = False
) -> None:
    """Check a batch file; every problem with its line. With --store: what is kept, new and dropped there."""
    from ancestra_farm.batch.problems import BatchRefused

    try:
        from ancestra_farm.api.batchfile import planned

        plan = planned(file, cards)
    except BatchRefused as refused:
        if not as_json:
            raise
        print_json({"file": str(file), "good": False, "problems": [_problem(one) for one in refused.problems]})
        raise typer.Exit(BAD_INPUT) from None
    from ancestra_farm.plan.spending import idle_by_yield

    changes = None if store is None else _changes(plan, store)
    batch = plan.batch
    if as_json:
        answer: dict[str, object] = {
            "file": str(file),
            "good": True,
            "batch": batch.batch,
            "show": batch.show,
            "shots": len(plan.shots),
            "digest": plan.digest,
            "problems": [],
            "notes": idle_by_yield(plan),
        }
        if changes is not None:
            answer["changes"] = changes
        print_json(answer)
        return
    shots = counted(len(plan.shots), "shot")
    typer.echo(f"{file}: good. Batch {batch.batch} of show {batch.show}, {shots}, digest {plan.digest[:12]}")
    for note in idle_by_yield(plan):
        typer.echo(f"note: {note}")
    if changes is not None:
        print_rows(ChangeRow, changes)


def _changes(plan: "Plan", url: str) -> list[ChangeRow]:
    from ancestra_farm.cli.reading import submitted_plan
    from ancestra_farm.plan.difference import compare, compare_downstream

    old = submitted_plan(url, plan.batch.batch)
    otherwise = set() if old is None else _judged_otherwise(old, plan)
    counted = [("in all", compare(old, plan)), ("per input", compare_downstream(old, plan))]
    return [
        ChangeRow(*row, how, row.kept if (row.shot, row.stage) in otherwise else 0)
        for how, rows in counted
        for row in rows
    ]


def _judged_otherwise(old: "Plan", new: "Plan") -> set[tuple[str, str]]:
    """The stages, as (shot, stage), whose filters or rank differ: no verdict of theirs is taken over."""
    from ancestra_farm.scheduler.state import judging_digest

    before, now = (
        {(shot.name, stage.name): judging_digest(stage) for shot in plan.shots for stage in shot.stages}
        for plan in (old, new)
    )
    return {where for where, digest in now.items() if before.get(where, digest) != digest}


def _problem(problem: "Problem") -> dict[str, object]:
    return {key: getattr(problem, key) for key in ("file", "line", "path", "message", "hint")}
