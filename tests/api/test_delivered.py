"""Finished work through the door: files of versions of one's own shows, and nothing else of the store."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from ancestra_farm.api import streams
from ancestra_farm.api.delivered import BLOCK_BYTES, READ_BYTES
from ancestra_farm.ledger.errors import StoreUnavailable
from ancestra_farm.ledger.store import Store
from tests.api.door import OpenDoor
from tests.farm.processes import wait_for

PATH = "deliveries/anc/anc_000/v001"
MASTER = os.urandom(2**20) * 9
#: Bytes that the systems at both ends may hold of an answer to whoever asks for small buffers, with much to spare.
ON_THE_LINE = 2**20


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenDoor]:
    store = Store.open(str(tmp_path_factory.mktemp("farm") / "store"), create=True)
    for path, data in ((f"{PATH}/film.mp4", b"0123456789"), (f"{PATH}/frames/f.1001.png", b"frame"), ("secret", b"s")):
        store.create(path, data)
    store.create(f"{PATH}/master.mov", MASTER)
    store.create("deliveries/other/anc_000/v001/film.mp4", b"theirs")
    with OpenDoor(store) as door:
        document = {"schema": "ancestra/show/v1", "show": "anc", "people": {"vic": "viewer", "ana": "viewer"}}
        assert door.ask("POST", "/v1/show_settings", {"show": "anc", "document": json.dumps(document)}).status == 200
        yield door


def asked_for(file: str, show: str = "anc", **more: Any) -> str:
    fields = {"show": show, "shot": "anc_000", "version": "v001", "file": file, **more}
    return "/v1/delivered?" + "&".join(f"{name}={value}" for name, value in fields.items())


def fetched(door: OpenDoor, file: str, who: str = "vic", show: str = "anc", **more: Any) -> Any:
    headers = {"authorization": f"Bearer {door.token('member', who)}"}
    return door.ask("GET", asked_for(file, show, **more), role="", headers=headers)


def asking(door: OpenDoor, file: str, who: str = "vic") -> socket.socket:
    """A connection on which a file has been asked for and nothing read yet, and whose buffers are small."""
    url = urlsplit(door.endpoint)
    reader = socket.socket()
    reader.settimeout(30)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    reader.connect((str(url.hostname), int(str(url.port))))
    token = door.token("member", who)
    said = f"GET {asked_for(file)} HTTP/1.1\r\nhost: {url.hostname}\r\nauthorization: Bearer {token}\r\n\r\n"
    reader.sendall(said.encode())
    return reader


def test_a_file_is_handed_out_from_any_offset_to_its_end(door: OpenDoor) -> None:
    assert fetched(door, "film.mp4").data == b"0123456789"
    assert fetched(door, "film.mp4", offset=7).data == b"789"
    end = fetched(door, "film.mp4", offset=10)
    assert (end.status, end.data) == (200, b"")
    assert fetched(door, "frames/f.1001.png").data == b"frame"


def test_a_large_file_comes_block_by_block(door: OpenDoor) -> None:
    first = fetched(door, "master.mov").data
    assert first == MASTER[:BLOCK_BYTES]
    assert fetched(door, "master.mov", offset=BLOCK_BYTES).data == MASTER[BLOCK_BYTES:]
    assert fetched(door, "master.mov", offset=len(MASTER)).data == b""


def test_for_whoever_does_not_read_no_more_is_held_than_a_piece(
    door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    delivered = door.desk.delivered

    def counted(path: str, start: int, length: int) -> bytes:
        data = delivered(path, start, length)
        read.append(len(data))
        return data

    monkeypatch.setattr(door.desk, "delivered", counted)
    got = 0
    with asking(door, "master.mov") as reader:
        while got < BLOCK_BYTES:
            got += len(reader.recv(2**16))
            assert sum(read) <= got + ON_THE_LINE + READ_BYTES
    assert sum(read) == BLOCK_BYTES


def test_only_so_many_answers_are_under_way_to_one_person(door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_UNDER_WAY", 3)
    readers: list[socket.socket] = []

    def refused() -> Any:
        readers.append(asking(door, "master.mov"))
        return (said := fetched(door, "film.mp4")).status == 503 and said

    try:
        said = wait_for(refused, 20)
        assert said.json["type"] == "#busy"
        assert said.headers["retry-after"]
        assert len(readers) >= 3
        assert fetched(door, "film.mp4", who="ana").status == 200
        assert door.ask("GET", "/v1/status").status == 200
    finally:
        for one in readers:
            one.close()
    assert wait_for(lambda: fetched(door, "film.mp4").status == 200, 20) is True


def test_a_block_ends_where_the_store_fails_and_whoever_asks_on_is_told_why(
    door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered = door.desk.delivered

    def failing(path: str, start: int, length: int) -> bytes:
        if start:
            raise StoreUnavailable("the bucket does not answer")
        return delivered(path, start, length)

    monkeypatch.setattr(door.desk, "delivered", failing)
    assert fetched(door, "master.mov").data == MASTER[:READ_BYTES]
    said = fetched(door, "master.mov", offset=READ_BYTES)
    assert (said.status, said.json["detail"]) == (503, "the bucket does not answer")


def test_a_block_that_breaks_off_is_not_taken_for_a_whole_one(door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    delivered = door.desk.delivered

    def broken(path: str, start: int, length: int) -> bytes:
        if start:
            raise ValueError("nobody foresaw this")
        return delivered(path, start, length)

    monkeypatch.setattr(door.desk, "delivered", broken)
    with pytest.raises(urllib3.exceptions.ProtocolError):
        fetched(door, "master.mov")


@pytest.mark.parametrize("file", ["../../../../secret", "..", "f/../../../../../STORE", "a//b", "/etc/passwd", "x%00"])
def test_no_name_leads_out_of_the_version(door: OpenDoor, file: str) -> None:
    said = fetched(door, file)
    assert said.status in {404, 422}
    assert b"ancestra_store" not in said.data


def test_of_another_show_nobody_learns_what_there_is(door: OpenDoor) -> None:
    there, absent = fetched(door, "film.mp4", show="other"), fetched(door, "film.mp4", show="nowhere")
    assert (there.status, absent.status) == (404, 404)
    assert there.data.replace(b"other", b"nowhere") == absent.data
    assert fetched(door, "film.mp4", who="stranger").status == 403


def test_a_bucket_hands_out_the_same(tmp_path: Path) -> None:
    for store in (Store.open("memory://blocks", create=True), Store.open(str(tmp_path / "store"), create=True)):
        store.create("deliveries/f", b"0123456789")
        assert [store.read_block("deliveries/f", start, 4) for start in (0, 4, 8, 12)] == [b"0123", b"4567", b"89", b""]
