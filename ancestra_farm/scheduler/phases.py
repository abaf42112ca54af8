"""Waves and where a branch of candidates stands with them: records, folded from the log as all of `state`."""

from dataclasses import dataclass

from ancestra_farm.plan.events import BranchEnd
from ancestra_farm.plan.recipe import Rung


@dataclass(slots=True)
class Phase:
    """One rung of one wave. ``open``: positions that have not ended. ``queue``: those in no ticket, lowest first.

    ``again``: they had an outcome already. ``by_word``: they survive by a person's word, whatever the filters say.
    """

    wave: int
    rung: Rung
    positions: tuple[int, ...] | range
    filters: tuple[str, ...]
    open: set[int]
    queue: list[int]
    again: bool = False
    by_word: bool = False


@dataclass(frozen=True, slots=True)
class Promoted:
    """Drafts of a wave that are to be made in full, with the filters that judged them. ``again``: as the wave."""

    positions: tuple[int, ...]
    filters: tuple[str, ...]
    again: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a branch stopped, with so many positions ``at`` all decided and ``waves`` released.

    ``why``: ``kept_enough``, or ``closed`` by a person. What is ordered beyond begins there.
    """

    at: int
    waves: int
    why: BranchEnd


@dataclass(frozen=True, slots=True)
class Retry:
    """What a person wants tried again: what failed for a ``cause`` (empty: any), or what a ``filter`` rejected."""

    cause: str
    filter: str
