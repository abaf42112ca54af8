import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ancestra_farm.ledger.commit import commit_path
from ancestra_farm.ledger.errors import StoreUnavailable
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.packs import Packer
from ancestra_farm.ledger.repair import repair
from ancestra_farm.ledger.snapshot import Section, Snapshot, write_snapshot
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tables import Projection, rebuild
from ancestra_farm.ledger.tail import Tail, read_commits
from ancestra_farm.ledger.verify import Report, verify
from ancestra_farm.plan.farm_events import HostNoted
from ancestra_farm.scheduler.retell import retell
from tests.ledger.film import Film, plan_of, shoot, submitted


@pytest.fixture
def sound(local_store: Store) -> Store:
    shoot(local_store)
    rebuild(local_store)
    return local_store


def only_problem(store: Store) -> str:
    (problem,) = verify(store).problems
    return problem


def files_of(store: Store, folder: str) -> list[Path]:
    return [path for name in store.list(folder) if (path := store.local_path(name)) is not None]


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def test_a_sound_store_has_no_problems(store: Store):
    shoot(store)
    rebuild(store)
    report = verify(store)
    commits = list(read_commits(store))
    assert report.problems == ()
    assert report.notes == ()
    assert (report.commits, report.void) == (len(commits), 0)
    assert report.events == sum(len(commit.events) for commit in commits)
    assert (report.candidates, report.undecided, report.orphans, report.deliveries) == (12, 0, 0, 3)
    assert report.media == len(store.list("media"))
    paths = [*store.list("log"), *store.list("media"), *store.list("deliveries")]
    assert report.bytes == sum(store.size(path) for path in paths if not path.endswith("MANIFEST.json"))


def test_an_empty_store_is_sound(store: Store):
    report = verify(store)
    assert report.problems == ()
    assert report.notes == ("the log is empty",)


def test_candidates_still_open_are_counted_and_no_problem(local_store: Store):
    shoot(local_store, stop_after=2)
    report = verify(local_store)
    assert report.problems == ()
    assert (report.candidates, report.undecided) == (4, 3)


def test_candidates_whose_wave_closed_without_them_are_a_problem(local_store: Store):
    film = Film(plan_of(), store=local_store)
    writer = Writer.begin(local_store, "ann", "run")
    opened = [submitted(film.plan), film.opened("still"), film.released("still", 0, 0, 2, "draft")]
    writer.commit([*opened, film.attempt("still", 0, "draft", passed=False), film.wave_closed("still", 0, "draft")])
    assert "is undecided, but its wave is closed" in only_problem(local_store)


def test_tables_that_are_behind_the_log_are_a_note(local_store: Store):
    shoot(local_store)
    projection = Projection()
    for commit in read_commits(local_store):
        projection.fold(commit)
        if commit.number == 5:
            projection.refresh(local_store)
    report = verify(local_store)
    assert report.problems == ()
    assert report.notes == (f"the tables are complete through commit 5 of {projection.through}",)


def test_a_refresh_that_was_killed_half_way_is_no_problem(local_store: Store):
    shoot(local_store, shots=("anc_010_0010", "anc_010_0020"))
    projection = Projection()
    for commit in read_commits(local_store):
        projection.fold(commit)
        if commit.number == 6:
            projection.refresh(local_store)
    through = local_store.read("tables/THROUGH")
    projection.refresh(local_store)
    local_store.replace("tables/THROUGH", through)
    for name in ("picks", "stitches", "deliveries"):
        local_store.delete(f"tables/{name}/part-womb.v1~anc_010_0020.parquet")
    assert verify(local_store).problems == ()


# ---- the log -------------------------------------------------------------------------------------------------------


def test_a_flipped_bit_anywhere_in_the_log_is_found(sound: Store, tmp_path: Path):
    rng = random.Random(2)
    commits = files_of(sound, "log")
    for _ in range(25):
        path = rng.choice(commits)
        before = path.read_bytes()
        flip(path, rng.randrange(len(before)))
        assert any(f"log/{path.name}" in problem for problem in verify(sound).problems), path
        path.write_bytes(before)
    assert verify(sound).problems == ()


def test_every_damaged_commit_is_named_not_only_the_first(sound: Store):
    for number in (3, 6):
        flip(sound.local_path(commit_path(number)), 40)
    report = verify(sound)
    assert [problem.split(" ")[0] for problem in report.problems] == [commit_path(3), commit_path(6)]
    assert report.notes[0] == "the log is trusted up to commit 2; what lies after it was not folded"


def test_a_truncated_commit_is_found(sound: Store):
    path = sound.local_path(commit_path(4))
    path.write_bytes(path.read_bytes()[:-100])
    assert "log/00000004.parquet is cut short" in only_problem(sound)


