"""Real runs on a real local Ray, from the command line as scripts call it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ancestra_farm.cli.follow import Rate, hosts_note
from ancestra_farm.cli.reading import Reading
from ancestra_farm.cli.run import CODES, by_shot_and_version, place, waiting_lines
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.events import StitchEnded
from tests.cli.small_farm import batch_file
from tests.farm.heads import Head

JOBS = Path(__file__).parents[2] / "jobs"


def run_program(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "ancestra_farm.cli.main", *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=280)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Ray that is there already, for runs that need none of their own."""
    head = Head(tmp_path_factory.mktemp("head"))
    yield head.address
    head.close()


@pytest.mark.ray
def test_a_batch_file_goes_in_and_finished_clips_come_out(tmp_path: Path, head: str) -> None:
    store = tmp_path / "store"
    done = run_program("run", JOBS / "previz.yaml", "--store", store, "--metrics-port", "0", "--hosts", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("anc_020_0010  ") and line.endswith("→ 1 clip, 24 frames") for line in lines)
    clips = [line.split()[-1] for line in lines if line.startswith("finished clip")]
    sheets = [line.split()[-1] for line in lines if line.startswith("contact sheet")]
    assert len(clips) == len(sheets) == 2
    assert all(Path(path).stat().st_size > 0 for path in clips + sheets)
    assert any(line.startswith("manifest") for line in lines)
    assert "\r" not in done.stdout
    assert "\x1b" not in done.stdout
    assert run_program("verify", store).returncode == 0
    commits = len(list((store / "log").iterdir()))
    again = run_program("resume", "--store", store, "--address", head)
    assert again.returncode == 0, again.stderr
    shots = json.loads(run_program("status", "--store", store, "--json").stdout)["shots"]
    assert [shot["state"] for shot in shots] == ["done", "done"]
    assert len(list((store / "log").iterdir())) == commits + 1


@pytest.mark.ray
def test_a_run_that_waits_for_people_says_what_to_do(tmp_path: Path, head: str) -> None:
    path = batch_file(tmp_path, "select: close")
    done = run_program("run", path, "--store", tmp_path / "store", "--address", head)
    assert done.returncode == 0, done.stderr
    assert "waiting for people:" in done.stdout
    store = Store.open(str(tmp_path / "store")).url
    for command in (
        f"ancestra sheet anc_010_0010 --store {store}",
        f"ancestra pick CANDIDATE_ID --store {store}",
        f"ancestra close anc_010_0010 still --store {store}",
        f"ancestra resume --store {store}",
    ):
        assert command in done.stdout


@pytest.mark.ray
def test_a_run_that_takes_too_long_ends_with_three_and_can_be_resumed(tmp_path: Path, head: str) -> None:
    path = batch_file(tmp_path)
    path.write_text(path.read_text().replace("wave: 12", "wave: 12\n    parameters: {delay_s: 30}"))
    done = run_program("run", path, "--store", tmp_path / "store", "--timeout", "12", "--address", head)
    assert done.returncode == 3, done.stderr
    assert "ancestra resume --store" in done.stdout
    assert "timed out" in done.stdout
    assert run_program("verify", tmp_path / "store").returncode == 0


def test_a_refused_batch_ends_with_two_before_any_store_is_made(tmp_path: Path) -> None:
    path = batch_file(tmp_path)
    path.write_text(path.read_text().replace("role: text_to_image", "role: text_to_painting"))
    done = run_program("run", path, "--store", tmp_path / "store")
    assert done.returncode == 2
    assert f"{path}:8:" in done.stderr
    assert not (tmp_path / "store").exists()


def test_every_way_a_run_can_end_has_an_exit_code() -> None:
    from typing import get_args

    from ancestra_farm.farm.run import How

    assert set(CODES) == set(get_args(How))
    assert (CODES["done"], CODES["waiting"], CODES["failed"], CODES["timed_out"]) == (0, 0, 1, 3)


def test_a_run_that_is_only_paused_waits_and_has_not_failed() -> None:
    from ancestra_farm.farm.control import Ending
    from ancestra_farm.farm.run import _summary
    from ancestra_farm.farm.upkeep import Picture
    from ancestra_farm.scheduler import ShotProgress

    stuck = ("tiny is paused by bo since 2026-01-02 03:04:05 UTC",)
    paused = ShotProgress("tiny", "ancestra", "anc_000", "paused", 40, (), ())
    running = replace(paused, shot="anc_001", state="running")
    ending = Ending("done", (), stuck)
    ends = [
        _summary(ending, Picture(shots=shots, epoch=1), timed_out=False, seconds=1.0, url="store")
        for shots in ((paused,), (paused, running))
    ]
    assert [end.how for end in ends] == ["waiting", "failed"]
    assert all(end.message.startswith(stuck[0]) for end in ends)


def test_the_rate_is_that_of_the_last_half_minute(waiting: Store) -> None:
    shots = Reading.open(waiting.url).progress()
    rate = Rate()
    assert rate.of((), 100.0) == 0.0
    assert rate.of(shots, 110.0) == pytest.approx(4.8)
    assert rate.of(shots, 200.0) == 0.0


def test_hosts_are_counted_ready_and_starting() -> None:
    assert hosts_note({"a": (1, 1), "b": (1, 0)}) == "2 hosts, 1 starting"
    assert hosts_note({}) == ""


def test_what_waits_names_the_batch_where_there_are_several(waiting: Store) -> None:
    reading = Reading.open(waiting.url)
    assert waiting_lines(reading, []) == []
    one = waiting_lines(reading, [("demo", "anc_010_0010", "still")])
    assert f"    ancestra close anc_010_0010 still --store {waiting.url}" in one
    assert one[-1] == f"  then: ancestra resume --store {waiting.url}"
    at_work = waiting_lines(reading, [("demo", "anc_010_0010", "still")], at_work=True)
    assert at_work == one[:-1], "a farm at work goes on by itself"
    batches = reading.scheduler.state.batches
    batches["other"] = batches["demo"]
    assert any("--batch demo" in line for line in waiting_lines(reading, [("demo", "anc_010_0010", "still")]))


def test_clips_stand_by_shot_those_of_nobody_first_then_by_version() -> None:
    made = [("b", "auto-1"), ("a", "v002"), ("a", "v001"), ("a", "auto-9"), ("a", "auto-2")]
    ends = [StitchEnded("demo", shot, "", version, ok=True, frames=1, at=0.0) for shot, version in made]
    listed = [(end.shot, end.version) for end in sorted(ends, key=by_shot_and_version)]
    assert listed == [("a", "auto-9"), ("a", "auto-2"), ("a", "v001"), ("a", "v002"), ("b", "auto-1")]


def test_files_of_a_local_store_are_plain_paths() -> None:
    assert place("file:///farm/store", "sheets/a.png") == "/farm/store/sheets/a.png"
    assert place("s3://bucket/store", "sheets/a.png") == "s3://bucket/store/sheets/a.png"
