"""A Ray cluster as its head answers over HTTP (the dashboard's port, 8265): jobs, nodes, versions.

This is what a laptop needs of a cluster: Ray's REST API under Ray's token, without joining it and without loading Ray.
Every request has an end, which Ray's own client lacks. A head that answers without a token lets anybody run anything,
so it is refused, and no token is ever sent to it; so is one that would be sent the token in the clear over a network.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import urllib3

from ancestra_farm.batch.urls import on_loopback

#: Seconds to connect, and for an answer: a head under load takes some to start a job, and Ray itself waits 60 for one.
CONNECT_S = 5.0
READ_S = 75.0
#: Ray's default port of the dashboard and the Jobs API.
PORT = 8265
#: Bytes of an answer that are read; the log of a job is the largest.
MOST_BYTES = 2**26

JobStatus = Literal["PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"]
#: A job in one of these does nothing any more.
ENDED: frozenset[JobStatus] = frozenset({"STOPPED", "SUCCEEDED", "FAILED"})

#: What to do about a cluster that answers without a token.
HOW_TO_CLOSE = (
    "set RAY_AUTH_MODE=token in the environment of `ray start` on every node, with one token for all of them "
    "(`ray get-auth-token --generate`), and start the cluster anew"
)


class HeadUnreachable(Exception):
    """Nothing answers at the head's address, or nothing that is a Ray head."""


class HeadNotReady(HeadUnreachable):
    """The head answers and takes no jobs yet, as for some seconds after its start. Nothing was begun; try again."""


class HeadRefused(Exception):
    """The head refuses us, or is one that must not be talked to; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job. ``message``: what Ray says of its state. ``at``: when it was submitted, Unix seconds."""

    submission_id: str
    status: JobStatus
    message: str
    metadata: Mapping[str, str]
    at: float

    @property
    def ended(self) -> bool:
        """Whether it does nothing any more."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class RayNode:
    """One node that is alive. ``resources``: in all, as Ray counts them (memory in bytes). ``node``: hex id."""

    node: str
    address: str
    is_head: bool
    resources: Mapping[str, float]
    labels: Mapping[str, str]

    @property
    def gpus(self) -> float:
        """GPUs in all."""
        return self.resources.get("GPU", 0.0)

    @property
    def accelerators(self) -> tuple[str, ...]:
        """Types of its accelerators, as Ray names them."""
        prefix = "accelerator_type:"
        return tuple(sorted(name.removeprefix(prefix) for name in self.resources if name.startswith(prefix)))


@dataclass(frozen=True, slots=True)
class WaitingActor:
    """An actor that has no node yet. ``kind``: its class. ``selector``: the labels its node has to have."""

    kind: str
    name: str
    resources: Mapping[str, float]
    selector: Mapping[str, str]

    def fits(self, node: RayNode) -> bool:
        """Whether an empty node like this one would do."""
        room = all(node.resources.get(name, 0.0) >= amount for name, amount in self.resources.items())
        return room and all(satisfies(node.labels.get(name), wanted) for name, wanted in self.selector.items())


@dataclass(frozen=True, slots=True)
class Version:
    """What a cluster runs. ``python``: empty where it is not told."""

    ray: str
    python: str


def satisfies(value: str | None, wanted: str) -> bool:
    """Whether a node's label, None where it has none, is as a Ray label selector wants: ``a``, ``!a``, ``in(a,b)``."""
    wanted = wanted.strip()
    unwanted = wanted.startswith("!")
    words = wanted.removeprefix("!")
    if words.startswith("in(") and words.endswith(")"):
        return (value in [word.strip() for word in words[3:-1].split(",")]) != unwanted
    return (value == words) != unwanted


def address_of(text: str) -> str:
    """The base URL of a head's HTTP side: ``http://HOST:PORT``. Raises HeadRefused for what is none."""
    url = text if "://" in text else f"http://{text}"
    scheme, _, rest = url.partition("://")
    if scheme == "ray" or (rest.endswith((":6379", ":10001")) and scheme == "http"):
        raise HeadRefused(
            f"{text} is an address for Ray's own protocols; submit needs the head's HTTP side, "
            f"http://HOST:{PORT} (the dashboard)"
        )
    try:
        found = urllib3.util.parse_url(url)
    except urllib3.exceptions.LocationParseError:
        found = urllib3.util.Url()
    plain = found.auth is None and found.path in {None, "", "/"} and found.query is None and found.fragment is None
    if scheme not in {"http", "https"} or not found.host or not plain:
        raise HeadRefused(f"{text!r} is not the address of a head: http://HOST:{PORT}, or https:// before a proxy")
    port = found.port or (443 if scheme == "https" else PORT)
    return f"{scheme}://{found.host}:{port}"


