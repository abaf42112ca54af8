"""What travels through the door: every request and answer as a pydantic model.

These models validate what comes in, build what goes out, are what the client reads, and are described in
``/v1/openapi.json`` from the same definitions. Times are seconds since the Unix epoch, UTC.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from ancestra_farm.batch.base import Float, Int, Model, Name, PersonName
from ancestra_farm.batch.schema import Priority
from ancestra_farm.plan.events import NodeOrderKind
from ancestra_farm.scheduler.progress import ShotProgress

#: No control characters: these texts are shown in terminals.
PLAIN = r"^[^\x00-\x1f\x7f-\x9f]*$"
MOST_ORDERS = 256
#: Of `more`: as many as a stage may ask for in a batch file.
MOST_CANDIDATES = 10_000_000
MOST_EVENTS = 1_000

CandidateId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="32 hex digits.")]
OrderId = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_-]{8,64}$",
        description="Made by whoever orders. The same order again under the same id is acknowledged and changes "
        "nothing, so it can be repeated when an answer was lost. Left out: one is made here.",
    ),
]
#: What can be tried again: an outcome, or a cause of failure.
RetryCause = Literal["failed", "quarantined", "lost", "exception", "out_of_memory", "deadline", "crash", "host_lost"]


def _left_out() -> Any:  # noqa: ANN401 - stands for a word that was not said
    return ""


class Given(Model):
    """What every order has."""

    batch: Name
    who: PersonName | None = Field(
        default=None,
        description="The person it is given for. Only an operator may name somebody else; by default oneself.",
    )
    note: Annotated[str, Field(max_length=2000, pattern=PLAIN)] = ""
    order_id: OrderId | None = None


class OfCandidate(Given):
    """Pick a survivor, take one's own pick back, or let a reject survive by one's word."""

    order: Literal["pick", "unpick", "restore"]
    shot: Name
    stage: Name
    candidate_id: CandidateId


class CloseStage(Given):
    """Close a stage with its picks: they go on to the next stage, or become versions."""

    order: Literal["close"]
    shot: Name
    stage: Name


class MoreCandidates(Given):
    """Have more candidates of a stage tried than the batch asks for."""

    order: Literal["more"]
    shot: Name
    stage: Name
    candidates: Annotated[Int, Field(ge=1, le=MOST_CANDIDATES)]


class Retry(Given):
    """Try again what failed of a stage for a cause, or what a filter rejected: one of the two."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["cause"]}, {"required": ["filter"]}]})

    order: Literal["retry"]
    shot: Name
    stage: Name
    # Made, not given: the description then shows no default where leaving it out means something else.
    cause: RetryCause = Field(default_factory=_left_out, description="An outcome, or a cause of failure.")
    filter: Name = Field(default_factory=_left_out, description="Rejects of this filter.")

    @model_validator(mode="after")
    def _one_of_them(self) -> "Retry":
        if len({"cause", "filter"} & self.model_fields_set) != 1:
            raise ValueError("say either the cause or the filter")
        return self


class Hold(Given):
    """Pause, unpause or cancel a shot, or the whole batch where no shot is named."""

    order: Literal["pause", "unpause", "cancel"]
    shot: Name | None = None


