"""The controller's loop: news in, scheduler, log, then hands. Ray is behind `Hands`, so the loop runs without it.

One thread owns the scheduler and the right to write the log. Each turn it takes what has come, lets the scheduler
decide, commits all decisions of the turn together, and only then carries out what they led to: nothing is done that the
log does not know. It decides nothing about candidates itself, only when to look after the store.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ancestra_farm.api.desk import Leaving
from ancestra_farm.farm.clock import SteadyClock
from ancestra_farm.farm.news import LEAVING, Asked, Inbox
from ancestra_farm.farm.upkeep import Upkeep
from ancestra_farm.ledger.errors import StoreError, Superseded
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.points import reached
from ancestra_farm.plan.events import Event
from ancestra_farm.scheduler.glance import Glance
from ancestra_farm.scheduler.progress import ShotProgress
from ancestra_farm.scheduler.world import (
    AllDone,
    BlockNodes,
    Dispatch,
    DrainNode,
    Happening,
    Instruction,
    KillHost,
    NodeLeaving,
    NoticeTried,
    OrderRefused,
    Record,
    Revoke,
    SlotsChanged,
    StartHost,
    Stitch,
    StitchJob,
    StopHost,
    StopRequested,
    Tell,
    TellPeople,
    Tick,
)

How = Literal["done", "stopped", "superseded"]

#: Rows that arrive within so many seconds share a commit: hosts have their next ticket anyway, and the log stays short.
GATHER_S = 0.05
#: Deadlines are looked at so often; they are tens of seconds long.
TICK_S = 1.0
#: A stop waits so long for hosts to hand in what they have finished, before it lets them go.
STOP_PATIENCE_S = 30.0
#: It is looked so often whether somebody is to be told something; going through all shots takes some time.
TELL_S = 5.0
#: So often is it looked who has a token, so that the log has a row for each that comes and goes.
PEOPLE_S = 10.0
#: What is being told when the work is over is waited for so long; what is not told then is told by the next controller.
TELL_PATIENCE_S = 15.0
#: Hosts that hold nothing close in a moment; one that does not is ended, and its last seconds go uncounted.
LET_GO_PATIENCE_S = 10.0


class Hands(Protocol):
    """What carries instructions out. Answers come as news to the inbox it was made with; no call blocks."""

    def slots(self) -> SlotsChanged:
        """How many hosts there is room for now."""

    def start(self, order: StartHost) -> None:
        """Bring up a host; `HostReady` or `HostLost` follows."""

    def stop(self, order: StopHost) -> None:
        """Let a host go once it holds nothing."""

    def kill(self, order: KillHost) -> None:
        """End a host now; `HostLost` follows."""

    def block(self, order: BlockNodes) -> None:
        """Place no host on these machines, and count none of their slots."""

    def drain(self, order: DrainNode) -> None:
        """Have a machine given back once it is empty."""

    def dispatch(self, order: Dispatch, *, owed: bool) -> None:
        """Hand over a ticket; `TicketStarted` and `TicketEnded` follow. ``owed``: it had waited for it."""

    def revoke(self, order: Revoke) -> None:
        """Take a ticket back; `TicketEnded` follows."""

    def stitch(self, job: StitchJob) -> None:
        """Stitch and publish; `StitchReturned` follows."""

    def look_after(self) -> None:
        """Called every second: what has to happen in time."""

    def last_words(self) -> Sequence[Event]:
        """Events that no happening carries: clock stretches of hosts that idle, load, or were let go."""

    @property
    def unfinished(self) -> int:
        """Tickets that hosts hold."""

    @property
    def hosts(self) -> Mapping[str, tuple[int, int]]:
        """(ready, starting) hosts by model."""

    @property
    def tickets(self) -> Mapping[str, int]:
        """Tickets that hosts hold, by model."""

    def let_go(self) -> bool:
        """Ask every host that holds nothing to leave; whether all have left."""

    def close(self) -> None:
        """Let everything go at once."""


class Tells(Protocol):
    """What delivers notices."""

    def tell(self, order: Tell) -> None:
        """Try once; `NoticeTried` follows."""

    def close(self) -> None:
        """Begin nothing more."""


class Decider(Protocol):
    """The part of the scheduler that the loop uses."""

    def apply(self, event: Event) -> None:
        """Fold one logged event."""

    def resume(self, now: float) -> list[Instruction]:
        """What to do after folding."""

    def handle(self, happening: Happening, now: float) -> list[Instruction]:
        """What to do about a happening. Raises OrderRefused."""

    def check(self, happening: Happening, now: float) -> None:
        """Raise OrderRefused if this would be refused as things stand; nothing changes."""

    def progress(self) -> tuple[ShotProgress, ...]:
        """How far every shot is."""

    def queues(self) -> Mapping[str, int]:
        """Candidates waiting to be handed out, by model."""

    def glance(self, progress: Iterable[ShotProgress]) -> Glance:
        """What a wrangler looks at first, given how far every shot is."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How the loop ended.

    ``waiting``: (batch, shot, stage) that wait for people. ``stuck``: why work that is left cannot run.
    """

    how: How
    waiting: tuple[tuple[str, str, str], ...] = ()
    stuck: tuple[str, ...] = ()
    message: str = ""


@dataclass(slots=True)
class _Turn:
    """Everything one turn decided: events to commit, then instructions, then answers."""

    events: list[Event] = field(default_factory=list)
    instructions: list[tuple[Instruction, Happening | None]] = field(default_factory=list)
    answers: list[Asked] = field(default_factory=list)


class ControlLoop:
    """Made for one run. ``writer`` has begun its epoch; ``scheduler`` has folded all but the writer's history.

    ``stay``: go on when nothing is left to do, until a stop; people may want more. ``messenger``: None tells nobody.
    ``census``: has it looked who has a token, and waits for nothing; `PeopleSeen` follows where that has changed.
    ``now``: seconds since the Unix epoch that never step; None: a `SteadyClock`.
    """

    def __init__(
        self,
        scheduler: Decider,
        writer: Writer,
        hands: Hands,
        inbox: Inbox,
        upkeep: Upkeep,
        *,
        now: Callable[[], float] | None = None,
        stay: bool = False,
        messenger: Tells | None = None,
        census: Callable[[], None] | None = None,
    ) -> None:
        self._census = census
        self._messenger = messenger
        self._untold = 0
        self._tell_by: float | None = None
        self._scheduler = scheduler
        self._writer = writer
        self._hands = hands
        self._inbox = inbox
        self._upkeep = upkeep
        self._now = SteadyClock() if now is None else now
        self._stay = stay
        self._slots: SlotsChanged | None = None
        self._done: AllDone | None = None
        self._stop_by: float | None = None

    def run(self, first: Sequence[Asked] = ()) -> Ending:
        """Fold the log, take in ``first`` (submissions), and go on until there is nothing left to do, or a stop.

        A takeover of the store by somebody else ends it at once; anything that breaks the log is raised.
        """
        try:
            self._begin(first)
            while (ending := self._ending()) is None or self._last_to_tell():
                if ending is None:
                    self._tell_by = None
                self._turn()
            self._wind_up()
        except Superseded as superseded:
            return Ending("superseded", message=str(superseded))
        else:
            return ending
        finally:
            self._hands.close()
            self._upkeep.close()
            if self._messenger is not None:
                self._messenger.close()

    def _begin(self, first: Sequence[Asked]) -> None:
        for commit in self._writer.history:
            for event in commit.events:
                self._scheduler.apply(event)
            self._upkeep.committed(commit.number, commit.events)
        turn = _Turn()
        self._take(turn, None, self._scheduler.resume(self._now()))
        self._look_at_slots(turn)
        for asked in first:
            self._ask(turn, asked)
        self._carry_out(turn)
        self._upkeep.begin(self._writer.mark, self._scheduler, self._hands)

    def _turn(self) -> None:
        turn = _Turn()
        for news in self._inbox.collect(TICK_S, GATHER_S):
            if isinstance(news, Asked):
                self._ask(turn, news)
            elif (happening := news()) is not None:
                self._hear(turn, happening)
                if isinstance(happening, NodeLeaving):
                    self._slots = None  # the scheduler wants to hear what is left, whatever was said before
                    self._look_at_slots(turn)
        if self._upkeep.due("tick", TICK_S):
            self._hands.look_after()
            self._look_at_slots(turn)
            self._hear(turn, Tick())
        if self._messenger is not None and self._upkeep.due("tell", TELL_S):
            self._hear(turn, TellPeople())
        if self._census is not None and self._upkeep.due("people", PEOPLE_S):
            self._census()
        turn.events.extend(self._hands.last_words())
        self._carry_out(turn)
        self._upkeep.done = self._done
        self._upkeep.sometimes(self._writer.mark, self._scheduler, self._hands)

    def _wind_up(self) -> None:
        """Let every host go, take down what its clock said last, and leave tables that are complete."""
        until = time.monotonic() + LET_GO_PATIENCE_S
        while not self._hands.let_go() and time.monotonic() < until:
            for news in self._inbox.collect(TICK_S, 0.0):
                if isinstance(news, Asked):
                    news.refuse(Leaving(LEAVING))
                else:
                    news()
        if words := self._hands.last_words():
            self._upkeep.committed(self._writer.commit(words), words)
        self._upkeep.end(self._writer.mark, self._scheduler, self._hands)

    def _last_to_tell(self) -> bool:
        """Whether to go on, though all is over, since somebody is still being told of it."""
        if self._messenger is None:
            return False
        if self._tell_by is None:
            self._tell_by = self._now() + TELL_PATIENCE_S
            turn = _Turn()
            self._hear(turn, TellPeople())
            self._carry_out(turn)
        return self._untold > 0 and self._now() < self._tell_by

    def _hear(self, turn: _Turn, happening: Happening) -> None:
        self._untold -= isinstance(happening, NoticeTried)
        self._take(turn, happening, self._scheduler.handle(happening, self._now()))

    def _ask(self, turn: _Turn, asked: Asked) -> None:
        if isinstance(asked.happening, StopRequested) and self._stop_by is None:
            self._stop_by = self._now() + STOP_PATIENCE_S
        done, self._done = self._done, None  # whatever is wanted now: it is done when the scheduler says so again
        try:
            if asked.more:
                # All or none: each is looked at as things stand before any of them is taken.
                for happening in asked.happenings:
                    self._scheduler.check(happening, self._now())
            for happening in asked.happenings:
                self._hear(turn, happening)
        except OrderRefused as refused:
            self._done = done
            asked.refuse(refused)
        else:
            turn.answers.append(asked)

    def _look_at_slots(self, turn: _Turn) -> None:
        slots = self._hands.slots()
        if slots != self._slots:
            self._slots, self._done = slots, None
            self._hear(turn, slots)

    def _take(self, turn: _Turn, cause: Happening | None, instructions: Sequence[Instruction]) -> None:
        for instruction in instructions:
            if isinstance(instruction, Record):
                turn.events.append(instruction.event)
            elif isinstance(instruction, AllDone):
                self._done = instruction  # looked at when the turn is over, unless more is asked for in it
            else:
                turn.instructions.append((instruction, cause))

    def _carry_out(self, turn: _Turn) -> None:
        if turn.events:
            before = time.monotonic()
            reached("control.before_commit")
            try:
                number = self._writer.commit(turn.events)
            except StoreError as error:
                for asked in turn.answers:
                    asked.refuse(error)
                raise
            self._upkeep.committed(number, turn.events, time.monotonic() - before)
            reached("control.after_commit_before_acknowledgement")
            if turn.answers:
                reached("control.after_order")
        try:
            for instruction, cause in turn.instructions:
                self._do(instruction, cause)
        finally:
            for asked in turn.answers:
                asked.tell(self._writer.number)

    def _do(self, instruction: Instruction, cause: Happening | None) -> None:
        match instruction:
            case StartHost():
                self._hands.start(instruction)
            case StopHost():
                self._hands.stop(instruction)
            case KillHost():
                self._hands.kill(instruction)
            case BlockNodes():
                self._hands.block(instruction)
                self._slots = None
            case DrainNode():
                self._hands.drain(instruction)
                self._slots = None
            case Dispatch():
                # Work that was there the moment the host came back had been waiting for it, not the other way round.
                owed = getattr(cause, "host", None) == instruction.host
                self._hands.dispatch(instruction, owed=owed)
            case Revoke():
                self._hands.revoke(instruction)
            case Stitch():
                self._hands.stitch(instruction.job)
            case Tell():
                assert self._messenger is not None, "it is asked for only where there is one"
                self._untold += 1
                self._messenger.tell(instruction)
            case Record() | AllDone():
                raise AssertionError("taken care of before anything is carried out")

    def _ending(self) -> Ending | None:
        if self._stop_by is not None:
            if self._hands.unfinished == 0 or self._now() >= self._stop_by:
                return Ending("stopped")
            return None
        if self._done is None:
            return None
        if self._stay:
            return None
        return Ending("done", self._done.waiting_for_people, self._done.stuck)
