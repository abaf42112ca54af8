"""What came of an order, on the command line: in sentences, or as JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from ancestra_farm.cli.listing import json_keys, print_json
from ancestra_farm.cli.summary import shell_word, to_go_on

if TYPE_CHECKING:
    from ancestra_farm.api.door import Given
    from ancestra_farm.plan.events import OrderGiven


@dataclass(frozen=True, slots=True)
class About:
    """What an order is about. Null: all of the batch, of the shot, of the stage."""

    batch: str
    shot: str | None
    stage: str | None
    candidate_id: str | None


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order that is in the log by ``commit``. ``about``: several of ``pick``, ``unpick`` and ``restore``.

    ``at_work``: a farm has taken it and acts on it. ``go_on``: the command that has it carried out; null where nothing
    of the kind is needed.
    """

    order: str
    who: str
    commit: int
    at_work: bool
    about: tuple[About, ...]
    go_on: str | None


EPILOG = f"{json_keys(Ordered)} Keys of about: batch, shot, stage, candidate_id."


def tell(
    given: "Given", orders: "Sequence[OrderGiven]", says: Iterable[str], store: str | None, *, as_json: bool
) -> None:
    """Say what is in the log now, a line of ``says`` for each thing that was ordered, or all of it as JSON.

    ``store``: where there is more work now, so that somebody has to be at work; None where there is none.
    """
    go_on = None if given.live or store is None else f"ancestra resume --store {shell_word(store)}"
    if as_json:
        about = tuple(About(one.batch, one.shot or None, one.stage or None, one.candidate_id or None) for one in orders)
        print_json(Ordered(orders[0].order, given.who, given.commit, given.live, about, go_on))
        return
    for line in says:
        typer.echo(f"{line} as {given.who} (commit {given.commit})")
    if go_on is not None and store is not None:
        typer.echo(f"to go on: {to_go_on(store)}")
