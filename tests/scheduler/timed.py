"""A world with a clock: hosts of different speeds take as long as candidates take, and messages take a millisecond.

A host begins a ticket only when the scheduler has been told, so one that was revoked by then is never begun: the same
promise that the farm's hosts keep.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ancestra_farm.plan.events import OrderGiven
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.world import (
    AllDone,
    Dispatch,
    HostLost,
    HostReady,
    Instruction,
    KillHost,
    Order,
    Record,
    Revoke,
    SlotsChanged,
    StartHost,
    Stitch,
    StopHost,
    Tick,
    Ticket,
    TicketEnded,
    TicketStarted,
)
from tests.scheduler.world import World

#: Seconds a message takes, either way.
TRIP_S = 0.001


@dataclass(frozen=True)
class Begun:
    """A ticket whose generation began. ``rank``: of its class; ``switched``: another look had to be loaded."""

    at: float
    host: str
    ticket: Ticket
    rank: int
    switched: bool


@dataclass
class Machine:
    """A host: its speed, the tickets it holds, and the one it is at work on."""

    model: str
    speed: float
    ready: bool = False
    tickets: list[Ticket] = field(default_factory=list)
    working: str | None = None
    done: int = 0
    look: str | None = None
    begun_at: float = 0.0


@dataclass
class TimedWorld(World):
    """``speeds``: of hosts, in turn. ``seconds``: of one candidate by model, at speed 1. ``load_s``: of a model.

    ``late``: tickets that began although a higher class waited for that very pool, which must never be.
    """

    fleet_only: bool = True
    speeds: tuple[float, ...] = (1.0,)
    seconds: dict[str, float] = field(default_factory=lambda: {"test/stills": 0.1, "test/clips": 1.0})
    load_s: float = 5.0
    begun: list[Begun] = field(default_factory=list)
    late: list[Begun] = field(default_factory=list)
    busy_s: dict[str, float] = field(default_factory=dict)

    def start(self) -> None:
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.machines: dict[str, Machine] = {}
        self.made = self.sent = 0
        super().start()
        self.after(1.0, self._tick)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self.sent += 1
        heapq.heappush(self.agenda, (self.now + seconds, self.sent, what))

    def tell(self, happening) -> None:
        before, self.now = self.now, self.now - 0.01  # the world without a clock counts happenings
        super().tell(happening)
        self.now = before

    def _tick(self) -> None:
        self.tell(Tick())
        if self.done is None:
            self.after(1.0, self._tick)

    def order_batch(self, batch: str, order: str, **fields) -> None:
        self.tell(Order(OrderGiven(batch, order, "bea", self.now, **fields)))

    def carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Record(event):
                    self.log.append(event)
                case StartHost(host=host, model=model):
                    self.machines[host] = Machine(model, self.speeds[self.made % len(self.speeds)])
                    self.hosts[host] = []
                    self.made += 1
                    self.after(self.load_s, lambda host=host: self._up(host))
                case StopHost(host=host) | KillHost(host=host):
                    self.machines.pop(host, None)
                    self.hosts.pop(host, None)
                case Dispatch(host=host, ticket=ticket):
                    self.dispatched.append(ticket)
                    self.after(TRIP_S, lambda host=host, ticket=ticket: self._arrive(host, ticket))
                case Revoke(host=host, ticket=ticket):
                    self.after(TRIP_S, lambda host=host, ticket=ticket: self._take_back(host, ticket))
                case Stitch():
                    self.after(TRIP_S, lambda stitch=instruction: self._stitched(stitch))
                case AllDone():
                    self.done = instruction

    def _up(self, host: str) -> None:
        if host in self.machines:
            self.machines[host].ready = True
            self.tell(HostReady(host, self.load_s))

    def _arrive(self, host: str, ticket: Ticket) -> None:
        machine = self.machines.get(host)
        if machine is not None:
            machine.tickets.append(ticket)
            self._go_on(host)

    def _go_on(self, host: str) -> None:
        """Begin the next ticket, unless it was taken back."""
        machine = self.machines[host]
        if machine.working is not None or not machine.tickets:
            return
        ticket = machine.tickets[0]
        lease = self.scheduler.dispatcher.lease(host, ticket.ticket)
        if lease is None or lease.revoked:
            return  # it is returned when the word of it arrives
        begun = Begun(self.now, host, ticket, lease.lot.line.rank, machine.look not in (ticket.space.look, None))
        self.begun.append(begun)
        if self._higher_waits(self.scheduler.dispatcher.fleet.hosts[host].pool, begun.rank):
            self.late.append(begun)
        machine.working, machine.look, machine.begun_at = ticket.ticket, ticket.space.look, self.now
        self.tell(TicketStarted(host, ticket.ticket))
        took = len(ticket.positions) * self.seconds[machine.model] / machine.speed
        self.after(took, lambda: self._finish(host, ticket, len(ticket.positions)))

    def _higher_waits(self, pool: Pool, rank: int) -> bool:
        fleet = self.scheduler.dispatcher.fleet
        return any(line.rank < rank and not fleet.at_cap(line, pool) for line in pool.waiting.values())

    def _finish(self, host: str, ticket: Ticket, count: int) -> None:
        machine = self.machines.get(host)
        if machine is None or machine.working != ticket.ticket:
            return
        each = self.seconds[machine.model] / machine.speed
        machine.tickets.remove(ticket)
        machine.working = None
        rows = tuple(
            replace(self._attempt(ticket, position, host), device_s=each) for position in ticket.positions[:count]
        )
        self.busy_s[ticket.batch] = self.busy_s.get(ticket.batch, 0.0) + each * count
        self.after(TRIP_S, lambda: self.tell(TicketEnded(host, ticket.ticket, rows)))
        self._go_on(host)

    def _attempt(self, ticket: Ticket, position: int, host: str):
        candidate_id = ticket.space.id_of(position, ticket.rung)
        number = self.attempts[candidate_id] = self.attempts.get(candidate_id, 0) + 1
        return self.fate.attempt(ticket, position, host, self.now, number, len(ticket.positions))

    def _take_back(self, host: str, name: str) -> None:
        machine = self.machines.get(host)
        ticket = next((held for held in machine.tickets if held.ticket == name), None) if machine else None
        if ticket is None:
            return
        if machine.working == name:
            each = self.seconds[machine.model] / machine.speed
            self._finish(host, ticket, min(len(ticket.positions), int((self.now - machine.begun_at) / each)))
            return
        machine.tickets.remove(ticket)
        self.after(TRIP_S, lambda: self.tell(TicketEnded(host, name, ())))
        self._go_on(host)

    def lose(self, host: str, cause: str) -> None:
        del self.machines[host]
        self.hosts.pop(host)
        self.tell(HostLost(host, cause, f"planted {cause}"))

    def slots_change(self, cpus: int, gpus: int = 0) -> None:
        self.cpus, self.gpus = cpus, gpus
        self.tell(SlotsChanged(cpus, gpus))

    def run_for(self, seconds: float) -> AllDone | None:
        """Let so much time pass, or until everything is done."""
        until = self.now + seconds
        while self.agenda and self.agenda[0][0] <= until and self.done is None:
            self.now, _, what = heapq.heappop(self.agenda)
            what()
        if self.done is None:
            self.now = until
        self.scheduler.check_invariants()
        return self.done

    def run(self, steps: int = 1_000_000) -> AllDone | None:
        """Let everything happen, at most a virtual day."""
        return self.run_for(86_400.0)

    def started_of(self, batch: str, since: float = 0.0) -> list[Begun]:
        return [begun for begun in self.begun if begun.ticket.batch == batch and begun.at >= since]
