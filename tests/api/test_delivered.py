"""Finished work through the door: files of versions of one's own shows, and nothing else of the store."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ancestra_farm.ledger.store import Store
from tests.api.door import OpenDoor

PATH = "deliveries/anc/anc_000/v001"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenDoor]:
    store = Store.open(str(tmp_path_factory.mktemp("farm") / "store"), create=True)
    for path, data in ((f"{PATH}/film.mp4", b"0123456789"), (f"{PATH}/frames/f.1001.png", b"frame"), ("secret", b"s")):
        store.create(path, data)
    store.create("deliveries/other/anc_000/v001/film.mp4", b"theirs")
    with OpenDoor(store) as door:
        document = {"schema": "ancestra/show/v1", "show": "anc", "people": {"vic": "viewer"}}
        assert door.ask("POST", "/v1/show_settings", {"show": "anc", "document": json.dumps(document)}).status == 200
        yield door


def fetched(door: OpenDoor, file: str, who: str = "vic", show: str = "anc", **more: Any) -> Any:
    fields = {"show": show, "shot": "anc_000", "version": "v001", "file": file, **more}
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    headers = {"authorization": f"Bearer {door.token('member', who)}"}
    return door.ask("GET", f"/v1/delivered?{query}", role="", headers=headers)


def test_a_file_is_handed_out_from_any_offset_to_its_end(door: OpenDoor) -> None:
    assert fetched(door, "film.mp4").data == b"0123456789"
    assert fetched(door, "film.mp4", offset=7).data == b"789"
    end = fetched(door, "film.mp4", offset=10)
    assert (end.status, end.data) == (200, b"")
    assert fetched(door, "frames/f.1001.png").data == b"frame"


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
