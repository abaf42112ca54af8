"""Connections on which nothing is asked, or nothing ever to its end, or nothing read: they go, and hold up nobody."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from ancestra_farm.api import server
from ancestra_farm.api.tls import own_certificate
from ancestra_farm.ledger.store import Store
from tests.api.door import OpenDoor
from tests.farm.processes import wait_for

BEGINNINGS = [
    b"",
    b"GET /v1/hea",
    b"GET /v1/health HTTP/1.1\r\nhost: localhost\r\n",
    b"POST /v1/orders HTTP/1.1\r\nx: ",
]


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def door(request: pytest.FixtureRequest, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenDoor]:
    monkeypatch.setattr(server, "HEAD_S", 1.0)
    with OpenDoor(store, shown=own_certificate() if request.param else None) as door:
        yield door


def connected(door: OpenDoor, buffer_bytes: int | None = None) -> socket.socket:
    url = urlsplit(door.endpoint)
    plain = socket.socket()
    plain.settimeout(30)
    if buffer_bytes is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    plain.connect((str(url.hostname), int(str(url.port))))
    if url.scheme == "http":
        return plain
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(plain)


def test_a_connection_on_which_nothing_is_asked_is_closed(door: OpenDoor) -> None:
    silent = [connected(door) for _ in range(20)]
    try:
        for number, one in enumerate(silent):
            one.sendall(BEGINNINGS[number % len(BEGINNINGS)])
        assert [ends(one) for one in silent] == [True] * 20
    finally:
        for one in silent:
            one.close()


def test_whoever_drips_a_request_is_not_waited_for(door: OpenDoor) -> None:
    with connected(door) as slow:
        slow.sendall(BEGINNINGS[-1])
        slow.settimeout(0.1)

        def ended() -> bool:
            try:
                slow.sendall(b"x")
                return slow.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_for(ended, 30)


def test_whoever_asks_again_on_the_same_connection_is_answered(door: OpenDoor) -> None:
    with connected(door) as one:
        for _ in range(3):
            one.sendall(b"GET /v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            said = b""
            while b"}" not in said:
                data = one.recv(4096)
                assert data, said
                said += data
            assert said.startswith(b"HTTP/1.1 200")


MASTER = bytes(range(256)) * 2**14
MASTERS = "/v1/delivered?show=anc&shot=anc_000&version=v001&file=master.mov"


@pytest.fixture
def reader(door: OpenDoor, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A connection with small buffers on which a large file has been asked for. Nobody but the test looks at it."""
    monkeypatch.setattr(server, "HEAD_S", 3600.0)
    store.create("deliveries/anc/anc_000/v001/master.mov", MASTER)
    token = door.token("viewer")
    with connected(door, buffer_bytes=2**16) as one:
        one.sendall(f"GET {MASTERS} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n".encode())
        yield one


def look(door: OpenDoor) -> None:
    """Look at every connection, as the server does after a while."""
    connections = door.server._server.server_state.connections

    async def looked() -> None:
        for protocol in list(connections):
            protocol._later.cancel()
            protocol._look()

    if (one := next(iter(connections), None)) is not None:
        asyncio.run_coroutine_threadsafe(looked(), one.loop).result(30)


def test_whoever_reads_an_answer_slowly_is_left_alone_until_it_has_ended(door: OpenDoor, reader: socket.socket) -> None:
    said = b""
    while not said.endswith(b"\r\n0\r\n\r\n"):
        before = len(said)
        while len(said) < before + 2**20 and not said.endswith(b"\r\n0\r\n\r\n"):  # beyond what lay on the line
            data = reader.recv(2**16)
            assert data, f"cut off after {len(said):,} bytes"
            said += data
        look(door)
    assert len(said) > len(MASTER)


def test_whoever_reads_nothing_of_an_answer_is_not_waited_for(door: OpenDoor, reader: socket.socket) -> None:
    assert reader.recv(1)

    def gone() -> bool:
        if not door.server._server.server_state.connections:
            return True
        look(door)
        return False

    wait_for(gone, 30)


def ends(connection: socket.socket) -> bool:
    """Whether the other side closes without having said anything. Waits for it, as long as the socket does."""
    try:
        return connection.recv(100) == b""
    except OSError as error:
        return not isinstance(error, TimeoutError)
