"""What the scheduler knows of batches: the part that is folded from the log.

Everything here changes only in `fold`, one event at a time, so that a controller that starts anew knows exactly what
the one before knew. Hosts, tickets and queues are in `pools`: they die with the controller, and that is right.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ancestra_farm.batch.schema import Priority
from ancestra_farm.plan.events import BatchSubmitted, BranchClosed, BranchOpened, OrderGiven, StageClosed, StitchPlanned
from ancestra_farm.plan.farm_events import NodeOrdered, TokenNoted
from ancestra_farm.plan.plan import Plan, ShotPlan, StagePlan
from ancestra_farm.plan.recipe import Rung, digest_of
from ancestra_farm.plan.space import Space
from ancestra_farm.scheduler.counts import Counts, FilterCost
from ancestra_farm.scheduler.duplicates import HashIndex
from ancestra_farm.scheduler.phases import Phase, Promoted, Retry, Stop
from ancestra_farm.scheduler.results import Result, Results
from ancestra_farm.scheduler.settings import Settings
from ancestra_farm.scheduler.yields import Yields

BranchRef = tuple[str, str]
"""(batch, branch key): names a branch in the whole farm."""

StageRef = tuple[str, str, str]
"""(batch, shot, stage)."""


#: In place of the measure of a verdict that is not to be believed any more, by whatever measure.
DISOWNED = b"disowned"


@dataclass(slots=True)
class Branch:
    """The candidates of one segment that share a list of inputs; waves are decided in order.

    ``phases``: open ones only. ``hashes``: of the survivors. ``wanted``: positions there are to try, ``limit``: how
    many of them the budget allows. ``waves_closed``: decided waves in a row, from the first; ``decided``: those beyond.
    ``promoted``: by wave, drafts that are to be made in full and have not been released so. ``yields``: where the stage
    is spent by yield over several wordings.

    ``released`` counts positions; those of waves past a stop are taken back. ``tried``: those decided. ``given``: the
    positions of each undecided wave. ``rewound``: some were taken back, and may come again. ``by_word``: survivors by a
    person's word; they count for no ``keep``. ``retries``: to be done when all else has ended; ``to_restore``: rejects
    that a person wants made.
    """

    opened: BranchOpened
    stage: "StageState"
    space: Space
    wanted: int
    limit: int
    hashes: HashIndex
    phases: dict[tuple[int, Rung], Phase] = field(default_factory=dict)
    results: dict[Rung, Results] = field(default_factory=lambda: {"draft": Results(), "full": Results()})
    released: int = 0
    waves: int = 0
    waves_closed: int = 0
    decided: set[int] = field(default_factory=set)
    survivors: list[int] = field(default_factory=list)
    closed: BranchClosed | None = None
    promoted: dict[int, Promoted] = field(default_factory=dict)
    yields: Yields | None = None
    tried: int = 0
    given: dict[int, tuple[int, ...] | range] = field(default_factory=dict)
    rewound: bool = False
    stop: Stop | None = None
    by_word: set[int] = field(default_factory=set)
    retries: list[Retry] = field(default_factory=list)
    to_restore: set[int] = field(default_factory=set)

    @property
    def extra(self) -> int:
        """Positions that people ordered beyond those of the file. In a chain they are those of its first segment."""
        return self.stage.extra * len(self.opened.inputs) if self.opened.tail is None else 0

    @property
    def earned(self) -> int:
        """Survivors that the filters passed."""
        return len(self.survivors) - len(self.by_word)

    @property
    def key(self) -> str:
        """Unique within the batch."""
        return self.opened.branch

    @property
    def ref(self) -> BranchRef:
        """Unique within the farm."""
        return (self.opened.batch, self.opened.branch)

    def result(self, position: int, rung: Rung) -> Result:
        """The result at a position, made on first asking."""
        results = self.results[rung]
        if position not in results:
            results[position] = Result(self.space.id_of(position, rung))
        return results[position]

    def survivor_ids(self) -> list[str]:
        """Ids of the survivors so far, in index order."""
        return [self.results["full"][position].candidate_id for position in self.survivors]

    def best_first(self) -> list[int]:
        """Survivors by score, best first; equal scores in index order."""
        full = self.results["full"]
        return sorted(self.survivors, key=lambda position: (-full[position].rank, position))


@dataclass(slots=True)
class StageState:
    """A stage of a shot. ``branches`` are those of the current generation, in the order they were opened.

    ``cap``: candidates the batch's budget allows it. ``started_from``: the result of the source that its roots are
    known to start from; a note to look only once, nothing that could not be found out again.

    ``more``: candidates (for each input) that were ordered beyond the file, in all, after each such order.
    ``restored``: who restored a candidate, by its id. ``reopened``: it is worked on beyond the result it is closed
    with, which holds until it is closed anew. ``stale``: its branches were cancelled and it is to begin a new round.
    ``carried``: what people closed it with before this revision or round, and ``same_plan``: nothing about it changed
    since. ``enough``: branches of each segment when as many chains as are kept were there.
    """

    batch: "BatchState"
    shot: "ShotState"
    plan: StagePlan
    depth: int
    judged_by: bytes
    cap: int | None
    generation: int = 0
    branches: dict[str, Branch] = field(default_factory=dict)
    closed: StageClosed | None = None
    started_from: StageClosed | None = None
    picks: dict[str, set[str]] = field(default_factory=dict)
    costs: dict[str, FilterCost] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    more: tuple[int, ...] = ()
    restored: dict[str, str] = field(default_factory=dict)
    reopened: bool = False
    stale: bool = False
    carried: StageClosed | None = None
    same_plan: bool = False
    enough: tuple[int, ...] | None = None

    @property
    def extra(self) -> int:
        """Candidates for each input that were ordered beyond the file."""
        return self.more[-1] if self.more else 0

    @property
    def settled(self) -> bool:
        """It has its result and nothing more is being done for it."""
        return self.closed is not None and not self.reopened

    @property
    def ref(self) -> StageRef:
        """(batch, shot, stage)."""
        return (self.batch.name, self.shot.plan.name, self.plan.name)

    @property
    def put_off(self) -> bool:
        """Paused or cancelled by a person, by itself or with its whole batch."""
        return self.shot.paused or self.batch.paused or self.shot.cancelled is not None

    @property
    def held(self) -> bool:
        """Nothing of it starts: a person put it off, or its show has no money left."""
        return self.put_off or self.batch.broke

    @property
    def distinct_bits(self) -> int:
        """Hash distance within which survivors are duplicates; -1: off, as for siblings of one picture."""
        if self.plan.spec.distinct_bits is not None:
            return self.plan.spec.distinct_bits
        return 4 if self.plan.source is None and not self.plan.makes_clips else -1

    def segment(self, index: int) -> Iterator[Branch]:
        """Branches of one segment, in the order they were opened."""
        return (branch for branch in self.branches.values() if branch.opened.segment == index)


@dataclass(slots=True)
class StitchState:
    """One planned stitch. ``done``: published; ``failures``: ended without, the seams not to blame.

    ``dropped``: people closed the stage without its chain since. Picked again, it gets a version of its own.
    ``at``: when it last ended, seconds since the epoch.
    """

    planned: StitchPlanned
    done: bool = False
    failures: int = 0
    bad_pair: tuple[str, str] | None = None
    message: str = ""
    frames: int = 0
    dropped: bool = False
    at: float = 0.0


@dataclass(slots=True)
class ShotState:
    """A shot: its stages in topological order, its stitches in the order of their versions.

    ``pause`` and ``cancelled``: the order that did it, while it stands.
    """

    number: int
    plan: ShotPlan
    stages: dict[str, StageState] = field(default_factory=dict)
    stitches: dict[tuple[str, str], StitchState] = field(default_factory=dict)
    bad_pairs: set[tuple[str, str]] = field(default_factory=set)
    pause: OrderGiven | None = None
    cancelled: OrderGiven | None = None

    @property
    def paused(self) -> bool:
        """Paused by itself (it may be paused with its batch as well)."""
        return self.pause is not None

    @property
    def has_work(self) -> bool:
        """Something of it is not done yet, whether or not it could be done now."""
        stages = any(not stage.settled for stage in self.stages.values())
        return stages or any(not stitch.done and not stitch.dropped for stitch in self.stitches.values())


@dataclass(frozen=True, slots=True)
class Survivor:
    """A candidate that survived once, whatever became of its branch. ``media``: where its picture or clip is."""

    media: str | None


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of a branch that a later round or revision did away with: verdicts are taken over from it."""

    space: Space
    results: dict[Rung, Results]


