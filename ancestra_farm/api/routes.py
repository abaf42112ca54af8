"""The table of what the door answers: one row for each request, from which both routing and description are made."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel

from ancestra_farm.api import answers, changes, delivered, incoming, nodes, uploads, wire
from ancestra_farm.api.desk import Desk
from ancestra_farm.api.people import Person, Right
from ancestra_farm.api.reach import may_change_some_show, may_order_at_all, may_submit_at_all
from ancestra_farm.ledger.uploads import MOST_PART_BYTES

#: Bytes of a body. A batch of thousands of shots is a few megabytes; orders are small.
ORDER_BYTES = 2**20
SUBMIT_BYTES = 2**25
SETTINGS_BYTES = 2**21
#: Seconds for a part of a large file to arrive: over a line of 30 kB a second, too.
PART_S = 300.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a handler sees it. ``person``: None where nobody has to say who they are."""

    desk: Desk
    person: Person | None
    query: Any
    body: Any


@dataclass(frozen=True, slots=True)
class Row:
    """One request that is answered.

    ``right``: what the person must be entitled to, None: anybody may ask. ``on_show``: a role on a show is enough, and
    the handler sees to it that nothing of other shows is told or changed; ``may`` raises NotAllowed for whoever has no
    such role anywhere, before a large body of theirs is read. ``query`` and ``body``: models of what comes in, None:
    nothing; ``raw``: the body is bytes and stays so. ``body_s``: seconds for it to arrive, None: as for most.
    ``answer``: model of what goes out, None: ``media``, as bytes or as pieces of them that are made as they go out.
    ``problems``: kinds that are its own.
    """

    method: Literal["GET", "POST"]
    path: str
    summary: str
    handler: Callable[[Call], Awaitable[Any]]
    right: Right | None = "ask"
    on_show: bool = False
    may: Callable[[Desk, Person], Awaitable[None]] | None = None
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    raw: bool = False
    body_bytes: int = ORDER_BYTES
    body_s: float | None = None
    answer: type[BaseModel] | None = None
    media: str = "application/json"
    problems: tuple[str, ...] = field(default=())

    @property
    def operation_id(self) -> str:
        """``get_status``."""
        return f"{self.method.lower()}_{self.path.rpartition('/')[2].replace('.', '_')}"


_ORDERED = ("refused", "leaving", "superseded", "unknown-outcome")
_CHANGED = (*_ORDERED, "conflict")
_LOOPED = ("leaving", "unknown-outcome")
_Submitting = partial(Row, right="submit", on_show=True, may=may_submit_at_all)
_Uploading = partial(_Submitting, problems=("refused", "unknown-outcome"))

