"""What is counted while a story goes on: tickets, loads, waste, and when people got what."""

from collections import Counter
from dataclasses import dataclass, field

from ancestra_farm.plan.events import AttemptEnded, CandidateGivenUp, Event, StitchEnded, WaveClosed, WaveReleased
from ancestra_farm.scheduler.state import FarmState

ShotRef = tuple[str, str]
"""(batch, shot)."""


@dataclass(slots=True)
class Tally:
    """Counts and moments of a story; times in seconds since the Unix epoch.

    ``wasted_s``: device-seconds by cause, of generation that nothing came of. ``survivors``: (moment, batch, shot,
    stage, how many more).
    """

    started: int = 0
    dispatched: int = 0
    revoked: int = 0
    loads: int = 0
    stopped: int = 0
    killed: int = 0
    stitches: int = 0
    judged: int = 0
    released: int = 0
    refused: int = 0
    restarts: int = 0
    happenings: int = 0
    wasted_s: dict[str, float] = field(default_factory=dict)
    retries: Counter[str] = field(default_factory=Counter)
    given_up: Counter[str] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    submitted: dict[str, float] = field(default_factory=dict)
    first_start: dict[ShotRef, float] = field(default_factory=dict)
    first_survivor: dict[ShotRef, float] = field(default_factory=dict)
    batch_started: dict[str, float] = field(default_factory=dict)
    batch_ended: dict[str, float] = field(default_factory=dict)
    delivered: dict[ShotRef, float] = field(default_factory=dict)
    survivors: list[tuple[float, str, str, str, int]] = field(default_factory=list)

    def waste(self, why: str, seconds: float) -> None:
        """Device-seconds that nothing came of."""
        if seconds > 0:
            cause = why.replace("_", " ")
            self.wasted_s[cause] = self.wasted_s.get(cause, 0.0) + seconds

    def note(self, event: Event, now: float, state: FarmState) -> None:
        """Count an event that is in the log by now. ``state``: it is folded into that already."""
        batch = getattr(event, "batch", "")
        if batch:
            self.batch_ended[batch] = now
        match event:
            case AttemptEnded(cause="judged"):
                self.judged += 1
            case AttemptEnded(cause=cause, device_s=device_s):
                self.retries[cause] += 1
                self.waste(cause, device_s)
            case WaveReleased():
                self.released += len(range(event.start, event.stop) if event.positions is None else event.positions)
            case WaveClosed(rung="full", survivors=survivors) if survivors:
                branch = state.branch((event.batch, event.branch))
                if branch is not None:
                    shot, stage = branch.opened.shot, branch.opened.stage
                    self.survivors.append((now, batch, shot, stage, len(survivors)))
                    self.first_survivor.setdefault((batch, shot), now)
            case CandidateGivenUp(outcome=outcome):
                self.given_up[outcome] += 1
            case StitchEnded(ok=True):
                self.delivered.setdefault((batch, event.shot), now)
            case _:
                pass
