"""Refusals as the door says them: one sentence for the person, in the form of RFC 9457, never a stack trace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from starlette.responses import Response

from ancestra_farm.api.wire import Fault, Problem


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its type, status and title."""

    type: str
    status: int
    title: str


#: Every kind there is; the description lists them.
KINDS = {
    kind.type: kind
    for kind in (
        Kind("malformed", 400, "The request is not HTTP, JSON or text as it says it is"),
        Kind("unknown-person", 401, "Nobody knows whose token this is"),
        Kind("token-ended", 401, "The token has ended"),
        Kind("not-allowed", 403, "The role does not allow it"),
        Kind("not-there", 404, "There is no such thing"),
        Kind("method", 405, "This address does not take this method"),
        Kind("too-slow", 408, "The request did not arrive in time"),
        Kind("refused", 409, "The farm refuses the order"),
        Kind("gone", 410, "It is no longer kept"),
        Kind("conflict", 409, "Others are in force than those that the change is based on"),
        Kind("old-epoch", 409, "Another controller is at work than the one that was asked"),
        Kind("too-large", 413, "The request is too large"),
        Kind("not-json", 415, "The body is not JSON"),
        Kind("not-bytes", 415, "The body is not sent as plain bytes"),
        Kind("wrong-host", 421, "The Host header names somebody else"),
        Kind("invalid", 422, "The request does not say what it has to, or says it wrong"),
        Kind("internal", 500, "Something unforeseen went wrong"),
        Kind("busy", 503, "Too much is being sent at once"),
        Kind("leaving", 503, "The controller is on its way out"),
        Kind("superseded", 503, "Another controller has taken the store over"),
        Kind("unknown-outcome", 503, "Nobody knows yet whether it happened"),
    )
}


@dataclass
class Refusal(Exception):
    """A request that is not met. ``detail``: the sentence; ``faults``: every fault of a request that is invalid.

    ``version``: of the settings in force, where a change of them was based on others.
    """

    type: str
    detail: str
    faults: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    version: str | None = None

    def __post_init__(self) -> None:
        super().__init__(self.detail)


def problem_response(refusal: Refusal, epoch: int | None) -> Response:
    """The refusal as an answer."""
    kind = KINDS[refusal.type]
    body = Problem(
        type=f"#{kind.type}",
        title=kind.title,
        status=kind.status,
        detail=refusal.detail,
        epoch=epoch,
        faults=tuple(refusal.faults),
        version=refusal.version,
    )
    return Response(
        body.model_dump_json(),
        status_code=kind.status,
        media_type="application/problem+json",
        headers=dict(refusal.headers),
    )
