"""The farm's door from the outside: what commands use to talk to the controller that is at work in a store.

It knows no Ray and loads little, so that an order is acknowledged in a blink. A lost connection is tried again for a
while, under the same ``order_id``, so that nothing happens twice; the controller may have moved to another epoch and
another port meanwhile, which the presence in the store says.
"""

import dataclasses
import io
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

import urllib3
from pydantic import BaseModel, ValidationError

from ancestra_farm.api import wire
from ancestra_farm.api.afar import Afar, Place, at_work_in
from ancestra_farm.api.connection import READ_S, connections
from ancestra_farm.api.people import NotAllowed, TokenEnded, UnknownPerson
from ancestra_farm.api.tokens import OwnToken, own_token
from ancestra_farm.batch.urls import on_loopback
from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.plan.events import OrderGiven
from ancestra_farm.plan.farm_events import NodeOrdered, SettingsGiven
from ancestra_farm.scheduler.world import OrderRefused, SettingsConflict

A = TypeVar("A", bound=BaseModel)
#: JSON, or bytes as they are.
Body = dict[str, Any] | bytes
R = TypeVar("R")

#: So long is a lost controller looked for: one that lost its store comes back within about 20 s, one that ends is gone.
PATIENCE_S = 30.0
PAUSE_S = 0.25
#: Of a line that stands still in the middle of a part of a large file.
STALL_S = 20.0
#: Where the door is reached from here, in place of what the controller says: this end of a tunnel to it.
ENDPOINT_VARIABLE = "ANCESTRA_ENDPOINT"
EPOCH_HEADER = "Ancestra-Epoch"


class EndpointGone(Exception):
    """No controller answers. ``presence``: who is at work nevertheless, out of reach; None: nobody is any more."""

    def __init__(self, message: str, presence: Presence | None = None) -> None:
        super().__init__(message)
        self.presence = presence


class _Lost(Exception):
    """A try that got no answer."""


class _NotNow(_Lost):
    """A try that was answered: it may do later."""


