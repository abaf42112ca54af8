"""What a cloud says before it takes a machine away, asked at the metadata endpoint that every machine there has.

AWS: a spot interruption comes with two minutes' notice (``spot/instance-action``, IMDSv2 only), a rebalance
recommendation says that one is likely. Google Cloud: ``preempted`` turns true 30 s before the end, and
``maintenance-event`` says that the machine is stopped for maintenance, 60 s ahead, or an hour where it has GPUs. Azure:
scheduled events, with at least 30 s for a spot machine and minutes for the rest. Nothing is decided here, and nothing
is changed: no event is acknowledged, so that each machine keeps its whole notice.

The endpoint is plain HTTP on a link-local address: it is asked directly, never through a proxy, no redirect is
followed, and whatever it answers is read as far as it is understood and else raised as `MetadataUnreadable`.
"""

import http.client
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, cast, get_args
from urllib.parse import urlsplit

Cloud = Literal["aws", "gcp", "azure"]

#: Where all three clouds answer.
METADATA_URL = "http://169.254.169.254"
#: Seconds for an answer, which comes from the machine's own hypervisor. Azure's first may take minutes; it is asked
#: again.
ANSWER_S = 2.0
#: Bytes of an answer that are read at most; Azure's list of events is the longest, at some hundred bytes each.
MOST_BYTES = 2**18
#: Seconds that an AWS token is good for, its own maximum being six hours.
TOKEN_S = 3600
#: Seconds between Google's word and the end: of a preemption, and of maintenance (an hour where there are GPUs, but
#: waiting for that would gain nothing: a machine that is given back early is replaced early).
GCP_PREEMPTED_S, GCP_MAINTENANCE_S = 30.0, 60.0
#: Azure's events after which nothing of a process is left. A freeze of some seconds is none of them.
AZURE_ENDS = frozenset({"Reboot", "Redeploy", "Preempt", "Terminate"})
#: Where an operator says which cloud this is (``none``: none), and where it answers, for machines that hide it.
CLOUD_VARIABLE, URL_VARIABLE = "ANCESTRA_CLOUD", "ANCESTRA_METADATA_URL"
#: What the firmware of a machine says of who made it.
_MAKERS: Mapping[str, Cloud] = MappingProxyType(
    {"Amazon EC2": "aws", "Google": "gcp", "Google Compute Engine": "gcp", "Microsoft Corporation": "azure"}
)
#: Microsoft makes other machines too; this is what Azure's have for an asset tag.
_AZURE_TAG = "7783-7084-3265-9085-8269-3286-77"


class MetadataUnreadable(Exception):
    """The endpoint did not answer, or not as it should. The message says which and how."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A machine goes away. ``at``: Unix seconds; None: nobody knows. ``sure``: False where it is only likely."""

    at: float | None
    why: str
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered. ``headers``: by lower-case name."""

    status: int
    text: str
    headers: Mapping[str, str]


class Metadata:
    """The endpoint at ``url``, ``http://HOST[:PORT]``. Raises ValueError for another kind of address."""

    def __init__(self, url: str = METADATA_URL, answer_s: float = ANSWER_S) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError(f"{url!r} is no metadata endpoint; one is http://HOST or http://HOST:PORT")
        self._host = parts.hostname
        self._port = parts.port or 80
        self._answer_s = answer_s

    def ask(self, path: str, headers: Mapping[str, str], method: str = "GET") -> Reply:
        """One request. Raises MetadataUnreadable where nothing is answered in time."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._answer_s)
        try:
            connection.request(method, path, headers=dict(headers))
            answer = connection.getresponse()
            text = answer.read(MOST_BYTES).decode("utf-8", "replace")
            return Reply(answer.status, text, {name.lower(): value for name, value in answer.getheaders()})
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a header of what was answered
            raise MetadataUnreadable(f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            connection.close()


class Notices(Protocol):
    """The notices of one cloud, for the machine that asks."""

    def look(self, now: float) -> Notice | None:
        """What is said now; None: nothing. ``now``: Unix seconds. Raises MetadataUnreadable."""


class AwsNotices:
    """Spot interruptions and rebalance recommendations of AWS."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._token = ""
        self._token_until = 0.0

    def look(self, now: float) -> Notice | None:
        """The interruption if there is one, else the recommendation."""
        action = self._read("spot/instance-action", now)
        if action is not None:
            what = action.get("action")
            if not isinstance(what, str):
                raise MetadataUnreadable(f"spot/instance-action says {_short(action)}, which has no action")
            return Notice(_aws_time(action.get("time")), f"AWS: spot instance, {what}")
        advice = self._read("events/recommendations/rebalance", now)
        if advice is not None:
            return Notice(None, "AWS: spot instance, interruption is likely (rebalance recommendation)", sure=False)
        return None

    def _read(self, path: str, now: float) -> dict[str, Any] | None:
        """A document of the metadata; None where there is none (404). A token that has run out is replaced once."""
        for last in (False, True):
            if now >= self._token_until:
                self._fetch_token(now)
            headers = {"X-aws-ec2-metadata-token": self._token}
            reply = self._metadata.ask(f"/latest/meta-data/{path}", headers)
            if reply.status != http.client.UNAUTHORIZED or last:
                break
            self._token_until = 0.0
        if reply.status == http.client.NOT_FOUND:
            return None
        return _object(_found(reply, path), path)

    def _fetch_token(self, now: float) -> None:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_S)}
        path = "/latest/api/token"
        self._token = _found(self._metadata.ask(path, headers, "PUT"), path).strip()
        self._token_until = now + TOKEN_S / 2


