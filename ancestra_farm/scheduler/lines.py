"""What waits in one pool, batch by batch: lots of released candidates, and branches that may release more.

A lot is one phase of one branch. Inside a batch the order is fixed: later stages first (finish what is begun), then
shot by shot. Which batch is next is decided in `share`; nothing here knows hosts' states or slots.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ancestra_farm.plan.recipe import Rung
from ancestra_farm.scheduler.phases import Phase
from ancestra_farm.scheduler.share import Account
from ancestra_farm.scheduler.state import BatchState, Branch

if TYPE_CHECKING:
    from ancestra_farm.scheduler.hosts import Host, Lease

Place = tuple[int, int, int, str, int, str]
"""Sorts the lots of a batch."""


@dataclass(slots=True, eq=False)
class Lot:
    """One phase of one branch. ``kind``: what is made; candidates of one kind of one batch take about equally long.

    ``leases``: those on it, with their hosts, by ticket. ``judged``: what each host has returned of it, as positions of
    whole tickets, so that it can be voided while the wave is undecided. ``inside``: it stands in its line.
    """

    place: Place
    kind: str
    line: "Line"
    branch: Branch
    phase: Phase
    leases: dict[str, tuple["Host", "Lease"]] = field(default_factory=dict)
    judged: dict[str, list[tuple[int, ...]]] = field(default_factory=dict)
    inside: bool = False

    @property
    def rung(self) -> Rung:
        """The rung all its candidates are made at."""
        return self.phase.rung

    @property
    def look(self) -> str | None:
        """Digest of the look its candidates are made with."""
        return self.branch.space.look


@dataclass(slots=True, eq=False)
class Line:
    """What one batch has in one pool. ``cap``: the slots the batch may hold at once over all pools, None: all.

    ``lots``: those of which something waits, in order. ``ready``: branches that may release a wave, in order.
    ``waiting`` and ``running``: candidates in queues and in tickets, by kind; ``queued`` and ``going``: their sums.

    Tickets that have not started: ``unstarted``, of which those ``behind`` wait behind another ticket of their host.
    ``coming``: unstarted ones that were taken back and are still to be returned; ``freeing``: those of them that leave
    their host with nothing. ``holders``: how many tickets each host has of it; ``mine``: hosts with one, and with room.
    """

    batch: BatchState
    cap: int | None = None
    account: Account = field(default_factory=Account)
    lots: list[Lot] = field(default_factory=list)
    ready: list[tuple[Place, Branch]] = field(default_factory=list)
    waiting: dict[str, int] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    queued: int = 0
    going: int = 0
    unstarted: dict[str, tuple["Host", "Lease"]] = field(default_factory=dict)
    behind: dict[str, tuple["Host", "Lease"]] = field(default_factory=dict)
    coming: int = 0
    freeing: int = 0
    holders: dict[str, int] = field(default_factory=dict)
    mine: dict[str, "Host"] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """The rank of the batch's class; the lowest is served first."""
        return self.account.rank

    @property
    def busy(self) -> bool:
        """Something waits or runs."""
        return bool(self.queued or self.going)

    @property
    def unserved(self) -> int:
        """Tickets that were given out and have not started, where another host could have them."""
        return len(self.behind) + self.coming

    def insert(self, lot: Lot) -> None:
        """Put a lot in its place."""
        self.lots.insert(self._find(lot.place), lot)
        lot.inside = True

    def remove(self, lot: Lot) -> None:
        """Take a lot out."""
        del self.lots[self._find(lot.place)]
        lot.inside = False

    def _find(self, place: Place) -> int:
        if self.lots and self.lots[0].place == place:
            return 0
        return bisect_left(self.lots, place, key=_place_of_lot)

    def offer(self, branch: Branch) -> None:
        """Note that a branch may release its next wave."""
        place = place_of_next_wave(branch)
        at = bisect_left(self.ready, place, key=lambda entry: entry[0])
        if at == len(self.ready) or self.ready[at][1] is not branch:
            self.ready.insert(at, (place, branch))


def _place_of_lot(lot: Lot) -> Place:
    return lot.place


def place_of(branch: Branch, phase: Phase) -> Place:
    """Where a phase stands in its batch's line."""
    return (*_place_of(branch), phase.wave, phase.rung)


def place_of_next_wave(branch: Branch) -> Place:
    """Where the wave that the branch would release next stands."""
    return (*_place_of(branch), branch.waves, "")


def _place_of(branch: Branch) -> tuple[int, int, int, str]:
    stage = branch.stage
    return (-stage.depth, stage.shot.number, branch.opened.segment, branch.key)


def kind_of(branch: Branch, rung: Rung) -> str:
    """What is made at this rung of this branch."""
    plan = branch.stage.plan
    frames = plan.segments[branch.opened.segment].frames
    return f"{plan.name}/{plan.size[0]}x{plan.size[1]}/{frames}/{rung}"


def count(counts: dict[str, int], kind: str, by: int) -> None:
    """Change a count; none is kept at nought, so that an empty dict says that there is nothing."""
    new = counts.get(kind, 0) + by
    if new:
        counts[kind] = new
    else:
        counts.pop(kind, None)
