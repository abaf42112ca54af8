"""A store as a reader sees it: its log folded, whether or not somebody is at work there. Writes nothing.

What is kept beside the scheduler's state is what its questions do not answer: submissions, stitches that ended, and
when things happened, for rates.
"""

from collections import deque
from dataclasses import dataclass, field

from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import Tail
from ancestra_farm.plan.events import AttemptEnded, BatchSubmitted, Event, StitchEnded
from ancestra_farm.plan.plan import Plan
from ancestra_farm.scheduler import Scheduler, ShotProgress

#: How far back a rate looks, in seconds: long enough to smooth over waves, short enough to follow a change.
RATE_WINDOW_S = 60.0


@dataclass(slots=True)
class Reading:
    """One opened store. ``stitches``: the last end of each (batch, shot, version)."""

    store: Store
    tail: Tail
    scheduler: Scheduler
    submissions: dict[str, BatchSubmitted] = field(default_factory=dict)
    stitches: dict[tuple[str, str, str], StitchEnded] = field(default_factory=dict)
    last_at: float = 0.0
    device_s: float = 0.0
    _recent: deque[tuple[float, int]] = field(default_factory=deque)
    _plans: dict[str, Plan] = field(default_factory=dict)

    @classmethod
    def open(cls, url: str) -> "Reading":
        """Open and fold a store. Raises StoreMissing, StoreRefused, LogDamaged."""
        store = Store.open(url)
        reading = cls(store, Tail(store), Scheduler(epoch=0))
        reading.follow()
        return reading

    def follow(self) -> int:
        """Fold what was committed since; how many events that were."""
        count = 0
        for commit in self.tail.poll():
            self.last_at = max(self.last_at, commit.at)
            judged = 0
            for event in commit.events:
                self.scheduler.apply(event)
                self._note(event)
                judged += isinstance(event, AttemptEnded) and event.cause == "judged"
                count += 1
            if judged:
                self._recent.append((commit.at, judged))
        while self._recent and self._recent[0][0] < self.last_at - RATE_WINDOW_S:
            self._recent.popleft()
        return count

    def _note(self, event: Event) -> None:
        if isinstance(event, BatchSubmitted):
            self.submissions[event.batch] = event
            self._plans.pop(event.batch, None)
        elif isinstance(event, StitchEnded):
            self.stitches[event.batch, event.shot, event.version] = event
        elif isinstance(event, AttemptEnded):
            self.device_s += event.device_s

    def rate(self, now: float) -> float:
        """Judged candidates per second over the last `RATE_WINDOW_S`, or since the first of them if that is shorter."""
        recent = [(at, count) for at, count in self._recent if at >= now - RATE_WINDOW_S]
        if len(recent) < 2:
            return 0.0
        span = max(now - recent[0][0], 1.0)
        return sum(count for _, count in recent[1:]) / span

    def plan(self, batch: str) -> Plan:
        """The plan of a batch as it was last submitted."""
        if batch not in self._plans:
            submitted = self.submissions[batch]
            self._plans[batch] = Plan.from_documents(submitted.document, submitted.cards)
        return self._plans[batch]

    def progress(self, batch: str | None = None, shot: str | None = None) -> tuple[ShotProgress, ...]:
        """Every shot, or those of one batch or name. Raises `CommandFailed` where the batch or shot is not there."""
        if batch is not None and batch not in self.submissions:
            raise CommandFailed(
                f"there is no batch {batch} in {self.store.url}{_listed('; there is', self.submissions)}"
            )
        found = tuple(
            one
            for one in self.scheduler.progress()
            if (batch is None or one.batch == batch) and (shot is None or one.shot == shot)
        )
        if shot is not None and not found:
            names = sorted({one.shot for one in self.scheduler.progress() if batch is None or one.batch == batch})
            raise CommandFailed(f"there is no shot {shot} in {batch or self.store.url}{_listed('; there is', names)}")
        return found

    def one_shot(self, shot: str, batch: str | None = None) -> ShotProgress:
        """The one shot of this name. Raises `CommandFailed` where it is not there, or there in several batches."""
        found = self.progress(batch, shot)
        if len(found) > 1:
            raise CommandFailed(
                f"{shot} is in the batches {', '.join(one.batch for one in found)}: say which with --batch"
            )
        return found[0]


def _listed(begin: str, names: object, most: int = 8) -> str:
    known = [str(name) for name in names] if isinstance(names, dict | list) else []
    if not known:
        return ""
    return f"{begin} {', '.join(known[:most])}" + (f" and {len(known) - most:,} more" if len(known) > most else "")


def submitted_plan(url: str, batch: str) -> Plan | None:
    """The plan of a batch as it stands in a store; None where there is no such batch, or no store yet."""
    from ancestra_farm.ledger.errors import StoreMissing

    try:
        store = Store.open(url)
    except StoreMissing:
        return None
    submitted: BatchSubmitted | None = None
    for commit in Tail(store).poll():
        for event in commit.events:
            if isinstance(event, BatchSubmitted) and event.batch == batch:
                submitted = event
    return None if submitted is None else Plan.from_documents(submitted.document, submitted.cards)
