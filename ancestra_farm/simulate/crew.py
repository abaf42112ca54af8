"""Hosts in virtual time: what the controller's hands do on Ray, done by a clock and by chance.

A host loads its model, generates one ticket after another in the order it was given them, and answers a moment after
each; it holds one that runs, one that waits, and one that is being judged. It generates nothing that was taken back
before. What a host holds dies with it, and the news of its death takes a while.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.plan.events import AttemptEnded, Cause
from ancestra_farm.plan.plan import StagePlan
from ancestra_farm.scheduler.world import (
    Dispatch,
    Happening,
    HostLost,
    HostPlaced,
    HostReady,
    KillHost,
    NodeLeaving,
    Revoke,
    StartHost,
    StopHost,
    Ticket,
    TicketEnded,
    TicketStarted,
)
from ancestra_farm.simulate.chance import Chance, exponential, lognormal
from ancestra_farm.simulate.clock import Clock
from ancestra_farm.simulate.courses import CAUSES, Course, Courses, unstored
from ancestra_farm.simulate.fates import Fates
from ancestra_farm.simulate.machines import Machines, Node
from ancestra_farm.simulate.meters import Meters, State
from ancestra_farm.simulate.scenario import Scenario
from ancestra_farm.simulate.shelves import Shelves
from ancestra_farm.simulate.tally import Tally

#: Seconds of a message between controller and host: a round trip costs ~1.5 ms.
MESSAGE_S = 0.001
#: Seconds until a call to a dead process fails, as measured with Ray.
DEATH_KNOWN_S = 2.0
#: Seconds to load a model that says nothing of it: weights of a model on a device, none of one that only computes.
LOAD_GPU_S, LOAD_CPU_S = 45.0, 3.0


@dataclass(slots=True, eq=False)
class VirtualHost:
    """One host. ``state``: what its slots do, None before it is placed. ``queue``: tickets not begun."""

    name: str
    card: ModelCard
    on_gpu: bool
    slots: float
    slow: float
    sick: bool
    node: Node | None = None
    state: State | None = None
    alive: bool = True
    queue: deque[Ticket] = field(default_factory=deque)
    course: Course | None = None
    held: dict[str, Ticket] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)

    @property
    def factor(self) -> float:
        """Seconds of a candidate here, as a multiple."""
        return self.slow * (1.0 if self.node is None else self.node.factor)


class VirtualCrew:
    """The hands of one controller; the next one has its own. ``tell``: how happenings reach the scheduler.

    ``stage_of``: the plan of the stage a ticket is of.
    """

    def __init__(
        self,
        scenario: Scenario,
        clock: Clock,
        machines: Machines,
        meters: Meters,
        fates: Fates,
        tally: Tally,
        tries: dict[str, int],
        shelves: Shelves,
        tell: Callable[[Happening], None],
        stage_of: Callable[[Ticket], StagePlan],
    ) -> None:
        self._scenario = scenario
        self._faults = scenario.faults
        self._clock = clock
        self._machines = machines
        self._meters = meters
        self._courses = Courses(scenario, fates, tries, stage_of)
        self._tally = tally
        self._shelves = shelves
        self._tell_farm = tell
        self._chance = Chance(scenario.seed, "hosts")
        self._tickets_chance = Chance(scenario.seed, "tickets")
        self._cards: dict[str, ModelCard] = {}
        self._open = True
        self._pending: dict[str, VirtualHost] = {}
        self.hosts: dict[str, VirtualHost] = {}

    def _tell(self, happening: Happening) -> None:
        if self._open:
            self._tell_farm(happening)

    def close(self) -> None:
        """The controller is gone, and with it every host and stitch."""
        for host in list(self.hosts.values()):
            self._end(host, "controller lost")
        self._open = False

    def longest_deadline_s(self) -> float:
        """Seconds after which some ticket that is out is overdue at the latest."""
        return max((t.deadline_s for host in self.hosts.values() for t in host.held.values()), default=0.0)

    # ---- instructions ----------------------------------------------------------------------------------------------

    def start(self, order: StartHost) -> None:
        """Bring a host up, as soon as some node has room for it."""
        card = self._cards.get(order.card)
        if card is None:
            card = self._cards[order.card] = ModelCard.model_validate_json(order.card)
        numbers = self._chance.several(order.host)
        host = VirtualHost(
            name=order.host,
            card=card,
            on_gpu=order.gpus > 0,
            slots=order.gpus if order.gpus else max(1.0, order.cpus),
            slow=self._faults.slow_factor if numbers[0] < self._faults.slow_hosts else 1.0,
            sick=numbers[1] < self._faults.sick_hosts,
        )
        self.hosts[host.name] = host
        self._tally.loads += 1
        if not self._place(host):
            self._pending[host.name] = host

    def place_pending(self) -> None:
        """Machines came or hosts went: look again."""
        too_large: set[tuple[bool, float]] = set()
        for host in list(self._pending.values()):
            size = (host.on_gpu, host.slots)
            if size not in too_large and self._place(host):
                del self._pending[host.name]
            else:
                too_large.add(size)

    def stop(self, order: StopHost) -> None:
        """Let a host go that holds nothing."""
        host = self.hosts.get(order.host)
        if host is not None:
            self._end(host, "let go")

    def kill(self, order: KillHost) -> None:
        """End a host now."""
        host = self.hosts.get(order.host)
        if host is not None:
            generating = host.course.ticket.ticket if host.course else None
            self._end(host, "deadline")
            lost = HostLost(order.host, "deadline", order.why, generating)
            self._clock.after(MESSAGE_S, lambda: self._tell(lost))

    def dispatch(self, order: Dispatch) -> None:
        """Send a ticket to a host."""
        host = self.hosts.get(order.host)
        if host is not None:
            host.held[order.ticket.ticket] = order.ticket
            self._clock.after(MESSAGE_S, lambda: self._arrived(host, order.ticket))

    def revoke(self, order: Revoke) -> None:
        """Take a ticket back: at once it can no longer begin; one that runs stops a step later."""
        host = self.hosts.get(order.host)
        if host is not None and order.ticket in host.held:
            host.revoked.add(order.ticket)
            self._clock.after(MESSAGE_S, lambda: self._taken_back(host, order.ticket))

    # ---- a host's life ---------------------------------------------------------------------------------------------

    def _place(self, host: VirtualHost) -> bool:
        node = self._machines.place(host.name, host.on_gpu, host.slots)
        if node is None:
            return False
        host.node = node
        self._switch(host, "loading")
        placed = HostPlaced(host.name, node.id)
        self._clock.after(MESSAGE_S, lambda: self._tell(placed))
        numbers = self._chance.several(host.name, "load")
        guess = LOAD_GPU_S if host.on_gpu else LOAD_CPU_S
        mean = self._scenario.load_s.get(host.card.id, guess)
        load_s = mean * lognormal(numbers[0], numbers[1], self._scenario.spread)
        if numbers[2] < self._faults.failed_starts:
            self._clock.after(load_s * numbers[3], lambda: self._failed_start(host))
        else:
            self._clock.after(load_s, lambda: self._loaded(host, load_s))
        return True

    def _failed_start(self, host: VirtualHost) -> None:
        if host.alive:
            self._end(host, "failed start", keep=True)
            self._news(host, "crash", f"{host.card.id} did not come up", None, MESSAGE_S)

    def _loaded(self, host: VirtualHost, load_s: float) -> None:
        if not host.alive:
            return
        self._switch(host, "waiting")
        if self._faults.host_losses_per_hour:
            seconds = exponential(self._chance.of(host.name, "end"), self._faults.host_losses_per_hour)
            self._clock.after(seconds, lambda: self.lose(host, "host_lost", "the host is gone"), background=True)
        self._tell(HostReady(host.name, load_s))

    def lose(self, host: VirtualHost, cause: Cause, message: str, known_s: float = DEATH_KNOWN_S) -> None:
        """A host is gone; the news takes ``known_s`` seconds."""
        if host.alive:
            generating = host.course.ticket.ticket if host.course else None
            self._end(host, cause, keep=True)
            self._news(host, cause, message, generating, known_s)

    def lose_node(self, names: list[str], message: str) -> None:
        """A node is gone, with these hosts."""
        for name in names:
            host = self.hosts.get(name)
            if host is not None:
                self.lose(host, "host_lost", message)

    def node_leaves(self, node: Node, at: float) -> None:
        """A node will be gone at virtual second ``at``."""
        self._tell(NodeLeaving(node.id, at, "a notice of the simulation"))

    def _news(self, host: VirtualHost, cause: Cause, message: str, generating: str | None, known_s: float) -> None:
        def known() -> None:
            if self.hosts.get(host.name) is host:
                del self.hosts[host.name]
                self._tell(HostLost(host.name, cause, message, generating))

        self._clock.after(known_s, known)

    def _end(self, host: VirtualHost, why: str, *, keep: bool = False) -> None:
        """A host ends: its slots are free. ``keep``: the controller thinks that it is still there."""
        if not keep:
            self.hosts.pop(host.name, None)
            self._pending.pop(host.name, None)
        if not host.alive:
            return
        host.alive = False
        if host.course is not None:
            self._tally.waste(why, self._clock.now - host.course.began)
            host.course = None
        if host.node is not None:
            self._switch(host, None)
            self._machines.remove(host.name, host.node, host.on_gpu, host.slots, self._clock.now)
            if self._pending and self._open:
                self._clock.after(MESSAGE_S, self.place_pending)

    def _switch(self, host: VirtualHost, state: State | None) -> None:
        if state != host.state:
            self._meters.switch(self._clock.now, host.card.id, host.slots, host.state, state)
            host.state = state

    # ---- tickets ---------------------------------------------------------------------------------------------------

    def _arrived(self, host: VirtualHost, ticket: Ticket) -> None:
        if host.alive:
            host.queue.append(ticket)
            self._next(host)

    def _next(self, host: VirtualHost) -> None:
        """Begin the next ticket, if the device is free and one waits that was not taken back."""
        if host.course is not None:
            return
        while host.queue:
            ticket = host.queue.popleft()
            if ticket.ticket not in host.revoked:
                self._begin(host, ticket)
                return
            self._answer(host, ticket.ticket, (), MESSAGE_S)
        self._switch(host, "waiting")

    def _begin(self, host: VirtualHost, ticket: Ticket) -> None:
        course = host.course = self._courses.of(host, ticket, self._clock.now)
        self._switch(host, "busy")
        self._tally.started += 1
        self._tell(TicketStarted(host.name, ticket.ticket))
        if not course.hangs:
            self._clock.after(course.ends_s, lambda: self._generated(host, course))

    def _generated(self, host: VirtualHost, course: Course) -> None:
        if not host.alive or host.course is not course:
            return
        if course.dies is not None:
            self.lose(host, CAUSES[course.dies], f"simulated {course.dies}")
            return
        host.course = None
        first, late, *_ = self._tickets_chance.several(course.ticket.ticket)
        attempts = tuple(attempt for _, attempt in course.made)
        if first < self._faults.dropped_replies:
            self._tally.waste("dropped reply", course.ends_s)
        elif late < self._faults.late_replies:
            self._tally.waste("late reply", course.ends_s)
            self.lose(host, "host_lost", "no answer", MESSAGE_S)
            ended = TicketEnded(host.name, course.ticket.ticket, attempts)
            self._clock.after(self._faults.late_s, lambda: self._tell(ended))
            return
        else:
            judge_s = self._scenario.judge_s * (0.5 + late)
            refused = any(attempt.media for attempt in attempts) and not self._shelves.take(self._clock.now)
            self._answer(host, course.ticket.ticket, tuple(map(unstored, attempts)) if refused else attempts, judge_s)
        self._next(host)

    def _taken_back(self, host: VirtualHost, ticket: str) -> None:
        """Answer a revoke, unless the answer is on its way already."""
        if not host.alive:
            return
        course = host.course
        if course is not None and course.ticket.ticket == ticket:
            made = course.until(self._clock.now)
            host.course = None
            used = sum(attempt.device_s for attempt in made)
            self._tally.waste("taken back", self._clock.now - course.began - used)
            self._answer(host, ticket, made, MESSAGE_S)
            self._next(host)
        elif any(waiting.ticket == ticket for waiting in host.queue):
            host.queue = deque(waiting for waiting in host.queue if waiting.ticket != ticket)
            self._answer(host, ticket, (), MESSAGE_S)

    def _answer(self, host: VirtualHost, ticket: str, attempts: tuple[AttemptEnded, ...], after_s: float) -> None:
        self._clock.after(after_s, lambda: self._reply(host, ticket, attempts))

    def _reply(self, host: VirtualHost, ticket: str, attempts: tuple[AttemptEnded, ...]) -> None:
        if host.alive and host.held.pop(ticket, None) is not None:
            host.revoked.discard(ticket)
            self._tell(TicketEnded(host.name, ticket, attempts))