def test_an_empty_commit_is_found(sound: Store):
    sound.local_path(commit_path(4)).write_bytes(b"")
    assert "log/00000004.parquet is cut short" in only_problem(sound)


def test_a_missing_commit_in_the_middle_is_found(sound: Store):
    sound.local_path(commit_path(4)).unlink()
    assert only_problem(sound) == "log/00000004.parquet is missing though later commits are there"


def test_missing_commits_at_the_end_are_found_by_the_tables(sound: Store):
    last = files_of(sound, "log")[-1]
    last.unlink()
    report = verify(sound)
    assert any("but the log ends at" in problem for problem in report.problems)


def test_a_missing_first_commit_is_found(sound: Store):
    sound.local_path(commit_path(1)).unlink()
    assert "log/00000001.parquet is missing" in only_problem(sound)


@pytest.mark.parametrize("name", ["1.parquet", "00000001.parquet.bak", "notes.txt"])
def test_wrong_names_in_the_log_are_found(sound: Store, name: str):
    sound.create(f"log/{name}", b"x")
    assert only_problem(sound) == f"log/{name} is not named like a commit"


def test_a_commit_under_anothers_name_is_found(sound: Store):
    shutil.copy(sound.local_path(commit_path(5)), sound.local_path(commit_path(4)))
    assert "log/00000004.parquet holds commit 5" in only_problem(sound)


def test_events_that_mean_nothing_are_found(local_store: Store):
    film = Film(plan_of(), store=local_store)
    writer = Writer.begin(local_store, "ann", "run")
    film.opened("still")
    writer.commit([submitted(film.plan), film.attempt("still", 0, "draft")])
    assert "a branch that was never opened" in only_problem(local_store)


def test_a_batch_that_cannot_be_planned_is_said_with_its_commit(local_store: Store):
    plan = plan_of()
    Writer.begin(local_store, "ann", "run").commit([replace(submitted(plan), document="{}")])
    assert "log/00000002.parquet says what cannot be folded: ValidationError" in only_problem(local_store)


# ---- files ---------------------------------------------------------------------------------------------------------


def referenced(store: Store) -> list[Path]:
    return files_of(store, "media")


def test_a_flipped_bit_in_any_medium_is_found(sound: Store):
    for path in referenced(sound):
        before = path.read_bytes()
        flip(path, len(before) // 2)
        assert f"{path.name} of" in only_problem(sound)
        assert "has been changed: its SHA-256 is" in only_problem(sound)
        path.write_bytes(before)


def test_a_truncated_medium_is_found(sound: Store):
    path = referenced(sound)[0]
    path.write_bytes(path.read_bytes()[:-1])
    assert "has been changed" in only_problem(sound)


def test_every_missing_medium_is_found_with_whose_it_is(sound: Store):
    paths = referenced(sound)
    for path in paths:
        path.unlink()
    problems = verify(sound).problems
    assert len(problems) == len(paths)
    assert all("candidate" in problem and problem.endswith("is missing") for problem in problems)
    assert any("the thumbnail of candidate" in problem for problem in problems)


def test_media_that_nothing_refers_to_are_a_note(sound: Store):
    sound.put_media(b"left by a killed host", "png")
    report = verify(sound)
    assert (report.problems, report.orphans) == ((), 1)
    assert report.notes == ("1 media are referred to by no row",)


@pytest.mark.parametrize("name", ["media/picture.png", f"media/ab/{'c' * 64}.png", f"media/ab/ab{'c' * 62}"])
def test_wrong_names_among_media_are_found(sound: Store, name: str):
    sound.create(name, b"x")
    assert f"{name} is not named like a medium" in verify(sound).problems


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"media": "elsewhere/picture.png"}, "is not the name of a medium"),
        ({"thumbnail": f"media/ab/ab{'0' * 62}.png"}, "names no place on its sheet"),
    ],
)
def test_rows_that_refer_to_what_is_no_medium_are_found(local_store: Store, facts: dict, said: str):
    film = Film(plan_of(), store=local_store)
    writer = Writer.begin(local_store, "ann", "run")
    opened = [submitted(film.plan), film.opened("still"), film.released("still", 0, 0, 1, "draft")]
    writer.commit([*opened, film.attempt("still", 0, "draft", **facts)])
    assert any(said in problem for problem in verify(local_store).problems)


def test_a_changed_delivery_is_found(sound: Store):
    for path in files_of(sound, "deliveries"):
        if path.name == "MANIFEST.json":
            continue
        before = path.read_bytes()
        flip(path, 0)
        assert f"{path.name} of anc_010_0010 v001 has been changed" in only_problem(sound)
        path.write_bytes(before)


def test_a_missing_delivery_is_found(sound: Store):
    sound.local_path("deliveries/anc/anc_010_0010/v001/shot.mp4").unlink()
    assert only_problem(sound) == "deliveries/anc/anc_010_0010/v001/shot.mp4 of anc_010_0010 v001 is missing"