class Reorder(Given):
    """Give a batch another class, another weight within its class, or both."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["priority"]}, {"required": ["weight"]}]})

    order: Literal["priority"]
    priority: Priority = Field(default_factory=_left_out, description="`dailies` before `shot` before `backfill`.")
    weight: Annotated[Float, Field(gt=0, le=1000)] = Field(
        default_factory=lambda: 1.0, description="Share among batches of its class."
    )

    @model_validator(mode="after")
    def _some_of_them(self) -> "Reorder":
        if not {"priority", "weight"} & self.model_fields_set:
            raise ValueError("say the priority, the weight, or both")
        return self


AnyOrder = Annotated[OfCandidate | CloseStage | MoreCandidates | Retry | Hold | Reorder, Field(discriminator="order")]


class OrdersIn(Model):
    """One order, or several of one kind that each name another candidate; all are taken, or none."""

    orders: Annotated[list[AnyOrder], Field(min_length=1, max_length=MOST_ORDERS)]


class SubmitIn(Model):
    """A batch as canonical JSON with the cards of its models, as `ancestra run` makes them of a batch file."""

    document: Annotated[str, Field(min_length=2, description="The batch: canonical JSON of schema ancestra/v1.")]
    cards: Annotated[dict[str, str], Field(description="Model cards by id: canonical JSON each.")]
    who: PersonName | None = Field(default=None, description="As of an order.")


class SettingsIn(Model):
    """What every change of settings has."""

    document: Annotated[str, Field(min_length=2, max_length=2**20, description="The whole of it, as JSON.")]
    who: PersonName | None = Field(default=None, description="As of an order.")
    order_id: OrderId | None = None


class FarmSettingsIn(SettingsIn):
    """The settings of the farm anew (schema ancestra/farm/v1), in place of any before."""


class ShowSettingsIn(SettingsIn):
    """The settings of a show anew (schema ancestra/show/v1), in place of any before."""

    show: Name


class NodeOrderIn(Model):
    """Drain or block a node, or the node of a host; drain a host alone; forgive a node, or a model's failed starts."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["node"]}, {"required": ["host"]}, {"required": ["model"]}]}
    )

    order: NodeOrderKind
    node: Annotated[str, Field(pattern=r"^[0-9a-f]{4,56}$", description="Ray's id of it, or how that begins.")] = Field(
        default_factory=_left_out
    )
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")] = Field(default_factory=_left_out)
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]{1,200}$", description="Only to forgive.")] = Field(
        default_factory=_left_out
    )
    who: PersonName | None = Field(default=None, description="As of an order.")
    note: Annotated[str, Field(max_length=2000, pattern=PLAIN)] = ""
    order_id: OrderId | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "NodeOrderIn":
        if len({"node", "host", "model"} & self.model_fields_set) != 1:
            raise ValueError("say the node, the host or the model: one of them")
        return self


class Nothing(Model):
    """A request without a body, or with an empty object."""


# ---- answers -------------------------------------------------------------------------------------------------------


