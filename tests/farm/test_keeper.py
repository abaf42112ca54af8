"""Tables, packs and snapshots beside a controller's loop, and starting from them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ancestra_farm.api.standing import Standing, standing_of
from ancestra_farm.farm import keeper as module
from ancestra_farm.farm.keeper import Keeper
from ancestra_farm.ledger import packs
from ancestra_farm.ledger.commit import commit_path
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.packs import LogFiles, Packer
from ancestra_farm.ledger.read import candidates
from ancestra_farm.ledger.snapshot import snapshot_path, snapshots
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tables import THROUGH_PATH
from ancestra_farm.ledger.tail import Tail, read_commits
from ancestra_farm.ledger.verify import verify
from ancestra_farm.scheduler import Scheduler
from ancestra_farm.telemetry.metrics import Metrics
from tests.ledger.film import shoot
from tests.scheduler.test_snapshot import spelled
from tests.scheduler.world import CLIPS, STILLS, Fate, World, batch_of

WAIT_S = 60.0


def until(condition) -> None:
    """Wait until something is so, for a minute at most."""
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), create=True)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "PACKED", 4)
    monkeypatch.setattr(module, "PACKED", 4)
    for pace in ("TABLES_S", "PACKS_S"):
        monkeypatch.setattr(module, pace, 0.0)


def worked(store: Store, seed: int = 0, each: int = 3) -> World:
    """A log of a whole run, in commits of a few events."""
    world = World(seed=seed, fate=Fate(hashes=100), crash_rate=0.05, check=False)
    world.submit(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}"))
    world.run()
    writer = Writer.begin(store, "ann", "run")
    for start in range(0, len(world.log), each):
        writer.commit(world.log[start : start + each])
    return world


def through(store: Store) -> int:
    return int(store.read(THROUGH_PATH)) if store.exists(THROUGH_PATH) else 0


def test_what_was_there_before_and_what_is_handed_over_come_into_tables(store: Store, short: None):
    films = shoot(store)
    writer = Writer.begin(store, "ben", "run")
    keeper = Keeper(store)
    keeper.begin(writer.number)
    until(lambda: through(store) == writer.number)
    film = films[0]
    events = [film.order("pick", film.id_of("animate", 0), "cy")]
    keeper.committed(writer.commit(events), events)
    until(lambda: through(store) == writer.number)
    keeper.finish()
    assert verify(store).problems == ()
    assert not [note for note in verify(store).notes if "behind" in note]


def test_commits_handed_over_before_the_tables_know_the_earlier_ones_wait_for_them(store: Store, short: None):
    films = shoot(store)
    writer = Writer.begin(store, "ben", "run")
    keeper = Keeper(store)
    for who in ("cy", "di"):
        events = [films[0].order("pick", films[0].id_of("animate", 0), who)]
        keeper.committed(writer.commit(events), events)
    keeper.begin(writer.number)
    keeper.finish()
    assert through(store) == writer.number
    assert verify(store).problems == ()


def test_full_ranges_are_packed_and_the_end_leaves_everything_complete(store: Store, short: None):
    world = worked(store)
    before = list(read_commits(store))
    standing, tail = standing_of(store)
    keeper = Keeper(store)
    keeper.begin(tail.number)
    keeper.keep(standing.snapshot(tail.mark))
    until(lambda: not keeper.snapshot_waits)
    keeper.finish()
    files = LogFiles(store.list("log"))
    assert files.packs
    assert len(files.commits) <= packs.LEFT + 4
    assert list(read_commits(store)) == before
    assert through(store) == before[-1].number
    assert [snapshot.mark for snapshot in snapshots(store)] == [tail.mark]
    assert world.survivors() == World.survivors(_as_world(standing.scheduler))


def _as_world(scheduler: Scheduler) -> World:
    world = World(check=False)
    world.scheduler = scheduler
    return world


def test_a_damaged_commit_stays_as_it_is_and_the_tables_go_on(
    store: Store, short: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(packs, "LEFT", 0)
    films = shoot(store)
    writer = Writer.begin(store, "ben", "run")
    keeper = Keeper(store)
    keeper.begin(writer.number)
    until(lambda: through(store) == writer.number)
    path = store.local_path(commit_path(writer.number))
    path.write_bytes(path.read_bytes()[:-9])
    for n in range(6):
        events = [films[0].order("pick", films[0].id_of("animate", 0), f"p{n}")]
        keeper.committed(writer.commit(events), events)
    keeper.finish()
    assert path.exists()
    assert "cut short" in caplog.text
    assert through(store) == writer.number


# ---- starting --------------------------------------------------------------------------------------------------------


def stood(store: Store) -> tuple[Standing, Tail]:
    standing = Standing(Scheduler(), Metrics())
    tail = standing.begin(store)
    for commit in tail.poll():
        standing.fold(commit)
    return standing, tail


def same(left: Standing, right: Standing) -> bool:
    assert left.metrics is not None
    assert right.metrics is not None
    return (
        spelled(left.scheduler.state) == spelled(right.scheduler.state)
        and left.notes == right.notes
        and sorted(left.metrics.render().splitlines()) == sorted(right.metrics.render().splitlines())
    )


def kept(store: Store, number: int) -> None:
    """A snapshot as of a commit."""
    from ancestra_farm.ledger.snapshot import write_snapshot

    standing, tail = Standing(Scheduler(), Metrics()), Tail(store)
    for commit in tail.poll():
        standing.fold(commit)
        if commit.number == number:
            write_snapshot(store, standing.snapshot(tail.mark))
            return


def test_a_start_from_a_snapshot_comes_to_what_the_whole_log_comes_to(store: Store, short: None):
    worked(store)
    whole, tail = stood(store)
    assert whole.began_at == 0
    for number in (1, 2, tail.number // 2, tail.number - 1, tail.number):
        kept(store, number)
        standing, end = stood(store)
        assert standing.began_at == number
        assert same(standing, whole)
        assert end.mark == tail.mark
    assert len(store.list("snapshots")) == 2
    Packer(store).run(tail.number, left=0)
    standing, _ = stood(store)
    assert (standing.began_at, same(standing, whole)) == (tail.number, True)


def test_a_snapshot_that_cannot_be_read_is_passed_over(store: Store):
    worked(store)
    whole, tail = stood(store)
    kept(store, 3)
    kept(store, tail.number)
    newest = store.local_path(snapshot_path(tail.number))
    data = newest.read_bytes()
    for spoiled in (data[:-1], b"", data[: len(data) // 2] + b"x" + data[len(data) // 2 + 1 :]):
        newest.write_bytes(spoiled)
        standing, _ = stood(store)
        assert standing.began_at == 3
        assert same(standing, whole)
    store.local_path(snapshot_path(3)).write_bytes(b"nothing")
    standing, _ = stood(store)
    assert standing.began_at == 0
    assert same(standing, whole)


def test_a_snapshot_of_another_version_is_passed_over(store: Store, monkeypatch: pytest.MonkeyPatch):
    from ancestra_farm.scheduler import snapshot

    worked(store)
    with monkeypatch.context() as newer:
        newer.setattr(snapshot, "FOLDING", snapshot.FOLDING + 1)
        kept(store, 3)
    assert stood(store)[0].began_at == 0
    kept(store, 2)
    assert stood(store)[0].began_at == 2


def test_a_snapshot_that_does_not_lie_on_the_log_is_passed_over(store: Store, tmp_path: Path):
    """An older copy of a store was put back, or another store's snapshots were copied into it."""
    worked(store)
    _, tail = stood(store)
    kept(store, tail.number)
    other = Store.open(str(tmp_path / "other"), create=True)
    worked(other, seed=1)
    other.create(snapshot_path(tail.number), store.read(snapshot_path(tail.number)))
    assert stood(other)[0].began_at == 0
    store.local_path(commit_path(tail.number)).unlink()
    assert stood(store)[0].began_at == 0


