"""A folder on a disk that fails: full, broken, answering wrongly; in the middle of a commit and of a medium."""

import errno
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ancestra_farm.ledger.errors import LogDamaged, StoreFull, StoreUnavailable, Superseded
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store, media_path
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.plan.events import OrderGiven
from tests.ledger.samples import pick
from tests.ledger.syscalls import FAULTS, Syscalls
from tests.ledger.test_log import notes
from tests.tiny_disk import tiny_disk


def root_of(store: Store) -> Path:
    path = store.local_path("STORE")
    assert path is not None
    return path.parent


def left_over(store: Store) -> list[str]:
    return [path.name for path in root_of(store).rglob(".tmp-*")]


@pytest.mark.parametrize(
    ("call", "fault"), [(call, fault) for call in ("write", "fsync", "link") for fault in FAULTS[call]], ids=str
)
def test_a_commit_through_a_failing_call_is_whole_or_not_there(local_store: Store, call: str, fault: tuple[int, bool]):
    writer = Writer.begin(local_store, "ann", "run")
    writer.commit([pick("ann", 1)])
    failed: StoreUnavailable | None = None
    with Syscalls(root_of(local_store), script={call: [fault]}):
        try:
            writer.commit([pick("ann", 2)])
        except StoreUnavailable as error:
            failed = error
    found = notes(local_store)
    assert found in ([("ann", "1")], [("ann", "1"), ("ann", "2")])
    if failed is None:
        assert ("ann", "2") in found
    else:
        assert isinstance(failed, StoreFull) == (fault[0] == errno.ENOSPC)
        assert re.search("every commit before it is safe.*ancestra resume", str(failed))
    assert left_over(local_store) == []
    Writer.begin(local_store, "ann", "resume").commit([pick("ann", 3)])
    assert notes(local_store) == [*found, ("ann", "3")]


@pytest.mark.parametrize("number", [errno.EEXIST, errno.EIO])
def test_a_link_that_happened_is_ours_whatever_was_answered(local_store: Store, number: int):
    writer = Writer.begin(local_store, "ann", "run")
    with Syscalls(root_of(local_store), script={"link": [(number, True)]}) as calls:
        assert writer.commit([pick("ann", 1)]) == 2
    assert calls.happened["link", number, True] == 1
    assert notes(local_store) == [("ann", "1")]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_with_what_to_do(local_store: Store, number: int):
    with Syscalls(root_of(local_store), script={"write": [(number, False)]}), pytest.raises(StoreFull) as full:
        local_store.put_media(b"picture" * 100, "png")
    said = str(full.value)
    assert os.strerror(number) in said
    assert "media/" in said
    assert "free some space there, and `ancestra resume` goes on" in said
    assert local_store.list("media") == []
    assert left_over(local_store) == []


def test_many_failing_calls_lose_nothing_and_leave_no_half_file(local_store: Store):
    told, maybe = [], []
    with Syscalls(root_of(local_store), rate=0.1, seed=3) as calls:
        writer = None
        for number in range(60):
            note = str(number)
            try:
                writer = writer or Writer.begin(local_store, "ann", "run")
                writer.commit([pick("ann", note)])
                told.append(("ann", note))
            except StoreUnavailable:
                maybe.append(("ann", note))
                writer = None
            except Superseded:  # of an epoch of our own whose answer was lost
                writer = None
    assert len(calls.happened) > 4
    found = notes(local_store)
    assert [one for one in found if one not in maybe] == told
    assert len(found) == len(set(found))
    assert left_over(local_store) == []


def test_processes_racing_on_a_failing_disk_lose_nothing_and_double_nothing(local_store: Store):
    racers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.ledger.syscalls", str(seed), local_store.url, name, "6"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed, name in enumerate(("ann", "ben"))
    ]
    told = []
    for racer in racers:
        answer, _ = racer.communicate(timeout=200)
        assert racer.returncode == 0
        told += [line.split() for line in answer.splitlines()]
    assert len(told) == 12
    places = {
        (event.who, event.note): commit.number
        for commit in read_commits(local_store)
        for event in commit.events
        if isinstance(event, OrderGiven)
    }
    found = notes(local_store)
    assert len(found) == len(set(found))
    assert [places[who, note] for who, note, _ in told] == [int(number) for *_, number in told]


@pytest.mark.parametrize("point", ["commit.before_create:3", "commit.after_create:3", "media.before_link"])
def test_a_writer_killed_at_a_point_leaves_a_log_that_goes_on(local_store: Store, point: str, tmp_path: Path):
    script = (
        "import sys; from ancestra_farm.ledger.store import Store; from ancestra_farm.ledger.log import Writer\n"
        "from tests.ledger.samples import pick\n"
        "store = Store.open(sys.argv[1]); w = Writer.begin(store, 'ann', 'run')\n"
        "for n in range(4):\n w.commit([pick('ann', n)]); print(n, flush=True)\n"
        "store.put_media(b'x', 'png')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, local_store.url],
        check=False,
        env={**os.environ, "ANCESTRA_KILL_AT": point},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    told = [("ann", line) for line in done.stdout.split()]
    found = notes(local_store)
    assert found[: len(told)] == told
    assert len(found) - len(told) == (1 if point.startswith("commit.after") else 0)
    assert local_store.list("media") == []
    Writer.begin(local_store, "ann", "resume").commit([pick("ann", "more")])
    assert notes(local_store) == [*found, ("ann", "more")]


def test_a_damaged_log_stops_every_writer_with_what_to_do(local_store: Store):
    writer = Writer.begin(local_store, "ann", "run")
    for number in range(4):
        writer.commit([pick("ann", number)])
    path = local_store.local_path("log/00000003.parquet")
    data = bytearray(path.read_bytes())
    data[random.Random(1).randrange(len(data))] ^= 4
    path.write_bytes(data)
    with pytest.raises(LogDamaged, match=r"log/00000003.parquet.*ancestra repair"):
        Writer.begin(local_store, "ben", "run")


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Store]:
    """A store on a real file system of one megabyte."""
    with tiny_disk(tmp_path / "tiny") as folder:
        yield Store.open(str(folder / "store"), create=True)


def test_a_disk_that_fills_up_loses_nothing_and_goes_on_when_there_is_space(tiny: Store):
    ballast = root_of(tiny).parent / "ballast"
    ballast.write_bytes(bytes(300_000))
    writer = Writer.begin(tiny, "ann", "run")
    told, media = [], []

    def fill(picture_bytes: int) -> None:
        while True:
            media.append(tiny.put_media(random.Random(len(media)).randbytes(picture_bytes), "png"))
            writer.commit([pick("ann", len(told))])
            told.append(("ann", str(len(told))))

    for picture_bytes in (20_000, 1):  # what is left is too little for a picture, and enough for some commits
        with pytest.raises(StoreFull, match=r"No space left.*ancestra resume"):
            fill(picture_bytes)
    assert len(told) > 5
    assert notes(tiny)[: len(told)] == told
    assert left_over(tiny) == []
    ballast.unlink()
    again = Writer.begin(tiny, "ann", "resume")
    again.commit([pick("ann", "after")])
    assert notes(tiny)[-1] == ("ann", "after")
    assert all(path == media_path(tiny.read(path), "png") for path in media)
