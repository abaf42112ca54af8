"""A hub on loopback: the four requests that fetching needs, over files in memory, with what can go wrong on demand."""

import hashlib
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".bin", ".model")


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class FakeHub:
    """One commit of one repository or several. ``sent``: bytes by path where they differ from what the commit states.

    ``fetched``: how often each file was asked for; ``ranges``: where downloads were taken up. A path in ``stall`` stops
    after half of it until `release`; `stalled` is set then. ``gated``: nobody gets in who has not accepted a licence.
    """

    def __init__(self, repositories: dict[str, dict[str, bytes]]) -> None:
        self.repositories = repositories
        self.sent: dict[str, bytes] = {}
        self.fetched: Counter[str] = Counter()
        self.listed = 0
        self.gated = False
        self.ranges: list[tuple[str, str]] = []
        self.stall: set[str] = set()
        self.stalled, self.release = threading.Event(), threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                hub._answer(self, body=False)

            def do_GET(self) -> None:
                hub._answer(self, body=True)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = unquote(urlsplit(request.path).path).strip("/")
        if path.startswith("api/models/"):
            self._list(request, path.removeprefix("api/models/"))
            return
        repository, _, rest = path.partition("/resolve/")
        commit, _, name = rest.partition("/")
        files = self.repositories.get(repository, {})
        if commit != COMMIT or name not in files:
            self._say(request, 404, b"not found", {"X-Error-Code": "EntryNotFound"})
            return
        self._send(request, name, files[name], body=body)

    def _list(self, request: BaseHTTPRequestHandler, path: str) -> None:
        repository, _, commit = path.partition("/tree/")
        if self.gated:
            self._say(request, 403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
            return
        if repository not in self.repositories or commit != COMMIT:
            self._say(request, 404, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return
        self.listed += 1
        entries = [self._entry(name, content) for name, content in self.repositories[repository].items()]
        self._say(request, 200, json.dumps(entries).encode(), {"Content-Type": "application/json"})

    def _entry(self, name: str, content: bytes) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": git_sha1(content)}
        if name.endswith(LARGE):
            digest = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
        return entry

    def _send(self, request: BaseHTTPRequestHandler, name: str, stated: bytes, *, body: bool) -> None:
        content = self.sent.get(name, stated)
        large = name.endswith(LARGE)
        digest = hashlib.sha256(stated).hexdigest() if large else git_sha1(stated)
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if large:
            headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
        if not body:
            self._say(request, 200, b"", headers, length=len(content))
            return
        self.fetched[name] += 1
        start = 0
        if wanted := request.headers.get("Range"):
            self.ranges.append((name, wanted))
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        rest = content[start:]
        if name not in self.stall:
            self._say(request, 206 if start else 200, rest, headers)
            return
        half = len(rest) // 2
        self._say(request, 200, rest[:half], headers, length=len(rest))
        request.wfile.flush()
        self.stalled.set()
        self.release.wait(timeout=60)
        try:
            request.wfile.write(rest[half:])
        except OSError:
            return  # whoever asked is gone

    def _say(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        content: bytes,
        headers: dict[str, str],
        length: int | None = None,
    ) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content) if length is None else length))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)
