"""The one exporter: the metrics over HTTP, on loopback unless told otherwise."""

import threading
from dataclasses import dataclass
from wsgiref.simple_server import WSGIServer

from prometheus_client import start_http_server

from ancestra_farm.telemetry.metrics import Metrics


class PortTaken(Exception):
    """The port cannot be listened on; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Exporter:
    """A running exporter. ``port`` is the one it listens on, also where any free one was asked for."""

    port: int
    host: str
    _server: WSGIServer
    _thread: threading.Thread

    @property
    def url(self) -> str:
        """Where Prometheus scrapes."""
        return f"http://{self.host}:{self.port}/metrics"

    def close(self) -> None:
        """Stop listening; the port is free when this returns."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(metrics: Metrics, port: int, host: str = "127.0.0.1") -> Exporter:
    """Serve ``metrics`` in a daemon thread. ``port`` 0: any free one. Raises `PortTaken`."""
    try:
        server, thread = start_http_server(port, addr=host, registry=metrics.registry)
    except (OSError, OverflowError) as error:
        raise PortTaken(f"metrics cannot be served on {host}:{port}: {error}") from error
    return Exporter(server.server_port, host, server, thread)
