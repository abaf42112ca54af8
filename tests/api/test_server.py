"""Where a controller says that it answers, and how answers go out."""

import asyncio
import contextlib
import socket
from typing import Any

import pytest
from starlette.responses import Response

from ancestra_farm.api.server import PIECE_BYTES, _in_pieces, endpoint_of, listening


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


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
def test_an_answer_goes_out_in_pieces_and_others_have_their_turn_between(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"!" * (size % 256)
    told: list[Any] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            told.append(message)
            asyncio.get_running_loop().call_soon(told.append, None)

    async def answer() -> None:
        await _in_pieces(Response(body))({"type": "http"}, lambda: None, send)
        await asyncio.sleep(0)

    asyncio.run(answer())
    pieces, turns = told[::2], told[1::2]
    assert b"".join(one["body"] for one in pieces) == body
    assert max(len(one["body"]) for one in pieces) <= PIECE_BYTES
    assert [one.get("more_body", False) for one in pieces] == [True] * (len(pieces) - 1) + [False]
    assert turns == [None] * len(pieces)
