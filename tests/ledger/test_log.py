import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ancestra_farm.ledger.commit import commit_path, encode_commit
from ancestra_farm.ledger.errors import LogDamaged, StoreUnavailable, Superseded
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import Tail, read_commits
from ancestra_farm.plan.events import EpochTaken, OrderGiven
from tests.ledger.samples import pick


def notes(store: Store) -> list[tuple[str, str]]:
    """(who, note) of every order in the log."""
    return [
        (event.who, event.note)
        for commit in read_commits(store)
        for event in commit.events
        if isinstance(event, OrderGiven)
    ]


def test_an_empty_log_has_no_commits(store: Store):
    assert list(read_commits(store)) == []


def test_beginning_takes_the_next_epoch(store: Store):
    first = Writer.begin(store, "ann", "run")
    second = Writer.begin(store, "ben", "run")
    assert (first.epoch, second.epoch) == (1, 2)
    assert [commit.epoch for commit in second.history] == [1, 2]
    taken = second.history[-1].events[0]
    assert isinstance(taken, EpochTaken)
    assert (taken.epoch, taken.who, taken.purpose) == (2, "ben", "run")


def test_what_was_committed_is_read_in_order(store: Store):
    writer = Writer.begin(store, "ann", "run")
    numbers = [writer.commit([pick("ann", n), pick("ann", n + 0.5)]) for n in range(5)]
    assert numbers == [2, 3, 4, 5, 6]
    assert writer.number == 6
    commits = list(read_commits(store))
    assert [commit.number for commit in commits] == [1, *numbers]
    assert [len(commit.events) for commit in commits] == [1, 2, 2, 2, 2, 2]
    assert Writer.begin(store, "ben", "run").history[:-1] == tuple(commits)


def test_reading_can_start_after_a_commit(store: Store):
    writer = Writer.begin(store, "ann", "run")
    for n in range(4):
        writer.commit([pick("ann", n)])
    assert [commit.number for commit in read_commits(store, after=3)] == [4, 5]
    assert list(read_commits(store, after=5)) == []


def test_a_tail_gives_what_came_since(store: Store):
    tail = Tail(store)
    writer = Writer.begin(store, "ann", "run")
    assert [commit.number for commit in tail.poll()] == [1]
    assert list(tail.poll()) == []
    writer.commit([pick("ann")])
    assert [commit.number for commit in tail.poll()] == [2]


def test_a_commit_has_events(store: Store):
    with pytest.raises(ValueError, match="at least one event"):
        Writer.begin(store, "ann", "run").commit([])


def test_a_superseded_writer_stops_and_nothing_of_it_is_kept(store: Store):
    old = Writer.begin(store, "ann", "run")
    old.commit([pick("ann", 1)])
    new = Writer.begin(store, "ben", "pick")
    for _ in range(2):
        with pytest.raises(Superseded, match="ben has taken over the store under epoch 2"):
            old.commit([pick("ann", 2)])
    new.commit([pick("ben", 3)])
    assert notes(store) == [("ann", "1"), ("ben", "3")]


class Meddled:
    """A store in which something happens to `create`; everything else is the store's own."""

    def __init__(self, store: Store, create: Callable[[str, bytes], bool]) -> None:
        self._store = store
        self.create = create

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_a_commit_answered_as_existing_is_recognised_by_its_nonce(store: Store):
    def answer_lost(path: str, data: bytes) -> bool:
        assert store.create(path, data)
        return False

    writer = Writer.begin(Meddled(store, answer_lost), "ann", "run")
    assert writer.commit([pick("ann", 1)]) == 2
    assert writer.commit([pick("ann", 2)]) == 3
    assert notes(store) == [("ann", "1"), ("ann", "2")]
    assert [commit.epoch for commit in read_commits(store)] == [1, 1, 1]


@pytest.mark.parametrize("written", [True, False])
def test_after_a_failure_of_unknown_outcome_the_writer_is_of_no_use(store: Store, written: bool):
    failing = False

    def fail(path: str, data: bytes) -> bool:
        if not failing:
            return store.create(path, data)
        if written:
            store.create(path, data)
        raise StoreUnavailable(f"{path}: the network is down")

    writer = Writer.begin(Meddled(store, fail), "ann", "run")
    failing = True
    with pytest.raises(StoreUnavailable, match="the network is down"):
        writer.commit([pick("ann", 1)])
    failing = False
    with pytest.raises(StoreUnavailable, match="begin a new epoch"):
        writer.commit([pick("ann", 1)])
    again = Writer.begin(store, "ann", "resume")
    assert notes(store) == ([("ann", "1")] if written else [])
    again.commit([pick("ann", 2)])


