"""What comes back: tickets with what became of them, and hosts that are gone with what they held.

What an attempt counts for is decided here: whether its host is believed, whether it comes too late, and who is given up
by it. Which cause is laid to whom is decided in `failures`, what a verdict changes in `outcomes`, who is sick in
`health`.
"""

from collections.abc import Callable, Iterable

from ancestra_farm.plan.events import AttemptEnded, CandidateGivenUp, Cause, VerdictsVoided
from ancestra_farm.plan.farm_events import HostChange, HostNoted
from ancestra_farm.scheduler.agenda import Agenda
from ancestra_farm.scheduler.dispatch import Dispatcher
from ancestra_farm.scheduler.failures import disbelieved, excused, still_counts, taken_back, verdict_on
from ancestra_farm.scheduler.hosts import Host, Lease
from ancestra_farm.scheduler.lines import Lot
from ancestra_farm.scheduler.outcomes import phase_of, still_rests_on
from ancestra_farm.scheduler.state import Branch, FarmState
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.waves import Emit
from ancestra_farm.scheduler.world import Instruction, TicketEnded


class Returns:
    """Takes in what comes back. ``record``: fold and log an event; ``emit``: act on it as well; ``do``: order."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        agenda: Agenda,
        tunables: Tunables,
        record: Emit,
        emit: Emit,
        do: Callable[[Iterable[Instruction]], None],
    ) -> None:
        self._dispatcher = dispatcher
        self._agenda = agenda
        self._tunables = tunables
        self._record = record
        self._emit = emit
        self._do = do
        self._lost_nodes: set[str] = set()

    def note(self, host: Host, what: HostChange, message: str, now: float, node: str = "") -> None:
        """Write down what became of a host. ``node``: the machine that is gone with it, if that is news."""
        node_type = self._dispatcher.fleet.type_of(host)
        self._emit(HostNoted(host.pool.model, host.name, what, message, now, node_type, node))

    def ticket(self, state: FarmState, happening: TicketEnded, now: float) -> None:
        """A ticket came back."""
        if happening.timing is not None:
            self._emit(happening.timing)
        lease = self._dispatcher.end_lease(happening.host, happening.ticket, happening.attempts)
        if lease is None:
            self._note_late(happening, now)
            return
        host = self._dispatcher.fleet.hosts[happening.host]
        believe = disbelieved if host.sick else excused if host.departing else None
        self._attempts(state, lease.lot, map(believe, happening.attempts) if believe else happening.attempts, now)
        self._give_back(lease)
        self._do(self._dispatcher.store_waits.heed(host, happening.attempts, now))
        if believe is None:
            sick = self._dispatcher.returned(host.name, lease, happening.attempts)
            if sick is not None:
                self._drain(host, sick, now)

    def _note_late(self, happening: TicketEnded, now: float) -> None:
        """The ticket was taken back and given to somebody else: whatever this host did no longer counts."""
        if happening.attempts:
            pool = happening.timing.pool if happening.timing is not None else ""
            what = f"ticket {happening.ticket} came back after it was given to others; its rows count for nothing"
            self._emit(HostNoted(pool, happening.host, "lost", what, now))

    def _drain(self, host: Host, why: str, now: float) -> None:
        """A sick host goes, and what it did in waves that are not decided is done again elsewhere."""
        self.note(host, "drained", why, now)
        revokes, done = self._dispatcher.drain(host)
        self._do(revokes)
        for lot, returned in done:
            batch, branch = lot.branch.ref
            positions = still_rests_on(lot.branch, lot.phase, returned)
            if not positions:
                continue
            self._emit(VerdictsVoided(batch, branch, lot.rung, positions, host.name, why, now))
            self._dispatcher.again(lot, positions)

    def _attempts(self, state: FarmState, lot: Lot, attempts: Iterable[AttemptEnded], now: float) -> None:
        batch = state.batches.get(lot.line.batch.name)
        had_budget = batch is not None and not batch.spent_out
        had_money = batch is not None and not batch.broke
        for attempt in attempts:
            if attempt.position not in lot.phase.open:
                self._late(state, lot.branch, attempt, now)
            elif attempt.cause == "judged":
                self._record(attempt)
            else:
                self._failed(lot.branch, attempt, now)
        if batch is not None and had_budget and batch.spent_out:
            self._agenda.batch(batch)
        if batch is not None and had_money and batch.broke:
            self._agenda.show(state.batches, batch.show)

    def _give_back(self, lease: Lease) -> None:
        lot = lease.lot
        self._dispatcher.give_back(lease)
        # Else nothing can be decided about its stage that could not be before.
        if not lot.phase.open or lot.line.batch.spent_out:
            self._agenda.stages((lot.branch.stage.ref,))

    def lost(self, state: FarmState, name: str, cause: Cause, message: str, generating: str | None, now: float) -> None:
        """Requeue what a lost host held. Only the ticket it was generating says anything about its candidates."""
        lost = self._dispatcher.lose_host(name, message, charged=cause != "host_lost")
        if lost is None:
            return
        host, leases = lost
        if host.departing:
            cause = "host_lost"
        what: HostChange = "killed" if cause == "deadline" else "lost"
        node = self._lost_with(host) if cause == "host_lost" else ""
        self.note(host, what if host.ready or cause == "host_lost" else "failed_to_start", message, now, node)
        started = [lease for lease in leases if lease.started_at is not None]
        if generating is None and started:
            generating = max(started, key=lambda lease: lease.started_at or 0.0).ticket.ticket
        for lease in leases:
            if lease.ticket.ticket == generating:
                fates = taken_back(lease, cause, message, host.name, now)
                self._attempts(state, lease.lot, map(disbelieved, fates) if host.sick or host.departing else fates, now)
            self._give_back(lease)

    def _lost_with(self, host: Host) -> str:
        """The machine that is gone with a host; empty where that was known: by a notice, or by another host of it."""
        if host.node is None or host.departing or host.node in self._lost_nodes:
            return ""
        self._lost_nodes.add(host.node)
        return host.node

    def _late(self, state: FarmState, branch: Branch, attempt: AttemptEnded, now: float) -> None:
        """Past a stop, or of a branch that a newer revision or round did away with: its wave is closed."""
        if state.branch(branch.ref) is not branch or not still_counts(branch, attempt):
            self._record(disbelieved(attempt))
        elif phase_of(branch, attempt.position, attempt.rung) is None:
            self._record(attempt)
        else:
            self._failed(branch, attempt, now)  # released once more since

    def _failed(self, branch: Branch, attempt: AttemptEnded, now: float) -> None:
        result = branch.result(attempt.position, attempt.rung)
        before = result.cause
        self._record(attempt)
        given_up = verdict_on(result, attempt, before, self._tunables)
        if given_up is not None:
            outcome, reason = given_up
            self._emit(
                CandidateGivenUp(attempt.batch, attempt.branch, attempt.position, attempt.rung, outcome, reason, now)
            )
