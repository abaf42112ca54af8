"""Metadata endpoints of clouds as they answer in life, on a port of this machine."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

AWS, GCP, AZURE = "aws", "gcp", "azure"


class Endpoint:
    """What an endpoint says, to be changed while it is asked. ``asked``: (method, path) of every request, in order.

    ``says``: text by path, with a status where it is not 200. ``tokens``: those that AWS's still takes.
    """

    def __init__(self, cloud: str) -> None:
        self.cloud = cloud
        self.says: dict[str, str | tuple[int, str]] = {}
        self.tokens: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.silent = False
        self.url = ""
        if cloud == AZURE:
            self.says["/metadata/instance/compute/name"] = "gpu-7"
            self.events()
        if cloud == GCP:
            self.says["/computeMetadata/v1/instance/preempted"] = "FALSE"
            self.says["/computeMetadata/v1/instance/maintenance-event"] = "NONE"

    def interrupt(self, at: str, action: str = "terminate") -> None:
        """AWS takes the machine away at ``at``."""
        self.says["/latest/meta-data/spot/instance-action"] = json.dumps({"action": action, "time": at})

    def recommend(self) -> None:
        """AWS thinks it likely that it will."""
        path = "/latest/meta-data/events/recommendations/rebalance"
        self.says[path] = json.dumps({"noticeTime": "2026-11-22T12:00:00Z"})

    def events(self, *events: dict[str, Any]) -> None:
        """Azure's list of events."""
        self.says["/metadata/scheduledevents"] = json.dumps({"DocumentIncarnation": len(events), "Events": events})

    def answer(self, method: str, path: str, headers: Any) -> tuple[int, str]:
        """(status, text), as strict about headers as the clouds are."""
        bare = path.partition("?")[0]
        if self.cloud == AWS:
            if bare == "/latest/api/token":
                if method != "PUT" or not headers.get("X-aws-ec2-metadata-token-ttl-seconds", "").isdigit():
                    return 400, ""
                self.tokens.add(token := f"token-{len(self.asked)}")
                return 200, token
            if headers.get("X-aws-ec2-metadata-token") not in self.tokens:
                return 401, "Unauthorized"
        elif self.cloud == GCP:
            if headers.get("Metadata-Flavor") != "Google":
                return 403, "Missing Metadata-Flavor:Google header."
        elif headers.get("Metadata") != "true" or "api-version=" not in path:
            return 400, json.dumps({"error": "Bad request. Required metadata header not specified"})
        said = self.says.get(bare, (404, "Not Found"))
        return said if isinstance(said, tuple) else (200, said)


@contextmanager
def endpoint(cloud: str) -> Iterator[Endpoint]:
    """The metadata endpoint of a machine in a cloud."""
    one = Endpoint(cloud)

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            one.asked.append((self.command, self.path))
            if one.silent:
                return
            status, text = one.answer(self.command, self.path, self.headers)
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if one.cloud == GCP:
                self.send_header("Metadata-Flavor", "Google")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = _any  # noqa: N815 - the base class looks for these

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    one.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield one
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