def test_a_missing_manifest_is_found(sound: Store):
    sound.local_path("deliveries/anc/anc_010_0010/v001/MANIFEST.json").unlink()
    assert "v001/MANIFEST.json is missing" in only_problem(sound)


# ---- tables --------------------------------------------------------------------------------------------------------


def test_a_flipped_bit_in_a_table_is_found(sound: Store):
    rng = random.Random(3)
    path = sound.local_path("tables/candidates/part-womb.v1~anc_010_0010.parquet")
    before = path.read_bytes()
    data_bytes = len(before) // 2  # the footer, which Parquet does not check, says the same rows or is unreadable
    for _ in range(20):
        flip(path, rng.randrange(4, data_bytes))
        problem = verify(sound).problems
        path.write_bytes(before)
        if problem:
            assert "part-womb.v1~anc_010_0010.parquet" in problem[0]
    flip(path, 60)
    assert verify(sound).problems


def test_a_missing_part_is_found(sound: Store):
    for name in sound.list("tables"):
        if name.endswith(".parquet"):
            before = sound.read(name)
            sound.delete(name)
            assert only_problem(sound) == f"{name} is missing; the tables can be made anew from the log"
            sound.replace(name, before)


def test_a_part_that_says_something_else_is_found(sound: Store):
    from ancestra_farm.ledger.tables import decode_part, encode_part

    path = "tables/candidates/part-womb.v1~anc_010_0010.parquet"
    table, through = decode_part(sound.read(path))
    sound.replace(path, encode_part(table.slice(1), through))
    assert "does not say what the log says as of commit" in only_problem(sound)


def test_a_part_of_a_shot_that_the_log_does_not_know_is_found(sound: Store):
    data = sound.read("tables/candidates/part-womb.v1~anc_010_0010.parquet")
    sound.replace("tables/candidates/part-womb.v1~other.parquet", data)
    assert only_problem(sound).endswith("has rows of a shot that the log does not know")


def test_a_through_file_that_is_no_number_is_found(sound: Store):
    sound.replace("tables/THROUGH", b"soon")
    assert only_problem(sound) == "tables/THROUGH does not hold a number"


# ---- the rest ------------------------------------------------------------------------------------------------------


def test_a_damaged_log_says_what_to_do(sound: Store):
    flip(sound.local_path(commit_path(4)), 40)
    assert any("`ancestra repair` saves what can be saved" in note for note in verify(sound).notes)


def test_a_commit_that_the_disk_does_not_give_back_is_named_like_any_other(
    sound: Store, monkeypatch: pytest.MonkeyPatch
):
    read = sound.read

    def failing(path: str) -> bytes:
        if path == commit_path(4):
            raise StoreUnavailable(f"{path}: Input/output error")
        return read(path)

    monkeypatch.setattr(sound, "read", failing)
    assert only_problem(sound) == "log/00000004.parquet: Input/output error"


def test_a_damaged_snapshot_is_found_and_said_to_be_passed_over(sound: Store):
    tail = Tail(sound)
    list(tail.poll())
    write_snapshot(sound, Snapshot(tail.mark, {"state": Section("1", {"known": "all"})}))
    assert verify(sound).problems == ()
    (path,) = files_of(sound, "snapshots")
    flip(path, 50)
    assert f"snapshots/{path.name} has been changed" in only_problem(sound)
    assert "it is passed over" in only_problem(sound)


def test_a_damaged_pack_is_found_with_everything_it_holds(local_store: Store):
    writer = Writer.begin(local_store, "ann", "run")
    while writer.number < 290:
        writer.commit([HostNoted("pool", "host", "ready", "", 1.0)])
    Packer(local_store).run(writer.number)
    (path,) = [path for path in files_of(local_store, "log") if path.name.startswith("pack-")]
    flip(path, 1000)
    report = verify(local_store)
    assert [f"log/{path.name} has been changed" in problem for problem in report.problems] == [True]
    assert report.commits == 290 - 256


def test_what_a_repair_did_and_the_killed_left_are_notes(sound: Store):
    flip(sound.local_path(commit_path(4)), 40)
    repair(sound, retell, "noor", now=1.7e9)
    (sound.local_path("log") / ".tmp-left").write_bytes(b"half")
    notes = verify(sound).notes
    assert any(note.startswith("commit 4 was lost and stands repaired by noor") for note in notes)
    assert any("1 files are in the making" in note for note in notes)
    assert any("1 files that repairs set aside lie in damaged/" in note for note in notes)


def test_verifying_changes_nothing(sound: Store):
    before = {path: sound.read(path) for path in sound.list()}
    assert isinstance(verify(sound), Report)
    assert before == {path: sound.read(path) for path in sound.list()}
