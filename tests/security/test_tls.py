"""The door beyond loopback: nobody reads along, nobody answers in its place, and no key lies about."""

import dataclasses
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from ancestra_farm.api import tls, wire
from ancestra_farm.api.app import build_app
from ancestra_farm.api.client import ENDPOINT_VARIABLE, Client, EndpointGone
from ancestra_farm.api.people import NotAllowed
from ancestra_farm.api.server import Server, endpoint_of, listening, serve_app
from ancestra_farm.api.tls import CertificateRefused, given_certificate, own_certificate
from ancestra_farm.api.tokens import own_token
from ancestra_farm.farm.controller import Settings, shown_on
from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.ledger.store import Store
from tests.api.door import OpenDoor
from tests.farm.processes import wait_for


@pytest.fixture
def door(store: Store) -> Iterator[OpenDoor]:
    with OpenDoor(store, shown=own_certificate()) as door:
        yield door


def client_of(store: Store, patience_s: float = 0.5) -> Client:
    return wait_for(lambda: Client.of(store, patience_s=patience_s), 60)


def ready(door: OpenDoor) -> None:
    with client_of(door.store, 30.0) as client:
        client.health()


def test_commands_reach_a_door_by_the_certificate_that_the_store_names(door: OpenDoor) -> None:
    assert door.endpoint.startswith("https://")
    with client_of(door.store, 30.0) as client:
        assert client.status().epoch == door.epoch