class Client:
    """Talks to the controller of one store as one person. ``who``: act for somebody else; empty: as oneself."""

    def __init__(
        self, store: Place, presence: Presence, own: OwnToken, who: str = "", patience_s: float = PATIENCE_S
    ) -> None:
        self.store = store
        self.who = who
        self._patience_s = patience_s
        self._own = own
        self._presence = presence
        self._known = ""
        self._endpoint = "" if isinstance(store, Afar) else _named_endpoint()
        self._pool = connections(self._endpoint or presence.endpoint, presence.fingerprint)

    @classmethod
    def of(
        cls, store: Place, who: str = "", *, token: OwnToken | None = None, patience_s: float = PATIENCE_S
    ) -> Self | None:
        """The client of the controller that is at work in a store, or behind a door; None where none is.

        ``patience_s``: so long one that does not answer is waited for.

        Raises NotAllowed where there is no token and none can be made.
        """
        presence = at_work_in(store)
        if presence is None:
            return None
        return cls(store, presence, token or own_token(store), who, patience_s)

    @property
    def presence(self) -> Presence:
        """Who answered last, or will be asked next."""
        return self._presence

    @property
    def endpoint(self) -> str:
        """Where it is asked: ``http[s]://HOST:PORT``; empty: it does not listen."""
        return self._endpoint or self._presence.endpoint

    # ---- what can be asked -----------------------------------------------------------------------------------------

    def health(self) -> wire.Health:
        """Whether it is there and ready."""
        return self._ask("GET", "/v1/health", wire.Health)

    def status(self, batch: str | None = None, shot: str | None = None) -> wire.Status:
        """Where things stand. Raises OrderRefused for a batch or shot that is not there."""
        return self._ask("GET", "/v1/status", wire.Status, fields={"batch": batch, "shot": shot})

    def explain(self, batch: str | None = None, shot: str | None = None) -> wire.Explanations:
        """Why shots are where they are."""
        return self._ask("GET", "/v1/explain", wire.Explanations, fields={"batch": batch, "shot": shot})

    def batches(self) -> wire.Batches:
        """All batches."""
        return self._ask("GET", "/v1/batches", wire.Batches)

    def hosts(self) -> wire.Hosts:
        """All hosts."""
        return self._ask("GET", "/v1/hosts", wire.Hosts)

    def candidates(self, prefix: str, batch: str | None = None) -> wire.Candidates:
        """Candidates by the beginning of their id, 4 hex digits at least."""
        return self._ask("GET", "/v1/candidates", wire.Candidates, fields={"prefix": prefix, "batch": batch})

    def events(self, after: int, limit: int = 500, wait_s: int = 0) -> wire.Events:
        """What was committed after a commit."""
        fields = {"after": str(after), "limit": str(limit), "wait_s": str(wait_s)}
        return self._ask("GET", "/v1/events", wire.Events, fields=fields)

    def metrics(self) -> str:
        """The metrics, as Prometheus reads them."""
        return self._asked("GET", "/v1/metrics", lambda data: data.decode("utf-8", "replace"))

    def give(self, orders: Sequence[OrderGiven]) -> wire.Taken:
        """Give orders, all or none; they are durable on return. Those without an ``order_id`` get one.

        Raises OrderRefused, NotAllowed, EndpointGone.
        """
        sent = [self._spelt(order) for order in orders]
        return self._ask("POST", "/v1/orders", wire.Taken, {"orders": sent})

    def check(self, document: str, cards: Mapping[str, str], start_at: float | None = None) -> None:
        """Ask whether a batch would be taken, before its files are brought. Raises OrderRefused, NotAllowed."""
        self._ask("POST", "/v1/batch_checks", wire.Checked, self._batch(document, cards, start_at))

    def submit(
        self, document: str, cards: Mapping[str, str], start_at: float | None = None, order_id: str = ""
    ) -> wire.Taken:
        """Hand in a checked batch; it is durable on return. The same batch again changes nothing.

        ``start_at``: when it is to begin, in seconds since the Unix epoch; None: now. ``order_id``: what was taken
        under it is not taken once more, whatever others did since; empty: one is made.
        """
        body = self._batch(document, cards, start_at) | {"order_id": order_id or uuid.uuid4().hex}
        return self._ask("POST", "/v1/batches", wire.Taken, body)

    def _batch(self, document: str, cards: Mapping[str, str], start_at: float | None) -> dict[str, Any]:
        body: dict[str, Any] = {"document": document, "cards": dict(cards), **self._named(self.who)}
        return body if start_at is None else body | {"start_at": start_at}

    def change(self, given: SettingsGiven, based_on: str) -> wire.Taken:
        """Give settings in place of a version; durable on return. The same under the same id again change nothing.

        Raises SettingsConflict where others are in force than ``based_on``, and what `give` raises.
        """
        body = {"document": given.document, "based_on": based_on, "order_id": given.order or uuid.uuid4().hex}
        body |= self._named(self.who)
        if given.kind == "farm":
            return self._ask("POST", "/v1/farm_settings", wire.Taken, body)
        return self._ask("POST", "/v1/show_settings", wire.Taken, body | {"show": given.name})

    def order_node(self, given: NodeOrdered) -> wire.Taken:
        """Give an order about a node, a host or a model; it is durable on return. Raises OrderRefused, NotAllowed."""
        named = {"node": given.node, "host": given.host, "model": given.model, "note": given.note}
        body = {name: value for name, value in named.items() if value}
        body |= {"order": given.order, "order_id": given.order_id or uuid.uuid4().hex}
        return self._ask("POST", "/v1/nodes", wire.Taken, body | self._named(given.who or self.who))

    def farm_settings(self) -> wire.SettingsStanding:
        """The settings of the farm."""
        return self._ask("GET", "/v1/farm_settings", wire.SettingsStanding)

    def show_settings(self, show: str | None = None) -> wire.AllSettings:
        """The settings of a show, or of all."""
        return self._ask("GET", "/v1/show_settings", wire.AllSettings, fields={"show": show})

    def upload_standing(self, digest: str, size: int) -> wire.UploadStanding:
        """How far a file that a batch will name has come. Raises OrderRefused for what was revoked."""
        fields = {"digest": digest, "bytes": str(size)}
        return self._ask("GET", "/v1/uploads", wire.UploadStanding, fields=fields)

    def bring_part(self, digest: str, number: int, part: str, data: bytes) -> wire.PartHeld:
        """Bring one part of a file, ``part`` being its digest; it is in the store on return. Repeatable."""
        fields = {"digest": digest, "number": str(number), "part": part}
        return self._ask("POST", "/v1/upload_parts", wire.PartHeld, data, fields)

    def join_upload(self, digest: str, size: int, parts: Sequence[str]) -> wire.JoinOut:
        """Have the parts of a file, all of which are there, made one. Repeatable."""
        body = {"digest": digest, "bytes": size, "parts": list(parts)}
        return self._ask("POST", "/v1/upload_joins", wire.JoinOut, body)

    def delivered(self, show: str, shot: str, version: str, file: str, offset: int = 0) -> bytes:
        """Bytes of a file of a version from an offset on, as many as come at once; none only at its end.

        Raises OrderRefused where there is no such file.
        """
        fields = {"show": show, "shot": shot, "version": version, "file": file, "offset": str(offset)}
        return self._asked("GET", "/v1/delivered", bytes, fields=fields)

    def stop(self) -> wire.Taken:
        """Stop the farm cleanly. It has begun to stop on return."""
        return self._ask("POST", "/v1/stop", wire.Taken, {})

    def close(self) -> None:
        """Let go of connections."""
        self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- how -------------------------------------------------------------------------------------------------------

    def _spelt(self, order: OrderGiven) -> dict[str, Any]:
        told = {name: value for name, value in dataclasses.asdict(order).items() if value not in ("", 0, None)}
        fields = {"order_id": uuid.uuid4().hex} | {name: told[name] for name in told.keys() - {"at", "who"}}
        return fields | self._named(order.who or self.who)

    @staticmethod
    def _named(who: str) -> dict[str, str]:
        return {"who": who} if who else {}

    def _ask(
        self,
        method: str,
        path: str,
        model: type[A],
        body: Body | None = None,
        fields: Mapping[str, str | None] | None = None,
    ) -> A:
        """Ask for what `wire` describes."""
        return self._asked(method, path, model.model_validate_json, body, fields)

    def _asked(
        self,
        method: str,
        path: str,
        read: Callable[[bytes], R],
        body: Body | None = None,
        fields: Mapping[str, str | None] | None = None,
    ) -> R:
        """Ask until there is an answer, or until it is clear that none will come. ``read``: makes sense of it."""
        asked = {name: value for name, value in (fields or {}).items() if value is not None}
        if asked:
            path += "?" + urlencode(asked)
        until = time.monotonic() + self._patience_s
        while True:
            try:
                return self._once(method, path, read, body)
            except _Lost as lost:
                self._look_again(lost, until)

    def _look_again(self, why: _Lost, until: float) -> None:
        """Find out who is at work now. Raises EndpointGone when it is nobody, or nobody who can be reached."""
        self._known = ""
        time.sleep(PAUSE_S)
        presence = at_work_in(self.store)
        if presence is None and isinstance(self.store, Afar):
            if time.monotonic() < until:
                return  # only the store could say whether it has ended or begins anew
            raise EndpointGone(f"{self.store.url}: nobody answers there any more ({why})")
        if presence is None:
            raise EndpointGone(f"{self.store.url}: the controller has ended ({why})")
        if isinstance(why, _NotNow) and time.monotonic() >= until:
            raise EndpointGone(f"{self.store.url}: {presence} is at work there and cannot take it now: {why}", presence)
        never = presence.epoch == self._presence.epoch and not _reachable(presence, self._endpoint)
        if never or time.monotonic() >= until:
            raise EndpointGone(
                f"{self.store.url}: {presence} is at work there, but its endpoint "
                f"{self._endpoint or presence.endpoint or '(none)'} cannot be reached from here ({why}); "
                f"give the command on {presence.host}, or have it started with --listen HOST:PORT",
                presence,
            )
        if (presence.endpoint, presence.fingerprint) != (self._presence.endpoint, self._presence.fingerprint):
            self.close()
            self._pool = connections(self._endpoint or presence.endpoint, presence.fingerprint)
        self._presence = presence

    def _once(self, method: str, path: str, read: Callable[[bytes], R], body: Body | None) -> R:
        endpoint = self._endpoint or self._presence.endpoint
        if not endpoint:
            raise _Lost("it does not listen")
        if self._known != endpoint:
            # Nobody is shown a token who does not say to be the controller of this very store.
            health = self._answer("GET", f"{endpoint}/v1/health", wire.Health.model_validate_json, None, {})
            if health.store != self.store.id:
                raise _Lost(f"{endpoint} belongs to another store")
            if health.epoch != self._presence.epoch or not health.ready:
                raise _Lost("it is just beginning, or another one is")
            self._known = endpoint
        headers = {"authorization": f"Bearer {self._own.token}", EPOCH_HEADER: str(self._presence.epoch)}
        return self._answer(method, endpoint + path, read, body, headers)

    def _answer(
        self,
        method: str,
        url: str,
        read: Callable[[bytes], R],
        body: Body | None,
        headers: dict[str, str],
    ) -> R:
        data: bytes | io.BytesIO | None = None
        timeout = self._pool.connection_pool_kw["timeout"]
        if isinstance(body, bytes):
            # Read block by block: sent in one piece, all of it would have to go in the time for one block.
            data = io.BytesIO(body)
            headers = headers | {"content-type": "application/octet-stream", "content-length": str(len(body))}
            timeout = urllib3.Timeout(connect=STALL_S, read=READ_S)
        elif body is not None:
            data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
            headers = headers | {"content-type": "application/json"}
        try:
            answer = self._pool.request(method, url, body=data, headers=headers, timeout=timeout)
        except urllib3.exceptions.SSLError as error:
            raise _Lost("what answers there does not show the certificate that the store names") from error
        except urllib3.exceptions.HTTPError as error:
            raise _Lost(f"no answer: {type(error).__name__}") from error
        if answer.status == 200:
            try:
                return read(answer.data)
            except ValidationError as error:
                raise _Lost("what answers is no controller of this version") from error
        raise self._error(answer.status, answer.data)

    def _error(self, status: int, data: bytes) -> Exception:
        try:
            problem = wire.Problem.model_validate_json(data)
        except ValidationError:
            return _Lost(f"what answers is no controller (HTTP {status})")
        if problem.type in {"#old-epoch", "#busy", "#leaving", "#superseded", "#unknown-outcome"}:
            return _NotNow(problem.detail)
        if problem.type == "#unknown-person":
            return UnknownPerson(
                f"the token in {self._own.place} is none of {self.store.url} (any more); an operator makes a new one "
                "with `ancestra token issue NAME --role ROLE`, and `ancestra token use` keeps it"
            )
        if problem.type in {"#token-ended", "#not-allowed"}:
            return (TokenEnded if problem.type == "#token-ended" else NotAllowed)(problem.detail)
        if problem.type == "#conflict":
            differences = tuple((fault.place, fault.message) for fault in problem.faults)
            return SettingsConflict(problem.detail, differences, problem.version or "")
        return OrderRefused(problem.detail)


def _named_endpoint() -> str:
    """What the environment says the door is reached at, empty: nothing. Raises NotAllowed where others could listen."""
    named = os.environ.get(ENDPOINT_VARIABLE, "").strip().rstrip("/")
    if named and not named.startswith("https://") and not on_loopback(named):
        raise NotAllowed(
            f"{ENDPOINT_VARIABLE} names {named}: a token would go there in the clear. Name https://HOST:PORT, or this "
            "end of a tunnel, http://127.0.0.1:PORT"
        )
    return named


def _reachable(presence: Presence, endpoint: str) -> bool:
    """Whether there is any sense in trying: a loopback address means something on its own machine only.

    ``endpoint``: somebody says where it is reached from here, empty: nobody.
    """
    if endpoint:
        return True
    return bool(presence.endpoint) and (not on_loopback(presence.endpoint) or presence.host == socket.gethostname())