ROWS = (
    Row(
        "GET",
        "/v1/health",
        "Is a controller at work here, and for which store?",
        answers.health,
        None,
        answer=wire.Health,
    ),
    Row(
        "GET",
        "/v1/status",
        "How far every shot is.",
        answers.status,
        on_show=True,
        query=incoming.OfShots,
        answer=wire.Status,
        problems=("not-there",),
    ),
    Row(
        "GET",
        "/v1/explain",
        "Why shots are where they are.",
        answers.explain,
        on_show=True,
        query=incoming.OfShots,
        answer=wire.Explanations,
        problems=("not-there", *_LOOPED),
    ),
    Row("GET", "/v1/batches", "All batches.", answers.batches, on_show=True, answer=wire.Batches, problems=_LOOPED),
    _Submitting(
        "POST",
        "/v1/batches",
        "Submit a batch, or a newer revision of one.",
        answers.submit,
        body=incoming.SubmitIn,
        body_bytes=SUBMIT_BYTES,
        answer=wire.Taken,
        problems=_ORDERED,
    ),
    _Submitting(
        "POST",
        "/v1/batch_checks",
        "Would this batch be taken? Asked before the files that it names are brought; nothing changes.",
        answers.check,
        body=incoming.SubmitIn,
        body_bytes=SUBMIT_BYTES,
        answer=wire.Checked,
        problems=_ORDERED,
    ),
    _Uploading(
        "GET",
        "/v1/uploads",
        "How far a file that a batch will name has come.",
        uploads.standing,
        query=incoming.OfMaterial,
        answer=wire.UploadStanding,
    ),
    _Uploading(
        "POST",
        "/v1/upload_parts",
        "Bring one part of a file. It is kept when this is answered, and bringing it again changes nothing.",
        uploads.take,
        query=incoming.OfPart,
        raw=True,
        body_bytes=MOST_PART_BYTES,
        body_s=PART_S,
        answer=wire.PartHeld,
    ),
    _Uploading(
        "POST",
        "/v1/upload_joins",
        "Every part of a file is there: have them made one.",
        uploads.end,
        body=incoming.JoinIn,
        body_bytes=SETTINGS_BYTES,
        answer=wire.JoinOut,
    ),
    Row(
        "POST",
        "/v1/orders",
        "Give orders: all are taken or none, and answered once they are durable.",
        answers.give,
        on_show=True,
        may=may_order_at_all,
        body=incoming.OrdersIn,
        answer=wire.Taken,
        problems=_ORDERED,
    ),
    Row(
        "GET",
        "/v1/farm_settings",
        "The settings of the farm.",
        changes.farm_settings,
        answer=wire.SettingsStanding,
        problems=_LOOPED,
    ),
    Row(
        "POST",
        "/v1/farm_settings",
        "Change the settings of the farm.",
        changes.change_farm,
        "farm_settings",
        body=incoming.FarmSettingsIn,
        body_bytes=SETTINGS_BYTES,
        answer=wire.Taken,
        problems=_CHANGED,
    ),
    Row(
        "GET",
        "/v1/show_settings",
        "The settings of shows.",
        changes.show_settings,
        on_show=True,
        query=incoming.OfShow,
        answer=wire.AllSettings,
        problems=_LOOPED,
    ),
    Row(
        "POST",
        "/v1/show_settings",
        "Change the settings of a show.",
        changes.change_show,
        "show_settings",
        on_show=True,
        may=may_change_some_show,
        body=incoming.ShowSettingsIn,
        body_bytes=SETTINGS_BYTES,
        answer=wire.Taken,
        problems=_CHANGED,
    ),
    Row(
        "GET",
        "/v1/hosts",
        "All hosts and what they work on, and the nodes they are on.",
        nodes.hosts,
        answer=wire.Hosts,
        problems=_LOOPED,
    ),
    Row(
        "POST",
        "/v1/nodes",
        "Drain, block or forgive a node, the hosts on it, or a model whose hosts failed to start.",
        nodes.order,
        "drain",
        body=incoming.NodeOrderIn,
        answer=wire.Taken,
        problems=_ORDERED,
    ),
    Row(
        "GET",
        "/v1/delivered",
        "Bytes of one file of a finished version, a block at a time.",
        delivered.block,
        on_show=True,
        query=incoming.OfDelivered,
        media="application/octet-stream",
        problems=("not-there", "unknown-outcome", "busy"),
    ),
    Row("GET", "/v1/queues", "How much waits for which model.", answers.queues, answer=wire.Queues),
    Row(
        "GET",
        "/v1/candidates",
        "Candidates by the beginning of their id.",
        answers.candidates,
        on_show=True,
        query=incoming.OfPrefix,
        answer=wire.Candidates,
        problems=_LOOPED,
    ),
    Row(
        "GET",
        "/v1/events",
        "What was committed after a commit.",
        answers.events,
        on_show=True,
        query=incoming.After,
        answer=wire.Events,
        problems=("gone",),
    ),
    Row(
        "POST",
        "/v1/stop",
        "Stop the farm cleanly: nothing new is begun, what is finished is committed.",
        answers.stop,
        "stop",
        body=incoming.Nothing,
        answer=wire.Taken,
        problems=("leaving", "superseded", "unknown-outcome"),
    ),
    Row(
        "GET",
        "/v1/metrics",
        "Metrics in the text format of Prometheus.",
        answers.metrics,
        media="text/plain; version=0.0.4; charset=utf-8",
    ),
)
