"""``ancestra hosts drain``, ``block`` and ``forgive`` on a farm that is at work, and lists of its nodes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ancestra_farm.ledger.store import Store
from tests.api.door import OpenDoor
from tests.cli.conftest import Ancestra
from tests.cli.small_farm import batch_file, submission
from tests.farm.processes import wait_for
from tests.farm.threads import NODE


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenDoor]:
    """A farm of threads whose shots wait to be picked, and the environment that names its store."""
    store = Store.open(str(tmp_path / "store"), create=True)
    monkeypatch.setenv("ANCESTRA_STORE", store.url)
    monkeypatch.setenv("USER", "ada")
    with OpenDoor(store, submission(batch_file(tmp_path, "select: close"))) as door:
        door.until(lambda status: len(status["waiting"]) == 2)
        yield door


def test_a_node_is_blocked_listed_and_forgiven(ancestra: Ancestra, door: OpenDoor) -> None:
    (host, *_) = ancestra("hosts", "--json").json
    assert host["node"] == NODE
    assert ancestra("hosts").out.count(NODE[:8]) >= 1
    blocked = ancestra("hosts", "block", NODE[:10], "--note", "it rattles")
    assert blocked.code == 0, blocked.err
    assert f"blocked node {NODE[:10]} as ada (commit " in blocked.out
    (node,) = wait_for(lambda: ancestra("hosts", "--nodes", "--json").json)
    assert (node["node"], node["state"], node["why"]) == (NODE, "blocked", "blocked by ada: it rattles")
    assert "blocked by ada: it rattles" in ancestra("hosts", "--nodes").out
    again = ancestra("hosts", "block", NODE)
    assert again.code != 0
    assert "is blocked already, by ada" in again.err
    forgiven = ancestra("hosts", "forgive", NODE, "--as", "noor")
    assert f"forgave node {NODE} as noor" in forgiven.out, forgiven.err
    told = ancestra("log", "orders").out
    assert "block" in told
    assert "it rattles" in told


def test_a_host_is_drained_and_then_there_is_none_of_that_name(ancestra: Ancestra, door: OpenDoor) -> None:
    name = ancestra("hosts", "--json").json[0]["host"]
    said = ancestra("hosts", "drain", name)
    assert said.code == 0, said.err
    assert f"draining host {name} as ada" in said.out
    wait_for(lambda: name not in {host["host"] for host in ancestra("hosts", "--json").json})
    assert "there is no host" in ancestra("hosts", "drain", name).err


def test_orders_about_machines_answer_in_json_where_that_is_wanted(ancestra: Ancestra, door: OpenDoor) -> None:
    said = ancestra("hosts", "block", NODE, "--json")
    assert said.code == 0, said.err
    assert said.json["commit"] > 0
    assert said.json | {"commit": 0} == {"order": "block", "kind": "node", "target": NODE, "who": "ada", "commit": 0}


def test_a_node_is_drained(ancestra: Ancestra, door: OpenDoor) -> None:
    assert ancestra("hosts", "drain", NODE).code == 0
    wait_for(lambda: door.hands.drained == [NODE])


def test_what_is_missing_or_not_there_is_said(ancestra: Ancestra, door: OpenDoor) -> None:
    before = door.writer.number
    for arguments, says in (
        (("drain",), "say what to drain: a host, or Ray's id of a node"),
        (("drain", "cccc"), "no node with hosts begins with cccc"),
        (("forgive", "procedural/stills"), "has failed to start"),
        (("burn", NODE), "burn"),
    ):
        said = ancestra("hosts", *arguments)
        assert said.code != 0
        assert says in said.err
    assert door.writer.number == before


def test_a_store_that_takes_nothing_is_said_by_whatever_shows_the_farm(
    ancestra: Ancestra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    media = store.local_path("media")
    assert media is not None
    media.write_bytes(b"")  # where hosts want a folder
    monkeypatch.setenv("ANCESTRA_STORE", store.url)
    with OpenDoor(store, submission(batch_file(tmp_path))) as door:
        (said,) = wait_for(lambda: ancestra("status", "--json").json["trouble"])
        assert "the store failed" in said
        assert "media" in said
        for command in (("status",), ("hosts",), ("hosts", "--nodes"), ("watch", "--farm", "--once")):
            assert "the store failed" in ancestra(*command).out, command
        found = ancestra("doctor", "--json")
        assert found.code == 1
        (bad,) = [row for row in found.json if row["what"] == "store, hosts"]
        assert (bad["state"], "the store failed" in bad["found"]) == ("bad", True)
        afar = {row["what"]: row for row in ancestra("doctor", "--store", door.endpoint, "--json").json}
        assert afar["store, hosts"]["found"] == bad["found"]
        assert "store" not in afar
        monkeypatch.setenv("ANCESTRA_TOKEN", door.token("member", "mel"))
        show = door.ask("GET", "/v1/batches").json["batches"][0]["show"]
        people = f'{{"schema": "ancestra/show/v1", "show": "{show}", "people": {{"mel": "viewer"}}}}'
        assert door.ask("POST", "/v1/show_settings", {"show": show, "document": people}).status == 200
        assert ancestra("status", "--json").json["trouble"] == []


def test_nobody_is_drained_where_nobody_is_at_work(
    ancestra: Ancestra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANCESTRA_STORE", Store.open(str(tmp_path / "store"), create=True).url)
    said = ancestra("hosts", "drain", NODE)
    assert said.code != 0
    assert "nobody is at work there, so there is nothing to drain" in said.err
    assert ancestra("hosts", "--nodes", "--json").json == []
