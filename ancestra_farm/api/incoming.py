"""What comes in through the door: every order, submission and question as a pydantic model.

These models validate requests, and are described in ``/v1/openapi.json`` from the same definitions. What goes out is in
`wire`.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from ancestra_farm.batch.base import Float, Int, Model, Name, PersonName
from ancestra_farm.batch.schema import Priority
from ancestra_farm.ledger.uploads import MOST_BYTES, MOST_PARTS
from ancestra_farm.plan.farm_events import NodeOrderKind

#: No control characters: these texts are shown in terminals.
PLAIN = r"^[^\x00-\x1f\x7f-\x9f]*$"
MOST_ORDERS = 256
#: Of `more`: as many as a stage may ask for in a batch file.
MOST_CANDIDATES = 10_000_000
MOST_EVENTS = 1_000


def _whole(value: object) -> object:
    """JSON has one kind of number: 500.0 is the whole number 500 there, as the description says it of integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


#: Of numbers in bodies. What stands in an address is text, and is read as such.
WHOLE = BeforeValidator(_whole)

CandidateId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="32 hex digits.")]
OrderId = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_-]{8,64}$",
        description="Made by whoever orders. The same order again under the same id is acknowledged and changes "
        "nothing, so it can be repeated when an answer was lost. Left out: one is made here.",
    ),
]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", description="sha256: and 64 hexadecimal digits.")]
Size = Annotated[Int, Field(ge=0, le=MOST_BYTES, description="Length of the whole file.")]
Moment = Annotated[Float, Field(gt=0, lt=1e11, description="Seconds since the Unix epoch.")]
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
    candidates: Annotated[Int, Field(ge=1, le=MOST_CANDIDATES), WHOLE]


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


class Pause(Given):
    """Start nothing more of a shot, or of the whole batch where no shot is named."""

    order: Literal["pause"]
    shot: Name | None = None
    until: Moment | None = Field(
        default=None,
        description="When the pause ends by itself, by a year ahead at most; left out: when it is ordered to. What is "
        "paused already may be given another end.",
    )


class Hold(Given):
    """Unpause or cancel a shot, or the whole batch where no shot is named."""

    order: Literal["unpause", "cancel"]
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


AnyOrder = Annotated[
    OfCandidate | CloseStage | MoreCandidates | Retry | Pause | Hold | Reorder, Field(discriminator="order")
]


class OrdersIn(Model):
    """One order, or several of one kind that each name another candidate; all are taken, or none."""

    orders: Annotated[list[AnyOrder], Field(min_length=1, max_length=MOST_ORDERS)]


class SubmitIn(Model):
    """A batch as canonical JSON with the cards of its models, as `ancestra run` makes them of a batch file."""

    document: Annotated[str, Field(min_length=2, description="The batch: canonical JSON of schema ancestra/v1.")]
    cards: Annotated[dict[str, str], Field(description="Model cards by id: canonical JSON each.")]
    who: PersonName | None = Field(default=None, description="As of an order.")
    start_at: Moment | None = Field(
        default=None,
        description="When it is to begin, by a year ahead at most: it is paused until then, and its nodes and models "
        "are there by then. Left out: now.",
    )
    order_id: OrderId | None = None


class SettingsIn(Model):
    """What every change of settings has."""

    document: Annotated[str, Field(min_length=2, max_length=2**20, description="The whole of it, as JSON.")]
    based_on: Annotated[
        str,
        Field(
            pattern=r"^([0-9a-f]{16}|none)$",
            description="The version of those that these began from. Where others are in force by now, nothing changes "
            "(#conflict, with what differs). By default `none`: there were none.",
        ),
    ] = "none"
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


class JoinIn(Model):
    """Every part of a file has been sent. ``parts``: the digest of each, in order."""

    digest: Digest
    bytes: Annotated[Size, WHOLE]
    parts: Annotated[tuple[Digest, ...], Field(max_length=MOST_PARTS)]


class Nothing(Model):
    """A request without a body, or with an empty object."""


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


class OfMaterial(Model):
    """A file that somebody wants to bring."""

    digest: Digest
    bytes: Size


class OfPart(Model):
    """One part of a file; its bytes are the body. ``part``: their digest."""

    digest: Digest
    number: Annotated[Int, Field(ge=0, lt=MOST_PARTS, description="Parts are counted from 0.")]
    part: Digest


class OfDelivered(Model):
    """One file of a version of a shot, as its manifest names it, from an offset in bytes on."""

    show: Name
    shot: Name
    version: Name
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$", max_length=400)]
    offset: Annotated[int, Field(ge=0, le=2**50)] = 0
