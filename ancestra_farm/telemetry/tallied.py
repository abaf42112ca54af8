"""What a tally remembers between two events: of branches, of batches, and in all. Plain records, kept in snapshots.

No more than it must know to move a candidate from one gauge to another. Which event moves what is in `tally`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ancestra_farm.plan.events import (
    AttemptEnded,
    BranchClosed,
    CandidateGivenUp,
    VerdictsVoided,
    WaveClosed,
    WaveReleased,
)
from ancestra_farm.plan.recipe import Rung

Labels = tuple[str, ...]
#: A gauge of candidates and its labels.
Standing = tuple[str, Labels]
#: As many as a byte tells apart, but for 0.
MOST_STANDINGS = 255
#: What happens inside a branch.
BranchEvent = WaveReleased | AttemptEnded | CandidateGivenUp | VerdictsVoided | WaveClosed | BranchClosed


@dataclass(slots=True)
class BranchTally:
    """One branch. ``open``: where each candidate of an open wave stands, by (rung, position).

    ``ended``: by rung and position, the number in ``standings`` (from 1) of where a candidate of a closed wave stands.
    ``by_word``: open waves whose candidates survive by a person's word.
    """

    labels: Labels
    shot: str
    stage: str
    open: dict[tuple[Rung, int], Standing] = field(default_factory=dict)
    waves: dict[tuple[int, Rung], tuple[int, ...] | range] = field(default_factory=dict)
    causes: dict[tuple[Rung, int], str] = field(default_factory=dict)
    standing: Counter[Standing] = field(default_factory=Counter)
    standings: list[Standing] = field(default_factory=list)
    ended: dict[Rung, bytearray] = field(default_factory=lambda: {"draft": bytearray(), "full": bytearray()})
    by_word: set[tuple[int, Rung]] = field(default_factory=set)

    def end(self, rung: Rung, position: int, standing: Standing) -> None:
        """Keep where a candidate of a closed wave stands. Past 255 different standings, where none is kept."""
        if standing not in self.standings and len(self.standings) < MOST_STANDINGS:
            self.standings.append(standing)
        numbers = self.ended[rung]
        numbers.extend(bytes(max(0, position + 1 - len(numbers))))
        numbers[position] = self.standings.index(standing) + 1 if standing in self.standings else 0

    def taken_up(self, rung: Rung, position: int) -> Standing | None:
        """Where a candidate stood that is tried again; None: it is new."""
        numbers = self.ended[rung]
        if position >= len(numbers) or not numbers[position]:
            return None
        standing = self.standings[numbers[position] - 1]
        numbers[position] = 0
        return standing

    def relabelled(self, change: Callable[[Labels], Labels]) -> None:
        """Every label as the change has it."""
        self.labels = change(self.labels)
        self.open = {key: (name, change(labels)) for key, (name, labels) in self.open.items()}
        self.standings = [(name, change(labels)) for name, labels in self.standings]
        self.standing = Counter({(name, change(labels)): n for (name, labels), n in self.standing.items()})


@dataclass(slots=True)
class BatchTally:
    """One batch: its show, its stages' models, its branches by key. ``models``: by stage, then by (shot, stage).

    ``filed``: the class its file says, ``priority``: the one it is of. ``open_since``: when each open wave was
    released, by branch, wave and rung. ``paused``: shots that are, empty for the whole batch.
    """

    show: str
    filed: str
    priority: str
    models: dict[str, str]
    changed_models: dict[tuple[str, str], str]
    branches: dict[str, BranchTally] = field(default_factory=dict)
    generations: dict[tuple[str, str], int] = field(default_factory=dict)
    stitches: set[str] = field(default_factory=set)
    picks: set[tuple[str, str]] = field(default_factory=set)
    open_since: dict[tuple[str, int, Rung], float] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)

    @property
    def labels(self) -> Labels:
        """(show, class)."""
        return (self.show, self.priority)

    def note_wave(self, event: BranchEvent) -> None:
        """Keep since when waves are open."""
        match event:
            case WaveReleased():
                self.open_since[event.branch, event.wave, event.rung] = event.at
            case WaveClosed():
                self.open_since.pop((event.branch, event.wave, event.rung), None)
            case BranchClosed() if event.why in {"superseded", "cancelled", "closed"}:
                self.forget_waves(event.branch)
            case _:
                pass

    def forget_waves(self, branch: str) -> None:
        """The open waves of a branch are waited for no more."""
        self.open_since = {key: at for key, at in self.open_since.items() if key[0] != branch}

    def model_of(self, shot: str, stage: str) -> str:
        """The model that makes a stage of a shot; empty if the batch no longer has the stage."""
        return self.changed_models.get((shot, stage), self.models.get(stage, ""))


@dataclass(slots=True)
class Tallied:
    """All that a tally remembers. ``markets``: how each type of node is paid for, as farm.yaml last said."""

    batches: dict[str, BatchTally]
    device_s: dict[Labels, float]
    survivors: Counter[Labels]
    epoch: int | None
    markets: dict[str, str]
