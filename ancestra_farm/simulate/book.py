"""The book: an account of what was decided and begun, kept beside the scheduler and from its words alone.

Where the scheduler says something that the book cannot square with what it said before, or begins what must not begin,
`LawBroken` is raised. The laws: nobody works on what another works on; every released candidate ends exactly once;
nothing of a lower class starts on a host that could take waiting work of a higher one; nothing paused starts; nothing
is released for a budget that is spent; nothing is handed out and taken back without end.
"""

from dataclasses import dataclass, field

from ancestra_farm.batch.schema import PRIORITIES
from ancestra_farm.plan.events import (
    AttemptEnded,
    CandidateGivenUp,
    Event,
    VerdictsVoided,
    WaveClosed,
    WaveReleased,
)
from ancestra_farm.plan.recipe import Rung
from ancestra_farm.scheduler.phases import Phase
from ancestra_farm.scheduler.state import BatchState, FarmState
from ancestra_farm.scheduler.world import Ticket

WaveRef = tuple[str, str, int, Rung]
"""(batch, branch, wave, rung)."""
Line = tuple[str, str, Rung]
"""(batch, branch, rung): where a position is made."""


#: A ticket is handed out and taken back so often at most before it begins: more is two decisions that undo each other.
MOST_TAKEN_BACK = 50


class LawBroken(Exception):
    """The scheduler did what it must never do."""


@dataclass(slots=True)
class OpenWave:
    """A wave as the book has it. ``left``: positions without an end; ``spent_s``: device-seconds by judged position.

    ``phase``: as the scheduler has it; None where the call that released it closed it too, since all of it was known.
    """

    left: set[int]
    phase: Phase | None
    model: str
    spent_s: dict[int, float] = field(default_factory=dict)


