"""A farm that is known by its door alone: a token and an address are enough, and no store is ever opened."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ancestra_farm.api.afar import Afar, DoorClosed, farm_at
from ancestra_farm.api.app import build_app
from ancestra_farm.api.client import Client
from ancestra_farm.api.people import issue
from ancestra_farm.api.server import listening, serve_app
from ancestra_farm.api.tls import own_certificate
from ancestra_farm.api.tokens import OwnToken, token_path
from ancestra_farm.ledger.errors import StoreRefused
from ancestra_farm.ledger.store import Store
from tests.api.door import OpenDoor
from tests.cli.conftest import Ancestra
from tests.cli.small_farm import batch_file, guided_batch, submission
from tests.farm.batches import batch_document, write_batch


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenDoor]:
    """A farm whose shots wait to be picked; whoever else tries to open its store is found out."""
    store = Store.open(str(tmp_path / "store"), create=True)
    with OpenDoor(store, submission(batch_file(tmp_path, "select: close"))) as door:
        door.until(lambda status: len(status["waiting"]) == 2)
        token = door.token("operator", "noor")
        monkeypatch.setenv("ANCESTRA_STORE", door.endpoint)
        monkeypatch.setenv("ANCESTRA_TOKEN", token)
        monkeypatch.setenv("USER", "ada")

        def opened(*_: Any, **__: Any) -> Store:
            raise AssertionError("there is no store to open here")

        monkeypatch.setattr(Store, "open", opened)
        yield door


def test_a_token_and_an_address_are_enough_to_look_and_to_order(
    ancestra: Ancestra, door: OpenDoor, tmp_path: Path
) -> None:
    branch = door.scheduler.state.batches["demo"].branches["anc_010_0020/still/0"]
    first, *_ = branch.survivor_ids()
    for arguments, says in (
        (("status",), "24 stills"),
        (("ls",), "waiting for people"),
        (("show", "demo"), "pick some and close it"),
        (("explain", "anc_010_0010"), "pick some and close it"),
        (("watch", "--once"), "0 of 2 shots"),
        (("watch", "--farm", "--once"), "procedural/stills"),
        (("logs", "--last", "500"), "batch demo submitted by ada"),
        (("hosts",), "procedural/stills"),
        (("pick", first[:10]), "as noor"),
        (("close", "anc_010_0020"), "closed anc_010_0020 still as noor"),
        (("pause", "anc_010_0010"), "paused anc_010_0010 as noor"),
        (("priority", "dailies"), "class dailies"),
        (("submit", write_batch(tmp_path, batch_document(candidates=8)), "--wait"), "tiny is handed to the farm"),
    ):
        said = ancestra(*arguments)
        assert said.code == 0, (arguments, said.err)
        assert says in said.out, (arguments, said.out)
    assert [one.who for one in door.logged()] == ["noor"] * 4


def test_dashboards_are_had_with_a_token_and_an_address(ancestra: Ancestra, door: OpenDoor, tmp_path: Path) -> None:
    said = ancestra("dash", "--folder", tmp_path / "dash", "--files")
    assert said.code == 0, said.err
    assert f"farm        at {door.endpoint}" in said.out
    (target,) = json.loads((tmp_path / "dash/prometheus/targets/farms.json").read_text())
    assert f"http://{target['targets'][0]}" == door.endpoint
    kept = tmp_path / "dash/prometheus/token"
    assert kept.read_text() == door.token("operator", "noor")
    assert kept.stat().st_mode & 0o777 == 0o600


def test_whoever_may_not_ask_for_metrics_is_told_so_before_prometheus_is(
    ancestra: Ancestra, door: OpenDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANCESTRA_TOKEN", door.token("member", "sue"))
    said = ancestra("dash", "--folder", tmp_path / "dash", "--files")
    assert said.code == 1, said.out
    assert "sue" in said.err
    assert not (tmp_path / "dash/prometheus/token").exists()


def test_a_supervisor_of_one_show_reads_and_changes_its_settings_through_the_door(
    ancestra: Ancestra, door: OpenDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = door.ask("GET", "/v1/batches").json["batches"][0]["show"]
    document = {"schema": "ancestra/show/v1", "show": show, "people": {"sue": "supervisor"}}
    given = door.ask("POST", "/v1/show_settings", {"show": show, "document": json.dumps(document)})
    assert given.status == 200, given.data
    monkeypatch.setenv("ANCESTRA_TOKEN", door.token("member", "sue"))
    listed = ancestra("settings", "ls", "--json")
    assert listed.code == 0, listed.err
    assert [row["of"] for row in json.loads(listed.out)] == [show]
    said = ancestra("settings", "show", show, "show")
    assert (said.code, "sue: supervisor" in said.out) == (0, True), said.err
    edited = tmp_path / "show.yaml"
    edited.write_text(said.out)
    changed = ancestra("settings", "show", show, "set", edited)
    assert changed.code == 0, changed.err
    refused = ancestra("settings", "farm", "show")
    assert (refused.code, "may not" in refused.err or "role" in refused.err) == (1, True)


def test_files_that_a_batch_names_go_through_the_door_too(ancestra: Ancestra, door: OpenDoor, tmp_path: Path) -> None:
    batch, cards = guided_batch(tmp_path)
    for says in ("uploaded: ", "there already: "):
        said = ancestra("submit", batch, "--cards", cards)
        assert said.code == 0, said.err
        assert f"{says}{tmp_path / 'way.json'}" in said.out
    (path,) = door.store.list("materials")
    assert door.store.read(path) == (tmp_path / "way.json").read_bytes()


def test_a_batch_is_planned_in_money_by_what_the_door_tells(
    ancestra: Ancestra, door: OpenDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_file(tmp_path)
    assert ancestra("plan", batch, "--json").json["cost"] is None
    kind = {"cpus": 4, "memory_gib": 8, "price_per_hour": 0.4, "max_nodes": 2}
    farm = {"schema": "ancestra/farm/v1", "currency": "EUR", "node_types": {"cheap": kind}}
    show = {"schema": "ancestra/show/v1", "show": "ancestra", "people": {"sue": "viewer"}, "handles": 99}
    show |= {"notify": [{"webhook": "https://hooks.example.com/in", "secret": "studio"}]}
    for path, body in (
        ("/v1/farm_settings", {"document": json.dumps(farm)}),
        ("/v1/show_settings", {"show": "ancestra", "document": json.dumps(show)}),
    ):
        assert door.ask("POST", path, body).status == 200
    told = ancestra("plan", batch, "--json").json
    assert told["currency"] == "EUR"
    assert told["cost"] > 0
    assert "99 handles at least" in told["refusals"][0]
    monkeypatch.setenv("ANCESTRA_TOKEN", door.token("member", "sue"))
    told = ancestra("plan", batch, "--json").json
    assert told["cost"] is None, "prices are the farm's to tell"
    assert "99 handles at least" in told["refusals"][0]


def test_nothing_is_fetched_of_what_is_not_finished(ancestra: Ancestra, door: OpenDoor, tmp_path: Path) -> None:
    said = ancestra("sync", tmp_path / "here")
    assert (said.code, said.out) == (0, f"0 files fetched to {tmp_path / 'here'}, 0 were there already\n")
    assert not (tmp_path / "here").exists()


def test_a_farm_is_stopped_through_its_door_and_nobody_answers_then(ancestra: Ancestra, door: OpenDoor) -> None:
    stopped = ancestra("stop")
    assert stopped.code == 0
    assert stopped.out == "stopped\n", "nobody resumes a farm through a door"
    door.close()
    said = ancestra("status")
    assert said.code == 1
    assert "no farm answers at" in said.err
    assert ancestra("pause", "anc_010_0010").code == 1


def test_a_token_is_kept_for_a_door_once_the_farm_takes_it(
    ancestra: Ancestra, door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANCESTRA_TOKEN")
    refused = ancestra("status")
    assert (refused.code, "ancestra token use" in refused.err) == (1, True)
    from typer.testing import CliRunner

    from ancestra_farm.cli.main import app

    wrong = CliRunner().invoke(app, ["token", "use"], input="ancestra_" + "x" * 43 + "\n")
    assert wrong.exit_code == 1
    ended = issue(door.store, "bo", "viewer", by="ada", until=1.0)
    late = CliRunner().invoke(app, ["token", "use"], input=ended + "\n")
    assert (late.exit_code, "the token of bo ended at 1970" in late.stderr) == (1, True)
    assert not token_path(door.store.id).exists()
    new = CliRunner().invoke(app, ["token", "use"], input=door.token("member") + "\n")
    assert (new.exit_code, "has no role on any show" in new.stderr) == (0, True)
    kept = CliRunner().invoke(app, ["token", "use"], input=door.token("viewer") + "\n")
    assert kept.exit_code == 0, kept.stderr
    assert token_path(door.store.id).stat().st_mode & 0o777 == 0o600
    assert ancestra("status").code == 0


@pytest.mark.parametrize(
    "address",
    [
        "http://10.0.0.1:8470",
        "https://10.0.0.1:8470",
        "https://10.0.0.1:8470#abc",
        "http://127.0.0.1",
        "http://me@127.0.0.1:8470",
        "http://127.0.0.1:8470/v1",
        "http://127.0.0.1.evil.example:8470",
        "http://127.0.0.1:port",
    ],
)
def test_what_would_show_a_token_to_others_is_refused(address: str) -> None:
    with pytest.raises(StoreRefused):
        farm_at(address)


def test_a_door_with_another_certificate_is_sent_nothing(door: OpenDoor) -> None:
    listener = listening("127.0.0.1:0")
    certificate = own_certificate()
    port = listener.getsockname()[1]
    server = serve_app(build_app(door.desk), listener, certificate)
    try:
        with pytest.raises(DoorClosed, match="certificate"):
            Afar.at(f"https://127.0.0.1:{port}#{'0' * 64}")
        farm = Afar.at(f"https://127.0.0.1:{port}#{certificate.fingerprint}")
        assert farm.id == door.store.id
        client = Client.of(farm, token=OwnToken(door.token("viewer"), "", "here"))
        assert client is not None
        with client:
            assert client.status().shots
    finally:
        server.close()


def test_status_tells_how_others_get_here(ancestra: Ancestra, door: OpenDoor) -> None:
    assert set(json.loads(ancestra("status", "--json").out)["at_work"]) >= {"endpoint", "fingerprint"}
