"""Where a farm stands as of a commit: the newest snapshot that can be read, and the commits after it.

Whoever begins to work with a store begins here: the controller, an order given while nobody is at work, a command that
reads. Nothing is decided here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ancestra_farm import __version__
from ancestra_farm.ledger.commit import Commit
from ancestra_farm.ledger.snapshot import Section, Snapshot, snapshots
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import Mark, Tail
from ancestra_farm.plan.events import AttemptEnded, Event, StitchEnded
from ancestra_farm.plan.plain import Codec
from ancestra_farm.scheduler.scheduler import Scheduler
from ancestra_farm.scheduler.snapshot import StateCodec

if TYPE_CHECKING:  # commands that read start without it
    from ancestra_farm.telemetry.metrics import Metrics

#: How far back rates look, in seconds: long enough to smooth over waves, short enough to follow a change.
RATE_WINDOW_S = 60.0


@dataclass(slots=True)
class Notes:
    """What people ask for and the scheduler need not know.

    ``stitches``: the last end of each (batch, shot, version). ``recent``: (at, candidates judged) of each commit within
    `RATE_WINDOW_S` of ``last_at``, the time of the last commit: seconds since the Unix epoch.
    """

    stitches: dict[tuple[str, str, str], StitchEnded] = field(default_factory=dict)
    recent: list[tuple[float, int]] = field(default_factory=list)
    last_at: float = 0.0

    def fold(self, events: Iterable[Event], at: float) -> None:
        """Take in a commit."""
        self.last_at = max(self.last_at, at)
        judged = 0
        for event in events:
            if isinstance(event, StitchEnded):
                self.stitches[event.batch, event.shot, event.version] = event
            judged += isinstance(event, AttemptEnded) and event.cause == "judged"
        if judged:
            self.recent.append((at, judged))
        if self.recent and self.recent[0][0] < self.last_at - RATE_WINDOW_S:
            self.recent = [(then, count) for then, count in self.recent if then >= self.last_at - RATE_WINDOW_S]


_NOTES = Codec(Notes)
_NOTES_VERSION = _NOTES.digest(__version__, "1")


class Standing:
    """What has been folded so far. ``metrics``: None where nobody asks for them.

    ``began_at``: number of the commit of the snapshot it began from, 0 for none.
    """

    def __init__(self, scheduler: Scheduler, metrics: "Metrics | None" = None) -> None:
        self.scheduler = scheduler
        self.metrics = metrics
        self.notes = Notes()
        self.began_at = 0
        self._codec = StateCodec()

    def begin(self, store: Store) -> Tail:
        """Take the newest snapshot that can be read, if there is one; the log is to be folded on from this tail."""
        for snapshot in snapshots(store):
            if self._take(snapshot):
                self.began_at = snapshot.mark.number
                return Tail(store, snapshot.mark)
        return Tail(store)

    def fold(self, commit: Commit) -> None:
        """Take in the next commit."""
        for event in commit.events:
            self.scheduler.apply(event)
        self.note(commit.number, commit.events, commit.at)

    def note(self, number: int, events: Sequence[Event], at: float) -> None:
        """Take in a commit that the scheduler knows already, since it decided it. ``at``: seconds since the epoch."""
        self.notes.fold(events, at)
        if self.metrics is not None:
            self.metrics.fold_commit(number, events)

    def snapshot(self, mark: Mark) -> Snapshot:
        """What is known now, which is as of ``mark``; nothing that is folded later changes it."""
        plain, blobs = self._codec.write(self.scheduler.state)
        sections = {
            "scheduler": Section(self._codec.version, plain, tuple(blobs)),
            "notes": Section(_NOTES_VERSION, _NOTES.write(self.notes)),
        }
        if self.metrics is not None:
            sections["metrics"] = Section(self.metrics.dump_version, self.metrics.dump())
        return Snapshot(mark, sections)

    def _take(self, snapshot: Snapshot) -> bool:
        """Know what a snapshot knows; False, and nothing changes, where it is not one of this version."""
        versions = {"scheduler": self._codec.version, "notes": _NOTES_VERSION}
        if self.metrics is not None:
            versions["metrics"] = self.metrics.dump_version
        sections = snapshot.sections
        if any(name not in sections or sections[name].version != version for name, version in versions.items()):
            return False
        try:
            scheduler = sections["scheduler"]
            state = self._codec.read((scheduler.plain, list(scheduler.blobs)))
            notes: Notes = _NOTES.read(sections["notes"].plain)
            if self.metrics is not None:
                self.metrics.load(sections["metrics"].plain)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return False
        self.scheduler.state, self.notes = state, notes
        return True


def standing_of(store: Store, scheduler: Scheduler | None = None) -> tuple[Standing, Tail]:
    """A store folded to its end, and the tail that follows it. Raises LogDamaged."""
    standing = Standing(scheduler or Scheduler())
    tail = standing.begin(store)
    for commit in tail.poll():
        standing.fold(commit)
    return standing, tail
