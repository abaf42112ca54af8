"""The whole story of one candidate: every event of the log that is about it, in order."""

from ancestra_farm.ledger.batch_rows import BatchRows
from ancestra_farm.ledger.commit import Commit
from ancestra_farm.ledger.shot_rows import Place
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tables import Projection
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.plan.events import (
    AttemptEnded,
    BatchSubmitted,
    BranchClosed,
    BranchOpened,
    CandidateGivenUp,
    Event,
    OrderGiven,
    StageClosed,
    StitchEnded,
    StitchPlanned,
    VerdictsVoided,
    WaveClosed,
    WaveReleased,
)


def story(store: Store, candidate_id: str) -> list[tuple[Commit, Event]]:
    """Everything the log says of a candidate, in order; empty where it knows none of that id. Raises LogDamaged.

    Reads the whole log, so that it is right whether or not the tables are up to date.
    """
    projection = Projection()
    commits = []
    for commit in read_commits(store):
        projection.fold(commit)
        commits.append(commit)
    tellers = {batch: _Teller(candidate_id, place) for batch, place in projection.places(candidate_id).items()}
    return [
        (commit, event)
        for commit in commits
        for event in commit.events
        if (teller := tellers.get(getattr(event, "batch", ""))) is not None and teller.concerned(event)
    ]


class _Teller:
    """Tells which events of one batch are about a candidate. It is shown all of them, in order."""

    def __init__(self, candidate_id: str, place: Place) -> None:
        self._id = candidate_id
        self._place = place
        self._rows: BatchRows | None = None
        self._waves: set[tuple[str, int, str]] = set()
        self._stitches: set[tuple[str, str]] = set()

    def concerned(self, event: Event) -> bool:
        """Whether the event is part of the story."""
        told = False
        match event:
            case BatchSubmitted():
                self._rows = BatchRows(event)
                told = True
            case BranchOpened():
                told = self._opened(event)
            case OrderGiven():
                told = self._ordered(event)
            case VerdictsVoided():
                told = self._position(event.branch, event.rung) in event.positions
            case WaveReleased():
                among = range(event.start, event.stop) if event.positions is None else event.positions
                told = self._position(event.branch, event.rung) in among
                if told:
                    self._waves.add((event.branch, event.wave, event.rung))
            case WaveClosed():
                told = (event.branch, event.wave, event.rung) in self._waves
            case CandidateGivenUp():
                told = self._position(event.branch, event.rung) == event.position
            case StitchPlanned():
                told = self._id in event.chain
                if told:
                    self._stitches.add((event.stitch_id, event.version))
            case StitchEnded():
                told = (event.stitch_id, event.version) in self._stitches
            case _:
                told = _names(event, self._id)
        return told

    def _opened(self, event: BranchOpened) -> bool:
        assert self._rows is not None
        self._rows.open(event)
        return self._position(event.branch, self._place.rung) is not None

    def _ordered(self, event: OrderGiven) -> bool:
        """Orders about it, and those about its stage or more that make it be tried again or end it."""
        assert self._rows is not None
        if event.order == "more":
            self._rows.more(event)
        if event.candidate_id:
            return event.candidate_id == self._id
        here = event.shot in ("", self._place.shot) and event.stage in ("", self._place.stage)
        return here and event.order in ("retry", "cancel")

    def _position(self, branch: str, rung: str) -> int | None:
        """The candidate's position in a branch as it is open now; None where it is not among its candidates."""
        opened = None if self._rows is None else self._rows.branches.get(branch)
        if opened is None or rung != self._place.rung:
            return None
        position = self._place.position_in(opened.space)
        same = position is not None and opened.space.id_of(position, self._place.rung) == self._id
        return position if same else None


def _names(event: Event, candidate_id: str) -> bool:
    """Whether an event that spells candidate ids out names this one."""
    match event:
        case AttemptEnded():
            return event.candidate_id == candidate_id
        case BranchClosed():
            return candidate_id in event.tails
        case StageClosed():
            return any(candidate_id in chain for chain in (*event.chains, *event.selected))
        case _:
            return False
