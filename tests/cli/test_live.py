"""Commands on a store where a controller is at work: they go through its door, and load little."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ancestra_farm.api.tokens import token_path
from ancestra_farm.cli.ordered import EPILOG
from ancestra_farm.ledger.store import Store
from tests.api.door import OpenDoor
from tests.cli.conftest import Ancestra
from tests.cli.small_farm import batch_file, submission
from tests.cli.test_imports import SCRIPT
from tests.farm.batches import batch_document, write_batch


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenDoor]:
    """A farm of threads whose shots wait to be picked, and the environment that names its store."""
    store = Store.open(str(tmp_path / "store"), create=True)
    with OpenDoor(store, submission(batch_file(tmp_path, "select: close"))) as door:
        door.until(lambda status: len(status["waiting"]) == 2)
        monkeypatch.setenv("ANCESTRA_STORE", store.url)
        monkeypatch.setenv("USER", "ada")
        yield door


def test_pick_and_close_go_through_the_door_and_the_farm_goes_on(ancestra: Ancestra, door: OpenDoor) -> None:
    branch = door.scheduler.state.batches["demo"].branches["anc_010_0020/still/0"]
    first, second, *_ = branch.survivor_ids()
    picked = ancestra("pick", first[:10], second[:10], "--as", "noor", "--note", "calm")
    assert picked.code == 0, picked.err
    assert f"picked {first[:12]} of anc_010_0020 still as noor (commit " in picked.out
    assert ancestra("unpick", second, "--as", "noor").code == 0
    closed = ancestra("close", "anc_010_0020")
    assert closed.code == 0, closed.err
    assert "closed anc_010_0020 still as ada" in closed.out
    assert "resume" not in closed.out, "the farm is at work: nobody has to start it"
    door.until(lambda status: "v001" in status["shots"][1]["versions"])
    assert [(one.order, one.who) for one in door.logged()] == [
        ("pick", "noor"),
        ("pick", "noor"),
        ("unpick", "noor"),
        ("close", "ada"),
    ]
    assert token_path(door.store.id).exists()


def test_what_is_not_there_is_said(ancestra: Ancestra, door: OpenDoor) -> None:
    before = door.writer.number
    for arguments, says in (
        (("pick", "ffff0000"), "no released candidate"),
        (("pick", "xyz"), "is no candidate id"),
        (("close", "anc_010_0099"), "there is no shot anc_010_0099"),
        (("pause", "--batch", "nowhere"), "there is no batch nowhere in"),
        (("pause", "anc_010_0099"), "there is no shot"),
        (("unpause",), "is not paused"),
        (("more", "anc_010_0010", "-n", "5"), "say which stage: still or animate"),
        (("retry", "anc_010_0010", "still"), "--cause CAUSE or --filter FILTER"),
        (("retry", "anc_010_0010", "still", "--filter", "blurr"), "did you mean blur?"),
        (("priority",), "say the class"),
        (("priority", "--weight", "1001"), "--weight"),
        (("more", "anc_010_0010", "still", "-n", "10000001"), "--candidates"),
        (("status", "anc_010_0099"), "there is no shot"),
        (("explain", "--batch", "nowhere"), "there is no batch"),
    ):
        said = ancestra(*arguments)
        assert (said.code, says in said.err) == (2, True), (arguments, said.err)
    assert door.writer.number == before


def test_a_farm_is_steered_by_word(ancestra: Ancestra, door: OpenDoor) -> None:
    for arguments, says in (
        (("pause",), "paused batch demo as ada"),
        (("unpause", "--as", "noor"), "unpaused batch demo as noor"),
        (("pause", "anc_010_0010", "--note", "later"), "paused anc_010_0010 as ada"),
        (("priority", "dailies", "--weight", "2"), "demo is now of class dailies and of weight 2"),
        (("more", "anc_010_0020", "still", "--candidates", "12"), "12 more candidates of anc_010_0020 still"),
        (("cancel", "anc_010_0010"), "cancelled anc_010_0010"),
    ):
        said = ancestra(*arguments)
        assert said.code == 0, (arguments, said.err)
        assert says in said.out
    assert [one.order for one in door.logged()] == ["pause", "unpause", "pause", "priority", "more", "cancel"]
    assert "paused by ada" in ancestra("explain").out or "cancelled by ada" in ancestra("explain").out


def test_an_order_is_told_as_json(ancestra: Ancestra, door: OpenDoor) -> None:
    first, second, *_ = door.scheduler.state.batches["demo"].branches["anc_010_0020/still/0"].survivor_ids()
    picked = ancestra("pick", first[:10], second[:10], "--json").json
    assert picked["about"] == [
        {"batch": "demo", "shot": "anc_010_0020", "stage": "still", "candidate_id": one} for one in (first, second)
    ]
    told = [
        ancestra(*words, "--json").json
        for words in (
            ("pause", "anc_010_0010"),
            ("unpause", "anc_010_0010"),
            ("priority", "dailies"),
            ("more", "anc_010_0010", "still", "-n", "2"),
            ("close", "anc_010_0020"),
            ("cancel", "anc_010_0010"),
        )
    ]
    assert [one["order"] for one in told] == ["pause", "unpause", "priority", "more", "close", "cancel"]
    assert all(list(one) == list(told[0]) and all(key in EPILOG for key in one) for one in told)
    assert all(one["who"] == "ada" and one["at_work"] and one["go_on"] is None for one in told)
    nothing = {"shot": None, "stage": None, "candidate_id": None}
    assert told[2]["about"] == [{"batch": "demo"} | nothing]
    assert told[3]["about"] == [{"batch": "demo"} | nothing | {"shot": "anc_010_0010", "stage": "still"}]
    commits = [one["commit"] for one in told]
    assert commits == sorted(set(commits))


def test_a_whole_batch_is_cancelled_only_by_its_name(ancestra: Ancestra, door: OpenDoor) -> None:
    said = ancestra("cancel")
    assert (said.code, door.logged()) == (2, [])
    assert "--batch NAME" in said.err
    assert ancestra("cancel", "--batch", "demo").code == 0
    assert [one.order for one in door.logged()] == ["cancel"]


def test_a_reject_is_restored_by_word(ancestra: Ancestra, door: OpenDoor) -> None:
    branch = door.scheduler.state.batches["demo"].branches["anc_010_0020/still/0"]
    rejects = [branch.result(position, "full") for position in range(24)]
    reject = next((one.candidate_id for one in rejects if one.outcome == "rejected"), None)
    if reject is None:
        pytest.skip("nothing was rejected")
    said = ancestra("restore", reject[:12])
    assert said.code == 0, said.err
    assert f"restored {reject[:12]}" in said.out


def test_questions_are_answered_by_the_controller(ancestra: Ancestra, door: OpenDoor) -> None:
    status = ancestra("status", "--json").json
    assert status["at_work"]["endpoint"] == door.endpoint
    assert {shot["state"] for shot in status["shots"]} == {"waiting_for_people"}
    assert status["device_s"] > 0
    assert status["last_commit"] == door.writer.number
    shown = ancestra("status").out
    assert "is at work, last commit" in shown
    assert "24 stills" in shown
    assert "pick some and close it" in ancestra("explain", "anc_010_0010").out
    watched = ancestra("watch", "--once")
    assert watched.code == 0
    assert "0 of 2 shots" in watched.out, "none is done that waits for people"
    hosts = ancestra("hosts", "--json").json
    assert {host["model"] for host in hosts} >= {"procedural/stills"}
    assert {host["state"] for host in hosts} <= {"idle", "working", "starting", "leaving"}
    assert {row["model"] for row in ancestra("hosts", "--queues", "--json").json} >= {"procedural/stills"}
    assert status["batches"] == [{"batch": "demo", "priority": "shot", "weight": 1.0, "paused": False}]


def test_run_hands_the_batch_to_the_farm_and_ends_as_it_ends(
    ancestra: Ancestra, door: OpenDoor, tmp_path: Path
) -> None:
    done = ancestra("run", write_batch(tmp_path, batch_document(candidates=8)), "--as", "noor")
    assert done.code == 0, done.err + done.out
    assert "tiny is handed to tester" in done.out
    assert "anc_000  8 stills" in done.out
    assert "anc_010_0010" not in done.out, "only what was submitted is told of"
    assert "done after" in done.out
    waits = ancestra("run", batch_file(tmp_path, "select: close"))
    assert waits.code == 0, waits.err
    assert "demo is unchanged since ada handed it in" in waits.out
    assert "waiting for people:" in waits.out
    assert "resume" not in waits.out, "the farm goes on by itself"
    handed = ancestra("run", batch_file(tmp_path, "select: close"), "--detach")
    assert "ancestra watch" in handed.out
    late = ancestra("run", slow_batch(tmp_path), "--timeout", "0.1")
    assert late.code == 3
    assert "goes on with slow" in late.err
    assert late.out.count("contact sheet") == 0, "there is no result to look at yet"
    assert {batch["batch"]: batch["who"] for batch in door.ask("GET", "/v1/batches").json["batches"]} == {
        "demo": "ada",
        "tiny": "noor (by ada)",
        "slow": "ada",
    }


def slow_batch(folder: Path) -> Path:
    document = batch_document(candidates=8, parameters={"delay_s": 0.5})
    return write_batch(folder, {**document, "batch": "slow"}, "slow.yaml")


def test_a_run_that_is_left_alone_says_that_the_farm_goes_on(
    ancestra: Ancestra, door: OpenDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ancestra_farm.cli import follow

    def interrupted(_status: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(follow, "note_of", interrupted)
    said = ancestra("run", slow_batch(tmp_path))
    assert said.code == 1
    assert "goes on with slow" in said.err
    assert "ancestra stop" in said.err
    assert "--batch slow" in said.err
    assert "contact sheet" not in said.out
    assert door.thread.is_alive()


def test_stop_ends_the_farm_and_orders_are_taken_offline_then(ancestra: Ancestra, door: OpenDoor) -> None:
    stopped = ancestra("stop")
    assert stopped.code == 0, stopped.err
    assert "stopped" in stopped.out
    assert "nobody is at work" in ancestra("stop").out
    assert "nobody is at work" in ancestra("hosts").err
    assert ancestra("hosts", "--json").json == []
    paused = ancestra("pause")
    assert paused.code == 0, paused.err
    assert "resume" not in paused.out, "what was paused asks for nobody to be at work"
    assert ancestra("unpause", "--json").json["go_on"] == f"ancestra resume --store {door.store.url}"
    assert ancestra("pause").code == 0
    assert "to go on: ancestra resume" in ancestra("unpause").out
    assert [(one.order, one.who) for one in door.logged()] == [("pause", "ada"), ("unpause", "ada")] * 2


def test_a_token_is_made_listed_used_and_taken_away(
    ancestra: Ancestra, door: OpenDoor, own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = ancestra("token", "issue", "bo", "--role", "artist")
    assert issued.code == 0, issued.err
    token = issued.out.strip()
    assert token.startswith("ancestra_")
    assert token not in issued.err
    (row,) = [row for row in ancestra("token", "ls", "--json").json if row["name"] == "bo"]
    assert (row["name"], row["role"], row["by"]) == ("bo", "artist", "ada")
    assert token not in json.dumps(row)
    used = subprocess.run(
        [sys.executable, "-m", "ancestra_farm.cli.main", "token", "use"],
        input=token + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert used.returncode == 0, used.stderr
    assert token not in used.stdout
    refused = ancestra("pause")
    assert refused.code == 1
    assert "bo is an artist and may not pause" in refused.err
    assert "1 token of bo revoked" in ancestra("token", "revoke", "bo").out
    assert ancestra("token", "revoke", "bo").code == 2
    assert ancestra("token", "issue", " ", "--role", "artist").code == 2


def test_an_order_to_a_live_farm_loads_nothing_heavy(door: OpenDoor) -> None:
    """Neither Ray, nor what reads a log: an order is acknowledged in a blink however long the log is."""
    heavy = ("ray", "torch", "diffusers", "numpy", "pyarrow", "cv2", "uvicorn", "starlette")
    survivor = door.scheduler.state.batches["demo"].branches["anc_010_0020/still/0"].survivor_ids()[0]
    for arguments in (["pause"], ["status"], ["explain"], ["hosts"], ["pick", survivor[:12]]):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(heavy=heavy), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stderr)
        assert done.stdout.splitlines()[-1] == "LOADED", (arguments, done.stdout.splitlines()[-1])
