"""The farm's one decision maker: a pure state machine, happenings in, instructions out.

It decides what is tried, by whom, when a stage has enough, and what becomes of it. It knows no Ray, no clock, no files
and no threads; `handle` is given the time. Whatever binds is an event, emitted through `Record` before anything that
rests on it, so that folding the log (`apply`) gives another scheduler the same knowledge.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, ClassVar

from ancestra_farm.plan.events import CandidateGivenUp, Event, StageClosed, WaveClosed, WaveReleased
from ancestra_farm.plan.farm_events import StopOrdered
from ancestra_farm.scheduler import after, chains, node_orders, orders, pauses, rules
from ancestra_farm.scheduler.agenda import Agenda
from ancestra_farm.scheduler.bills import Bill
from ancestra_farm.scheduler.budget import beyond_hours
from ancestra_farm.scheduler.deadlines import late_hosts
from ancestra_farm.scheduler.dispatch import Dispatcher
from ancestra_farm.scheduler.explain import explain, following, paused_work
from ancestra_farm.scheduler.failures import (
    given_up_before,
)
from ancestra_farm.scheduler.fold import fold
from ancestra_farm.scheduler.glance import Glance, glance_at
from ancestra_farm.scheduler.holders import PeopleSeen, news
from ancestra_farm.scheduler.invariants import broken_invariants
from ancestra_farm.scheduler.notices import Telling, delivery
from ancestra_farm.scheduler.ordered import shots_of
from ancestra_farm.scheduler.progress import ShotProgress, any_left, progress_of
from ancestra_farm.scheduler.returns import Returns
from ancestra_farm.scheduler.state import BatchState, FarmState, ShotState, StageState
from ancestra_farm.scheduler.stitches import job_of, plan_stitches, unfinished
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.world import (
    AllDone,
    ChangeSettings,
    Happening,
    HostLost,
    HostPlaced,
    HostReady,
    Instruction,
    KillHost,
    NodeLeaving,
    NodeOrder,
    NoticeTried,
    Order,
    Record,
    SlotsChanged,
    Stitch,
    StitchReturned,
    StopRequested,
    Submit,
    Tell,
    TellPeople,
    Tick,
    TicketEnded,
    TicketStarted,
)

DEFAULTS = Tunables()


class Scheduler:
    """Every decision of one farm.

    Attributes: ``state``: batches, as folded from the log. ``fleet``: pools, hosts and tickets of this moment (see
    `Dispatcher`). ``epoch``: stamped on every ticket. Start: `apply` every logged event, then `resume`, then `handle`.
    """

    def __init__(self, epoch: int = 0, tunables: Tunables = DEFAULTS) -> None:
        self.epoch = epoch
        self.tunables = tunables
        self.state = FarmState()
        self._out: list[Instruction] = []
        self._agenda = Agenda()
        self._stitching: set[tuple[str, str, str, str]] = set()
        self._telling = Telling()
        self._stopping = False
        self._said_done = False
        self.dispatcher = Dispatcher(tunables)
        self._bills = Bill()
        self._returns = Returns(self.dispatcher, self._agenda, tunables, self._record, self._emit, self._do)

    # ---- folding ---------------------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Fold one event of the log. For the start only; live, `handle` folds what it decides itself."""
        fold(self.state, event)

    def resume(self, now: float) -> list[Instruction]:
        """Begin to work on what the log left: everything released and not ended is queued again."""
        self._out = node_orders.standing(self.state, self.dispatcher, now)
        self.dispatcher.now = now
        for batch in sorted(self.state.batches.values(), key=lambda batch: batch.submitted.at):
            self._take_up(batch)  # what the newest says of a model holds, as it did when it came
        self._settle(now)
        return self._out

    def _take_up(self, batch: BatchState) -> None:
        self.dispatcher.take_up(batch)
        self._agenda.batch(batch)

    # ---- happenings ------------------------------------------------------------------------------------------------

    def handle(self, happening: Happening, now: float) -> list[Instruction]:
        """Take in what happened and say what is to be done, in this order. Raises OrderRefused for what people want.

        ``now``: seconds since the Unix epoch.
        """
        self._out = []
        self.dispatcher.now = now
        self._HANDLERS[type(happening)](self, happening, now)
        quiet = isinstance(happening, TicketStarted) and not self.dispatcher.classes_meet()
        if not quiet and (self._out or not isinstance(happening, HostPlaced)):
            self._settle(now)  # else no decision rests on it
        return self._out

    def check(self, happening: Happening, now: float) -> None:
        """Raise OrderRefused if this order would be refused as things stand; nothing is decided and nothing changes."""
        if isinstance(happening, Order):
            orders.order(self.state, happening.order, lambda _event: None, now)
        elif isinstance(happening, ChangeSettings):
            rules.change(self.state, happening.given, lambda _event: None, happening.based_on)
        elif isinstance(happening, Submit):
            orders.submit(self.state, happening, lambda _event: None, now)

    def _slots_changed(self, happening: SlotsChanged, now: float) -> None:
        self.dispatcher.fleet.tell(happening)
        self._said_done = False
        self._bill(now)

    def _bill(self, now: float, *, last: bool = False) -> None:
        fleet = self.dispatcher.fleet
        if fleet.grows:
            quiet = not self.dispatcher.busy()
            for paid in self._bills.look(fleet.farm, fleet.told, now, self.state.paid, last=last, quiet=quiet):
                self._emit(paid)

    def _host_placed(self, happening: HostPlaced, _now: float) -> None:
        self._out.extend(self.dispatcher.host_placed(happening.host, happening.node))

    def _node_leaving(self, happening: NodeLeaving, now: float) -> None:
        departures = self.dispatcher.departures
        self._out.extend(departures.notice(happening.node, happening.at, happening.why, now, self._emit))

    def _host_ready(self, happening: HostReady, now: float) -> None:
        host = self.dispatcher.host_ready(happening.host, happening.load_s)
        if host is not None:
            self._returns.note(host, "ready", f"loaded in {happening.load_s:.1f} s", now)

    def _ticket_started(self, happening: TicketStarted, _now: float) -> None:
        self.dispatcher.start_lease(happening.host, happening.ticket)

    def _ticket_ended(self, happening: TicketEnded, now: float) -> None:
        self._returns.ticket(self.state, happening, now)

    def _host_lost(self, lost: HostLost, now: float) -> None:
        self._returns.lost(self.state, lost.host, lost.cause, lost.message, lost.generating, now)

    def _stitch_returned(self, happening: StitchReturned, now: float) -> None:
        result = happening.result
        key = (result.batch, result.shot, result.stitch_id, result.version)
        self.dispatcher.store_waits.heed_stitch(key, happening.unstored, now)
        if happening.unstored:
            return  # it stays among those under way until its wait is over
        self._stitching.discard(key)
        self._emit(result)
        self._agenda.shot(self.state.batches[result.batch], result.shot)

    def _submit(self, happening: Submit, now: float) -> None:
        name, changed = orders.submit(self.state, happening, self._emit, now)
        self._said_done = False
        if changed:
            self._take_up(self.state.batches[name])
            self._look_again(self.state.batches[name].show)
        else:
            self.dispatcher.fleet.give_another_chance(self.state.batches[name])

    def _order(self, happening: Order, now: float) -> None:
        given = happening.order
        self._said_done = False  # who asks again, under the same id, is told again
        if orders.order(self.state, given, self._emit, now):
            batch = self.state.batches[given.batch]
            if given.order == "priority":
                self.dispatcher.rank(batch)
            for shot in shots_of(batch, given):
                self._agenda.shot(batch, shot.plan.name)
            self._look_again(batch.show)

    def _nodes_ordered(self, happening: NodeOrder, now: float) -> None:
        self._out.extend(node_orders.order(self.state, self.dispatcher, happening.order, self._emit, now))
        self._said_done = False

    def _change_settings(self, happening: ChangeSettings, _now: float) -> None:
        self._said_done = False
        if rules.change(self.state, happening.given, self._emit, happening.based_on):
            for batch in self.state.batches.values():
                self.dispatcher.rank(batch)
                self._agenda.batch(batch)

    def _people_seen(self, happening: PeopleSeen, now: float) -> None:
        for noted in list(news(self.state.tokens, happening, now)):
            self._emit(noted)

    def _tell_people(self, _happening: TellPeople, now: float) -> None:
        self._out.extend(Tell(*one) for one in self._telling.due(self.state, self.tunables, now))

    def _notice_tried(self, happening: NoticeTried, now: float) -> None:
        self._telling.tried(happening.notice.key(happening.to), now, delivered=happening.delivered)
        if happening.delivered:
            self._emit(delivery(happening.notice, happening.to, now))

    def _tick(self, _happening: Tick, now: float) -> None:
        dispatcher = self.dispatcher
        for late in late_hosts(dispatcher.deadlines, dispatcher.slots, dispatcher.departures, now):
            self._out.append(KillHost(late.host.name, late.why))
            self._returns.lost(self.state, late.host.name, late.cause, late.why, late.ticket, now)
        self._out.extend(dispatcher.departures.hand_back(now))
        dispatcher.store_waits.look(now)
        for stitch in dispatcher.store_waits.stitches_due(now):
            self._stitching.discard(stitch)
            self._agenda.shot(self.state.batches[stitch[0]], stitch[1])
        for order in list(pauses.due(dispatcher.fleet.put_off.values(), now)):
            self._order(Order(order), now)
        self._bill(now)

    def _stop(self, happening: StopRequested, now: float) -> None:
        if happening.who and not self._stopping:
            self._emit(StopOrdered(happening.who, now))
        self._stopping = True
        self._out.extend(self.dispatcher.slots.stop_all())
        self._bill(now, last=True)

    # ---- decisions -------------------------------------------------------------------------------------------------

    def _emit(self, event: Event) -> None:
        """Record an event and fold it at once: what is decided next rests on it."""
        if isinstance(event, WaveClosed) and (branch := self.state.branch((event.batch, event.branch))) is not None:
            self.dispatcher.withdraw(branch, branch.phases[event.wave, event.rung])
        elif isinstance(event, CandidateGivenUp) and (branch := self.state.branch((event.batch, event.branch))):
            self.dispatcher.unqueue(branch, event.position, event.rung)
        self._record(event)
        if isinstance(event, WaveReleased):
            branch = self.state.branch((event.batch, event.branch))
            if branch is not None:
                self.dispatcher.add_lot(branch, branch.phases[event.wave, event.rung])
                self._agenda.stages((branch.stage.ref,))
        elif isinstance(event, StageClosed):
            self._agenda.shot(self.state.batches[event.batch], event.shot)
            for batch, shot in after.followers(self.state.batches, event.batch):
                self._agenda.shot(self.state.batches[batch], shot)

    def _record(self, event: Event) -> None:
        fold(self.state, event)
        self._out.append(Record(event))

    def _do(self, instructions: Iterable[Instruction]) -> None:
        self._out.extend(instructions)

    def _settle(self, now: float) -> None:
        """Take every decision that can be taken, until none is left."""
        if self._stopping:
            self._out.extend(self.dispatcher.slots.let_idle_go("stopping"))
            return
        if self.dispatcher.fleet.farm is not self.state.settings.farm:
            self.dispatcher.fleet.equip(self.state.settings.farm)
        while True:
            self._advance_stages(now)
            if self.dispatcher.release_waves(self._emit):
                continue
            if self._run_short():
                continue
            self._out.extend(self.dispatcher.pointless())
            self._out.extend(self.dispatcher.slots.share(now, self.epoch))
            for instruction, emptied in self.dispatcher.hand_out(self.epoch):
                self._out.append(instruction)
                if emptied is not None:
                    self._agenda.stages((emptied,))
            if not self._agenda:
                break
        self._say_when_done()

    def _run_short(self) -> bool:
        """Put off the shows whose money has come to its end. True if there are any that were not put off."""
        found = self.dispatcher.run_short(self.state.settings)
        for show in found:
            self._agenda.show(self.state.batches, show)
        return bool(found)

    def _look_again(self, show: str) -> None:
        """Something else may be wanted of a show now that its money does reach for."""
        if self.state.settings.short.pop(show, None) is not None:
            self._agenda.show(self.state.batches, show)

    def _advance_stages(self, now: float) -> None:
        while self._agenda:
            for batch, shot, stage in self._agenda.take():
                found = self.state.batches[batch].shots.get(shot)
                if found is not None and stage in found.stages:
                    self._advance_stage(found, found.stages[stage], now)

    def _advance_stage(self, shot: ShotState, stage: StageState, now: float) -> None:
        batch, name, _ = stage.ref
        for branch in stage.branches.values():
            for position, rung, (outcome, reason) in given_up_before(branch, self.tunables):
                self._emit(CandidateGivenUp(batch, branch.key, position, rung, outcome, reason, now))
            for position, rung, reason in beyond_hours(branch):
                self._emit(CandidateGivenUp(batch, branch.key, position, rung, "skipped", reason, now))
        while chains.advance(stage, self._emit, now):
            self._agenda.stages((batch, name, consumer) for consumer in stage.plan.consumers)
        self.dispatcher.offer(stage)
        final = shot.plan.final
        if final is not None and final.name == stage.plan.name:
            self._stitch(shot, now)

    def _stitch(self, shot: ShotState, now: float) -> None:
        plan_stitches(shot, self.state.versions, self._emit, now)
        if any(stage.put_off for stage in shot.stages.values()):
            return
        for stitch in unfinished(shot, self.tunables.stitch_tries):
            planned = stitch.planned
            key = (planned.batch, planned.shot, planned.stitch_id, planned.version)
            if key not in self._stitching:
                self._stitching.add(key)
                self._out.append(Stitch(job_of(shot, stitch)))

    def _say_when_done(self) -> None:
        """Say so once when nothing is left to do. Not before the slots are known and something was submitted."""
        dispatcher = self.dispatcher
        busy = (
            self._stitching
            or dispatcher.busy()
            or dispatcher.can_go_on()
            or any_left(dispatcher.fleet.put_off.values(), self.tunables)
        )
        if busy:
            self._said_done = False
        if self._said_done or busy or not self.state.batches or not self.dispatcher.fleet.known:
            return
        waiting = tuple(
            stage.ref
            for batch in self.state.batches.values()
            for shot in batch.shots.values()
            for stage in shot.stages.values()
            if chains.waits_for_people(stage)
        )
        self._said_done = True
        self._bill(self.dispatcher.now, last=True)  # the farm may end here
        resting = paused_work(self.state, self.tunables) + following(self.state)
        self._out.append(AllDone(waiting, self.dispatcher.stuck() + resting))

    # ---- questions -------------------------------------------------------------------------------------------------

    def progress(self) -> tuple[ShotProgress, ...]:
        """How far every shot is."""
        return progress_of(self.state, self.tunables)

    def explain(self, batch: str, shot: str, shows: Collection[str] | None = None) -> tuple[str, ...]:
        """Why a shot is where it is, in sentences. ``shows``: whose batches they may name, None: any.

        Raises KeyError for a shot that is not there.
        """
        found = self.state.batches[batch]
        return explain(found, found.shots[shot], self.dispatcher, self.tunables, shows)

    def glance(self, progress: Iterable[ShotProgress]) -> Glance:
        """What a wrangler looks at first, given how far every shot is."""
        return glance_at(self.state, self.dispatcher.fleet, progress)

    def queues(self) -> dict[str, int]:
        """Candidates waiting to be handed out, by model."""
        counts: dict[str, int] = {}
        for pool in self.dispatcher.fleet.pools.values():
            counts[pool.model] = counts.get(pool.model, 0) + pool.queued
        return counts

    def check_invariants(self, *, fleet_only: bool = False) -> None:
        """Raise AssertionError if the state is not as it must be; for tests and simulation."""
        broken = list(broken_invariants(self.state, self.dispatcher, fleet_only=fleet_only))
        if broken:
            raise AssertionError("; ".join(broken))

    _HANDLERS: ClassVar[dict[type, Callable[["Scheduler", Any, float], None]]] = {
        SlotsChanged: _slots_changed,
        HostPlaced: _host_placed,
        NodeLeaving: _node_leaving,
        HostReady: _host_ready,
        HostLost: _host_lost,
        TicketStarted: _ticket_started,
        TicketEnded: _ticket_ended,
        StitchReturned: _stitch_returned,
        Submit: _submit,
        Order: _order,
        ChangeSettings: _change_settings,
        PeopleSeen: _people_seen,
        TellPeople: _tell_people,
        NoticeTried: _notice_tried,
        NodeOrder: _nodes_ordered,
        Tick: _tick,
        StopRequested: _stop,
    }


def folded(events: Iterable[Event], epoch: int = 0) -> Scheduler:
    """A scheduler that knows what the log knows."""
    scheduler = Scheduler(epoch)
    for event in events:
        scheduler.apply(event)
    return scheduler
