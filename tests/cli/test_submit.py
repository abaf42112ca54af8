"""Submitting to the farm that is at work, listing and showing batches, watching the farm: all through its door."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.api import afar
from ancestra_farm.api import client as client_module
from ancestra_farm.cli import overview, submit
from ancestra_farm.cli.ls import state_of
from ancestra_farm.ledger.liveness import PATH, Presence
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.plan.events import BatchSubmitted
from ancestra_farm.scheduler.progress import ShotProgress
from tests.api.door import OpenDoor
from tests.cli.conftest import Ancestra
from tests.cli.small_farm import batch_file, finished_store, guided_batch, submission
from tests.cli.test_imports import loaded_by
from tests.farm.batches import batch_document, write_batch


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenDoor]:
    """A farm of threads whose shots wait to be picked, at work as long as this module."""
    folder = tmp_path_factory.mktemp("farm")
    store = Store.open(str(folder / "store"), create=True)
    with OpenDoor(store, submission(batch_file(folder, "select: close"))) as door:
        door.until(lambda status: len(status["waiting"]) == 2)
        yield door


@pytest.fixture
def door(standing: OpenDoor, ancestra: Ancestra, monkeypatch: pytest.MonkeyPatch) -> OpenDoor:
    """The same, and the environment that names its store."""
    monkeypatch.setenv("ANCESTRA_STORE", standing.store.url)
    monkeypatch.setenv("USER", "ada")
    return standing


def test_a_batch_is_handed_to_the_farm_at_work_and_is_in_the_log_on_return(
    ancestra: Ancestra, door: OpenDoor, tmp_path: Path
) -> None:
    file = write_batch(tmp_path, batch_document(candidates=8))
    said = ancestra("submit", file, "--as", "noor")
    assert said.code == 0, said.err
    assert "tiny is handed to tester" in said.out
    assert "tiny" in door.scheduler.state.batches
    revision = door.scheduler.state.batches["tiny"].revision
    assert door.scheduler.state.batches["tiny"].submitted.who.startswith("noor")
    again = ancestra("submit", file)
    assert again.code == 0, again.err
    assert "tiny is unchanged since noor (by ada) handed it in" in again.out
    waited = ancestra("submit", file, "--wait")
    assert waited.code == 0, waited.err
    assert "done after" in waited.out
    assert door.scheduler.state.batches["tiny"].revision == revision


def test_whoever_corrects_a_batch_that_is_put_off_is_told_that_it_stays_so(
    ancestra: Ancestra, door: OpenDoor, tmp_path: Path
) -> None:
    document = {**batch_document(candidates=8), "batch": "later"}
    said = ancestra("submit", write_batch(tmp_path, document), "--start-at", "+8h")
    assert said.code == 0, said.err
    assert "; it begins at 20" in said.out
    assert "is paused by" not in said.out
    document["seed"] = 8
    again = ancestra("submit", write_batch(tmp_path, document))
    assert again.code == 0, again.err
    assert "later is paused by ada since" in again.out
    assert ", until 20" in again.out
    # At once: no look at the farm has seen the batch by then.
    assert ancestra("unpause", "--batch", "later").code == 0
    door.until(lambda status: [one["state"] for one in status["shots"] if one["batch"] == "later"] == ["done"])


def test_files_are_uploaded_once(ancestra: Ancestra, door: OpenDoor, tmp_path: Path) -> None:
    file, cards = guided_batch(tmp_path)
    first = ancestra("submit", file, "--cards", cards)
    assert first.code == 0, first.err
    assert "uploaded: " in first.out
    again = ancestra("submit", file, "--cards", cards)
    assert again.code == 0, again.err
    assert "there already: " in again.out
    assert "uploaded: " not in again.out
    assert len(door.store.list("materials")) == 1


@pytest.mark.parametrize("through_the_door", [False, True])
def test_nothing_is_uploaded_for_a_batch_that_the_farm_would_refuse(
    ancestra: Ancestra, door: OpenDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through_the_door: bool
) -> None:
    if through_the_door:
        monkeypatch.setenv("ANCESTRA_TOKEN", door.token("wrangler"))
        monkeypatch.setenv("ANCESTRA_STORE", door.endpoint)
    file, cards = guided_batch(tmp_path)
    (tmp_path / "way.json").write_text((tmp_path / "way.json").read_text().replace("0.3", "0.4"))
    before = door.store.list("materials")
    file.write_text(file.read_text().replace("batch: guided", "batch: demo").replace("show: anc", "show: other"))
    said = ancestra("submit", file, "--cards", cards)
    assert (said.code, "there is a batch demo of another show" in said.err) == (2, True), said.err
    assert "uploaded" not in said.out
    assert door.store.list("materials") == before
    events = [event for commit in read_commits(door.store) for event in commit.events]
    assert "other" not in {json.loads(one.document)["show"] for one in events if isinstance(one, BatchSubmitted)}


def test_a_batch_that_cannot_be_planned_makes_no_store(ancestra: Ancestra, tmp_path: Path) -> None:
    file = batch_file(tmp_path)
    file.write_text(file.read_text().replace("role: text_to_image", "role: text_to_painting"))
    said = ancestra("submit", file, "--store", tmp_path / "store")
    assert said.code == 2
    assert "demo.yaml:" in said.err
    assert not (tmp_path / "store").exists()


def test_with_nobody_at_work_it_says_how_the_farm_comes_up(
    ancestra: Ancestra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    said = ancestra("submit", batch_file(tmp_path), "--store", tmp_path / "store")
    assert said.code == 2
    assert "--address http://HOST:8265" in said.err
    assert "ancestra resume --detach --stay" in said.err
    assert ancestra("up", "--store", tmp_path / "store").code == 2


def test_a_batch_that_stands_there_unchanged_brings_up_no_farm_when_all_of_it_is_done(
    ancestra: Ancestra, tmp_path: Path
) -> None:
    store = finished_store(tmp_path)
    before = store.list("log")
    for words in (("submit",), ("submit", "--wait"), ("run",)):
        said = ancestra(words[0], batch_file(tmp_path), *words[1:], "--store", store.url)
        assert said.code == 0, said.err
        assert "demo is unchanged since ada handed it in" in said.out
    assert "done after" in said.out
    assert store.list("log") == before
    assert ancestra("cancel", "--batch", "demo", "--store", store.url).code == 2, "all of it is done"


def test_a_batch_that_was_put_off_until_a_time_brings_up_a_farm_that_ends_the_pause(
    ancestra: Ancestra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    store = finished_store(tmp_path)
    given = ("--store", store.url)
    assert ancestra("pause", "--batch", "demo", "--until", "+8h", *given).code == 0
    assert "is unchanged since ada" in ancestra("submit", batch_file(tmp_path), *given).out, "all of it is done"
    late = ancestra("submit", batch_file(tmp_path), "--start-at", "+1h", *given)
    assert (late.code, "nothing of it is left that could begin" in late.err) == (2, True)
    assert ancestra("more", "anc_010_0010", "still", "--candidates", "5", *given).code == 0
    said = ancestra("submit", batch_file(tmp_path), *given)
    assert (said.code, "say on which cluster" in said.err) == (2, True)


def test_a_batch_of_which_something_was_cancelled_is_not_taken_for_unchanged(
    ancestra: Ancestra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    store = finished_store(tmp_path, "select: close")
    assert ancestra("cancel", "anc_010_0010", "--store", store.url).code == 0
    said = ancestra("submit", batch_file(tmp_path, "select: close"), "--store", store.url)
    assert said.code == 2
    assert "say on which cluster" in said.err


@pytest.mark.parametrize(
    ("instead", "says"),
    [
        (("show: ancestra\n", "show: another\n"), "there is a batch demo of another show"),
        (("show: ancestra\n", "show: ancestra\nafter: [{batch: absent}]\n"), "there is no batch absent here"),
    ],
)
def test_what_the_farm_would_refuse_is_refused_before_a_cluster_is_looked_for(
    ancestra: Ancestra, tmp_path: Path, instead: tuple[str, str], says: str
) -> None:
    store = finished_store(tmp_path)
    before = store.list()
    file = batch_file(tmp_path)
    text = file.read_text()
    assert instead[0] in text
    file.write_text(text.replace(*instead))
    said = ancestra("submit", file, "--store", store.url)
    assert said.code != 0
    assert says in said.err
    assert store.list() == before


@pytest.mark.parametrize("command", ["submit", "up"])
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--certificate", "cert.pem"), "--certificate and --key come together"),
        (("--certificate", "cert.pem", "--key", "key.pem", "--plain-http"), "--plain-http shows no certificate"),
    ],
)
def test_what_the_door_shows_is_said_once(
    ancestra: Ancestra, tmp_path: Path, command: str, words: tuple[str, ...], says: str
) -> None:
    file = [batch_file(tmp_path)] if command == "submit" else []
    said = ancestra(command, *file, "--store", tmp_path / "store", "--address", "http://127.0.0.1:1", *words)
    assert (said.code, says in said.err) == (2, True), said.err
    assert not (tmp_path / "store").exists()


def test_a_head_that_is_not_there_is_said(ancestra: Ancestra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = ancestra("submit", batch_file(tmp_path), "--store", tmp_path / "store", "--address", "http://127.0.0.1:1")
    assert said.code == 1
    assert "no answer from http://127.0.0.1:1" in said.err


def test_a_farm_out_of_reach_is_told_with_the_way_to_it(
    ancestra: Ancestra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    far = Presence("noor", "head-1", "another machine", 1, "1", 4, 0.0, "http://127.0.0.1:8470")
    monkeypatch.setattr(submit, "LOOK_S", 0.01)
    monkeypatch.setattr(client_module, "PAUSE_S", 0.01)
    beats = iter(range(1000))

    def alive(_store: Store) -> Presence:
        return Presence(*[getattr(far, name) for name in ("who", "host", "machine", "pid", "started", "epoch")],
                        float(next(beats)), far.endpoint)  # fmt: skip

    monkeypatch.setattr(afar, "who_is_alive", alive)
    monkeypatch.setattr("ancestra_farm.ledger.liveness.who_is_alive", alive)
    said = ancestra("submit", batch_file(tmp_path), "--store", store.url, "--address", "http://127.0.0.1:1")
    assert said.code == 1
    assert "ssh -L 8470:127.0.0.1:8470 head-1" in said.err
    assert "ANCESTRA_ENDPOINT=http://127.0.0.1:8470" in said.err


def test_a_farm_is_reached_through_a_tunnel(
    ancestra: Ancestra, door: OpenDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = Presence(**{**_fields(door.presence), "machine": "another machine", "host": "head-1"})
    far = Presence(**{**_fields(far), "endpoint": "http://127.0.0.1:1"})
    monkeypatch.setattr(afar, "who_is_alive", lambda _store: far)
    monkeypatch.setenv("ANCESTRA_ENDPOINT", door.endpoint)
    said = ancestra("submit", write_batch(tmp_path, {**batch_document(candidates=8), "batch": "far"}))
    assert said.code == 0, said.err
    assert "far" in door.scheduler.state.batches


def _fields(presence: Presence) -> dict[str, object]:
    return {name: getattr(presence, name) for name in Presence.__dataclass_fields__}


def test_up_says_who_is_at_work_already(ancestra: Ancestra, door: OpenDoor) -> None:
    said = ancestra("up")
    assert said.code == 0, said.err
    assert "is at work there already" in said.out


def test_batches_are_listed_with_owner_class_and_cost(ancestra: Ancestra, door: OpenDoor, tmp_path: Path) -> None:
    assert ancestra("submit", write_batch(tmp_path, batch_document(candidates=8)), "--as", "noor").code == 0
    door.until(lambda status: all(shot["state"] == "done" for shot in status["shots"] if shot["batch"] == "tiny"))
    rows = {row["batch"]: row for row in ancestra("ls", "--json").json}
    demo, tiny = rows["demo"], rows["tiny"]
    assert (demo["batch"], demo["state"], demo["owner"], demo["shots"]) == ("demo", "waiting_for_people", "ada", 2)
    assert (tiny["batch"], tiny["state"], tiny["show"], tiny["done"]) == ("tiny", "done", "anc", 1)
    assert demo["device_h"] > 0
    for options, there in (
        (("--unfinished",), {"demo": True, "tiny": False}),
        (("--show", "anc"), {"demo": False, "tiny": True}),
        (("--owner", "noor"), {"demo": False, "tiny": True}),
    ):
        listed = {row["batch"] for row in ancestra("ls", *options, "--json").json}
        assert {name: name in listed for name in there} == there, options
    assert "no batch is as you say" in ancestra("ls", "--owner", "nobody").out
    assert "waiting for people" in ancestra("ls").out


def test_a_batch_is_shown_whole(ancestra: Ancestra, door: OpenDoor) -> None:
    said = ancestra("show", "demo", "--json").json
    assert said["batch"]["batch"] == "demo"
    assert {row["shot"] for row in said["stages"]} == {"anc_010_0010", "anc_010_0020"}
    assert {one["shot"] for one in said["waiting"]} == {"anc_010_0010", "anc_010_0020"}
    assert all(one["says"] for one in said["why"])
    shown = ancestra("show", "demo", "anc_010_0010").out
    assert "pick some and close it" in shown
    assert "anc_010_0020" not in shown
    missing = ancestra("show", "nothing")
    assert (missing.code, "there is no batch nothing" in missing.err) == (2, True)


def test_what_is_listed_of_a_farm_at_rest_comes_from_its_log(ancestra: Ancestra, finished: Store) -> None:
    (row,) = ancestra("ls", "--store", finished.url, "--json").json
    assert (row["batch"], row["state"], row["done"], row["versions"] > 0) == ("demo", "done", 2, True)
    assert ancestra("show", "demo", "--store", finished.url, "--json").json["why"] == []


def test_a_batch_stands_as_its_shots_stand() -> None:
    def shots(*states: str) -> list[ShotProgress]:
        return [ShotProgress("b", "s", f"{n}", state, 1, (), ()) for n, state in enumerate(states)]  # type: ignore[arg-type]

    assert state_of(shots("done", "running"), paused=False) == "running"
    assert state_of(shots("done", "running"), paused=True) == "paused"
    assert state_of(shots("done", "done"), paused=True) == "done"
    assert state_of(shots("starved", "done"), paused=False) == "failed"
    assert state_of(shots("cancelled", "cancelled"), paused=False) == "cancelled"
    assert state_of(shots("cancelled", "done"), paused=False) == "done"


def test_the_whole_farm_is_shown_on_one_screen(ancestra: Ancestra, door: OpenDoor) -> None:
    door.until(lambda status: len(status["waiting"]) == 2)
    said = ancestra("watch", "--farm", "--once")
    assert said.code == 0, said.err
    assert "is at work" in said.out
    assert "procedural/stills" in said.out
    assert "waiting for people: anc_010_0010 still (demo), anc_010_0020 still (demo)" in said.out


def test_a_farm_that_is_at_rest_cannot_be_watched_as_one(ancestra: Ancestra, tmp_path: Path) -> None:
    store = finished_store(tmp_path)
    said = ancestra("watch", "--farm", "--store", store.url)
    assert (said.code, "nobody is at work there" in said.err) == (2, True)
    assert PATH not in store.list()


@given(st.lists(st.floats(0, 1e6), min_size=8, max_size=8))
def test_shares_of_time_add_up(seconds: list[float]) -> None:
    before, more = seconds[:4], seconds[4:]
    key = (("model", "m"),)

    def samples(values: list[float]) -> overview.Samples:
        pairs = zip(overview.PARTS, values, strict=True)
        return {f"ancestra_device_{part}_seconds_total": {key: value} for part, value in pairs}

    now = samples([one + other for one, other in zip(before, more, strict=True)])
    found = list(overview.shares(samples(before), now, "m").values())
    if any(share is not None for share in found):
        assert sum(round(100 * (share or 0.0), 6) for share in found) == 100
    else:
        assert sum(before) == 0.0
        assert sum(more) == 0.0


def test_what_needs_no_log_loads_none(door: OpenDoor) -> None:
    for command in (("logs",), ("watch", "--farm", "--once")):
        code, loaded, said = loaded_by(*command)
        assert code == 0, said
        assert not {"ray", "torch", "pyarrow", "cv2"} & set(loaded), command
