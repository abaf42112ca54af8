"""Where a controller says that it answers."""

import contextlib
import socket

import pytest

from ancestra_farm.api.server import endpoint_of, listening


@pytest.mark.parametrize(
    ("known_as", "said"),
    [
        ("head.studio.example", "head.studio.example"),
        ("localhost", "head"),
        ("localhost.localdomain", "head"),
    ],
)
def test_a_door_beyond_loopback_is_told_under_a_name_that_means_something_elsewhere(
    known_as: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: known_as)
    monkeypatch.setattr(socket, "gethostname", lambda: "head")
    with contextlib.closing(listening("0.0.0.0:0")) as listener:
        port = listener.getsockname()[1]
        assert endpoint_of(listener, tls=True) == f"https://{said}:{port}"
