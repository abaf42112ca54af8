"""Telling people: one try at one notice, by a signed webhook or by a program on the controller's machine.

A webhook is a POST of JSON. Its receiver knows it by three headers: ``Ancestra-Event`` (the id of the notice, the same
for every try, so that a second one can be dropped), ``Ancestra-Timestamp`` (seconds since the Unix epoch) and
``Ancestra-Signature`` (``v1=`` and the HMAC-SHA256, in hex, of the timestamp, a dot and the body, under the secret).
Any status of the 200s says that it was taken in; nothing else does. Redirects are not followed, and no connection is
made to an address at which a cloud answers with the machine's own credentials, whatever a name resolves to.

Secrets and programs lie in one folder on the machine of the controller, ``$ANCESTRA_NOTIFY``, else
``$XDG_CONFIG_HOME/ancestra/notify``: ``NAME.secret`` is a secret, ``NAME`` is a program. A program gets the same JSON
on its standard input and ends with 0 if it told somebody. When a notice is tried again is decided in
`scheduler.notices`; nothing is remembered here.
"""

import hashlib
import hmac
import http.client
import json
import logging
import os
import socket
import ssl
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import SplitResult, urlsplit

from ancestra_farm import __version__
from ancestra_farm.batch.show_settings import Recipient, is_metadata_address
from ancestra_farm.scheduler.world import Notice, Tell

NOTICE_SCHEMA = "ancestra/notice/v1"
FOLDER_VARIABLE = "ANCESTRA_NOTIFY"
EVENT_HEADER = "Ancestra-Event"
TIMESTAMP_HEADER = "Ancestra-Timestamp"
SIGNATURE_HEADER = "Ancestra-Signature"
#: Shorter ones can be guessed: 16 bytes in hex.
SHORTEST_SECRET = 32
#: Seconds for a receiver to answer, and for a program to end. A receiver that does more should do it afterwards.
WEBHOOK_S = 10.0
PROGRAM_S = 30.0
#: Deliveries at once.
AT_ONCE = 4

_LOG = logging.getLogger(__name__)

Tried = Callable[[Tell, bool], None]


class NotDelivered(Exception):
    """A notice could not be delivered this time; the message says why."""


class Messenger:
    """Delivers on threads of its own. ``tried`` is called, from them, once for every `tell`: whether it was delivered.

    ``store``: what notices say of where they come from.
    """

    def __init__(self, store: str, tried: Tried) -> None:
        self._store = store
        self._tried = tried
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="notify")

    def tell(self, order: Tell) -> None:
        """Try once."""
        self._pool.submit(self._try, order)

    def _try(self, order: Tell) -> None:
        delivered = False
        try:
            deliver(body_of(order.notice, self._store, time.time()), order.notice.event_id, order.to)
            delivered = True
        except NotDelivered as why:
            _LOG.warning("%s was not told of %s: %s", order.to.shown, order.notice.event_id, why)
        except Exception:  # noqa: BLE001 - whatever it is, it is tried again, and ends nothing else
            _LOG.exception("%s was not told of %s", order.to.shown, order.notice.event_id)
        finally:
            self._tried(order, delivered)

    def close(self) -> None:
        """Begin nothing more. What is under way ends by itself within seconds; nobody waits for it."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def body_of(notice: Notice, store: str, at: float) -> bytes:
    """What a recipient gets. ``at``: seconds since the Unix epoch, when this try began."""
    told: dict[str, Any] = {
        "schema": NOTICE_SCHEMA,
        "event_id": notice.event_id,
        "occasion": notice.occasion,
        "at": at,
        "store": store,
        "show": notice.show,
        "batch": notice.batch,
        "shot": notice.shot,
        "stage": notice.stage,
        "version": notice.version,
        "says": notice.says,
    }
    return json.dumps(told, ensure_ascii=False).encode()


def deliver(body: bytes, event_id: str, to: Recipient) -> None:
    """One try. Raises NotDelivered."""
    if to.webhook is not None and to.secret is not None:
        _post(to.webhook, body, event_id, secret(to.secret))
    else:
        _run(program(to.command or ""), body, event_id)


def signature(key: bytes, timestamp: str, body: bytes) -> str:
    """What `SIGNATURE_HEADER` says."""
    return "v1=" + hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


# ---- webhooks --------------------------------------------------------------------------------------------------------


def _post(url: str, body: bytes, event_id: str, key: bytes) -> None:
    timestamp = str(int(time.time()))
    headers = {
        "content-type": "application/json",
        "user-agent": f"ancestra/{__version__}",
        EVENT_HEADER: event_id,
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: signature(key, timestamp, body),
    }
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    for last, address in _addresses(str(parts.hostname), port):
        try:
            line = socket.create_connection((address, port), WEBHOOK_S)
        except OSError as error:
            if last:
                raise NotDelivered(f"{parts.netloc} cannot be reached") from error
            continue  # it has another address
        try:
            status = _ask(line, parts, body, headers | {"host": parts.netloc})
        except (OSError, http.client.HTTPException) as error:
            raise NotDelivered(f"no answer from {parts.netloc}: {type(error).__name__}") from error
        if not 200 <= status < 300:
            raise NotDelivered(f"{parts.netloc} answered {status}")
        return


def _ask(line: socket.socket, parts: SplitResult, body: bytes, headers: Mapping[str, str]) -> int:
    """The status of the answer; what it says beyond that is nobody's. Raises OSError, HTTPException.

    ``line``: goes to the address that was looked at; names can change meanwhile. It is closed on return.
    """
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with line, line.dup() as handle:
        # Limits on single reads do not end a receiver that sends a byte now and then.
        limit = threading.Timer(WEBHOOK_S, _hang_up, [handle])
        limit.daemon = True
        limit.start()
        try:
            with _secured(line, parts) as secured:
                connection = http.client.HTTPConnection(str(parts.hostname))
                connection.sock = secured
                connection.request("POST", path, body, headers)
                with connection.getresponse() as answer:
                    return answer.status
        finally:
            limit.cancel()


def _secured(line: socket.socket, parts: SplitResult) -> socket.socket:
    if parts.scheme != "https":
        return line
    return ssl.create_default_context().wrap_socket(line, server_hostname=parts.hostname)


def _hang_up(line: socket.socket) -> None:
    with suppress(OSError):  # it has just ended
        line.shutdown(socket.SHUT_RDWR)


def _addresses(host: str, port: int) -> Iterator[tuple[bool, str]]:
    """(whether it is the last, an address). Raises NotDelivered where a name has none, or any that is never called."""
    try:
        found = list(dict.fromkeys(str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    except OSError as error:
        raise NotDelivered(f"{host} has no address: {error}") from error
    for address in found:
        if is_metadata_address(address):
            raise NotDelivered(f"{host} is {address}, an address of the machine's own network; no webhook goes there")
    for number, address in enumerate(found, start=1):
        yield number == len(found), address


# ---- what lies on the controller's machine ---------------------------------------------------------------------------


def folder() -> Path:
    """Where secrets and programs lie."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME") or ""
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".config") / "ancestra" / "notify"


