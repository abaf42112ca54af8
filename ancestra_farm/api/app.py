"""The door: HTTP in front of a `Desk`. Says who may ask, whether a request is sound, and nothing about the farm itself.

Everything is checked before anything is handed on: whom the Host header names (a page in a browser can make a name
point at loopback, and is refused by this), whose token it is, under which epoch the asker thinks the farm is, how large
the body is and whether it says what it has to. No CORS: no page of another origin may read an answer.
"""

import ipaddress
import json
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ancestra_farm.api.bodies import Bodies
from ancestra_farm.api.desk import Desk, Leaving, OutcomeUnknown
from ancestra_farm.api.openapi import MOST_EPOCH, description
from ancestra_farm.api.people import NotAllowed, Person, TokenEnded
from ancestra_farm.api.problems import Refusal, problem_response
from ancestra_farm.api.reach import somebody
from ancestra_farm.api.routes import ROWS, Call, Row
from ancestra_farm.api.streams import Streams
from ancestra_farm.api.tokens import looks_like_token
from ancestra_farm.api.wire import Fault
from ancestra_farm.ledger.errors import StoreUnavailable, Superseded
from ancestra_farm.scheduler.world import OrderRefused, SettingsConflict

EPOCH_HEADER = "Ancestra-Epoch"
#: Names of loopback. The port is whatever the request came in on, forwarded or not.
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})

_BEARER = {"www-authenticate": 'Bearer realm="ancestra"'}
_LOG = logging.getLogger(__name__)


def build_app(desk: Desk, *, names: Collection[str] | None = LOOPBACK_NAMES) -> Starlette:
    """The application in front of ``desk``. ``names``: hosts that requests may name, None: any."""
    bodies, streams = Bodies(), Streams()
    by_path: dict[str, dict[str, Row]] = {}
    for row in ROWS:
        by_path.setdefault(row.path, {})[row.method] = row
    routes = [Route(path, _endpoint(desk, bodies, streams, rows), methods=list(rows)) for path, rows in by_path.items()]
    text = json.dumps(description(), ensure_ascii=False)

    async def openapi(_request: Request) -> Response:
        return Response(text, media_type="application/json")

    async def refused(request: Request, error: Exception) -> Response:
        return _refused(desk, request, error)

    return Starlette(
        routes=[*routes, Route("/v1/openapi.json", openapi, methods=["GET"])],
        middleware=[Middleware(_Doorkeeper, desk=desk, names=names)],
        exception_handlers={HTTPException: refused},
    )


class _Doorkeeper:
    """Looks at whom a request names, before anything else; puts the headers on that every answer has."""

    def __init__(self, app: ASGIApp, desk: Desk, names: Collection[str] | None) -> None:
        self._app = app
        self._desk = desk
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [
                    (EPOCH_HEADER.lower().encode(), str(self._desk.health.epoch).encode()),
                    (b"cache-control", b"no-store"),
                    (b"x-content-type-options", b"nosniff"),
                ]
                message = {**message, "headers": [*message.get("headers", ()), *headers]}
            await send(message)

        host = Request(scope).headers.get("host", "")
        if self._names is not None and not _is_one_of(_without_port(host), self._names):
            refusal = Refusal(
                "wrong-host", "this door is for loopback; the Host header has to name localhost or an address of it"
            )
            await problem_response(refusal, self._desk.health.epoch)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


def _is_one_of(host: str, names: Collection[str]) -> bool:
    """Whether a host is one of these names, or an address of loopback: only names can be pointed elsewhere."""
    try:
        return host in names or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