@dataclass(slots=True)
class BatchState:
    """A batch in its newest revision. ``known``: survivors there ever were under this batch's name, by candidate id.

    ``past``: branches that are done away with, by (shot, stage, segment), in the order in which that happened.

    ``priority`` and ``weight``: as submitted, or as ordered since. ``pause``: the order that paused it, if it stands.
    ``settings``: those of the farm. ``money``: spent so far, in its currency, as priced when it was spent.
    ``batches``: all of the farm, by name, this one among them.
    """

    number: int
    submitted: BatchSubmitted
    plan: Plan
    revision: int
    known: dict[str, Survivor]
    past: dict[tuple[str, str, int], list[Past]]
    shots: dict[str, ShotState] = field(default_factory=dict)
    branches: dict[str, Branch] = field(default_factory=dict)
    device_s: float = 0.0
    priority: Priority = "shot"
    weight: float = 1.0
    pause: OrderGiven | None = None
    settings: Settings = field(default_factory=Settings)
    money: float = 0.0
    batches: dict[str, "BatchState"] = field(default_factory=dict, repr=False)

    @property
    def paused(self) -> bool:
        """Paused as a whole."""
        return self.pause is not None

    @property
    def name(self) -> str:
        """The batch's name."""
        return self.submitted.batch

    @property
    def show(self) -> str:
        """The show it is of."""
        return self.plan.batch.show

    @property
    def show_cap(self) -> int | None:
        """Slots that all batches of its show may hold together; None: all."""
        return self.settings.cap(self.show).max_slots

    @property
    def rank(self) -> int:
        """The rank of its class under the farm's settings; the lowest is served first."""
        return self.settings.rank(self.priority)

    @property
    def share_weight(self) -> float:
        """Its weight among batches of its rank: its own, by what its show and its class weigh."""
        return self.weight * self.settings.weight(self.show, self.priority)

    def put_away(self, branch: Branch) -> None:
        """A later round or revision takes the place of a branch."""
        self.branches.pop(branch.key, None)
        if any(branch.results.values()):
            opened = branch.opened
            past = self.past.setdefault((opened.shot, opened.stage, opened.segment), [])
            for results in branch.results.values():
                results.settle(list(results))
            past.append(Past(branch.space, branch.results))

    def verdict(self, branch: Branch, position: int, rung: Rung) -> Result | None:
        """What was last judged of the candidate at a position, under this batch's name and by whatever measure.

        It is to be looked at only.
        """
        own = branch.results[rung].look(position)
        if own is not None and own.judged_by:
            return own
        opened = branch.opened
        past = self.past.get((opened.shot, opened.stage, opened.segment))
        if not past:
            return None
        index, variant, parents = branch.space.place(position)
        for one in reversed(past):
            there = one.space.find(index, variant.id, parents)
            found = None if there is None else one.results[rung].look(there)
            if found is not None and found.judged_by and found.candidate_id == branch.space.id_of(position, rung):
                return found
        return None

    @property
    def budget_s(self) -> float | None:
        """Device-seconds the batch may spend; None: as many as it takes."""
        hours = self.plan.batch.budget.device_hours
        return None if hours is None else hours * 3600

    @property
    def spent_out(self) -> bool:
        """The budget in device-seconds is used up."""
        return self.budget_s is not None and self.device_s >= self.budget_s

    @property
    def broke(self) -> bool:
        """Its show has spent all the money it may. Nothing ends by that; it waits until there is more."""
        return self.settings.broke(self.show)


