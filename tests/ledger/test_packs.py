import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from ancestra_farm.ledger import packs
from ancestra_farm.ledger.commit import commit_path, encode_commit
from ancestra_farm.ledger.errors import LogDamaged, StoreRefused
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.packs import PACKED, LogFiles, Packer, covering, decode_pack, last_number, pack_of
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.story import story
from ancestra_farm.ledger.tables import rebuild
from ancestra_farm.ledger.tail import Tail, read_commits
from ancestra_farm.ledger.verify import verify
from ancestra_farm.plan.events import Event
from tests.ledger.film import Film, plan_of, submitted
from tests.ledger.samples import pick

SHORT = 4


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs of four commits."""
    monkeypatch.setattr(packs, "PACKED", SHORT)


def filmed(store: Store, shots: int = 2) -> list[Event]:
    """A log of a few dozen commits with events of every kind, nothing of it packed."""
    names = tuple(f"anc_010_{n:04d}" for n in range(shots))
    plan = plan_of(shots=names)
    writer = Writer.begin(store, "ann", "run", clock=lambda: 1.7e9)
    events: list[Event] = [submitted(plan)]
    writer.commit(events)
    for name in names:
        for some in Film(plan, name, store).whole():
            writer.commit(some)
            events += some
    return events


def noted(store: Store, commits: int) -> Writer:
    writer = Writer.begin(store, "ann", "run")
    for n in range(commits - 1):
        writer.commit([pick("ann", n)])
    return writer


def only_commits(store: Store) -> list[int]:
    files = LogFiles(store.list("log"))
    return [*files.leftovers, *files.commits]


def test_packed_commits_read_as_before(store: Store, short: None):
    filmed(store)
    before = list(read_commits(store))
    deleted = Packer(store).run(before[-1].number, left=0)
    assert deleted == len(before) // SHORT * SHORT
    assert list(read_commits(store)) == before
    assert only_commits(store) == [commit.number for commit in before][deleted:]
    assert last_number(store) == before[-1].number


def test_the_newest_commits_are_left_as_they_are(local_store: Store, short: None):
    noted(local_store, 12)
    assert Packer(local_store).run(12, left=5) == 4
    assert LogFiles(local_store.list("log")).commits == list(range(5, 13))
    assert Packer(local_store).run(12, left=4) == 4
    assert Packer(local_store).run(12, left=4) == 0


def test_a_pack_tells_every_column_of_a_log_that_grew_columns(
    local_store: Store, short: None, monkeypatch: pytest.MonkeyPatch
):
    from ancestra_farm.ledger import commit as module

    writer = Writer.begin(local_store, "ann", "run")
    plan = plan_of()
    film = Film(plan)
    opened = film.opened("still")
    without = [field for field in module._ATTEMPT if field.name != "of"]
    with monkeypatch.context() as older:
        older.setattr(module, "_ATTEMPT_FIELDS", tuple(field.name for field in without))
        older.setattr(module, "_ATTEMPT", module.pa.struct(without))
        columns = module._COLUMNS.append(module.pa.field("attempt", module.pa.struct(without)))
        older.setattr(module, "_COLUMNS_WITH_ATTEMPTS", columns)
        writer.commit([submitted(plan), opened, film.attempt("still", 0)])
    writer.commit([film.attempt("still", 1, of=3)])
    writer.commit([film.order("pick")])
    before = list(read_commits(local_store))
    assert Packer(local_store).run(4, left=0) == 4
    assert list(read_commits(local_store)) == before
    assert [event.of for commit in before for event in commit.events if hasattr(event, "of")] == [1, 3]


def test_a_pack_of_columns_that_this_version_does_not_know_is_not_made(
    local_store: Store, short: None, monkeypatch: pytest.MonkeyPatch
):
    from ancestra_farm.ledger import commit as module

    writer = Writer.begin(local_store, "ann", "run")
    film = Film(plan_of())
    film.opened("still")
    for n in range(3):
        writer.commit([film.attempt("still", n)])
    monkeypatch.setattr(module, "_ATTEMPT_FIELDS", tuple(name for name in module._ATTEMPT_FIELDS if name != "of"))
    with pytest.raises(LogDamaged, match=r"00000002.*columns that this version does not know: of"):
        Packer(local_store).run(4, left=0)
    assert LogFiles(local_store.list("log")).packs == []


def test_a_tail_goes_on_through_packs(store: Store, short: None):
    writer = noted(store, 6)
    tail = Tail(store)
    assert len(list(tail.poll())) == 6
    for n in range(6):
        writer.commit([pick("ben", n)])
    Packer(store).run(12, left=0)
    assert [commit.number for commit in tail.poll()] == [7, 8, 9, 10, 11, 12]
    fresh = Tail(store)
    assert [commit.number for commit in fresh.poll(events=False)] == list(range(1, 13))
    assert fresh.mark == tail.mark


def test_a_reader_in_the_middle_goes_on_while_commits_are_packed(local_store: Store, short: None):
    noted(local_store, 13)
    for read_before in range(13):
        reading = Tail(local_store).poll()
        numbers = [next(reading).number for _ in range(read_before)]
        Packer(local_store).run(13, left=0)
        numbers += [commit.number for commit in reading]
        assert numbers == list(range(1, 14))


def test_writing_goes_on_after_packing(store: Store, short: None):
    writer = noted(store, 8)
    Packer(store).run(8, left=0)
    assert only_commits(store) == []
    assert writer.commit([pick("ann", 9)]) == 9
    assert Writer.begin(store, "ben", "run").number == 10
    assert [commit.number for commit in read_commits(store)] == list(range(1, 11))


def test_a_store_with_packs_is_sound_and_its_stories_are_whole(local_store: Store, short: None):
    filmed(local_store)
    candidate = next(
        event.candidate_id
        for commit in read_commits(local_store)
        for event in commit.events
        if getattr(event, "media", None)
    )
    told, before = story(local_store, candidate), verify(local_store)
    Packer(local_store).run(before.commits, left=0)
    rebuild(local_store)
    after = verify(local_store)
    assert after.problems == before.problems == ()
    assert (after.commits, after.events, after.candidates) == (before.commits, before.events, before.candidates)
    assert story(local_store, candidate) == told


def test_which_pack_covers_a_commit_is_known(local_store: Store):
    assert pack_of(1) == pack_of(PACKED)
    assert pack_of(PACKED + 1).path == f"log/pack-{PACKED + 1:08d}-{2 * PACKED:08d}.parquet"
    assert covering(local_store, 1) is None


def test_a_commit_written_into_a_closed_range_is_void_and_stays_apart(local_store: Store, short: None):
    """What a controller does that slept through a takeover and the packing after it."""
    noted(local_store, 9)
    sleeper = Tail(local_store)
    next(sleeper.poll())
    Packer(local_store).run(9, left=0)
    before = list(read_commits(local_store))
    late, _ = encode_commit([pick("zoe", 1)], number=2, epoch=1, nonce="zoe", previous=sleeper.digest, at=1.0)
    assert local_store.create(commit_path(2), late)
    assert covering(local_store, 2) == pack_of(2).path
    assert list(read_commits(local_store)) == before
    assert Packer(local_store).run(9, left=0) == 0
    assert local_store.read(commit_path(2)) == late
    report = verify(local_store)
    assert not [problem for problem in report.problems if "log/" in problem]
    assert any("count for nothing" in note for note in report.notes)


def test_only_commits_are_deleted_as_packed(local_store: Store):
    for path in ("log/pack-00000001-00000256.parquet", "log/x", "media/ab/cd.png", "STORE", "log/../STORE"):
        with pytest.raises(StoreRefused):
            local_store.delete_packed(path)


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("number", [1, 3, 8])
def test_a_range_with_a_damaged_commit_is_not_packed(local_store: Store, short: None, number: int):
    noted(local_store, 9)
    damaged(local_store.local_path(commit_path(number)))
    with pytest.raises(LogDamaged, match=f"log/{number:08d}"):
        Packer(local_store).run(9, left=0)
    assert number in only_commits(local_store)


def test_a_range_with_a_missing_commit_is_not_packed(local_store: Store, short: None):
    noted(local_store, 9)
    local_store.local_path(commit_path(3)).unlink()
    with pytest.raises(LogDamaged, match=r"log/00000003\.parquet is missing"):
        Packer(local_store).run(9, left=0)


def test_a_range_that_does_not_follow_is_not_packed(local_store: Store, short: None):
    noted(local_store, 9)
    Packer(local_store).run(4, left=0)
    second = Tail(local_store)
    list(second.poll())
    for number, previous in ((5, "0" * 64), (7, second.digest)):
        path = local_store.local_path(commit_path(number))
        kept = path.read_bytes()
        path.write_bytes(encode_commit([pick("x", 1)], number=number, epoch=1, nonce="x", previous=previous, at=1.0)[0])
        with pytest.raises(LogDamaged, match=f"log/{number:08d}.*was replaced"):
            Packer(local_store).run(9, left=0)
        path.write_bytes(kept)


def test_every_flipped_bit_and_missing_byte_of_a_pack_is_found(local_store: Store, short: None):
    filmed(local_store, shots=1)
    Packer(local_store).run(12, left=0)
    pack = pack_of(1)
    data = local_store.read(pack.path)
    rng = random.Random(7)
    for place in rng.sample(range(len(data)), 60):
        flipped = bytearray(data)
        flipped[place] ^= 1 << rng.randrange(8)
        with pytest.raises(LogDamaged, match="log/pack-00000001-00000004"):
            list(decode_pack(pack.path, bytes(flipped)))
    with pytest.raises(LogDamaged, match="cut short"):
        list(decode_pack(pack.path, data[:-7]))
    with pytest.raises(LogDamaged, match="renamed or copied"):
        list(decode_pack(pack_of(5).path, data))


def test_a_damaged_pack_is_written_again_while_all_its_commits_are_there(local_store: Store, short: None):
    noted(local_store, 5)
    steps = Packer(local_store).steps(5, left=0)
    kept = {number: local_store.read(commit_path(number)) for number in range(1, 5)}
    assert list(steps) == [1, 2, 3, 4]
    before = list(read_commits(local_store))
    for number, data in kept.items():
        local_store.create(commit_path(number), data)
    damaged(local_store.local_path(pack_of(1).path))
    assert Packer(local_store).run(5, left=0) == 4
    assert list(read_commits(local_store)) == before


def test_a_damaged_pack_without_its_commits_is_named(local_store: Store, short: None):
    noted(local_store, 5)
    Packer(local_store).run(5, left=0)
    damaged(local_store.local_path(pack_of(1).path))
    with pytest.raises(LogDamaged, match="log/pack-00000001-00000004"):
        list(read_commits(local_store))
    assert any("log/pack-00000001-00000004" in problem for problem in verify(local_store).problems)


KILLED = """
import sys
from ancestra_farm.ledger import packs
from ancestra_farm.ledger.store import Store
packs.PACKED = 4
packs.Packer(Store.open(sys.argv[1])).run(int(sys.argv[2]), left=0)
"""


POINTS = ["pack.after_write", "pack.after_write:2", *(f"pack.between_deletes:{n}" for n in (1, 4, 7))]


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_while_packing_loses_nothing(local_store: Store, short: None, point: str):
    filmed(local_store)
    before = list(read_commits(local_store))
    last = before[-1].number
    command = [sys.executable, "-c", KILLED, local_store.url, str(last)]
    killed = subprocess.run(command, check=False, timeout=120, env={**os.environ, "ANCESTRA_KILL_AT": point})
    assert killed.returncode == -9
    assert list(read_commits(local_store)) == before
    assert verify(local_store).problems == ()
    Packer(local_store).run(last, left=0)
    assert LogFiles(local_store.list("log")).leftovers == []
    assert list(read_commits(local_store)) == before
