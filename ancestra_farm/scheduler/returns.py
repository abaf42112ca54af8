"""What comes of attempts that ended: what counts, what comes too late to, and who is given up by it.

Which cause is laid to whom is decided in `failures`; what a verdict changes, in `outcomes`. Nothing here knows hosts.
"""

from collections.abc import Iterable

from ancestra_farm.plan.events import AttemptEnded, CandidateGivenUp
from ancestra_farm.scheduler.failures import disbelieved, still_counts, verdict_on
from ancestra_farm.scheduler.lines import Lot
from ancestra_farm.scheduler.outcomes import phase_of
from ancestra_farm.scheduler.state import Branch, FarmState
from ancestra_farm.scheduler.tunables import Tunables
from ancestra_farm.scheduler.waves import Emit


class Returns:
    """Records attempts and what follows from them. ``record``: only fold and log; ``emit``: act on it as well."""

    def __init__(self, tunables: Tunables, record: Emit, emit: Emit) -> None:
        self._tunables = tunables
        self._record = record
        self._emit = emit

    def take_in(self, state: FarmState, lot: Lot, attempts: Iterable[AttemptEnded], now: float) -> None:
        """Attempts at candidates of a lot ended."""
        for attempt in attempts:
            if attempt.position not in lot.phase.open:
                self._late(state, lot.branch, attempt, now)
            elif attempt.cause == "judged":
                self._record(attempt)
            else:
                self._failed(lot.branch, attempt, now)

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
