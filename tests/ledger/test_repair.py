"""Damaged logs: what a repair saves, what it says is lost, and that the farm then comes to the same survivors."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.ledger.commit import commit_path
from ancestra_farm.ledger.errors import LogDamaged, StoreInUse, Superseded
from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.packs import Packer, link_of, pack_of
from ancestra_farm.ledger.repair import repair
from ancestra_farm.ledger.snapshot import KEPT_TABLES, Section, Snapshot, snapshots, write_kept, write_snapshot
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tables import Projection, rebuild
from ancestra_farm.ledger.tail import Mark, Tail, read_commits
from ancestra_farm.ledger.verify import verify
from ancestra_farm.plan.events import AttemptEnded, BatchSubmitted, EpochTaken, OrderGiven, Repaired, StitchPlanned
from ancestra_farm.plan.farm_events import HostNoted
from ancestra_farm.scheduler.retell import retell
from tests.scheduler.world import CLIPS, STILLS, Fate, World, batch_of, number_of

DRAFTS = "{role: text_to_image, model: test/stills, candidates: 40, wave: 10, keep: 6, draft: {promote: 0.5}}"
STAGES = {"plain": f"{{still: {STILLS}, animate: {CLIPS}}}", "drafts": f"{{still: {DRAFTS}, animate: {CLIPS}}}"}


def trouble(candidate_id: str, attempt: int) -> str | None:
    fate = number_of(candidate_id, "trouble")
    return "exception" if fate < 0.05 or (fate < 0.15 and attempt == 1) else None


def world_of(kind: str = "plain", steps: int = 1_000_000) -> World:
    world = World(seed=1, fate=Fate(trouble=trouble), check=False)
    world.submit(batch_of(STAGES[kind], shots=2))
    world.run(steps)
    return world


WHOLE = {kind: world_of(kind) for kind in STAGES}


def log_of(store: Store, world: World, size: int = 12, refresh_at: int | None = None) -> int:
    """Write what a world recorded as a log of commits; their number. ``refresh_at``: tables as of that commit."""
    writer = Writer.begin(store, "ann", "run", clock=lambda: 1000.0)
    projection = Projection()
    for start in range(0, len(world.log), size):
        number = writer.commit(world.log[start : start + size])
        for event in world.log[start : start + size]:
            projection.apply(event)
        if refresh_at is not None and number <= refresh_at:
            projection.refresh(store, through=number)
    return writer.number


def flip(store: Store, number: int, place: int = 60) -> None:
    path = store.local_path(commit_path(number))
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 0x20
    path.write_bytes(data)


def events_of(store: Store) -> list:
    return [event for commit in read_commits(store) for event in commit.events]


def goes_on(store: Store, *, check: bool = False) -> World:
    """A farm that takes the store up from its log and works until nothing is left."""
    world = World(seed=5, fate=Fate(trouble=trouble), check=check, log=events_of(store))
    world.run()
    return world


def sound(store: Store) -> bool:
    """Nothing is wrong but that the world makes no pictures and no clips."""
    left = [problem for problem in verify(store).problems if "media/" not in problem]
    assert left == []
    return True


def test_a_sound_log_is_left_as_it_is(local_store: Store):
    log_of(local_store, WHOLE["plain"])
    before = {path: local_store.read(path) for path in local_store.list()}
    assert repair(local_store, retell, "ann").damage == ()
    assert {path: local_store.read(path) for path in local_store.list()} == before


@pytest.mark.parametrize("kind", STAGES)
@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 1.0], ids=lambda place: f"at {place:.0%}")
def test_after_one_lost_commit_the_farm_comes_to_the_same_survivors(local_store: Store, kind: str, place: float):
    last = log_of(local_store, WHOLE[kind])
    number = 3 + round(place * (last - 3))  # the second holds the submission
    flip(local_store, number)
    with pytest.raises(LogDamaged, match=commit_path(number)):
        list(read_commits(local_store))
    done = repair(local_store, retell, "ann", now=2000.0)
    assert [commit_path(number) in said for said in done.damage] == [True]
    assert done.kept == number - 1
    assert sound(local_store)
    world = goes_on(local_store, check=True)
    assert world.done is not None
    assert world.survivors() == WHOLE[kind].survivors()
    assert world.results() == WHOLE[kind].results()


@given(data=st.data(), kind=st.sampled_from(sorted(STAGES)), size=st.integers(6, 60), tables=st.booleans())
@settings(max_examples=6, deadline=None)
def test_after_any_damage_the_farm_comes_to_the_same_survivors(tmp_path_factory, data, kind, size, tables):
    store = Store.open(str(tmp_path_factory.mktemp("repair") / "store"), create=True)
    last = log_of(store, WHOLE[kind], size, refresh_at=10**6 if tables else None)
    first = 3
    bad = data.draw(st.sets(st.integers(first, last), min_size=1, max_size=min(4, last - first + 1)))
    for number in bad:
        path = store.local_path(commit_path(number))
        how = data.draw(st.sampled_from(["flip", "cut", "empty", "gone"]))
        if how == "flip":
            flip(store, number, data.draw(st.integers(0, 10**6)))
        elif how == "gone":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[: 0 if how == "empty" else -30])
    done = repair(store, retell, "ann", now=2000.0)
    if not done.damage:
        return  # only the end is gone, which nothing but tables can show
    assert sound(store)
    assert repair(store, retell, "ann").damage == ()
    world = goes_on(store)
    assert world.done is not None
    assert world.survivors() == WHOLE[kind].survivors()


def test_what_the_tables_still_tell_is_not_made_again(local_store: Store):
    last = log_of(local_store, WHOLE["plain"], refresh_at=10**6)
    attempts = [
        (commit.number, sum(isinstance(e, AttemptEnded) for e in commit.events)) for commit in read_commits(local_store)
    ]
    number, count = max(attempts, key=lambda pair: pair[1])
    assert 3 < number < last
    flip(local_store, number)
    done = repair(local_store, retell, "ann", now=2000.0)
    assert 0 < done.found["AttemptEnded"] <= count
    judged = {e.candidate_id for e in events_of(local_store) if isinstance(e, AttemptEnded) and e.cause == "judged"}
    assert judged == {e.candidate_id for e in WHOLE["plain"].log if isinstance(e, AttemptEnded) and e.cause == "judged"}
    world = goes_on(local_store)
    assert world.dispatched == []
    assert world.survivors() == WHOLE["plain"].survivors()


def test_of_a_stage_only_what_was_lost_is_made_again(local_store: Store):
    """Attempts that nothing tells of are made again, and so is what rested on them; the rest of their waves is not."""
    log_of(local_store, WHOLE["plain"], size=4)
    lost = next(c for c in read_commits(local_store) if any(isinstance(e, AttemptEnded) for e in c.events))
    flip(local_store, lost.number)
    done = repair(local_store, retell, "ann", now=2000.0)
    assert {said.split(":")[0].split(" of ")[1].split("/")[2] for said in done.lost} == {"animate"}
    made = [
        t.space.id_of(p, t.rung) for t in goes_on(local_store).dispatched for p in t.positions if "still" in t.branch
    ]
    assert sorted(made) == sorted(e.candidate_id for e in lost.events if isinstance(e, AttemptEnded))


def test_a_lost_submission_is_said_and_the_batch_can_be_submitted_again(local_store: Store):
    log_of(local_store, WHOLE["plain"])
    flip(local_store, 2)
    done = repair(local_store, retell, "ann", now=2000.0)
    assert "the submission of batch b" in done.lost[0]
    assert "hand its file in again" in done.lost[0]
    assert any("AttemptEnded of b" in said for said in done.lost)
    assert sound(local_store)
    world = World(seed=5, fate=Fate(trouble=trouble), check=True, log=events_of(local_store))
    world.submit(batch_of(STAGES["plain"], shots=2))
    world.run()
    assert world.survivors() == WHOLE["plain"].survivors()


def keep_tables(store: Store, through: int) -> None:
    """Keep how the tables stand as of a commit, as a controller does."""
    projection = Projection()
    for commit in read_commits(store):
        if commit.number <= through:
            projection.fold(commit)
    mark = Mark(through, 0, link_of(store, through))
    write_kept(store, KEPT_TABLES, Snapshot(mark, {"tables": Section("0/1", projection.kept())}))


@pytest.mark.parametrize("also", [None, "last"], ids=["alone", "with the commit it was kept at"])
def test_a_lost_submission_comes_back_from_what_was_kept_beside_the_tables(local_store: Store, also: str | None):
    last = log_of(local_store, WHOLE["plain"])
    keep_tables(local_store, last)
    flip(local_store, 2)
    if also:
        flip(local_store, last)
    said = repair(local_store, retell, "ann", dry_run=True, now=2000.0)
    assert said.found["BatchSubmitted"] == 1
    done = repair(local_store, retell, "ann", now=2000.0)
    assert done.found["BatchSubmitted"] == 1
    assert not any("submission" in sentence for sentence in done.lost)
    assert sound(local_store)
    assert [event for event in events_of(local_store) if isinstance(event, BatchSubmitted)] == [
        event for event in WHOLE["plain"].log if isinstance(event, BatchSubmitted)
    ]
    world = goes_on(local_store, check=True)
    assert world.survivors() == WHOLE["plain"].survivors()
    assert world.results() == WHOLE["plain"].results()


def test_what_another_log_kept_beside_its_tables_is_not_believed(local_store: Store):
    log_of(local_store, WHOLE["plain"])
    projection = Projection()
    for commit in read_commits(local_store):
        projection.fold(commit)
    section = Section("0/1", projection.kept())
    write_kept(local_store, KEPT_TABLES, Snapshot(Mark(3, 0, "0" * 64), {"tables": section}))
    flip(local_store, 2)
    done = repair(local_store, retell, "ann", now=2000.0)
    assert "the submission of batch b" in done.lost[0]


def test_the_first_commit_of_all_can_be_lost(local_store: Store):
    log_of(local_store, WHOLE["plain"])
    flip(local_store, 1)
    repair(local_store, retell, "ann", now=2000.0)
    assert sound(local_store)
    assert goes_on(local_store).survivors() == WHOLE["plain"].survivors()


def test_picks_and_versions_of_a_lost_commit_come_back_from_the_tables(local_store: Store):
    world = world_of()
    clip = world.survivors()["s000", "animate"][0]
    world.order("pick", "s000", "animate", clip)
    world.order("close", "s000", "animate")
    world.run()
    size = 12
    log_of(local_store, world, size, refresh_at=10**6)
    place = next(n for n, event in enumerate(world.log) if isinstance(event, OrderGiven) and event.order == "pick")
    flip(local_store, 2 + place // size)
    done = repair(local_store, retell, "ann", now=2000.0)
    assert done.found["OrderGiven"] >= 1
    events = events_of(local_store)
    assert any(isinstance(e, OrderGiven) and (e.order, e.candidate_id) == ("pick", clip) for e in events)
    versions = [e.version for e in events if isinstance(e, StitchPlanned) and e.picked and e.shot == "s000"]
    assert versions == ["v001"]
    assert sound(local_store)


def test_a_commit_found_under_anothers_name_is_put_back(local_store: Store):
    last = log_of(local_store, WHOLE["plain"])
    before = events_of(local_store)
    first, second = (local_store.local_path(commit_path(number)) for number in (4, last - 2))
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    done = repair(local_store, retell, "ann", now=2000.0)
    assert done.restored == (4, last - 2)
    assert done.told == {}
    assert events_of(local_store)[:-1] == before
    assert (first.read_bytes(), second.read_bytes()) == (one, two)


def test_a_doubled_commit_costs_only_the_one_that_it_lies_on(local_store: Store):
    last = log_of(local_store, WHOLE["plain"])
    shutil.copy(local_store.local_path(commit_path(last - 1)), local_store.local_path(commit_path(4)))
    done = repair(local_store, retell, "ann", now=2000.0)
    assert len(done.damage) == 1
    assert done.restored == ()
    assert goes_on(local_store).survivors() == WHOLE["plain"].survivors()


def test_bad_files_are_kept_and_what_was_done_is_in_the_log(local_store: Store):
    log_of(local_store, WHOLE["plain"])
    flip(local_store, 5)
    bad = local_store.read(commit_path(5))
    done = repair(local_store, retell, "noor", now=2000.0)
    (moved,) = done.moved
    assert moved.startswith("damaged/log/00000005.")
    assert local_store.read(moved) == bad
    note = next(event for event in events_of(local_store) if isinstance(event, Repaired))
    assert (note.was, note.who, note.at) == (moved, "noor", 2000.0)
    assert note.what == done.damage[0]


def test_snapshots_of_what_the_log_no_longer_says_are_set_aside(local_store: Store):
    log_of(local_store, WHOLE["plain"])
    tail = Tail(local_store)
    list(tail.poll())
    write_snapshot(local_store, Snapshot(tail.mark, {"state": Section("1", {"known": "all"})}))
    flip(local_store, 5)
    repair(local_store, retell, "ann", now=2000.0)
    assert list(snapshots(local_store)) == []
    assert [path for path in local_store.list("damaged") if path.startswith("damaged/snapshots/")]


def test_a_dry_run_says_the_same_and_changes_nothing(local_store: Store):
    log_of(local_store, WHOLE["plain"], refresh_at=10**6)
    flip(local_store, 5)
    before = {path: local_store.read(path) for path in local_store.list()}
    said = repair(local_store, retell, "ann", dry_run=True, now=2000.0)
    assert {path: local_store.read(path) for path in local_store.list()} == before
    done = repair(local_store, retell, "ann", now=2000.0)
    assert (said.damage, said.told, said.found, said.lost) == (done.damage, done.told, done.found, done.lost)
    assert (said.kept, said.later) == (done.kept, done.later)


def test_nothing_is_repaired_beside_a_controller(local_store: Store):
    log_of(local_store, WHOLE["plain"])
    flip(local_store, 5)
    Presence.here("ann", 1).write(local_store)
    before = {path: local_store.read(path) for path in local_store.list()}
    with pytest.raises(StoreInUse, match=r"ann .* is at work there; nothing was changed"):
        repair(local_store, retell, "noor")
    assert {path: local_store.read(path) for path in local_store.list()} == before


@pytest.mark.parametrize("back", [0, 1], ids=["the last", "an earlier one"])
def test_a_zombie_of_before_the_repair_writes_nothing_more(local_store: Store, back: int):
    zombie = Writer.begin(local_store, "ann", "run")
    for number in range(3):
        zombie.commit([HostNoted("pool", "host", "ready", str(number), 1.0)])
    flip(local_store, zombie.number - back)
    repair(local_store, retell, "noor", now=2000.0)
    before = events_of(local_store)
    for _ in range(2):
        with pytest.raises((Superseded, LogDamaged)):
            zombie.commit([HostNoted("pool", "host", "ready", "late", 1.0)])
    assert events_of(local_store) == before
    assert [e.who for e in before if isinstance(e, EpochTaken)][-1] == "noor"


def test_a_damaged_pack_is_lost_commit_by_commit_and_nothing_else_is(local_store: Store):
    last = log_of(local_store, WHOLE["plain"], size=1)
    writer = Writer.begin(local_store, "ann", "run")
    while writer.number < 290:
        writer.commit([HostNoted("pool", "host", "ready", str(writer.number), 1.0)])
    rebuild(local_store)
    Packer(local_store).run(writer.number)
    path = local_store.local_path(pack_of(1).path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = repair(local_store, retell, "ann", now=2000.0)
    assert pack_of(1).path in done.damage[0]
    assert len(done.damage) == 1
    assert not local_store.exists(pack_of(1).path)
    assert sound(local_store)
    assert last < 256 or goes_on(local_store).done is not None


def test_a_damaged_pack_whose_commits_are_still_there_costs_nothing(local_store: Store):
    log_of(local_store, WHOLE["plain"], size=1)
    writer = Writer.begin(local_store, "ann", "run")
    while writer.number < 290:
        writer.commit([HostNoted("pool", "host", "ready", str(writer.number), 1.0)])
    singles = {path: local_store.read(path) for path in local_store.list("log")}
    Packer(local_store).run(writer.number)
    for path, data in singles.items():
        local_store.replace(path, data)
    before = events_of(local_store)
    local_store.replace(pack_of(1).path, b"nothing")
    done = repair(local_store, retell, "ann", now=2000.0)
    assert done.told == {}
    assert events_of(local_store)[:-1] == before


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_repair_killed_half_way_is_finished_by_the_next(local_store: Store, nth: int):
    log_of(local_store, WHOLE["plain"])
    for number in (4, 7, 8):
        flip(local_store, number)
    script = (
        "import sys; from ancestra_farm.ledger.store import Store; from ancestra_farm.ledger.repair import repair\n"
        "from ancestra_farm.scheduler.retell import retell; repair(Store.open(sys.argv[1]), retell, 'ann', now=2000.0)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, local_store.url],
        env={**os.environ, "ANCESTRA_KILL_AT": f"repair.between_files:{nth}"},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    repair(local_store, retell, "ann", now=2000.0)
    assert sound(local_store)
    assert goes_on(local_store).survivors() == WHOLE["plain"].survivors()


def test_damage_after_a_repair_is_repaired_like_any_other(local_store: Store):
    last = log_of(local_store, WHOLE["plain"])
    rng = random.Random(4)
    for _ in range(4):
        flip(local_store, rng.randrange(3, last), rng.randrange(10**6))
        assert repair(local_store, retell, "ann", now=2000.0).damage
        assert sound(local_store)
    assert goes_on(local_store).survivors() == WHOLE["plain"].survivors()


def test_the_command_says_what_is_lost_and_ends_with_one(local_store: Store, tmp_path: Path):
    from typer.testing import CliRunner

    from ancestra_farm.cli.main import app

    log_of(local_store, WHOLE["plain"])
    flip(local_store, 2)
    ran = CliRunner().invoke(app, ["repair", "--store", local_store.url, "--as", "ann", "--dry-run", "--json"])
    assert ran.exit_code == 1, ran.output
    found = json.loads(ran.stdout)
    assert found["dry_run"]
    assert commit_path(2) in found["damage"][0]
    ran = CliRunner().invoke(app, ["repair", "--store", local_store.url, "--as", "ann"])
    assert ran.exit_code == 1
    assert "lost: " in ran.stdout
    assert "moved to damaged/log/00000002." in ran.stdout
    ran = CliRunner().invoke(app, ["repair", "--store", local_store.url, "--as", "ann"])
    assert (ran.exit_code, "nothing to repair" in ran.stdout) == (0, True)
    assert any(isinstance(event, BatchSubmitted) for event in WHOLE["plain"].log)
