"""A store as a reader sees it, whether or not somebody is at work there: what `Standing` folds, and questions about it.

Writes nothing.
"""

from dataclasses import dataclass

from ancestra_farm.api.questions import batches, explained
from ancestra_farm.api.standing import RATE_WINDOW_S, Standing, standing_of
from ancestra_farm.api.wire import BatchStanding, Explained
from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import Tail
from ancestra_farm.plan.events import BatchSubmitted, StitchEnded
from ancestra_farm.plan.plan import Plan
from ancestra_farm.scheduler import Scheduler, ShotProgress


@dataclass(slots=True)
class Reading:
    """One opened store."""

    store: Store
    tail: Tail
    standing: Standing

    @classmethod
    def open(cls, url: str) -> "Reading":
        """Open and fold a store. Raises StoreMissing, StoreRefused, LogDamaged."""
        store = Store.open(url)
        standing, tail = standing_of(store)
        return cls(store, tail, standing)

    def follow(self) -> int:
        """Fold what was committed since; how many events that were."""
        count = 0
        for commit in self.tail.poll():
            self.standing.fold(commit)
            count += len(commit.events)
        return count

    @property
    def scheduler(self) -> Scheduler:
        """What the log has made of it."""
        return self.standing.scheduler

    @property
    def submissions(self) -> dict[str, BatchSubmitted]:
        """Every batch as it was last submitted, by name."""
        return {name: batch.submitted for name, batch in self.scheduler.state.batches.items()}

    @property
    def stitches(self) -> dict[tuple[str, str, str], StitchEnded]:
        """The last end of each (batch, shot, version)."""
        return self.standing.notes.stitches

    @property
    def last_at(self) -> float:
        """When the last commit was written, seconds since the Unix epoch; 0 for an empty log."""
        return self.standing.notes.last_at

    @property
    def device_s(self) -> float:
        """Device-seconds that all attempts have cost."""
        return sum(batch.device_s for batch in self.scheduler.state.batches.values())

    def rate(self, now: float) -> float:
        """Judged candidates per second over the last `RATE_WINDOW_S`, or since the first of them if that is shorter."""
        recent = [(at, count) for at, count in self.standing.notes.recent if at >= now - RATE_WINDOW_S]
        if len(recent) < 2:
            return 0.0
        span = max(now - recent[0][0], 1.0)
        return sum(count for _, count in recent[1:]) / span

    def plan(self, batch: str) -> Plan:
        """The plan of a batch as it was last submitted."""
        return self.scheduler.state.batches[batch].plan

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

    def batches(self) -> list[BatchStanding]:
        """Every batch as it stands, in the order of submission."""
        return batches(self.scheduler)

    def explained(self, batch: str | None = None, shot: str | None = None) -> list[Explained]:
        """Why shots are where they are, as far as the log tells: of hosts and queues it knows nothing."""
        return explained(self.scheduler, batch, shot)


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
    found = standing_of(store)[0].scheduler.state.batches.get(batch)
    return None if found is None else found.plan