class Book:
    """The account of one story. `restart` when the controller is replaced: what was held is held no more."""

    def __init__(self) -> None:
        self.waves: dict[WaveRef, OpenWave] = {}
        self._by_line: dict[Line, dict[int, OpenWave]] = {}
        self._held: dict[str, Ticket] = {}
        self._by_host: dict[str, set[str]] = {}
        self._holders: dict[tuple[Line, int], str] = {}
        self._taken_back: dict[tuple[str, int], int] = {}
        #: hosts that all was taken back from, with their model: free as soon as they say so
        self._freed: dict[str, str] = {}
        #: branches that newer ones took the place of in the very call that released a wave of theirs
        self._gone: set[tuple[str, str]] = set()
        self.skipped_s = 0.0

    # ---- what is recorded ------------------------------------------------------------------------------------------

    def recorded(self, event: Event, state: FarmState) -> None:
        """Enter an event; ``state`` has it folded already, and all that was decided in the same call."""
        match event:
            case WaveReleased():
                self._released(event, state)
            case AttemptEnded():
                self._attempt(event)
            case CandidateGivenUp() if (event.batch, event.branch) not in self._gone:
                self._end((event.batch, event.branch, event.rung), event.position, "given up")
            case VerdictsVoided():
                self._voided(event)
            case WaveClosed():
                self._closed(event)
            case _:
                pass

    def _released(self, event: WaveReleased, state: FarmState) -> None:
        branch = state.branch((event.batch, event.branch))
        if branch is None:
            self._gone.add((event.batch, event.branch))
            return
        positions = set(range(event.start, event.stop) if event.positions is None else event.positions)
        phase = branch.phases.get((event.wave, event.rung))
        left = set() if phase is None else positions & phase.open
        # Given up in this very call, for what they did before they were skipped, or for a budget: told next.
        results, spent = branch.results[event.rung], branch.stage.batch.spent_out
        known = [(p, result) for p in positions if (result := results.look(p)) is not None]
        left |= {p for p, one in known if one.given_up is not None or (spent and one.outcome == "skipped")}
        first = event.rung == "draft" or branch.stage.plan.spec.draft is None
        if first and not event.again and branch.stage.batch.spent_out:
            raise LawBroken(
                f"wave {event.wave} of {event.branch} is released, and the budget of {event.batch} is spent"
            )
        ref = (event.batch, event.branch, event.wave, event.rung)
        if ref in self.waves:
            raise LawBroken(f"wave {ref} was released twice")
        line = (event.batch, event.branch, event.rung)
        for other in self._by_line.get(line, {}).values():
            if again := other.left & left:
                raise LawBroken(f"{line}: {sorted(again)[:3]} are in two open waves")
        wave = OpenWave(left, phase, branch.stage.plan.card.id)
        self.waves[ref] = wave
        self._by_line.setdefault(line, {})[event.wave] = wave

    def _attempt(self, event: AttemptEnded) -> None:
        if event.cause == "judged":
            wave = self._end((event.batch, event.branch, event.rung), event.position, "judged")
            wave.spent_s[event.position] = event.device_s

    def _end(self, line: Line, position: int, how: str) -> OpenWave:
        for wave in self._by_line.get(line, {}).values():
            if position in wave.left:
                wave.left.discard(position)
                return wave
        raise LawBroken(f"{line}[{position}] is {how}, and had no wave open: it ended before, or was never released")

    def _voided(self, event: VerdictsVoided) -> None:
        for position in event.positions:
            waves = self._by_line.get((event.batch, event.branch, event.rung), {}).values()
            wave = next((wave for wave in waves if position in wave.spent_s), None)
            if wave is None:
                raise LawBroken(f"{event.branch}[{position}]: a verdict is voided that no open wave has")
            wave.left.add(position)
            wave.spent_s.pop(position)

    def _closed(self, event: WaveClosed) -> None:
        ref = (event.batch, event.branch, event.wave, event.rung)
        wave = self.waves.pop(ref, None)
        if wave is None and ref[:2] in self._gone:
            return
        if wave is None:
            raise LawBroken(f"wave {ref} is closed and was not open")
        line = self._by_line[event.batch, event.branch, event.rung]
        del line[event.wave]
        skipped = set(event.skipped)
        if lost := wave.left - skipped:
            raise LawBroken(f"wave {ref} is closed, and {sorted(lost)[:3]} have no end")
        self.skipped_s += sum(seconds for position, seconds in wave.spent_s.items() if position in skipped)

    # ---- who works on what -----------------------------------------------------------------------------------------

    def dispatched(self, host: str, ticket: Ticket) -> None:
        """A ticket is handed to a host."""
        line = (ticket.batch, ticket.branch, ticket.rung)
        for position in ticket.positions:
            other = self._holders.get((line, position))
            if other is not None:
                raise LawBroken(f"{line}[{position}] is handed to {host}, and {other} has it")
            self._holders[line, position] = host
        self._held[ticket.ticket] = ticket
        self._by_host.setdefault(host, set()).add(ticket.ticket)
        self._freed.pop(host, None)

    def ended(self, host: str, ticket: str) -> None:
        """A ticket is with its host no more."""
        mine = self._by_host.get(host, set())
        if ticket in mine:
            mine.discard(ticket)
            held = self._held.pop(ticket)
            line = (held.batch, held.branch, held.rung)
            for position in held.positions:
                self._holders.pop((line, position), None)

    def taken_back(self, host: str, ticket: str) -> None:
        """A ticket is taken back: it begins no more, and what runs of it stops."""
        held = self._held.get(ticket)
        if held is not None:
            candidate = (held.branch, held.positions[0])
            count = self._taken_back[candidate] = self._taken_back.get(candidate, 0) + 1
            if count > MOST_TAKEN_BACK:
                raise LawBroken(f"{candidate} was handed out and taken back {count} times before it could begin")
        self.ended(host, ticket)
        if held is not None and not self._by_host.get(host):
            self._freed[host] = held.space.model

    def lost(self, host: str) -> None:
        """A host is gone, with all it held."""
        for ticket in list(self._by_host.get(host, ())):
            self.ended(host, ticket)
        self._by_host.pop(host, None)
        self._freed.pop(host, None)

    def restart(self, state: FarmState) -> None:
        """Another controller took over: hosts are gone, and phases are another scheduler's."""
        self._held.clear()
        self._by_host.clear()
        self._freed.clear()
        self._holders.clear()
        for (batch, branch, number, rung), wave in self.waves.items():
            found = state.branch((batch, branch))
            wave.phase = None if found is None else found.phases.get((number, rung))

    def started(self, ticket: Ticket, model: str, state: FarmState) -> None:
        """A host begins to generate a ticket."""
        self._taken_back.pop((ticket.branch, ticket.positions[0]), None)
        batch = state.batches.get(ticket.batch)
        if batch is None:
            return
        branch = batch.branches.get(ticket.branch)
        if branch is not None and branch.stage.held:
            raise LawBroken(f"{ticket.ticket} of {ticket.branch} starts, and that is paused")
        higher = _above(batch, state)
        if not higher:
            return
        waits = [
            (name, key, len(wave.phase.queue))
            for (name, key, _, _), wave in self.waves.items()
            if name in higher and wave.model == model and wave.phase is not None and wave.phase.queue
            if (found := state.batches[name].branches.get(key)) is not None and not found.stage.held
        ]
        # A host for each candidate that waits is being freed: no other is needed for them.
        if sum(number for _, _, number in waits) > sum(freed == model for freed in self._freed.values()):
            name, key, _ = waits[0]
            raise LawBroken(
                f"{ticket.ticket} of {batch.name} ({batch.priority}) starts on {model}, and {key} of "
                f"{name} ({state.batches[name].priority}) waits for it"
            )

    # ---- questions -------------------------------------------------------------------------------------------------

    def waiting(self, state: FarmState) -> dict[str, int]:
        """Candidates that wait in no ticket, by class."""
        counts = dict.fromkeys(PRIORITIES, 0)
        for ref, wave in self.waves.items():
            if wave.phase is not None and ref[0] in state.batches:
                counts[state.batches[ref[0]].priority] += len(wave.phase.queue)
        return {str(name): count for name, count in counts.items()}

    def unended(self) -> list[str]:
        """Released candidates that have no end, as far as the book goes; a few, as text."""
        return [f"{ref[1]} wave {ref[2]} ({ref[3]}): {len(wave.left)}" for ref, wave in self.waves.items()][:5]


def _above(batch: BatchState, state: FarmState) -> set[str]:
    """Batches of a higher class that may use any slot there is.

    One with a cap may have to wait for its own, and one with a budget in device-hours for what it has under way.
    """
    mine = PRIORITIES.index(batch.priority)
    return {
        other.name
        for other in state.batches.values()
        if PRIORITIES.index(other.priority) < mine and other.plan.batch.max_slots is None and other.budget_s is None
    }
