"""A farm in virtual time: the scheduler, told by a clock what happened, and its instructions carried out by chance.

The turn is the real controller's: what is decided is written down first, and only then carried out. The log is a list;
a controller that ends leaves it to the next one, and everything else is gone. Laws and invariants are looked at on the
way; what breaks one is raised as `LawBroken`, with the moment and the seed.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from ancestra_farm.plan.events import BranchClosed, EpochTaken, Event, OrderGiven
from ancestra_farm.plan.plan import StagePlan
from ancestra_farm.scheduler import Scheduler, Tunables
from ancestra_farm.scheduler.world import (
    AllDone,
    Dispatch,
    Happening,
    HostLost,
    Instruction,
    KillHost,
    NodeLeaving,
    Order,
    OrderRefused,
    Record,
    Revoke,
    SlotsChanged,
    StartHost,
    Stitch,
    StopHost,
    Submit,
    Tick,
    Ticket,
    TicketEnded,
    TicketStarted,
)
from ancestra_farm.simulate.book import Book, LawBroken
from ancestra_farm.simulate.chance import exponential
from ancestra_farm.simulate.clock import BEGIN_S, Clock
from ancestra_farm.simulate.crew import VirtualCrew
from ancestra_farm.simulate.fates import Fates
from ancestra_farm.simulate.folding import differences
from ancestra_farm.simulate.machines import Machines
from ancestra_farm.simulate.meters import Meters
from ancestra_farm.simulate.people import People
from ancestra_farm.simulate.scenario import Arrival, Scenario
from ancestra_farm.simulate.shelves import Shelves
from ancestra_farm.simulate.stitchers import VirtualStitchers
from ancestra_farm.simulate.tally import Tally
from ancestra_farm.simulate.weather import Weather

#: Seconds from the end of a controller to the next one's start.
DOWN_S = 10.0
#: Nothing but looks at deadlines for so long, beyond the longest deadline: the story stands still.
PATIENCE_S = 600.0
#: Where invariants are sampled: after the first so many happenings all, later ever fewer.
SAMPLE_ALL = 200


class VirtualFarm:
    """One story. ``log``: every event, in order. ``ended``: whether it came to its end before the scenario's limit."""

    def __init__(self, scenario: Scenario, tunables: Tunables | None = None) -> None:
        self.scenario = scenario
        self.tunables = tunables or Tunables()
        self.clock = Clock()
        self.tally = Tally()
        self.book = Book()
        self.log: list[Event] = []
        self.tries: dict[str, int] = {}
        self.machines = Machines(scenario)
        self.fates = Fates(scenario)
        self.shelves = Shelves(scenario)
        self.meters = Meters(BEGIN_S, self._work_waits, lambda: self.book.waiting(self.scheduler.state))
        self.weather = Weather(scenario, self.clock, self.machines, self.meters, lambda: self.crew, self._slots_wanted)
        self.people = People(scenario, self.clock, lambda: self.scheduler.state, self._give)
        self.done: AllDone | None = None
        self.ended = False
        self.ended_at = BEGIN_S
        self._random = random.Random(f"{scenario.seed}/controller")  # noqa: S311 - a story, no secret
        self._keeps_log = scenario.check != "end" or bool(scenario.faults.controller_losses_per_hour)
        self._slots: SlotsChanged | None = None
        self._moved_at = BEGIN_S
        self._sampled = 0
        self._dies = False
        self._alive = True
        self._waiting_for_controller: list[Happening] = []
        self._start()

    # ---- controllers -----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """A controller begins: it takes the next epoch, folds the log, and has no hosts."""
        epoch = 1 + self.tally.restarts
        self._write([EpochTaken(epoch, "simulation", "simulate", self.clock.now)])
        self.scheduler = Scheduler(epoch, self.tunables)
        for event in self.log:
            self.scheduler.apply(event)
        self.crew = VirtualCrew(
            self.scenario,
            self.clock,
            self.machines,
            self.meters,
            self.fates,
            self.tally,
            self.tries,
            self.shelves,
            self.tell,
            self._stage_of,
        )
        self.stitchers = VirtualStitchers(self.scenario, self.clock, self.tries, self.shelves, self.tell)
        self.book.restart(self.scheduler.state)
        self._slots, self.done, self._alive = None, None, True
        if self.scenario.faults.controller_losses_per_hour:
            seconds = exponential(self._random.random(), self.scenario.faults.controller_losses_per_hour)
            plan = partial(self._plan_end, epoch)
            self.clock.after(seconds, plan, background=True)

    def _plan_end(self, epoch: int) -> None:
        """The controller will end: now, or within its next turn, between its commit and what follows from it."""
        if epoch == self.scheduler.epoch:
            if self._random.random() < 0.5:
                self._dies = True
            else:
                self._end_controller()

    def _end_controller(self) -> None:
        self.check_folding()
        self.crew.close()
        self.stitchers.close()
        self._alive, self._dies = False, False
        self.tally.restarts += 1
        self.clock.after(DOWN_S, self._restart)

    def _restart(self) -> None:
        self._start()
        self._take(self.scheduler.resume(self.clock.now))
        self._look_at_slots()
        waiting, self._waiting_for_controller = self._waiting_for_controller, []
        for happening in waiting:
            self.tell(happening)

    # ---- the story -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Plan everything that comes from outside."""
        self.weather.begin()
        self._look_at_slots()
        for arrival in self.scenario.arrivals:
            self.clock.after(arrival.after_s, partial(self._submit, arrival))
        self.people.begin()
        self.clock.after(self.scenario.tick_s, self._tick, background=True)

    def run(self, steps: int) -> bool:
        """Let at most so many things happen; whether the story goes on after them."""
        limit = BEGIN_S + self.scenario.limit_h * 3600
        for _ in range(steps):
            if self.done is not None and not self.clock.to_come:
                self._finish(ended=True)
                return False
            if self.clock.now > limit:
                self._finish(ended=False)
                return False
            self.clock.step()
        return True

    def _finish(self, *, ended: bool) -> None:
        self.ended = ended
        self.meters.advance(self.ended_at if ended else self.clock.now)
        self.check_invariants()
        self.check_folding()
        if ended and not (self.done and self.done.stuck) and (left := self.book.unended()):
            raise self._broken(f"all is said to be done, and waves are open: {'; '.join(left)}")

    def _submit(self, arrival: Arrival) -> None:
        plan = arrival.plan
        self.tally.submitted[plan.batch.batch] = self.clock.now
        self.tell(Submit(plan.document, dict(plan.card_documents), plan.batch.owner or "ann"))

    def _give(self, given: OrderGiven) -> bool:
        refused = self.tally.refused
        self.tell(Order(given))
        taken = self.tally.refused == refused
        if taken:
            self.tally.orders[given.order] += 1
        return taken

    def _tick(self) -> None:
        self.clock.after(self.scenario.tick_s, self._tick, background=True)
        if not self._alive:
            return
        self._look_at_slots()
        self.tell(Tick())
        if self.done is None and not self.clock.to_come:
            patience_s = PATIENCE_S + self.crew.longest_deadline_s()
            if self.clock.now - self._moved_at > patience_s:
                raise self._broken(f"nothing has moved for {patience_s:.0f} s, and it is not done: {self._why()}")

    def _look_at_slots(self) -> None:
        slots = SlotsChanged(*self.machines.slots_of(self.weather.seen_slots))
        if slots != self._slots:
            self._slots = slots
            self.tell(slots)

    # ---- a turn ----------------------------------------------------------------------------------------------------

    def tell(self, happening: Happening) -> None:
        """Tell the controller, and carry out what it says. While there is none, people's words wait for it."""
        if not self._alive:
            if isinstance(happening, Submit | Order):
                self._waiting_for_controller.append(happening)
            return
        self.tally.happenings += 1
        self._enter(happening)
        done = self.done
        if isinstance(happening, Submit | Order | SlotsChanged):
            self.done = None  # it is done when the scheduler says so again
        try:
            instructions = self.scheduler.handle(happening, self.clock.now)
        except OrderRefused as refused:
            if isinstance(happening, Submit):
                raise self._broken(f"a checked batch was refused: {refused}") from refused
            self.tally.refused += 1
            self.done = done
            instructions = []
        except (AssertionError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise self._broken(f"{type(error).__name__} on {type(happening).__name__}: {error}") from error
        self._take(instructions)
        if isinstance(happening, NodeLeaving) and self._alive:
            self._slots = None  # as the controller's loop does
            self._look_at_slots()
        if instructions or not isinstance(happening, Tick):
            self._check_sometimes()

    def _enter(self, happening: Happening) -> None:
        match happening:
            case TicketStarted(host=host, ticket=ticket):
                held = self.crew.hosts[host].held[ticket]
                self._law(self.book.started, held, held.space.model, self.scheduler.state)
                ref = (held.batch, held.space.shot)
                self.tally.first_start.setdefault(ref, self.clock.now)
                self.tally.batch_started.setdefault(held.batch, self.clock.now)
            case TicketEnded(host=host, ticket=ticket):
                self.book.ended(host, ticket)
            case HostLost(host=host):
                self.book.lost(host)
            case _:
                pass

    def _take(self, instructions: Sequence[Instruction]) -> None:
        events = [instruction.event for instruction in instructions if isinstance(instruction, Record)]
        if events:
            self._write(events)
            self._moved_at = self.clock.now
        if self._dies:
            self._end_controller()
            return
        for instruction in instructions:
            self._carry_out(instruction)

    def _carry_out(self, instruction: Instruction) -> None:
        match instruction:
            case StartHost():
                self.crew.start(instruction)
            case StopHost():
                self.tally.stopped += 1
                self.crew.stop(instruction)
            case KillHost(host=host):
                self.tally.killed += 1
                self.book.lost(host)
                self.crew.kill(instruction)
            case Dispatch(host=host, ticket=ticket):
                self.tally.dispatched += 1
                self._moved_at = self.clock.now
                self._law(self.book.dispatched, host, ticket)
                self.crew.dispatch(instruction)
            case Revoke(host=host, ticket=ticket):
                self.tally.revoked += 1
                self._law(self.book.taken_back, host, ticket)
                self.crew.revoke(instruction)
            case Stitch():
                self.tally.stitches += 1
                self.stitchers.stitch(instruction)
            case AllDone():
                self.done, self.ended_at = instruction, self.clock.now
            case Record():
                pass

    def _write(self, events: Iterable[Event]) -> None:
        for event in events:
            if self._keeps_log:
                self.log.append(event)
            if not isinstance(event, EpochTaken):
                state = self.scheduler.state
                self._law(self.book.recorded, event, state)
                self.tally.note(event, self.clock.now, state)
                if isinstance(event, BranchClosed):
                    branch = state.branch((event.batch, event.branch))
                    if branch is not None:
                        self.people.look_at(branch.stage)

    # ---- what it is asked ------------------------------------------------------------------------------------------

    def _stage_of(self, ticket: Ticket) -> StagePlan:
        batch = self.scheduler.state.batches[ticket.batch]
        return batch.shots[ticket.space.shot].stages[ticket.space.stage].plan

    def _work_waits(self, model: str) -> int:
        return self.scheduler.queues().get(model, 0)

    def _slots_wanted(self) -> float:
        """Slots that released work could use: a host for each candidate that waits or runs."""
        held = sum(len(ticket.positions) for host in self.crew.hosts.values() for ticket in host.held.values())
        return sum(self.scheduler.queues().values()) + held

    def survivors(self) -> dict[tuple[str, str, str], list[str]]:
        """Survivors by batch, shot and stage, in the order of branches and positions."""
        return {
            stage.ref: [c for branch in stage.branches.values() for c in branch.survivor_ids()]
            for batch in self.scheduler.state.batches.values()
            for shot in batch.shots.values()
            for stage in shot.stages.values()
        }

    def chains(self) -> dict[tuple[str, str, str], tuple[tuple[str, ...], ...]]:
        """The chains each closed stage ended with, by batch, shot and stage."""
        return {
            stage.ref: stage.closed.chains
            for batch in self.scheduler.state.batches.values()
            for shot in batch.shots.values()
            for stage in shot.stages.values()
            if stage.closed
        }

    # ---- checks ----------------------------------------------------------------------------------------------------

    def _check_sometimes(self) -> None:
        """After every happening, or after ever fewer of them, so that checks never cost more than the story."""
        every = self.scenario.check == "every"
        sampled = self.scenario.check == "sampled" and self.tally.happenings >= self._sampled
        if every or sampled:
            self._sampled = int(self.tally.happenings * 1.1) + (0 if self.tally.happenings < SAMPLE_ALL else 20)
            self.check_invariants()

    def check_invariants(self) -> None:
        """Raise LawBroken where the scheduler's own account does not add up."""
        try:
            self.scheduler.check_invariants()
        except AssertionError as error:
            raise self._broken(str(error)) from error

    def check_folding(self) -> None:
        """Raise LawBroken where the log does not fold to the state that wrote it."""
        if not self._keeps_log:
            return
        other = Scheduler(self.scheduler.epoch, self.tunables)
        for event in self.log:
            other.apply(event)
        found = list(differences(self.scheduler.state, other.state))
        if found:
            raise self._broken(f"the log folds to another state: {'; '.join(found[:5])}")

    def _law(self, account: Callable[..., None], *arguments: object) -> None:
        """Enter something into the book; where it does not add up, say when."""
        try:
            account(*arguments)
        except LawBroken as broken:
            raise self._broken(str(broken)) from None

    def _broken(self, what: str) -> LawBroken:
        after_s = self.clock.now - BEGIN_S
        return LawBroken(f"seed {self.scenario.seed}, after {after_s:.3f} s: {what}")

    def _why(self) -> str:
        """Why shots that are not done are where they are."""
        sentences = [
            f"{batch.name}/{shot}: {' '.join(self.scheduler.explain(batch.name, shot))}"
            for batch in self.scheduler.state.batches.values()
            for shot in list(batch.shots)[:3]
        ]
        return " | ".join(sentences)[:2000]
