"""What goes out through the door: every answer as a pydantic model, and what the client reads.

They are described in ``/v1/openapi.json`` from the same definitions. Times are seconds since the Unix epoch, UTC. What
comes in is in `incoming`.
"""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from ancestra_farm.batch.base import Model
from ancestra_farm.scheduler.progress import ShotProgress


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


class Checked(Answer):
    """What was asked about would be taken, as things stood at ``at``. Nothing has changed."""

    epoch: int
    at: float


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
    farm: all shows together. ``version``: what a change of them says it is based on; ``none`` where none were given.
    Whoever may not change them sees of a webhook's URL only its host.
    """

    kind: Literal["farm", "show"]
    name: str
    document: dict[str, Any] | None
    who: str
    at: float
    spent: float
    currency: str
    version: str


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

    ``leaves_at``: when it is to be gone; none: once it is empty, or it stays. ``node_type``: as it is labelled; empty
    where it is not. ``price_per_hour``: of its type by the farm's settings, in ``currency``; none where they say none.
    """

    node: str
    state: Literal["in use", "blocked", "leaving"]
    hosts: int
    why: str = ""
    leaves_at: float | None = None
    node_type: str = ""
    price_per_hour: float | None = None
    currency: str = ""


class Hosts(Answer):
    """All hosts, pool by pool, and the nodes they are on.

    ``dry``: which nodes are asked for and do not come; ``unstored``: what the store fails, and why; ``blocked``: which
    work no host can take, and why; a sentence each.
    """

    hosts: list[HostStanding]
    nodes: tuple[NodeStanding, ...] = ()
    dry: tuple[str, ...] = ()
    unstored: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()


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


class PartHeld(Answer):
    """A part of a file that has arrived. ``part``: its digest; parts are counted from 0."""

    number: int
    part: str


class UploadStanding(Answer):
    """How far a file has come. ``there``: nothing more is to be sent. ``part_bytes``: of every part but the last."""

    there: bool
    part_bytes: int
    parts: list[PartHeld] = Field(default_factory=list)


class JoinOut(Answer):
    """``joining``: ask again in a moment; ``missing``: a part has gone, look how far the file has come."""

    state: Literal["there", "joining", "missing"]


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
    version: str | None = Field(default=None, description="Of a conflict: of the settings in force.")