class GcpNotices:
    """Preemptions of Google Cloud, and maintenance that stops the machine. Live migration is nobody's business."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._seen: dict[str, float] = {}

    def look(self, now: float) -> Notice | None:
        """The end comes so long after it was first seen, since the endpoint says no time."""
        if self._read("preempted") == "TRUE":
            return Notice(self._since("preempted", now) + GCP_PREEMPTED_S, "Google Cloud: preempted")
        if self._read("maintenance-event") == "TERMINATE_ON_HOST_MAINTENANCE":
            at = self._since("maintenance", now) + GCP_MAINTENANCE_S
            return Notice(at, "Google Cloud: stopped for maintenance of its host")
        return None

    def _since(self, what: str, now: float) -> float:
        return self._seen.setdefault(what, now)

    def _read(self, name: str) -> str:
        path = f"/computeMetadata/v1/instance/{name}"
        reply = self._metadata.ask(path, {"Metadata-Flavor": "Google"})
        if reply.headers.get("metadata-flavor") != "Google":
            raise MetadataUnreadable(f"{path}: whoever answered is not Google's metadata server")
        return _found(reply, path).strip()


class AzureNotices:
    """Scheduled events of Azure that end this very machine; the list names those of its whole scale set."""

    _HEADERS: Mapping[str, str] = MappingProxyType({"Metadata": "true"})

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._name = ""
        self._seen: dict[str, float] = {}

    def look(self, now: float) -> Notice | None:
        """The first event to come."""
        path = "/metadata/scheduledevents?api-version=2020-07-01"
        document = _object(_found(self._metadata.ask(path, self._HEADERS), path), path)
        events = document.get("Events")
        if not isinstance(events, list):
            raise MetadataUnreadable(f"{path} says {_short(document)}, which has no list of Events")
        found = [notice for event in events if (notice := self._notice(event, now)) is not None]
        return min(found, key=lambda notice: notice.at or now, default=None)

    def _notice(self, event: Any, now: float) -> Notice | None:  # noqa: ANN401 - whatever was answered
        if not isinstance(event, dict) or str(event.get("EventType")) not in AZURE_ENDS:
            return None
        resources = event.get("Resources")
        if event.get("EventStatus") == "Completed" or not isinstance(resources, list) or self._own() not in resources:
            return None
        before = event.get("NotBefore")
        at = self._seen.setdefault(str(event.get("EventId")), now)  # one that has begun says no time any more
        if isinstance(before, str) and before.strip():
            at = _azure_time(before)
        return Notice(at, f"Azure: {event['EventType']}")

    def _own(self) -> str:
        if not self._name:
            path = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
            self._name = _found(self._metadata.ask(path, self._HEADERS), path).strip()
        return self._name


_KINDS: Mapping[Cloud, Callable[[Metadata], Notices]] = MappingProxyType(
    {"aws": AwsNotices, "gcp": GcpNotices, "azure": AzureNotices}
)


def notices_here(
    environment: Mapping[str, str] = os.environ, firmware: Path = Path("/sys/class/dmi/id")
) -> Notices | None:
    """The notices of the cloud that this machine is in; None where it is in none that gives any.

    Which cloud it is stands in the environment (``ANCESTRA_CLOUD``), else in the machine's firmware: nobody is asked.
    Raises ValueError for a variable that makes no sense.
    """
    said = environment.get(CLOUD_VARIABLE, "").strip().lower()
    if said and said not in (*get_args(Cloud), "none"):
        raise ValueError(f"{CLOUD_VARIABLE} is {said!r}; it is aws, gcp, azure or none")
    cloud = _made_by(firmware) if not said else None if said == "none" else cast("Cloud", said)
    if cloud is None:
        return None
    return _KINDS[cloud](Metadata(environment.get(URL_VARIABLE) or METADATA_URL))


def _made_by(firmware: Path) -> Cloud | None:
    def said(name: str) -> str:
        try:
            return (firmware / name).read_text(errors="replace").strip()
        except OSError:
            return ""

    cloud = _MAKERS.get(said("sys_vendor")) or _MAKERS.get(said("product_name"))
    return None if cloud == "azure" and said("chassis_asset_tag") != _AZURE_TAG else cloud


def _found(reply: Reply, path: str) -> str:
    if reply.status != http.client.OK:
        raise MetadataUnreadable(f"{path}: status {reply.status}")
    return reply.text


def _object(text: str, path: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MetadataUnreadable(f"{path} says {text[:80]!r}, which is no JSON") from error
    if not isinstance(found, dict):
        raise MetadataUnreadable(f"{path} says {text[:80]!r}, which is no JSON object")
    return found


def _aws_time(said: Any) -> float:  # noqa: ANN401 - whatever was answered
    """``2017-09-18T08:22:00Z`` as Unix seconds."""
    try:
        at = datetime.fromisoformat(str(said))
    except ValueError as error:
        raise MetadataUnreadable(f"spot/instance-action says the time {str(said)[:80]!r}") from error
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def _azure_time(said: str) -> float:
    """``Mon, 19 Sep 2016 18:29:47 GMT`` as Unix seconds."""
    try:
        return parsedate_to_datetime(said).timestamp()
    except ValueError as error:
        raise MetadataUnreadable(f"an event's NotBefore is {said[:80]!r}") from error


def _short(document: object) -> str:
    return json.dumps(document)[:120]