def token_file() -> Path:
    """Where Ray keeps its token on this machine, and makes one where there is none and none is named."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def ray_token() -> str:
    """Ray's token on this machine, empty where there is none: looked for where Ray itself looks, in its order."""
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    try:
        return token_file().read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


class Head:
    """The HTTP side of one head. ``insecure``: talk to it even where nothing keeps others out, or where they listen.

    Every method raises HeadUnreachable and HeadRefused.
    """

    def __init__(self, address: str, *, token: str | None = None, insecure: bool = False) -> None:
        self.address = address_of(address)
        self.asks_for_token: bool | None = None
        self._token = ray_token() if token is None else token
        self._insecure = insecure
        self._pool = urllib3.PoolManager(
            num_pools=2, retries=False, timeout=urllib3.Timeout(connect=CONNECT_S, read=READ_S)
        )

    def close(self) -> None:
        """Let go of connections."""
        self._pool.clear()

    def __enter__(self) -> "Head":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def knock(self) -> None:
        """Find out, without a token, whether this head asks for one. Refuses one that does not, unless told."""
        if self.asks_for_token is not None:
            return
        status, data = self._request("GET", "/api/jobs/", None, {})
        if status not in {200, 401, 403}:
            raise HeadUnreachable(f"what answers at {self.address} is no Ray head (HTTP {status})")
        if status == 200:
            self._list(data)  # somebody else's page is no open cluster
        asks = status != 200
        if not asks and not self._insecure:
            raise HeadRefused(
                f"the Ray at {self.address} answers without a token: whoever reaches it can run anything there. "
                f"Close it: {HOW_TO_CLOSE}; or say --insecure"
            )
        if asks and not self._insecure and not self._private():
            raise HeadRefused(
                f"Ray's token is full control of the cluster, and {self.address} would be sent it in the clear; go "
                f"through a tunnel (ssh -L {PORT}:127.0.0.1:{PORT} HEAD, then --address http://127.0.0.1:{PORT}), or "
                "https://, or say --insecure"
            )
        self.asks_for_token = asks

    def version(self) -> Version:
        """What runs there."""
        told = self._object(self._ask("GET", "/api/version"))
        try:
            metadata = self._object(self._ask("GET", "/api/v0/cluster_metadata")).get("data", {})
            python = str(metadata.get("pythonVersion", ""))
        except (_NotThere, AttributeError):
            python = ""
        return Version(str(told.get("ray_version", "")), python)

    def nodes(self) -> list[RayNode]:
        """Every node that is alive, the head first."""
        rows = self._rows("/api/v0/nodes?limit=10000&detail=true")
        found = [_node(row) for row in rows if row.get("state") == "ALIVE"]
        return sorted(found, key=lambda node: (not node.is_head, node.address))

    def waiting(self) -> list[WaitingActor]:
        """Actors that Ray has found no place for yet: hosts that wait for a node, most of the time."""
        keys = "filter_keys=state&filter_predicates=%3D&filter_values=PENDING_CREATION"
        rows = self._rows(f"/api/v0/actors?limit=10000&detail=true&{keys}")
        return [_waiting(row) for row in rows if row.get("state") == "PENDING_CREATION"]

    def jobs(self) -> list[Job]:
        """Every job that was submitted to this cluster, the oldest first."""
        return sorted((_job(row) for row in self._list(self._ask("GET", "/api/jobs/")) if _is_job(row)), key=_by_time)

    def job(self, submission_id: str) -> Job | None:
        """One job; None where there is none of this id."""
        try:
            row = self._object(self._ask("GET", f"/api/jobs/{quote(submission_id, safe='')}"))
        except _NotThere:
            return None
        return _job(row) if _is_job(row) else None

    def submit(self, entrypoint: str, submission_id: str, metadata: Mapping[str, str]) -> bool:
        """Start a job on the head; False where the id is taken. ``entrypoint``: a line for the head's shell.

        Raises HeadNotReady, too.
        """
        body = {"entrypoint": entrypoint, "submission_id": submission_id, "metadata": dict(metadata), "runtime_env": {}}
        try:
            self._ask("POST", "/api/jobs/", body)
        except _Failed as failed:
            if self.job(submission_id) is not None:
                return False  # Ray says 500 to an id that is taken; or it was us, and the answer got lost
            if _NO_AGENT in str(failed):
                raise HeadNotReady(f"{self.address} takes no jobs yet: its agent is not up") from failed
            raise HeadRefused(f"{self.address} did not take the job: {failed}") from failed
        return True

    def stop(self, submission_id: str) -> None:
        """Have a job end: SIGTERM, and SIGKILL a little later."""
        self._ask("POST", f"/api/jobs/{quote(submission_id, safe='')}/stop")

    def log(self, submission_id: str) -> str:
        """Everything a job has said so far."""
        return str(self._object(self._ask("GET", f"/api/jobs/{quote(submission_id, safe='')}/logs")).get("logs") or "")

    # ---- how -------------------------------------------------------------------------------------------------------

    def _private(self) -> bool:
        """Whether nobody on the way can listen: encrypted, or it never leaves this machine."""
        return self.address.startswith("https://") or on_loopback(self.address)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        self.knock()
        headers = {"authorization": f"Bearer {self._token}"} if self.asks_for_token and self._token else {}
        status, data = self._request(method, path, body, headers)
        if status == 200:
            return data
        said = " ".join(data.decode("utf-8", "replace").split())[-500:]
        if status in {401, 403}:
            what = "none is here" if not self._token else "the one here is another's"
            raise HeadRefused(
                f"{self.address} asks for the cluster's token and {what}: put it into RAY_AUTH_TOKEN, or into "
                "~/.ray/auth_token with mode 0600"
            )
        if status == 404:
            raise _NotThere(f"{self.address}: {said}")
        raise _Failed(f"HTTP {status}: {said}")

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body).encode()
        headers = dict(headers) | ({"content-type": "application/json"} if data is not None else {})
        try:
            answer = self._pool.request(
                method, self.address + path, body=data, headers=headers, preload_content=False, redirect=False
            )
            with answer:
                return answer.status, answer.read(MOST_BYTES)
        except urllib3.exceptions.HTTPError as error:
            raise HeadUnreachable(
                f"no answer from {self.address} ({type(error).__name__}): is the tunnel up?"
            ) from error

    def _rows(self, path: str) -> list[dict[str, Any]]:
        """The rows of an answer of Ray's state API."""
        answer = self._object(self._ask("GET", path))
        try:
            rows = answer["data"]["result"]["result"]
        except (KeyError, TypeError) as error:
            raise HeadUnreachable(f"{self.address} answers {path} in a way that is not known here") from error
        return [row for row in rows if isinstance(row, dict)]

    def _object(self, data: bytes) -> dict[str, Any]:
        found = self._json(data)
        if not isinstance(found, dict):
            raise HeadUnreachable(f"what answers at {self.address} is no Ray head")
        return found

    def _list(self, data: bytes) -> list[Any]:
        found = self._json(data)
        if not isinstance(found, list):
            raise HeadUnreachable(f"what answers at {self.address} is no Ray head")
        return found

    def _json(self, data: bytes) -> Any:  # noqa: ANN401 - whatever it is
        try:
            return json.loads(data)
        except ValueError as error:
            raise HeadUnreachable(f"what answers at {self.address} is no Ray head") from error