def test_whoever_does_not_speak_tls_is_told_nothing(door: OpenDoor) -> None:
    ready(door)
    host, port = urlsplit(door.endpoint).netloc.split(":")
    with socket.create_connection((host, int(port)), 10) as plain:
        plain.sendall(b"GET /v1/health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        said = b""
        try:
            while data := plain.recv(4096):
                said += data
        except ConnectionResetError:
            pass
    assert b"HTTP" not in said
    assert b"epoch" not in said


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2])
def test_older_tls_is_not_spoken(door: OpenDoor, version: ssl.TLSVersion) -> None:
    host, port = urlsplit(door.endpoint).netloc.split(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode, context.maximum_version = False, ssl.CERT_NONE, version
    with socket.create_connection((host, int(port)), 10) as raw, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(raw).close()


class Impostor:
    """Somebody who answers as the controller of a store, which anybody can say, with what they were asked kept."""

    def __init__(self, store: Store, epoch: int) -> None:
        self.asked: list[str] = []
        self._listener = listening("127.0.0.1:0")
        health = wire.Health(store=store.id, epoch=epoch, version="0", ready=True)
        desk = SimpleNamespace(health=health, person=self.asked.append)
        self._server: Server = serve_app(build_app(desk), self._listener, own_certificate())
        self.endpoint = endpoint_of(self._listener, tls=True)

    def close(self) -> None:
        self._server.close()


def test_no_token_is_shown_to_whoever_answers_with_another_certificate(door: OpenDoor) -> None:
    ready(door)
    impostor = Impostor(door.store, door.epoch)
    try:
        # The port is theirs now; what the store says of the certificate is not.
        moved = dataclasses.replace(door.presence, endpoint=impostor.endpoint)
        with (
            Client(door.store, moved, own_token(door.store), patience_s=0.0) as client,
            pytest.raises(EndpointGone, match="does not show the certificate"),
        ):
            client.status()
        assert impostor.asked == []
    finally:
        impostor.close()


def test_a_tunnel_that_ends_elsewhere_is_shown_no_token(door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(door)
    impostor = Impostor(door.store, door.epoch)
    monkeypatch.setenv(ENDPOINT_VARIABLE, impostor.endpoint)
    try:
        with client_of(door.store) as client, pytest.raises(EndpointGone, match="does not show the certificate"):
            client.status()
        assert impostor.asked == []
    finally:
        impostor.close()


def test_an_endpoint_that_names_no_certificate_is_not_believed(door: OpenDoor) -> None:
    ready(door)
    bare = dataclasses.replace(door.presence, fingerprint="")
    with Client(door.store, bare, own_token(door.store), patience_s=0.0) as client, pytest.raises(EndpointGone):
        client.health()


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://10.0.0.5:8470",
        "http://farm.example:8470",
        "http://127.evil.example:8470",
        "http://localhost.example",
        "x",
    ],
)
def test_a_token_goes_nowhere_in_the_clear(store: Store, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    Presence.here("bo", 1, "http://127.0.0.1:9").write(store)
    monkeypatch.setenv(ENDPOINT_VARIABLE, endpoint)
    with pytest.raises(NotAllowed, match="in the clear"):
        Client.of(store)


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:8470", "http://[::1]:8470", "http://localhost:8470", "https://farm"]
)
def test_a_tunnel_or_tls_is_good_enough(store: Store, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    Presence.here("bo", 1, "http://127.0.0.1:9").write(store)
    monkeypatch.setenv(ENDPOINT_VARIABLE, endpoint)
    assert Client.of(store) is not None


@pytest.mark.parametrize(
    ("address", "settings", "encrypted"),
    [
        ("127.0.0.1:0", {}, False),
        ("[::1]:0", {}, False),
        ("0.0.0.0:0", {}, True),
        ("0.0.0.0:0", {"plain_http": True}, False),
    ],
)
def test_beyond_loopback_the_door_speaks_tls_unless_it_is_told_not_to(
    address: str, settings: dict[str, Any], encrypted: bool
) -> None:
    with listening(address) as listener:
        assert (shown_on(listener, Settings("ada", **settings)) is not None) is encrypted


def test_by_default_only_this_machine_reaches_the_door() -> None:
    with listening(Settings("ada").listen) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def pem_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A certificate and its key as a studio would have them: what we make for ourselves, caught on its way."""
    kept: dict[str, Path] = {}

    def keep(certificate: Path, key: Path) -> Any:
        for name, path, mode in (("door.pem", certificate, 0o644), ("door.key", key, 0o600)):
            kept[name] = folder / name
            kept[name].write_bytes(path.read_bytes())
            kept[name].chmod(mode)
            kept[f"mode {name}"] = stat.S_IMODE(path.stat().st_mode) | stat.S_IMODE(path.parent.stat().st_mode) << 9
        kept["gone"] = key
        return shown(certificate, key)

    shown = tls._shown
    with monkeypatch.context() as patched:
        patched.setattr(tls, "_shown", keep)
        own_certificate()
    assert not kept["gone"].exists(), "the key of a certificate of our own is on disk for a moment only"
    assert kept["mode door.key"] == 0o600 | 0o700 << 9
    return kept["door.pem"], kept["door.key"]


def test_a_certificate_of_the_studios_own_is_shown(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = pem_files(tmp_path, monkeypatch)
    with OpenDoor(store, shown=given_certificate(certificate, key)) as door:
        with client_of(store, 30.0) as client:
            assert client.status().epoch == door.epoch
        # and by any reader that is told to trust it, without the store
        pool = urllib3.PoolManager(ca_certs=str(certificate), retries=False)
        port = urlsplit(door.endpoint).port
        assert pool.request("GET", f"https://localhost:{port}/v1/health").status == 200
        pool.clear()


def test_a_key_that_everybody_can_read_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = pem_files(tmp_path, monkeypatch)
    key.chmod(0o644)
    with pytest.raises(CertificateRefused, match="mode 0644"):
        given_certificate(certificate, key)


def test_what_is_no_certificate_or_another_ones_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = pem_files(tmp_path, monkeypatch)
    (tmp_path / "other").mkdir()
    other, _ = pem_files(tmp_path / "other", monkeypatch)
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    for wrong in ((other, key), (nonsense, key), (certificate, nonsense.with_name("gone")), (key, key)):
        nonsense.chmod(0o600)
        with pytest.raises(CertificateRefused):
            given_certificate(*wrong)


def test_every_controller_has_a_key_of_its_own() -> None:
    assert own_certificate().fingerprint != own_certificate().fingerprint