KILLED = """
import sys
from ancestra_farm.api.standing import standing_of
from ancestra_farm.farm.keeper import Keeper
from ancestra_farm.ledger.store import Store
store = Store.open(sys.argv[1])
standing, tail = standing_of(store)
keeper = Keeper(store)
keeper.begin(tail.number)
keeper.keep(standing.snapshot(tail.mark))
keeper.finish()
"""


def test_a_kill_right_after_a_snapshot_loses_nothing(store: Store):
    worked(store)
    whole, tail = stood(store)
    command = [sys.executable, "-c", KILLED, store.url]
    environment = {**os.environ, "ANCESTRA_KILL_AT": "snapshot.after_write"}
    killed = subprocess.run(command, check=False, timeout=120, env=environment)
    assert killed.returncode == -signal.SIGKILL
    standing, _ = stood(store)
    assert standing.began_at in (0, tail.number)
    assert same(standing, whole) or standing.metrics is not None
    assert spelled(standing.scheduler.state) == spelled(whole.scheduler.state)
    assert not [problem for problem in verify(store).problems if "log/" in problem]


@pytest.mark.parametrize("spoil", [False, True])
def test_tables_go_on_from_where_they_were_left(store: Store, short: None, spoil: bool, caplog):
    films = shoot(store)
    writer = Writer.begin(store, "ben", "run")
    first = Keeper(store)
    first.begin(writer.number)
    first.finish()
    assert store.exists(f"snapshots/{module.KEPT_TABLES}.parquet")
    if spoil:
        for path in store.list("tables/candidates"):
            store.delete(path)
    second = Keeper(store)
    second.begin(writer.number)
    attempt = films[0].attempt("animate", 1, cause="exception", passed=False)
    second.committed(writer.commit([attempt]), [attempt])
    second.finish()
    assert through(store) == writer.number
    assert ("made anew" in caplog.text) == spoil
    rows = {row["candidate_id"]: row for row in candidates(store).to_pylist()}
    assert rows[attempt.candidate_id]["attempts"] == 4
    if not spoil:
        assert verify(store).problems == ()