@dataclass(frozen=True, slots=True)
class NodesTold:
    """The nodes of one type that were up when that was last told. ``ids``: Ray's; ``at``: they are paid until then."""

    ids: tuple[str, ...]
    at: float


@dataclass(slots=True)
class FarmState:
    """All batches of a store. ``versions``: how many v### were ever given to a (show, shot).

    ``orders``: digests of the orders that were taken under an id of their giver's, by that id, oldest first.
    ``settings``: those of the farm and of its shows. ``nodes``: blocks and drains that stand, by node.
    ``told``: keys of notices that were delivered. ``tokens``: those that stand, as they were last noted, by their id.
    ``paid``: the nodes that were up when that was last told, by type.
    """

    epoch: int = 0
    batches: dict[str, BatchState] = field(default_factory=dict)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    orders: dict[str, str] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    nodes: dict[str, NodeOrdered] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    paid: dict[str, NodesTold] = field(default_factory=dict)
    tokens: dict[str, TokenNoted] = field(default_factory=dict)

    def branch(self, ref: BranchRef) -> Branch | None:
        """The branch, unless a newer revision of its batch did away with it."""
        batch = self.batches.get(ref[0])
        return None if batch is None else batch.branches.get(ref[1])

    def stage(self, ref: StageRef) -> StageState:
        """The stage. Raises KeyError."""
        return self.batches[ref[0]].shots[ref[1]].stages[ref[2]]


def judging_digest(stage: StagePlan) -> bytes:
    """What a verdict rests on besides the pixels. A candidate judged under other settings is judged anew."""
    settings = sorted((name, repr(value)) for name, value in stage.spec.filters.items())
    draft_by = stage.spec.draft.by if stage.spec.draft else ""
    return digest_of("judged", settings, stage.spec.rank, draft_by)