def secret(name: str) -> bytes:
    """The secret of this name. Raises NotDelivered where there is none, or others can read it."""
    path = folder() / f"{name}.secret"
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = file.read(4096).strip()
    except OSError as error:
        raise NotDelivered(f"there is no secret {name}: {path} cannot be read ({error.strerror})") from error
    if mode & 0o007:
        raise NotDelivered(f"{path} has mode {mode:04o}: everybody can read it; `chmod 600` it, if nobody has seen it")
    if len(key) < SHORTEST_SECRET:
        raise NotDelivered(f"{path} is too short to be a secret; put {SHORTEST_SECRET} random characters there")
    return key


def program(name: str) -> Path:
    """The program of this name. Raises NotDelivered where there is none, or others could change it."""
    path = folder() / name
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise NotDelivered(f"there is no program {name}: {path} ({error.strerror})") from error
    if not stat.S_ISREG(mode) or not os.access(path, os.X_OK):
        raise NotDelivered(f"{path} is no program that can be run")
    if mode & 0o022:
        raise NotDelivered(f"{path} has mode {stat.S_IMODE(mode):04o}: others could change it, so it is not run")
    return path


def _run(path: Path, body: bytes, event_id: str) -> None:
    """Without a shell, and with none of the controller's environment but where programs and its home are."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
    with tempfile.TemporaryFile() as errors:  # of a pipe the end would be waited for that its own children hold open
        try:
            ended = subprocess.run(  # noqa: S603 - a program that whoever runs the controller has put there
                [str(path)],
                input=body,
                env=kept | {"ANCESTRA_EVENT": event_id},
                stdout=subprocess.DEVNULL,
                stderr=errors,
                timeout=PROGRAM_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NotDelivered(f"{path.name} had not ended after {PROGRAM_S:g} s and was ended") from None
        except OSError as error:
            raise NotDelivered(f"{path.name} cannot be run: {error.strerror}") from error
        if ended.returncode != 0:
            said = _last_line(errors)
            raise NotDelivered(f"{path.name} ended with {ended.returncode}" + (f": {said[:200]}" if said else ""))


def _last_line(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
    return next(reversed(file.read().decode("utf-8", "replace").strip().splitlines()), "")