def _endpoint(desk: Desk, bodies: Bodies, streams: Streams, rows: Mapping[str, Row]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        row = rows["GET" if request.method == "HEAD" else request.method]
        try:
            return await _served(desk, bodies, streams, row, request)
        except Exception as error:  # noqa: BLE001 - every one of them becomes a sentence
            return _refused(desk, request, error)

    return endpoint


async def _served(desk: Desk, bodies: Bodies, streams: Streams, row: Row, request: Request) -> Response:
    person = await _who(desk, row, request)
    _same_epoch(desk, request)
    query = _query(row, request)
    if row.may is not None:
        await row.may(desk, somebody(person))
    async with bodies.of(request, row, person.name if person else "") as data:
        found = await row.handler(Call(desk, person, query, data if row.body is None else _parsed(row.body, data)))
    if isinstance(found, BaseModel):
        return Response(found.model_dump_json(), media_type="application/json")
    if isinstance(found, AsyncIterator):
        return streams.answer(somebody(person), found, row.media)
    return Response(found, headers={"content-type": row.media})


async def _who(desk: Desk, row: Row, request: Request) -> Person | None:
    if row.right is None:
        return None
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    person = None
    if scheme.lower() == "bearer" and looks_like_token(token):
        # Whoever was revoked through an outage may look on for a while, and change nothing.
        try:
            person = await run_in_threadpool(desk.person, token, sure=row.method == "POST")
        except TokenEnded as ended:
            raise Refusal("token-ended", str(ended), headers=_BEARER) from None
    if person is None:
        raise Refusal(
            "unknown-person",
            "this needs a token of this store, sent as 'Authorization: Bearer TOKEN'; an operator makes one with "
            "`ancestra token issue NAME --role ROLE`",
            headers=_BEARER,
        )
    if not row.on_show:
        person.need(row.right)
    return person


def _same_epoch(desk: Desk, request: Request) -> None:
    """Whoever says which epoch they mean is told where that is over: what they know may be, too."""
    said = request.headers.get(EPOCH_HEADER)
    if said is None:
        return
    epoch = desk.health.epoch
    if not said.isascii() or not said.isdigit() or len(said) > 20 or not 1 <= int(said) <= MOST_EPOCH:
        raise Refusal("malformed", f"{EPOCH_HEADER} is a whole number from 1 to {MOST_EPOCH}")
    if int(said) != epoch:
        raise Refusal("old-epoch", f"the farm is at work under epoch {epoch}, not {int(said)}; look at it anew")


def _query(row: Row, request: Request) -> BaseModel | None:
    pairs = request.query_params.multi_items()
    if row.query is None:
        if pairs:
            raise _invalid([Fault(place=f"query.{pairs[0][0]}", message="this question takes no such parameter")])
        return None
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _invalid([Fault(place=f"query.{name}", message="stands there twice") for name in twice])
    try:
        return row.query.model_validate_strings(dict(pairs))
    except ValidationError as error:
        raise _invalid(_faults(error, "query")) from None


def _parsed(model: type[BaseModel], data: bytes) -> BaseModel:
    try:
        return model.model_validate_json(data or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise Refusal(
                "malformed", f"the body is no JSON: {first['msg'].partition(': ')[2] or first['msg']}"
            ) from None
        raise _invalid(_faults(error, "body")) from None


def _faults(error: ValidationError, where: str, most: int = 50) -> list[Fault]:
    # Without what was sent: it may be a secret in the wrong place.
    found = error.errors(include_url=False, include_input=False)
    return [Fault(place=".".join(map(str, (where, *one["loc"]))), message=_message(one)) for one in found[:most]]


def _message(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "union_tag_invalid":  # the one message of pydantic's that repeats what was sent
        return f"{fault['ctx']['discriminator'].strip(chr(39))} is one of {fault['ctx']['expected_tags']}"
    return str(fault["msg"])


def _invalid(faults: list[Fault]) -> Refusal:
    return Refusal("invalid", "; ".join(f"{fault.place}: {fault.message}" for fault in faults[:8]), faults)


def _refused(desk: Desk, request: Request, error: Exception) -> Response:
    """Any exception as an answer. What was not foreseen is logged here and said in one sentence there."""
    refusal: Refusal
    match error:
        case Refusal():
            refusal = error
        case NotAllowed():
            refusal = Refusal("not-allowed", str(error))
        case Leaving():
            refusal = Refusal("leaving", str(error), headers={"retry-after": "1"})
        case SettingsConflict():
            faults = [Fault(place=place, message=values) for place, values in error.differences]
            refusal = Refusal("conflict", str(error), faults, version=error.version)
        case OrderRefused():
            refusal = Refusal("refused", " ".join(str(error).split()))
        case Superseded():
            refusal = Refusal("superseded", str(error), headers={"retry-after": "1"})
        case StoreUnavailable() | OutcomeUnknown():
            refusal = Refusal("unknown-outcome", str(error), headers={"retry-after": "2"})
        case HTTPException(status_code=405):
            refusal = Refusal(
                "method", f"{request.url.path} does not take {request.method}", headers=error.headers or {}
            )
        case HTTPException(status_code=404):
            refusal = Refusal("not-there", "there is nothing at this address; /v1/openapi.json says what there is")
        case HTTPException() | ClientDisconnect():
            refusal = Refusal("malformed", "this is no request that is understood here")
        case _:
            _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
            refusal = Refusal("internal", "something unforeseen went wrong; the controller's log says what")
    return problem_response(refusal, desk.health.epoch)
