"""The door's HTTP server: uvicorn in a thread of the controller's process, listening before anybody is told of it."""

import asyncio
import socket
import threading
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ancestra_farm.api.tls import Shown

#: Connections at once; a farm has tens of people. Beyond it uvicorn says 503.
MOST_CONNECTIONS = 1024
#: Seconds for a request to be said, up to its body: as good as nothing for a program, much for one that types.
HEAD_S = 20.0
#: Seconds that a stop waits for answers under way; longer than an answer takes to be written.
GRACE_S = 5
#: Bytes of an answer that a connection is given at once. It gets the next ones when it is rid of these, so that little
#: is on its way, and whether it goes on is seen: beyond 7 kB a second none is taken for one that stands still.
PIECE_BYTES = 2**16


class AddressTaken(Exception):
    """The address cannot be listened on; the message says which and why."""


class _Impatient(H11Protocol):
    """Closes connections on which nothing is asked, and those whose answer nobody takes.

    uvicorn lets them stand, and there are only so many. An answer that goes on, however slowly, is left alone.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=PIECE_BYTES)
        self._rid = 0  # how often it was rid of what it had been given
        self._seen: object = None
        self._later = self.loop.call_later(HEAD_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._later.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        self._rid += 1
        super().resume_writing()

    def _look(self) -> None:
        left = self.transport.get_write_buffer_size()
        resting = left > 0 or self.cycle is None or self.cycle.response_complete
        now = (self.cycle, self._rid, left)
        if resting and now == self._seen:  # since the last look, no request has come to its body and no answer went on
            self.transport.abort()
            return
        self._seen = now
        self._later = self.loop.call_later(HEAD_S, self._look)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. ``endpoint``: where others reach it, ``http://HOST:PORT`` or ``https://HOST:PORT``."""

    endpoint: str
    _server: uvicorn.Server
    _thread: threading.Thread
    _listener: socket.socket

    def close(self) -> None:
        """Stop listening and wait for answers under way; the port is free when this returns."""
        self._server.should_exit = True
        self._thread.join(GRACE_S + 5)
        self._listener.close()


def listening(address: str) -> socket.socket:
    """A socket that listens on ``HOST:PORT``; port 0: any free one. Raises AddressTaken."""
    host, port = parsed_address(address)
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise AddressTaken(f"{address}: {error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Of its connections, too: of an answer the system holds so much and what is on the line, and no more.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 2 * PIECE_BYTES)
        listener.bind(where)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise AddressTaken(f"nobody can listen on {address}: {error.strerror or error}") from error
    return listener


def parsed_address(address: str) -> tuple[str, int]:
    """``HOST:PORT`` as host and port. Raises AddressTaken for anything else."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise AddressTaken(f"{address!r} is not HOST:PORT (for instance 127.0.0.1:0, where 0 is any free port)")
    return host.strip("[]"), int(port)


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    host = str(listener.getsockname()[0])
    return host == "::1" or host.startswith("127.")


def serve_app(app: ASGIApp, listener: socket.socket, shown: Shown | None = None) -> Server:
    """Serve ``app`` on a listening socket, in a daemon thread. ``shown``: over TLS, with this certificate."""
    config = uvicorn.Config(
        _in_pieces(app),
        log_config=None,
        access_log=False,  # addresses hold ids and names; what happened is in the log of the farm
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        http=_Impatient,
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_S,
    )
    if shown is not None:
        config.load()
        config.ssl = shown.context  # uvicorn would read a key from a file, and ours is in none
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="door", daemon=True)
    thread.start()
    return Server(endpoint_of(listener, tls=shown is not None), server, thread, listener)


def _in_pieces(app: ASGIApp) -> ASGIApp:
    """The same answers, handed on `PIECE_BYTES` at a time."""

    async def cut(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_pieces(message: Message) -> None:
            whole = message.get("body", b"")
            if message["type"] != "http.response.body" or len(whole) <= PIECE_BYTES:
                await send(message)
                return
            last = (len(whole) - 1) // PIECE_BYTES * PIECE_BYTES
            for at in range(0, last, PIECE_BYTES):
                await send({**message, "body": whole[at : at + PIECE_BYTES], "more_body": True})
                await asyncio.sleep(0)  # others have their turn, and a connection that is lost now is known to be
            await send({**message, "body": whole[last:]})

        await app(scope, receive, send_pieces)

    return cut


def endpoint_of(listener: socket.socket, *, tls: bool = False) -> str:
    """Where others reach what listens there: ``http://HOST:PORT``, with ``tls`` ``https://HOST:PORT``."""
    scheme = "https" if tls else "http"
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound to
        host = socket.getfqdn()
        if host.partition(".")[0] == "localhost":  # as its hosts file has it, which tells nobody elsewhere anything
            host = socket.gethostname()
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