#: What Ray says before the agent of the head is up.
_NO_AGENT = "No available agent"


class _Failed(HeadRefused):
    """An answer other than 200 that is no matter of tokens."""


class _NotThere(_Failed):
    """404."""


def _is_job(row: Any) -> bool:  # noqa: ANN401 - one entry of an answer
    """Whether it was submitted: drivers that joined by themselves are listed, too."""
    return isinstance(row, dict) and isinstance(row.get("submission_id"), str)


def _job(row: Mapping[str, Any]) -> Job:
    metadata = row.get("metadata") or {}
    return Job(
        submission_id=row["submission_id"],
        status=str(row.get("status", "FAILED")),  # type: ignore[arg-type] # a state that Ray adds counts as going on
        message=str(row.get("message") or ""),
        metadata={str(name): str(value) for name, value in metadata.items()},
        at=float(row.get("start_time") or 0) / 1000,
    )


def _by_time(job: Job) -> tuple[float, str]:
    return job.at, job.submission_id


def _node(row: Mapping[str, Any]) -> RayNode:
    resources = {str(name): float(value) for name, value in (row.get("resources_total") or {}).items()}
    labels = {str(name): str(value) for name, value in (row.get("labels") or {}).items()}
    return RayNode(str(row["node_id"]), str(row["node_ip"]), bool(row.get("is_head_node")), resources, labels)


def _waiting(row: Mapping[str, Any]) -> WaitingActor:
    resources = {str(name): float(value) for name, value in (row.get("required_resources") or {}).items()}
    selector = {str(name): str(value) for name, value in (row.get("label_selector") or {}).items()}
    return WaitingActor(str(row.get("class_name") or "an actor"), str(row.get("name") or ""), resources, selector)
