"""``ancestra pick``, ``unpick``, ``restore`` and ``close``: what people decide, kept in the log under their names."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.cli.options import BatchOption, JsonOption, NoteOption, PersonOption, StoreOption, person
from ancestra_farm.cli.ordered import tell
from ancestra_farm.cli.summary import shell_word

if TYPE_CHECKING:
    from ancestra_farm.cli.lookup import Place
    from ancestra_farm.scheduler import ShotProgress

CandidatesArgument = Annotated[
    list[str], typer.Argument(metavar="CANDIDATE_ID", help="Ids, or their beginnings.", show_default=False)
]
_DONE = {"pick": "picked", "unpick": "unpicked", "restore": "restored"}


def pick(
    ids: CandidatesArgument,
    store: StoreOption,
    who: PersonOption = "",
    note: NoteOption = "",
    batch: BatchOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pick survivors of a stage under your name. What stands picked goes on when the stage is closed."""
    _of_candidates("pick", ids, store, who, note, batch, as_json)


def unpick(
    ids: CandidatesArgument,
    store: StoreOption,
    who: PersonOption = "",
    note: NoteOption = "",
    batch: BatchOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back picks of your own."""
    _of_candidates("unpick", ids, store, who, note, batch, as_json)


def restore(
    ids: CandidatesArgument,
    store: StoreOption,
    who: PersonOption = "",
    note: NoteOption = "",
    batch: BatchOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let rejects survive by your word. They are made again where their pictures were not kept."""
    _of_candidates("restore", ids, store, who, note, batch, as_json)


def close(
    shot: Annotated[str, typer.Argument(help="The shot.", show_default=False)],
    store: StoreOption,
    stage: Annotated[
        str | None, typer.Argument(help="The stage; by default the one that waits.", show_default=False)
    ] = None,
    who: PersonOption = "",
    batch: BatchOption = None,
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Close a stage with its picks: they go on to the next one, or become versions. A closed one is closed anew."""
    from ancestra_farm.api.door import give
    from ancestra_farm.cli.live import view
    from ancestra_farm.plan.events import OrderGiven

    who = person(who)
    seen = view(store, who)
    progress = seen.one_shot(shot, batch)
    stage = stage or waiting_stage(progress)
    order = OrderGiven(progress.batch, "close", who, time.time(), shot=shot, stage=stage, note=note)
    given = give(seen.store, [order], who)
    tell(given, [order], [f"closed {shot} {stage}"], store, as_json=as_json)


def waiting_stage(progress: "ShotProgress") -> str:
    """The one stage of a shot that waits to be closed. Raises `CommandFailed` where there is none, or more than one."""
    waiting = [stage.stage for stage in progress.stages if stage.state == "waiting_for_people"]
    if len(waiting) == 1:
        return waiting[0]
    if waiting:
        raise CommandFailed(f"{progress.shot} has several stages to be closed: say which: {' or '.join(waiting)}")
    if progress.state == "paused":
        raise CommandFailed(f"{progress.shot} is paused; `ancestra unpause {progress.shot}` has it go on")
    states = ", ".join(f"{stage.stage}: {stage.state.replace('_', ' ')}" for stage in progress.stages)
    raise CommandFailed(
        f"no stage of {progress.shot} waits to be closed ({states}); "
        f"ancestra close {progress.shot} STAGE closes one anew with the picks that stand in it"
    )


def _of_candidates(
    kind: Literal["pick", "unpick", "restore"],
    ids: Sequence[str],
    store: str,
    who: str,
    note: str,
    batch: str | None,
    as_json: bool,
) -> None:
    """Give the same order for each candidate: all of them or, where one is refused, none."""
    from ancestra_farm.api.door import give
    from ancestra_farm.cli.live import live
    from ancestra_farm.cli.lookup import located, located_live
    from ancestra_farm.ledger.store import Store
    from ancestra_farm.plan.events import OrderGiven
    from ancestra_farm.scheduler.world import OrderRefused

    who = person(who)
    seen = live(store, who)
    if seen is None:
        at_rest = Store.open(store)
        places = [located(at_rest, beginning, batch) for beginning in ids]
    else:
        places = [located_live(seen.client, store, beginning, batch) for beginning in ids]
    opened = at_rest if seen is None else seen.store
    found: dict[str, Place] = {one.candidate_id: one for one in places}
    orders = [
        OrderGiven(
            one.batch,
            kind,
            who,
            time.time(),
            shot=one.shot,
            stage=one.stage,
            candidate_id=one.candidate_id,
            note=note,
        )
        for one in found.values()
    ]
    try:
        given = give(opened, orders, who)
    except OrderRefused as refused:
        if len(orders) == 1:
            raise
        raise OrderRefused(f"{refused}; none of the {len(orders)} candidates was {_DONE[kind]}") from refused
    says = [f"{_DONE[kind]} {one.candidate_id[:12]} of {one.shot} {one.stage}" for one in found.values()]
    tell(given, orders, says, store if kind == "restore" else None, as_json=as_json)
    if kind == "restore" or as_json:
        return
    for of, shot, stage in dict.fromkeys((one.batch, one.shot, one.stage) for one in found.values()):
        close_it = f"ancestra close {shot} {stage} --store {shell_word(store)} --batch {shell_word(of)}"
        typer.echo(f"when everybody has picked: {close_it}")
