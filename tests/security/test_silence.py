"""Connections on which nothing is asked, or nothing ever to its end: they go, and hold up nobody meanwhile."""

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


def connected(door: OpenDoor) -> socket.socket:
    url = urlsplit(door.endpoint)
    plain = socket.create_connection((str(url.hostname), int(str(url.port))), 30)
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


def ends(connection: socket.socket) -> bool:
    """Whether the other side closes without having said anything. Waits for it, as long as the socket does."""
    try:
        return connection.recv(100) == b""
    except OSError as error:
        return not isinstance(error, TimeoutError)
