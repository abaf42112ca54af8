"""What the scheduler hears from the world, and what it asks of it: happenings in, instructions out.

Both are plain values. ``farm/`` turns Ray into happenings and carries instructions out; ``simulate/`` does the same in
virtual time. Times are seconds; ``now`` is always handed in.
"""

from dataclasses import dataclass

from ancestra_farm.batch.show_settings import Occasion, Recipient
from ancestra_farm.plan.events import AttemptEnded, Cause, Event, OrderGiven, StitchEnded
from ancestra_farm.plan.farm_events import HostTimed, NodeOrdered, SettingsGiven
from ancestra_farm.plan.recipe import Rung, digest_of
from ancestra_farm.plan.space import Space
from ancestra_farm.scheduler.holders import PeopleSeen


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that a recipient is to be told. ``event_id``: the same for every recipient and every try.

    ``batch``, ``shot``, ``stage`` and ``version`` are empty where it is not about one. ``says``: a sentence.
    """

    event_id: str
    occasion: Occasion
    show: str
    batch: str
    shot: str
    stage: str
    version: str
    says: str

    def key(self, to: Recipient) -> str:
        """Names the delivery of this notice to a recipient: 32 hex digits."""
        return digest_of("told", self.event_id, to.to).hex()


# ---- happenings ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SlotsChanged:
    """How many device slots there are for hosts: whole GPUs, and CPU slots (for cards with ``gpus`` 0).

    ``nodes``: those that are up and carry the label of a node type, as (Ray's id, type), by id. ``closed``: ids of
    nodes that no host is placed on; the numbers of slots are without theirs. ``local``: this machine is all there ever
    is, whatever node types the farm's settings name.
    """

    cpu_slots: int
    gpu_slots: int
    nodes: tuple[tuple[str, str], ...] = ()
    closed: tuple[str, ...] = ()
    local: bool = False


@dataclass(frozen=True, slots=True)
class HostPlaced:
    """A host that was asked for stands on a machine and begins to load. ``node``: Ray's id of it, in hex."""

    host: str
    node: str


@dataclass(frozen=True, slots=True)
class NodeLeaving:
    """A machine goes away: Ray's id of it in hex, when (Unix seconds; None: once it is empty), and why.

    Told again, an earlier time counts. `SlotsChanged` without its slots follows at once.
    """

    node: str
    at: float | None
    why: str


@dataclass(frozen=True, slots=True)
class HostReady:
    """A host that was asked for has loaded its model and warmed up."""

    host: str
    load_s: float


@dataclass(frozen=True, slots=True)
class HostLost:
    """A host is gone, or never came up. What it held is unfinished. ``cause``: ``crash``, ``host_lost``, ``deadline``.

    ``generating``: the ticket being generated when it went, if known; candidates of other tickets are not charged.
    """

    host: str
    cause: Cause
    message: str
    generating: str | None = None


@dataclass(frozen=True, slots=True)
class TicketStarted:
    """A host began to generate a ticket (it can no longer be revoked)."""

    host: str
    ticket: str


@dataclass(frozen=True, slots=True)
class TicketEnded:
    """A ticket came back. ``attempts``: one for each candidate of the ticket that was tried; the rest go back."""

    host: str
    ticket: str
    attempts: tuple[AttemptEnded, ...]
    timing: HostTimed | None = None


@dataclass(frozen=True, slots=True)
class StitchReturned:
    """A stitch task came back. Whatever failed inside it is in the event.

    ``unstored``: what the store said, where it was in trouble; then it is tried again later, and ``result`` counts for
    nothing.
    """

    result: StitchEnded
    unstored: str = ""


@dataclass(frozen=True, slots=True)
class Submit:
    """A checked batch is handed in (canonical JSON, cards by id as canonical JSON).

    ``accepted``: it was taken in once, and is not held against the settings of the farm and its show again.
    ``start_at``: when it is to begin, in seconds since the Unix epoch; it is paused until then. None: now.
    ``order_id``: as of `OrderGiven`.
    """

    document: str
    cards: dict[str, str]
    who: str
    accepted: bool = False
    start_at: float | None = None
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """A person's order. Refused with `OrderRefused` if it names what is not there; nothing is recorded then."""

    order: OrderGiven


@dataclass(frozen=True, slots=True)
class NodeOrder:
    """A person's order about a machine, a host or a model. Refused as `Order` is."""

    order: NodeOrdered


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """The settings of the farm or of a show are given anew. Refused as `Order` is, where they are none.

    ``based_on``: the version (`versions.version_of`) of those they take the place of, refused with `SettingsConflict`
    where others are in force; None: whatever is in force.
    """

    given: SettingsGiven
    based_on: str | None = None


@dataclass(frozen=True, slots=True)
class TellPeople:
    """It is time to see whether somebody is to be told something."""


@dataclass(frozen=True, slots=True)
class NoticeTried:
    """A notice was delivered, or could not be. Answers `Tell`."""

    notice: Notice
    to: Recipient
    delivered: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: deadlines are looked at."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Finish nothing more: revoke what has not started, let hosts go. Unfinished candidates stay released.

    ``who`` ordered it through the door; empty: whoever runs the controller ended it.
    """

    who: str = ""


Happening = (
    SlotsChanged
    | HostPlaced
    | NodeLeaving
    | HostReady
    | HostLost
    | TicketStarted
    | TicketEnded
    | StitchReturned
    | Submit
    | Order
    | ChangeSettings
    | PeopleSeen
    | TellPeople
    | NoticeTried
    | NodeOrder
    | Tick
    | StopRequested
)

# ---- instructions --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ticket:
    """A lease on some candidates of one branch and rung for one host.

    ``space.recipe(position, rung)`` gives each recipe. ``filters``: cascade order, empty: the filters' own;
    ``settings``: what the batch says of a filter (one switched off: ``{"enabled": False}``).
    ``deadline_s``: seconds from the start of generation after which the host is ended. ``keep_rejects``: write media of
    rejects too; so does ``by_word``: these survive by a word, whatever the filters say. ``parents``: store path
    of the media of each parent id that the recipes name.
    """

    ticket: str
    epoch: int
    batch: str
    branch: str
    rung: Rung
    positions: tuple[int, ...]
    space: Space
    filters: tuple[str, ...]
    settings: dict[str, dict[str, bool | int | float | str]]
    full_sample: float
    keep_rejects: bool
    parents: dict[str, str]
    deadline_s: float
    by_word: bool = False


@dataclass(frozen=True, slots=True)
class StitchJob:
    """A chain to be stitched and published.

    ``media``: store path of each segment's clip or still, in order. Lengths are in frames: ``segment_frames`` at
    ``model_rate`` each, of which the first ``overlap_frames`` repeat the segment before; ``frames`` is cut plus both
    handles at ``rate``, the exact length of the result. ``folder``: where in the store it is published.
    """

    batch: str
    show: str
    shot: str
    generation: int
    stitch_id: str
    version: str
    chain: tuple[str, ...]
    media: tuple[str, ...]
    model_rate: str
    rate: str
    segment_frames: tuple[int, ...]
    overlap_frames: int
    frames: int
    handles: int
    blend_frames: int
    mp4: bool
    master: str
    folder: str


@dataclass(frozen=True, slots=True)
class Record:
    """Commit this event. Every later instruction of the same or a later call waits until it is durable."""

    event: Event


@dataclass(frozen=True, slots=True)
class StartHost:
    """Bring up a host for ``model`` (a card id; ``card`` is its canonical JSON) on ``gpus`` GPUs and ``cpus`` CPUs.

    ``gpus`` may be a part of one. ``memory_gib``: main memory to set aside, 0: none. ``accelerators``: kinds of GPU
    that will do, empty: any. ``node_types``: on which of these it is to come up, else on one of ``or_on``; empty: on
    whatever node has room.
    """

    host: str
    model: str
    card: str
    gpus: float
    cpus: float
    memory_gib: float = 0.0
    accelerators: tuple[str, ...] = ()
    node_types: tuple[str, ...] = ()
    or_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StopHost:
    """Let a host go when its running ticket is back; it holds no others."""

    host: str
    why: str


@dataclass(frozen=True, slots=True)
class KillHost:
    """End a host now. Answer with `HostLost`; its tickets are already taken back."""

    host: str
    why: str


@dataclass(frozen=True, slots=True)
class BlockNodes:
    """Place no host on these machines, and count none of their slots: all that are blocked from here on."""

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DrainNode:
    """Give a machine back to the cluster once it is empty."""

    node: str
    why: str


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Hand a ticket to a host. A host has at most one running and one waiting."""

    host: str
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Revoke:
    """Take back a ticket: unstarted ones vanish; of a started one what is not done yet is aborted between steps.

    The host answers with `TicketEnded` either way, with the attempts that were finished.
    """

    host: str
    ticket: str


@dataclass(frozen=True, slots=True)
class Stitch:
    """Run a stitch task."""

    job: StitchJob


@dataclass(frozen=True, slots=True)
class Tell:
    """Try once to tell a recipient something; answer with `NoticeTried`."""

    notice: Notice
    to: Recipient


@dataclass(frozen=True, slots=True)
class AllDone:
    """Nothing is left that the farm could do.

    ``waiting_for_people``: (batch, shot, stage) to be picked and closed. ``stuck``: why work that is left cannot run
    (no such device, a model that would not load), a sentence each.
    """

    waiting_for_people: tuple[tuple[str, str, str], ...]
    stuck: tuple[str, ...]


Instruction = (
    Record | StartHost | StopHost | KillHost | BlockNodes | DrainNode | Dispatch | Revoke | Stitch | Tell | AllDone
)


class OrderRefused(Exception):
    """An order or submission that cannot be accepted, said for the person who gave it."""


class SettingsConflict(OrderRefused):
    """Other settings are in force than those that a change is based on.

    ``differences``: (place, both values) of those in force and those that were refused. ``version``: of those in force.
    """

    def __init__(self, message: str, differences: tuple[tuple[str, str], ...] = (), version: str = "none") -> None:
        super().__init__(message)
        self.differences = differences
        self.version = version
