"""Telling a history again from its facts, where part of it was lost.

Facts are what came from outside: submissions, orders, attempts, ends of stitches. Decisions follow from them, and a
farm that is told the same facts decides the same; so after a loss the decisions are taken again, by the same scheduler,
from what was before the loss and the facts that are left. A fact whose candidate has not been released yet waits until
it is. What no retelling leads to is given back as lost: nothing is made up, except that a published version whose
plan was lost keeps its number.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ancestra_farm.plan.events import (
    AttemptEnded,
    BatchSubmitted,
    BranchClosed,
    BranchOpened,
    CandidateGivenUp,
    Event,
    OrderGiven,
    StageClosed,
    StitchEnded,
    StitchPlanned,
    VerdictsVoided,
    WaveClosed,
    WaveReleased,
)
from ancestra_farm.plan.farm_events import SettingsGiven
from ancestra_farm.scheduler.fold import fold
from ancestra_farm.scheduler.outcomes import phase_of
from ancestra_farm.scheduler.scheduler import Scheduler
from ancestra_farm.scheduler.state import Branch, FarmState, ShotState
from ancestra_farm.scheduler.waves import first_rung
from ancestra_farm.scheduler.world import Instruction, Order, OrderRefused, Record, Submit

#: Decisions: taken again, never taken over. Where one stood in the log is where it is due again.
DECISIONS = (BranchOpened, WaveReleased, WaveClosed, BranchClosed, StageClosed)

CandidateFact = AttemptEnded | CandidateGivenUp


@dataclass(slots=True)
class Retold:
    """``events``: what follows on the part before the loss. ``lost``: facts that found no place, and why not."""

    events: list[Event] = field(default_factory=list)
    lost: list[tuple[Event, str]] = field(default_factory=list)


def retell(before: Iterable[Event], after: Iterable[Event], now: float) -> Retold:
    """Fold ``before`` and tell ``after`` (in order; kinds that nothing rests on left out) again.

    ``now``: Unix seconds; for decisions that no fact of ``after`` gives a time.
    """
    telling = _Telling(now)
    for event in before:
        fold(telling.state, event)
    for event in after:
        telling.hear(event)
    return telling.end()


class _Telling:
    def __init__(self, now: float) -> None:
        self.state = FarmState()
        self._told = Retold()
        self._now = now
        self._waiting: dict[tuple[str, str], list[CandidateFact]] = {}
        self._orders: list[OrderGiven] = []
        self._plans: dict[tuple[str, str, str], StitchPlanned] = {}
        self._fresh = True

    def hear(self, event: Event) -> None:
        """Tell one event again."""
        self._now = max(event.at, 0.0)
        if isinstance(event, DECISIONS):
            self._decide()
            if isinstance(event, WaveReleased) and self._is_next(event):
                # The farm would wait for candidates whose ends were lost. What was tried meanwhile was tried.
                self._tell(event)
                self._make_room(event)
            return
        handler = self._HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def end(self) -> Retold:
        """Take what can be decided at the end; what still waits is lost."""
        self._decide()
        for order in self._orders:
            self._order(order, last=True)
        self._decide()
        for facts in self._waiting.values():
            self._told.lost += [
                (fact, "it rests on what was lost, and is made again if the farm comes to it") for fact in facts
            ]
        return self._told

    # ---- deciding --------------------------------------------------------------------------------------------------

    def _tell(self, event: Event) -> None:
        fold(self.state, event)
        self._told.events.append(event)
        self._fresh = True

    def _decide(self) -> None:
        """Take every decision that is due, and the waiting facts that it makes room for, until nothing changes."""
        while self._fresh:
            self._fresh = False
            self._record(self._scheduler().resume(self._now))

    def _scheduler(self) -> Scheduler:
        """A scheduler of what is known now. Each is used once: facts told since are none of its queues' business."""
        scheduler = Scheduler()
        scheduler.state = self.state
        return scheduler

    def _record(self, instructions: Iterable[Instruction]) -> None:
        decided = [instruction.event for instruction in instructions if isinstance(instruction, Record)]
        self._told.events += decided
        for event in decided:
            if isinstance(event, WaveReleased):
                self._make_room(event)

    def _make_room(self, event: WaveReleased) -> None:
        branch = self.state.branch((event.batch, event.branch))
        if branch is None or not self._waiting:
            return
        positions = range(event.start, event.stop) if event.positions is None else event.positions
        for position in positions:
            for fact in self._waiting.pop((event.batch, branch.space.id_of(position, event.rung)), ()):
                self._fresh = True
                self._of_candidate(replace(fact, branch=event.branch, position=position))

    def _is_next(self, event: WaveReleased) -> bool:
        """Whether the wave is the one that comes next in its branch, whenever that may be."""
        branch = self.state.branch((event.batch, event.branch))
        if branch is None or branch.closed is not None or event.again or event.wave != branch.waves:
            return False
        if event.rung != first_rung(branch) or event.stop > branch.limit:
            return False
        if event.positions is None:
            return event.start == branch.released
        taken = {position for given in branch.given.values() for position in given}
        return not any(position in taken or position in branch.results[event.rung] for position in event.positions)

    # ---- facts of candidates ---------------------------------------------------------------------------------------

    def _of_candidate(self, fact: CandidateFact) -> None:
        if self._fits(fact):
            self._tell(fact)
            return
        self._decide()
        if self._fits(fact):
            self._tell(fact)
            return
        if isinstance(fact, AttemptEnded):
            self._waiting.setdefault((fact.batch, fact.candidate_id), []).append(fact)
            return
        branch = self.state.branch((fact.batch, fact.branch))
        if branch is None:
            self._told.lost.append((fact, "its branch was lost"))
        elif not _given_up(branch, fact):  # else decided again already, on its release after it was skipped
            candidate_id = branch.space.id_of(fact.position, fact.rung)
            self._waiting.setdefault((fact.batch, candidate_id), []).append(fact)

    def _fits(self, fact: CandidateFact) -> bool:
        """The position waits for this fact, or has had its end and the fact adds only what it cost."""
        branch = self.state.branch((fact.batch, fact.branch))
        if branch is None or not 0 <= fact.position < len(branch.space):
            return False
        if isinstance(fact, AttemptEnded) and branch.space.id_of(fact.position, fact.rung) != fact.candidate_id:
            return False
        if phase_of(branch, fact.position, fact.rung) is not None:
            return not _queued_before(self._waiting, branch, fact)
        return isinstance(fact, AttemptEnded) and fact.position in branch.results[fact.rung]

    def _voided(self, event: VerdictsVoided) -> None:
        branch = self.state.branch((event.batch, event.branch))
        there = () if branch is None else tuple(p for p in event.positions if p in branch.results[event.rung])
        if there:
            self._tell(replace(event, positions=there))

    # ---- what people say -------------------------------------------------------------------------------------------

    def _submitted(self, event: BatchSubmitted) -> None:
        self._decide()
        self._handle(event, Submit(event.document, event.cards, event.who, accepted=True, order_id=event.order_id))

    def _order(self, event: OrderGiven, *, last: bool = False) -> None:
        self._decide()
        refused = self._handle(event, Order(event), keep=not last)
        if refused and not last:
            self._orders.append(event)

    def _settings(self, event: SettingsGiven) -> None:
        self._decide()
        self._tell(event)

    def _handle(self, event: Event, happening: Submit | Order, *, keep: bool = False) -> bool:
        """Have something ordered again; whether it was refused. What is refused and not kept for later is lost."""
        scheduler = self._scheduler()
        self._record(scheduler.resume(self._now))
        try:
            self._record(scheduler.handle(happening, self._now))
        except OrderRefused as refused:
            if not keep:
                self._told.lost.append((event, str(refused)))
            return True
        self._fresh = True
        return False

    # ---- stitches --------------------------------------------------------------------------------------------------

    def _planned(self, event: StitchPlanned) -> None:
        self._decide()
        shot = self._shot(event)
        if shot is None:
            self._told.lost.append((event, "its batch or shot was lost"))
        elif (event.stitch_id, event.version) not in shot.stitches:
            # Decided no more, or not yet: whether it was published is still to come. Its number is kept by that.
            self._plans[event.batch, event.stitch_id, event.version] = event

    def _ended(self, event: StitchEnded) -> None:
        shot = self._shot(event)
        if shot is None:
            self._told.lost.append((event, "its batch or shot was lost"))
            return
        if (event.stitch_id, event.version) not in shot.stitches:
            self._decide()
        if (event.stitch_id, event.version) not in shot.stitches:
            if not event.ok:
                return  # a try at a stitch that is not wanted now
            if any(version == event.version for _, version in shot.stitches):
                self._told.lost.append((event, f"{event.version} is another stitch in what the farm decides now"))
                return
            self._tell(self._plan_of(event, shot))
        self._tell(event)

    def _plan_of(self, event: StitchEnded, shot: ShotState) -> StitchPlanned:
        """The plan of a version that was published: as it was, or, where it was lost, with a chain nobody knows."""
        known = self._plans.get((event.batch, event.stitch_id, event.version))
        if known is not None:
            return known
        final = shot.plan.final
        generation = shot.stages[final.name].generation if final is not None else 1
        picked = event.version.startswith("v")
        return StitchPlanned(event.batch, event.shot, generation, event.stitch_id, event.version, (), picked, event.at)

    def _shot(self, event: StitchPlanned | StitchEnded) -> ShotState | None:
        batch = self.state.batches.get(event.batch)
        return None if batch is None else batch.shots.get(event.shot)

    _HANDLERS: ClassVar[dict[type, Callable[["_Telling", Any], None]]] = {
        BatchSubmitted: _submitted,
        OrderGiven: _order,
        SettingsGiven: _settings,
        AttemptEnded: _of_candidate,
        CandidateGivenUp: _of_candidate,
        VerdictsVoided: _voided,
        StitchPlanned: _planned,
        StitchEnded: _ended,
    }


def _given_up(branch: Branch, fact: CandidateGivenUp) -> bool:
    known = branch.results[fact.rung].look(fact.position)
    return known is not None and known.outcome == fact.outcome


def _queued_before(waiting: dict[tuple[str, str], list[CandidateFact]], branch: Branch, fact: CandidateFact) -> bool:
    """An earlier fact of the candidate still waits: its facts keep their order."""
    return bool(waiting) and bool(waiting.get((fact.batch, branch.space.id_of(fact.position, fact.rung))))
