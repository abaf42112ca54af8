"""Pools: the hosts of one model and the lines of the batches that need it.

None of this is in the log; it dies with the controller. Here everything is counted in step, so that nothing is ever
counted over a whole farm. Who gets what is decided in `dispatch`, `urgency` and `slots`.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from math import inf

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.scheduler.health import Ward
from ancestra_farm.scheduler.hosts import Host, Lease, Room
from ancestra_farm.scheduler.lines import Line, Lot, count
from ancestra_farm.scheduler.share import RANKS, Clock, settle, turn
from ancestra_farm.scheduler.state import BatchState

#: Seconds a host is thought to take to come up before one has been measured, and for each GiB that its model needs.
LOAD_GUESS_S = 5.0
LOAD_GUESS_S_PER_GIB = 2.0


def load_guess_s(card: ModelCard) -> float:
    """About how long a model takes to load, in seconds: weights of about its VRAM, read at half a GiB a second."""
    return LOAD_GUESS_S + LOAD_GUESS_S_PER_GIB * card.vram_gib


@dataclass(slots=True, eq=False)
class Pool:
    """All that concerns one model, as one digest names it. ``seconds``: measured, per candidate, by what is made.

    ``lines``: by batch; ``waiting``: those with lots; ``hungry``: those with branches that may release. ``room``: hosts
    with nothing, and hosts with one ticket, that may be given another. ``leaving``: hosts that are about to go.
    ``stale``: a batch began or ended to have work here since slots were shared last. ``ward``: its sick hosts.
    ``start_failures``: in a row, the last one ``failed_at``; ``another_try``: long enough ago to try once more;
    ``doubted``: they were so many that it is tried with one host.
    ``sizes``: slots that one host takes, by the bays it can be in, the first to be filled first; ``standing``: hosts
    that are not about to go, by bay. ``needed``: hosts that its work asks for, ``urgent``: that of the highest class;
    ``ample_since``: since when it has more than needed.
    ``warm``: hosts that are to be there ahead of its work, which will be of the class of rank ``warm_rank``
    and begins at ``warm_by``; inf: nobody knows.
    """

    digest: str
    card: ModelCard
    document: str
    lines: dict[str, Line] = field(default_factory=dict)
    waiting: dict[str, Line] = field(default_factory=dict)
    hungry: dict[str, Line] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock.fresh)
    hosts: dict[str, Host] = field(default_factory=dict)
    room: tuple[Room, Room] = field(default_factory=lambda: (Room(), Room()))
    seconds: dict[str, float] = field(default_factory=dict)
    load_s: float = LOAD_GUESS_S
    leaving: int = 0
    stale: bool = False
    ward: Ward = field(default_factory=Ward)
    start_failures: int = 0
    last_failure: str = ""
    failed_at: float = -inf
    another_try: bool = False
    doubted: bool = False
    sizes: dict[str, float] = field(default_factory=dict)
    standing: dict[str, int] = field(default_factory=dict)
    needed: int = 0
    urgent: int = 0
    ample_since: float = inf
    warm: int = 0
    warm_rank: int = len(RANKS)
    warm_by: float = inf

    @property
    def model(self) -> str:
        """The model's id."""
        return self.card.id

    @property
    def on_gpu(self) -> bool:
        """Whether its hosts hold GPU slots rather than CPU slots."""
        return self.card.gpus > 0

    @property
    def slots_each(self) -> float:
        """Slots that one host holds: whole GPUs, a part of one, or CPUs."""
        return self.card.share or self.card.gpus or max(1.0, self.card.cpus)

    @property
    def queued(self) -> int:
        """Candidates that wait to be handed out."""
        return sum(line.queued for line in self.waiting.values())

    @property
    def busy(self) -> bool:
        """Something waits or runs here."""
        return any(line.busy for line in self.lines.values())

    @property
    def staying(self) -> int:
        """Hosts that are not about to go."""
        return len(self.hosts) - self.leaving

    @property
    def bound(self) -> int | None:
        """The most hosts there should be, None: any number. Whether a doubted model loads again, one more says."""
        if not self.doubted:
            return None
        return 1 + sum(host.ready and not host.stopping for host in self.hosts.values())

    def stand(self, host: Host, by: int) -> None:
        """Count a host of ours in, or out, of those that stay in its bay."""
        count(self.standing, host.bay, by)

    @property
    def rank(self) -> int:
        """The rank of the highest class that has work here."""
        return min((line.rank for line in self.lines.values() if line.busy), default=len(RANKS))

    @property
    def rank_ahead(self) -> int:
        """The rank of the highest class that has work here, or soon will."""
        return min(self.rank, self.warm_rank)

    def queued_s(self) -> float:
        """Device-seconds of what waits to be handed out."""
        return sum(
            number * self.seconds_each(kind) for line in self.waiting.values() for kind, number in line.waiting.items()
        )

    def work_s(self, line: Line) -> float:
        """Device-seconds of what waits or runs in a line."""
        return sum(
            number * self.seconds_each(kind)
            for counts in (line.waiting, line.running)
            for kind, number in counts.items()
        )

    def seconds_each(self, kind: str) -> float:
        """Device-seconds of one candidate: measured, or the card's first guess."""
        return self.seconds.get(kind, self.card.seconds_per_candidate)

    def learn(self, kind: str, seconds: float, weight: float) -> None:
        """Take a measured mean into account; the newest counts for ``weight``."""
        before = self.seconds.get(kind)
        self.seconds[kind] = seconds if before is None else before + weight * (seconds - before)

    # ---- lines -----------------------------------------------------------------------------------------------------

    def line(self, batch: BatchState) -> Line:
        """The line of a batch, in its newest revision."""
        line = self.lines.get(batch.name)
        if line is None:
            line = self.lines[batch.name] = Line(batch)
        line.batch, line.cap = batch, batch.plan.batch.max_slots
        return line

    def in_turn(self, lines: dict[str, Line], now: float, ageing_s: float) -> list[Line]:
        """Lines in the order in which they are served."""
        if len(lines) < 2:
            return list(lines.values())
        return sorted(lines.values(), key=lambda line: turn(line.account, line.batch.number, now, ageing_s))

    def enter(self, lot: Lot, now: float) -> None:
        """Put a lot with all its queue into line."""
        self._wait(lot, len(lot.phase.queue), now)

    def withdraw(self, lot: Lot) -> None:
        """Take a lot out of line: what still waits of it is not handed out."""
        if lot.inside:
            self._unwait(lot, len(lot.phase.queue), last=True)
            self.rest(lot.line)

    def unqueue(self, lot: Lot, position: int) -> None:
        """Whatever waits at this position, if it does, is not handed out."""
        queue = lot.phase.queue
        at = bisect_left(queue, position)
        if queue[at : at + 1] != [position]:
            return
        if lot.inside:
            self._unwait(lot, 1, last=len(queue) == 1)
            self.rest(lot.line)
        del queue[at]

    def take(self, lot: Lot, size: int) -> tuple[int, ...]:
        """Take up to ``size`` positions from the front of a lot.

        A position that was in a crashed ticket limits the ticket it is in.
        """
        results = lot.branch.results[lot.rung]
        queue = lot.phase.queue
        number = 0
        for position in queue[:size]:
            result = results.get(position)
            if result is not None and result.limit is not None:
                if number >= result.limit:
                    break
                size = min(size, result.limit)
            if number >= size:
                break
            number += 1
        taken = tuple(queue[:number])
        self._unwait(lot, number, last=number == len(queue))
        del queue[:number]
        return taken

    def _wait(self, lot: Lot, number: int, now: float) -> None:
        if not number:
            return
        line = lot.line
        self.stale |= not line.busy
        self.clock.join(line.account, line.batch.rank, now)
        count(line.waiting, lot.kind, number)
        line.queued += number
        if not lot.inside:
            line.insert(lot)
            self.waiting[line.batch.name] = line

    def _unwait(self, lot: Lot, number: int, *, last: bool) -> None:
        line = lot.line
        count(line.waiting, lot.kind, -number)
        line.queued -= number
        if last:
            line.remove(lot)
            if not line.lots:
                self.waiting.pop(line.batch.name, None)

    def rest(self, line: Line) -> None:
        """Note whether a batch has nothing here any more, once what was taken off a host is back in line."""
        if not line.busy and line.account.active:
            line.account.active = False
            self.stale = True

    # ---- leases ----------------------------------------------------------------------------------------------------

    def lease(self, host: Host, lease: Lease, now: float) -> None:
        """Give a host a ticket, and charge its batch for it."""
        line, ticket = lease.lot.line, lease.ticket.ticket
        weight = line.batch.share_weight
        lease.charged = self.clock.charge(line.account, lease.expected_s * self.slots_each, weight, now)
        line.unstarted[ticket] = (host, lease)
        if host.leases:
            line.behind[ticket] = (host, lease)
        else:
            lease.front_at = now
        host.idle_since = inf
        host.leases.append(lease)
        lease.lot.leases[ticket] = (host, lease)
        line.holders[host.name] = line.holders.get(host.name, 0) + 1
        count(line.running, lease.lot.kind, len(lease.ticket.positions))
        line.going += len(lease.ticket.positions)
        self.look_at(host)

    def start(self, lease: Lease, now: float) -> None:
        """Generation of a ticket began: it cannot be taken back for nothing any more."""
        lease.started_at = now
        lease.lot.line.unstarted.pop(lease.ticket.ticket, None)
        lease.lot.line.behind.pop(lease.ticket.ticket, None)

    def revoke(self, host: Host, lease: Lease) -> None:
        """Note that a ticket is to be returned."""
        line, ticket = lease.lot.line, lease.ticket.ticket
        lease.revoked = True
        if line.unstarted.pop(ticket, None) is not None:
            lease.coming = True
            line.coming += 1
            lease.frees = host.leases[0] is lease
            line.freeing += lease.frees
        line.behind.pop(ticket, None)

    def release(self, host: Host, lease: Lease, cost_s: float, now: float) -> None:
        """Take a ticket off its host; its batch pays what it did cost. `rest` follows."""
        line, ticket = lease.lot.line, lease.ticket.ticket
        settle(line.account, lease.charged, cost_s * self.slots_each, line.batch.share_weight)
        host.leases.remove(lease)
        lease.lot.leases.pop(ticket, None)
        line.unstarted.pop(ticket, None)
        line.behind.pop(ticket, None)
        line.coming -= lease.coming
        line.freeing -= lease.frees
        held = line.holders[host.name] - 1
        if held:
            line.holders[host.name] = held
        else:
            del line.holders[host.name]
            line.mine.pop(host.name, None)
        count(line.running, lease.lot.kind, -len(lease.ticket.positions))
        line.going -= len(lease.ticket.positions)
        for first in host.leases[:1]:
            first.lot.line.behind.pop(first.ticket.ticket, None)
            if first.front_at is None:
                first.front_at = now
        if not host.leases:
            host.idle_since = now
        self.look_at(host)

    def give_back(self, lot: Lot, positions: tuple[int, ...], now: float, *, held: bool) -> None:
        """Put positions that have not ended back into their queue, in index order. ``held``: and leave them there."""
        queue = lot.phase.queue
        back = [position for position in positions if position in lot.phase.open]
        for position in back:
            insort(queue, position)
        if not held:
            self._wait(lot, len(back), now)

    def look_at(self, host: Host) -> None:
        """Note whether the host has room."""
        place = (len(host.leases), host.look) if host.has_room and host.name in self.hosts else None
        if place != host.place:
            if host.place is not None:
                self.room[host.place[0]].remove(host, host.place[1])
            if place is not None:
                self.room[place[0]].add(host)
            host.place = place
        for lease in host.leases:
            mine = lease.lot.line.mine
            if place is not None:
                mine[host.name] = host
            else:
                mine.pop(host.name, None)

    def drop(self, host: Host) -> None:
        """Take a host out of the pool. What it holds is still on it."""
        del self.hosts[host.name]
        self.ward.forget(host.name)
        self.leaving -= host.stopping
        self.look_at(host)