def test_a_commit_of_an_ended_epoch_is_void_for_every_reader(store: Store):
    """As by a writer that never saw the number at which it was superseded."""
    Writer.begin(store, "ann", "run")
    new = Writer.begin(store, "ben", "run")
    tail = Tail(store)
    list(tail.poll())
    late, _ = encode_commit([pick("ann", "late")], number=3, epoch=1, nonce="n", previous=tail.digest, at=1.0)
    assert store.create(commit_path(3), late)
    assert new.commit([pick("ben", "next")]) == 4
    assert notes(store) == [("ben", "next")]
    assert [commit.number for commit in tail.poll()] == [4]
    assert [commit.number for commit in read_commits(store, after=2)] == [4]
    assert [commit.number for commit in Writer.begin(store, "cy", "run").history] == [1, 2, 4, 5]


def test_two_writers_under_one_epoch_are_damage(store: Store):
    writer = Writer.begin(store, "ann", "run")
    tail = Tail(store)
    list(tail.poll())
    copy, _ = encode_commit([pick("ann", "copy")], number=2, epoch=1, nonce="n", previous=tail.digest, at=1.0)
    store.create(commit_path(2), copy)
    with pytest.raises(LogDamaged, match="written under epoch 1, which another writer holds"):
        writer.commit([pick("ann", "mine")])


def written(store: Store, commits: int = 5) -> Writer:
    writer = Writer.begin(store, "ann", "run")
    for n in range(commits - 1):
        writer.commit([pick("ann", n)])
    return writer


def test_a_missing_commit_in_the_middle_is_damage(local_store: Store):
    written(local_store)
    local_store.local_path(commit_path(3)).unlink()
    with pytest.raises(LogDamaged, match=r"log/00000003\.parquet is missing though later commits are there"):
        list(read_commits(local_store))
    with pytest.raises(LogDamaged, match="00000003"):
        Writer.begin(local_store, "ben", "run")


def test_a_tail_notices_that_the_end_is_gone(local_store: Store):
    written(local_store)
    tail = Tail(local_store)
    list(tail.poll())
    local_store.local_path(commit_path(5)).unlink()
    with pytest.raises(LogDamaged, match=r"00000005.parquet was there and is gone"):
        list(tail.poll())


def test_a_commit_put_in_from_elsewhere_is_damage(local_store: Store):
    written(local_store)
    forged, _ = encode_commit([pick("eve")], number=3, epoch=1, nonce="n", previous="0" * 64, at=1.0)
    local_store.local_path(commit_path(3)).write_bytes(forged)
    with pytest.raises(LogDamaged, match=r"00000003.parquet follows on a commit with digest 0000"):
        list(read_commits(local_store))


def test_a_commit_replaced_by_a_sound_one_is_found_by_its_successor(local_store: Store):
    written(local_store)
    second = next(commit for commit in read_commits(local_store) if commit.number == 2)
    other, _ = encode_commit([pick("eve")], number=2, epoch=1, nonce="n", previous=second.previous, at=1.0)
    local_store.local_path(commit_path(2)).write_bytes(other)
    with pytest.raises(LogDamaged, match=r"00000003.parquet follows on a commit with digest"):
        list(read_commits(local_store))


def test_the_log_of_one_store_is_no_log_of_another(local_store: Store, tmp_path):
    written(local_store, 2)
    other = Store.open(str(tmp_path / "other"), create=True)
    for path in local_store.list("log"):
        other.create(path, local_store.read(path))
    with pytest.raises(LogDamaged, match="the store's id"):
        list(read_commits(other))


def test_files_of_other_names_are_passed_over(local_store: Store):
    written(local_store, 2)
    local_store.create("log/notes.txt", b"x")
    assert len(list(read_commits(local_store))) == 2


