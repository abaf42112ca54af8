"""A fault proxy: a real HTTP proxy in front of an S3 server that suffers what networks and services do to requests.

What befalls a request is decided by its method, its path within the bucket, how often they came before, and the
profile's seed alone; so a run with one client can be repeated. `FaultProxy.said` counts what was done.
"""

import contextlib
import hashlib
import http.client
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

BUSY = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)
BROKEN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>InternalError</Code>'
    b"<Message>We encountered an internal error. Please try again.</Message></Error>"
)


@dataclass(frozen=True, slots=True)
class Profile:
    """How often what happens, as fractions of requests; together at most 1.

    ``slow_down``: 503; ``broken``: 500; ``reset_before``: the connection breaks and the server never saw the request;
    ``reset_after``: it breaks when the server has done it, so that the answer is lost; ``broken_after``: done, and
    answered with 500; ``silent_after``: done, and never answered; ``slow``: the answer's body trickles;
    ``cut_short``: the body ends before its length. ``silence_s``: how long silence and trickling last, in seconds.
    """

    slow_down: float = 0.0
    broken: float = 0.0
    reset_before: float = 0.0
    reset_after: float = 0.0
    broken_after: float = 0.0
    silent_after: float = 0.0
    slow: float = 0.0
    cut_short: float = 0.0
    silence_s: float = 1.5

    def fault_of(self, dice: float) -> str | None:
        """The name of the fault that a number in [0, 1) stands for."""
        for field in fields(self):
            if field.name == "silence_s":
                continue
            dice -= getattr(self, field.name)
            if dice < 0:
                return field.name
        return None


class FaultProxy:
    """One running proxy. ``endpoint``: its address. ``profile`` and ``only`` may be changed while it runs.

    ``only``: methods that suffer; the others pass untouched.
    """

    def __init__(self, target: str, seed: int = 0) -> None:
        self.profile = Profile()
        self.only: frozenset[str] = frozenset({"PUT", "GET", "HEAD", "DELETE"})
        self.said: Counter[str] = Counter()
        self.endpoint = ""
        self._target = urlsplit(target)
        self._seed = seed
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def fault_for(self, method: str, path: str) -> str | None:
        """What is to befall this request."""
        with self._lock:
            if method not in self.only:
                return None
            key = f"{method} {path.lstrip('/').partition('/')[2]}"  # each test has a bucket of another name
            self._seen[key] += 1
            digest = hashlib.sha256(f"{self._seed}/{key}/{self._seen[key]}".encode()).digest()
            fault = self.profile.fault_of(int.from_bytes(digest[:6], "big") / 2**48)
            self.said[fault or "passed"] += 1
            return fault

    def forward(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> tuple[int, list, bytes]:
        """Ask the server itself: status, headers and body of its answer."""
        connection = http.client.HTTPConnection(self._target.hostname or "", self._target.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                if name.lower() not in {"expect", "transfer-encoding", "content-length", "connection"}:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    @contextlib.contextmanager
    def running(self) -> Iterator["FaultProxy"]:
        """Serve on a free port of loopback until the end of the block."""
        proxy = self

        class Handler(_Handler):
            faults = proxy

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join(30)
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults: FaultProxy

    def _handle(self) -> None:
        body = self._body()
        fault = self.faults.fault_for(self.command, self.path)
        if fault == "reset_before":
            return self._reset()
        if fault == "slow_down":
            return self._answer(503, [], BUSY)
        if fault == "broken":
            return self._answer(500, [], BROKEN)
        status, headers, data = self.faults.forward(self.command, self.path, self.headers.items(), body)
        if fault == "reset_after":
            return self._reset()
        if fault == "broken_after":
            return self._answer(500, [], BROKEN)
        if fault == "silent_after":
            time.sleep(self.faults.profile.silence_s)
            return self._reset()
        return self._answer(status, headers, data, fault)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815 - the names that the server looks for

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, headers: list, data: bytes, fault: str | None = None) -> None:
        if self.command == "HEAD":
            data = b""
            length = next((value for name, value in headers if name.lower() == "content-length"), "0")
        else:
            length = str(len(data))
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if fault == "cut_short" and data:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            return self._reset()
        if fault == "slow" and data:
            half = len(data) // 2
            self.wfile.write(data[:half])
            self.wfile.flush()
            time.sleep(self.faults.profile.silence_s / 3)
            data = data[half:]
        self.wfile.write(data)
        return None

    def _reset(self) -> None:
        """End the connection with a reset, as a machine that went away does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass
