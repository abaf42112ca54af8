"""The whole story of one candidate, told from the log: what it is, each attempt, the decision, where it was used.

A candidate is followed through revisions and rounds of its batch: a branch that is opened anew may hold it at another
position, or not at all. Pure: commits in, sentences out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ancestra_farm.cli.listing import column
from ancestra_farm.ledger.commit import Commit
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
from ancestra_farm.plan.plan import Plan
from ancestra_farm.plan.recipe import Recipe
from ancestra_farm.plan.space import Space


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened to a candidate. ``at``: seconds since the Unix epoch, UTC; ``commit``: its number."""

    at: float
    commit: int
    event: str
    says: str = column("what happened")


def position_of(space: Space, recipe: Recipe) -> int | None:
    """Where a space holds this very candidate; None where it does not."""
    variants = [variant.id for variant in space.variants]
    if recipe.variant not in variants or recipe.parents not in space.inputs:
        return None
    row = recipe.index * len(variants) + variants.index(recipe.variant)
    position = row * len(space.inputs) + space.inputs.index(recipe.parents)
    if position >= len(space) or recipe.rung not in [settings.rung for settings in space.rungs]:
        return None
    return position if space.id_of(position, recipe.rung) == recipe.candidate_id else None


class Teller:
    """Goes through the log once, in order, and tells what touches one candidate of one batch."""

    def __init__(self, batch: str, recipe: Recipe) -> None:
        self._batch = batch
        self._recipe = recipe
        self._id = recipe.candidate_id
        self._plan: Plan | None = None
        self._positions: dict[str, int] = {}
        self._spaces: dict[str, Space] = {}
        self._more = 0
        self._waves: set[tuple[str, int]] = set()
        self._versions: set[str] = set()
        self._attempts = 0

    def tell(self, commits: Iterable[Commit]) -> Iterator[Line]:
        """The story so far, oldest first."""
        for commit in commits:
            for event in commit.events:
                if getattr(event, "batch", None) != self._batch:
                    continue
                says = self._says(event)
                if says:
                    yield Line(getattr(event, "at", commit.at), commit.number, type(event).__name__, says)

    def _says(self, event: Event) -> str:  # noqa: PLR0911 - one for each kind of event
        match event:
            case BatchSubmitted():
                self._plan = Plan.from_documents(event.document, event.cards)
                return ""
            case BranchOpened():
                return self._opened(event)
            case WaveReleased() | AttemptEnded() | CandidateGivenUp() | WaveClosed():
                position = self._positions.get(event.branch)
                return "" if position is None or event.rung != self._recipe.rung else self._of_branch(event, position)
            case BranchClosed() if self._id in event.tails:
                return f"{_rank(event.tails.index(self._id))} of the branch when it closed ({_plain(event.why)})"
            case StageClosed():
                return self._stage_closed(event)
            case OrderGiven():
                return self._ordered(event)
            case VerdictsVoided() if self._positions.get(event.branch) in event.positions:
                return f"its verdict counts no more: {event.why} ({event.host})"
            case StitchPlanned() if self._id in event.chain:
                self._versions.add(event.version)
                return f"goes into {event.version} of {event.shot}" + (", picked by people" if event.picked else "")
            case StitchEnded() if event.version in self._versions and event.shot == self._recipe.shot:
                return self._stitched(event)
            case _:
                return ""

    def _opened(self, event: BranchOpened) -> str:
        assert self._plan is not None, "a log submits a batch before it opens its branches"
        used = any(self._id in parents for parents in event.inputs)
        if event.shot == self._recipe.shot and event.stage == self._recipe.stage and not used:
            space = self._plan.shot(event.shot).stage(event.stage).space(event.segment, event.inputs)
            self._spaces[event.branch] = space.with_more(self._more if event.tail is None else 0)
            self._place(event.branch)
        if event.tail == self._id:
            return f"segment {event.segment} goes on from it ({event.branch})"
        return f"is an input of {event.stage} ({event.branch})" if used else ""

    def _place(self, branch: str) -> None:
        """Note where a branch holds it, if it does."""
        position = position_of(self._spaces[branch], self._recipe)
        if position is None:
            self._positions.pop(branch, None)
        else:
            self._positions[branch] = position

    def _ordered(self, event: OrderGiven) -> str:
        """What a person ordered about it, or about its stage or more so that it is tried again, or ends."""
        by = f"by {event.who}" + (f": {event.note}" if event.note else "")
        if event.candidate_id:
            return f"{_DONE[event.order]} {by}" if event.candidate_id == self._id else ""
        if event.shot not in ("", self._recipe.shot) or event.stage not in ("", self._recipe.stage):
            return ""
        about = "/".join(filter(None, (event.shot or event.batch, event.stage)))
        if event.order == "more":
            self._more += event.candidates
            for branch, space in self._spaces.items():
                self._spaces[branch] = space.with_more(event.candidates)
                self._place(branch)
            return f"{event.candidates:,} more candidates of {about} ordered {by}"
        if event.order == "retry":
            what = f"what {event.filter} rejected" if event.filter else f"what failed ({event.cause or 'any cause'})"
            return f"{what} of {about} ordered to be tried again {by}"
        return f"{about} cancelled {by}" if event.order == "cancel" else ""

    def _of_branch(self, event: WaveReleased | AttemptEnded | CandidateGivenUp | WaveClosed, position: int) -> str:
        match event:
            case WaveReleased():
                positions = range(event.start, event.stop) if event.positions is None else event.positions
                if position not in positions:
                    return ""
                self._waves.add((event.branch, event.wave))
                how = "made again by a person's word" if event.by_word else "tried again" if event.again else "released"
                return f"{how} in wave {event.wave} of {event.branch}, number {position}, at {event.rung}"
            case AttemptEnded() if event.candidate_id == self._id:
                self._attempts += 1
                return self._attempt(event)
            case CandidateGivenUp() if event.position == position:
                return f"given up as {event.outcome}: {event.reason}"
            case WaveClosed() if (event.branch, event.wave) in self._waves:
                return _decision(event, position)
            case _:
                return ""

    def _attempt(self, event: AttemptEnded) -> str:
        where = f" on {event.host}" if event.host else ""
        took = f"{event.generate_s:.2f} s to make, {event.judge_s:.2f} s to judge"
        begin = f"attempt {self._attempts}{where}: "
        if event.cause != "judged":
            shared = "" if event.of == 1 else f", as one of {event.of}"
            message = f": {event.message}" if event.message else ""
            return f"{begin}{_plain(event.cause)}{shared}{message} ({event.device_s:.2f} s of device time)"
        if event.passed:
            return f"{begin}passed every filter ({took})"
        why = f": {event.message}" if event.message else ""
        return f"{begin}rejected by {', '.join(event.reasons)}{why} ({took})"

    def _stage_closed(self, event: StageClosed) -> str:
        if event.shot != self._recipe.shot:
            return ""
        by = f" by {event.by}" if event.by else ""
        for at, chain in enumerate(event.selected):
            if self._id in chain:
                return f"{event.stage} closed{by} with it as {_rank(at)} of {len(event.selected)} selected"
        for at, chain in enumerate(event.chains):
            if self._id in chain:
                selected = ", not selected" if event.selected else ""
                return f"{event.stage} closed{by} with it as {_rank(at)} of {len(event.chains)}{selected}"
        return ""

    def _stitched(self, event: StitchEnded) -> str:
        if event.ok:
            return f"{event.version} published, {event.frames} frames"
        guilty = " (at a seam of this one)" if event.bad_pair and self._id in event.bad_pair else ""
        return f"{event.version} could not be stitched{guilty}: {event.message}"


def _decision(event: WaveClosed, position: int) -> str:
    begin = f"wave {event.wave} closed: "
    if position in event.duplicates:
        return f"{begin}duplicate of {event.duplicates[position]}"
    if position in event.survivors:
        return f"{begin}survivor"
    if position in event.promoted:
        return f"{begin}promoted, its full version is made"
    if position in event.skipped:
        return f"{begin}skipped, the stage had enough"
    return f"{begin}not among the {'promoted' if event.rung == 'draft' else 'survivors'}"


#: What has been done to a candidate, by the order that did it.
_DONE = {"pick": "picked", "unpick": "unpicked", "restore": "restored"}


def _rank(at: int) -> str:
    return "the best" if at == 0 else f"number {at + 1}"


def _plain(word: str) -> str:
    return word.replace("_", " ")