def race_to_commit(store: Store, name: str, commits: int, told: list[tuple[str, str]]) -> None:
    made = 0
    while made < commits:
        writer = Writer.begin(store, name, "race")
        try:
            while made < commits:
                writer.commit([pick(name, made)])
                told.append((name, str(made)))
                made += 1
        except Superseded:
            continue


def test_racing_writers_lose_nothing_and_double_nothing(store: Store):
    told: list[tuple[str, str]] = []
    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(race_to_commit, store, name, 5, told) for name in ("ann", "ben", "cy")]:
            future.result()
    found = notes(store)
    assert len(set(found)) == len(found) == 15
    assert set(found) == set(told)
    epochs = [commit.epoch for commit in read_commits(store)]
    assert epochs == sorted(epochs)


def test_racing_to_begin_gives_everybody_an_epoch_of_their_own(store: Store):
    start = threading.Barrier(4)

    def begin(name: str) -> int:
        start.wait(30)
        return Writer.begin(store, name, "race").epoch

    with ThreadPoolExecutor(4) as pool:
        epochs = list(pool.map(begin, "abcd"))
    assert sorted(epochs) == [1, 2, 3, 4]


def test_threads_of_one_writer_share_its_epoch(store: Store):
    writer = Writer.begin(store, "ann", "run")
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda n: writer.commit([pick("ann", n)]), range(12)))
    assert sorted(numbers) == list(range(2, 14))
    assert sorted(int(note) for _, note in notes(store)) == list(range(12))


def race_processes(store: Store) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.ledger.racer", store.url, name, "4"], stdout=subprocess.PIPE, text=True
        )
        for name in ("ann", "ben")
    ]
    told = []
    for racer in racers:
        answer, _ = racer.communicate(timeout=120)
        assert racer.returncode == 0
        told += [tuple(line.split()[:2]) for line in answer.splitlines()]
    assert sorted(told) == sorted(notes(store))
    assert len(told) == len(set(told)) == 8


def test_racing_processes_lose_nothing_and_double_nothing(local_store: Store):
    race_processes(local_store)


@pytest.mark.s3
def test_processes_racing_on_a_bucket_lose_nothing_and_double_nothing(s3_bucket: str):
    race_processes(Store.open(f"s3://{s3_bucket}", create=True))


class Rivals(RuleBasedStateMachine):
    """Writers come, go, are superseded and suffer lost answers, in any order; the log says what they were told."""

    @initialize()
    def make(self) -> None:
        self.store = Store.open(f"memory://{uuid.uuid4().hex}", create=True)
        self.writers: list[Writer] = []
        self.told: list[str] = []
        self.maybe: set[str] = set()
        self.lose_answer = self.fail = False
        self.count = 0

    def create(self, path: str, data: bytes) -> bool:
        if self.fail:
            self.fail = False
            if self.count % 2:
                self.store.create(path, data)
            raise StoreUnavailable("gone")
        made = self.store.create(path, data)
        if self.lose_answer:
            self.lose_answer = False
            return False
        return made

    @rule()
    def begin(self) -> None:
        self.writers.append(Writer.begin(Meddled(self.store, self.create), f"w{len(self.writers)}", "test"))

    @rule(number=st.integers(0, 5), events=st.integers(1, 3), answer_lost=st.booleans(), fails=st.integers(0, 4))
    @precondition(lambda self: self.writers)
    def commit(self, number: int, events: int, answer_lost: bool, fails: int) -> None:
        writer = self.writers[number % len(self.writers)]
        names = [f"{self.count}.{n}" for n in range(events)]
        self.count += 1
        self.lose_answer, self.fail = answer_lost, fails == 0
        try:
            writer.commit([pick("w", name) for name in names])
            self.told += names
            assert writer is max(self.writers, key=lambda w: w.epoch)
        except Superseded:
            assert writer.epoch < max(w.epoch for w in self.writers)
        except StoreUnavailable:
            self.maybe.update(names)
        finally:
            self.lose_answer = self.fail = False

    @invariant()
    def the_log_says_what_was_told(self) -> None:
        found = [note for _, note in notes(self.store)]
        assert len(found) == len(set(found))
        assert [note for note in found if note not in self.maybe] == self.told
        assert set(found) <= set(self.told) | self.maybe
        epochs = [commit.epoch for commit in read_commits(self.store)]
        assert epochs == sorted(epochs)


TestRivals = Rivals.TestCase
TestRivals.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