class Answer(Model):
    """Answers may grow: a reader ignores what it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Health(Answer):
    """Whether a controller is at work, and in which store. ``ready``: the log is folded."""

    store: str = Field(description="The store's id; it stays when the store is moved.")
    epoch: int
    version: str = Field(description="Of Ancestra Farm.")
    ready: bool


class Acknowledged(Answer):
    """One order that is in the log. ``by``: who gave it, where it was given for somebody else."""

    order_id: str
    order: str
    who: str
    by: str


class Taken(Answer):
    """What was asked for is durable: it is in the log by commit ``commit``."""

    commit: int
    epoch: int
    at: float
    orders: tuple[Acknowledged, ...] = ()


class HostCount(Answer):
    """The hosts of one model, how many tickets they hold, and how many candidates wait for them."""

    model: str
    ready: int
    starting: int
    tickets: int
    queued: int


class StageRef(Answer):
    """A stage that waits for people to pick and close it."""

    batch: str
    shot: str
    stage: str


class Status(Answer):
    """Where things stand. ``idle``: nothing is left to do for now; ``stuck`` says why work that is left cannot run.

    ``commit``: the last one, and ``last_at`` when something last happened; ``at``: when this picture was taken.
    """

    store: str
    epoch: int
    commit: int
    last_at: float
    at: float
    idle: bool
    stuck: list[str]
    waiting: list[StageRef]
    hosts: list[HostCount]
    shots: list[ShotProgress]


class Explained(Answer):
    """Why a shot is where it is, in sentences."""

    batch: str
    shot: str
    state: str
    says: list[str]


class Explanations(Answer):
    """One for each shot that was asked about."""

    shots: list[Explained]


class SettingsStanding(Answer):
    """Settings in force. ``document``: null where none were ever given; the defaults hold then.

    ``who`` gave them, ``at`` when. ``spent``: money that the show has spent so far, as priced when it was spent; of the
    farm: all shows together. Whoever may not change them sees of a webhook's URL only its host.
    """

    kind: Literal["farm", "show"]
    name: str
    document: dict[str, Any] | None
    who: str
    at: float
    spent: float
    currency: str


class AllSettings(Answer):
    """The settings of the farm, or of the shows that were asked about."""

    settings: list[SettingsStanding]


class BatchStanding(Answer):
    """A batch as it stands. ``revision``: how often it was submitted; ``device_s``: device-seconds spent so far."""

    batch: str
    show: str
    priority: str
    weight: float
    paused: bool
    revision: int
    digest: str
    shots: int
    device_s: float
    device_hours: float | None
    who: str
    at: float


class Batches(Answer):
    """All batches, in the order of submission."""

    batches: list[BatchStanding]


class HostStanding(Answer):
    """One host. ``tickets``: what it holds, the running one first; ``working``: a ticket is being generated.

    ``node``: Ray's id of the node it is on, none while it has none. ``why``: why it goes, where that was said.
    """

    host: str
    model: str
    ready: bool
    stopping: bool
    working: bool
    tickets: list[str]
    node: str | None = None
    why: str = ""


class NodeStanding(Answer):
    """One node that has hosts, or that something was said of. ``why``: who blocked it, or why it goes away.

    ``leaves_at``: when it is to be gone; none: once it is empty, or it stays.
    """

    node: str
    state: Literal["in use", "blocked", "leaving"]
    hosts: int
    why: str = ""
    leaves_at: float | None = None


class Hosts(Answer):
    """All hosts, pool by pool, and the nodes they are on."""

    hosts: list[HostStanding]
    nodes: tuple[NodeStanding, ...] = ()


class Queues(Answer):
    """How much waits for the hosts of each model."""

    queues: list[HostCount]


class Candidate(Answer):
    """Where a candidate is. ``outcome``: what became of it so far."""

    candidate_id: str
    batch: str
    branch: str
    shot: str
    stage: str
    position: int
    rung: str
    outcome: str


class Candidates(Answer):
    """Candidates whose id begins as asked for. ``more``: there are others."""

    candidates: list[Candidate]
    more: bool


class EventOut(Answer):
    """One event of the log, as the log spells it."""

    commit: int
    kind: str
    event: dict[str, Any]


class Events(Answer):
    """What was committed after the commit that was named. ``through``: ask next for what comes after this one."""

    through: int
    last: int
    events: list[EventOut]


class Fault(Answer):
    """One thing that is wrong with a request. ``place``: where in it."""

    place: str
    message: str


class Problem(Answer):
    """Why a request was not met (RFC 9457), in a sentence for a person."""

    type: str = Field(description="What kind of problem, as a relative reference; the list is in the description.")
    title: str
    status: int
    detail: str
    epoch: int | None = None
    faults: tuple[Fault, ...] = ()


# ---- questions -----------------------------------------------------------------------------------------------------


class OfShots(Model):
    """Of one batch, of one shot, of both, or of everything."""

    batch: Name | None = None
    shot: Name | None = None


class OfShow(Model):
    """Of one show, or of all."""

    show: Name | None = None


class OfPrefix(Model):
    """The beginning of a candidate's id, and the batch to look in where there are several."""

    prefix: Annotated[str, Field(pattern=r"^[0-9a-f]{4,32}$")]
    batch: Name | None = None


class After(Model):
    """The commit after which events are wanted, and at most how many. ``wait_s``: wait so long for the first."""

    after: Annotated[int, Field(ge=0, le=2**53)] = 0
    limit: Annotated[int, Field(ge=1, le=MOST_EVENTS)] = 500
    wait_s: Annotated[int, Field(ge=0, le=20)] = 0
