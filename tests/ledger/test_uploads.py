"""Large files come into a store in parts: what was broken off goes on where it was, and nothing wrong is kept."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.ledger import uploads
from ancestra_farm.ledger.errors import MaterialDamaged, NotThere, SourceChanged, StoreRefused
from ancestra_farm.ledger.gc import gc
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.materials import put_material
from ancestra_farm.ledger.store import Store, material_path
from ancestra_farm.ledger.uploads import MOST_BYTES, MOST_PARTS, PART_BYTES, Part, count_of, held, join, part_bytes

DATA = random.Random(5).randbytes(3 * PART_BYTES + 1000)
SHA256 = hashlib.sha256(DATA).hexdigest()
DIGEST = f"sha256:{SHA256}"
PATH = material_path(SHA256)
CUT = [DATA[start : start + PART_BYTES] for start in range(0, len(DATA), PART_BYTES)]
PARTS = [Part(number, hashlib.sha256(data).hexdigest()) for number, data in enumerate(CUT)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "plate.mov"
    file.write_bytes(DATA)
    return file


@pytest.fixture
def memory_store() -> Store:
    return Store.open(f"memory://{uuid.uuid4().hex}", create=True)


class Progress:
    """What somebody was told, in bytes."""

    def __init__(self) -> None:
        self.arrived = self.sent = 0

    def __call__(self, arrived: int, sent: int) -> None:
        self.arrived += arrived
        self.sent += sent


def put(store: Store, *numbers: int) -> None:
    for number in numbers:
        uploads.put_part(store, SHA256, PARTS[number], CUT[number])


@given(st.integers(0, MOST_BYTES))
def test_every_file_has_few_enough_parts_which_are_long_enough_to_be_joined(size: int):
    each, count = part_bytes(size), count_of(size)
    assert count <= MOST_PARTS
    assert each >= PART_BYTES
    assert (count - 1) * each < size <= count * each or size == count == 0


def test_a_file_that_no_bucket_could_join_is_refused():
    with pytest.raises(StoreRefused, match="too large"):
        part_bytes(MOST_BYTES + 1)


def test_a_file_goes_on_with_the_parts_that_are_missing(memory_store: Store, file: Path):
    put(memory_store, 0, 2)
    progress = Progress()
    assert put_material(memory_store, file, DIGEST, progress) == PATH
    assert memory_store.read(PATH) == DATA
    assert (progress.arrived, progress.sent) == (len(DATA), PART_BYTES + 1000)
    assert memory_store.list("uploads") == []


@pytest.mark.s3
def test_a_bucket_joins_parts_without_their_being_sent_again(s3_bucket: str, file: Path):
    store = Store.open(f"s3://{s3_bucket}/farm", create=True)
    put(store, 1)
    progress = Progress()
    put_material(store, file, DIGEST, progress)
    assert store.read(PATH) == DATA
    assert progress.sent == len(DATA) - PART_BYTES
    assert store.list("uploads") == []
    again = Progress()
    put_material(store, file, DIGEST, again)
    assert (again.arrived, again.sent) == (len(DATA), 0)


@pytest.mark.s3
@pytest.mark.parametrize("point", ["uploads.after_part:3", "uploads.before_join", "uploads.after_join"])
def test_whoever_is_killed_in_the_middle_goes_on_where_they_were(s3_bucket: str, file: Path, point: str):
    store = Store.open(f"s3://{s3_bucket}/farm", create=True)
    script = (
        "import sys; from pathlib import Path; from ancestra_farm.ledger.store import Store\n"
        "from ancestra_farm.ledger.materials import put_material\n"
        "put_material(Store.open(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, store.url, str(file), DIGEST],
        env={**os.environ, "ANCESTRA_KILL_AT": point},
        check=False,
        capture_output=True,
        timeout=100,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    arrived = sum(len(CUT[part.number]) for part in held(store, SHA256))
    assert arrived >= 2 * PART_BYTES
    progress = Progress()
    put_material(store, file, DIGEST, progress)
    assert store.read(PATH) == DATA
    assert progress.sent <= len(DATA) - arrived
    assert store.list("uploads") == []


def test_two_who_bring_the_same_file_at_once_both_end_well(memory_store: Store, file: Path):
    failed: list[BaseException] = []

    def bring() -> None:
        try:
            put_material(memory_store, file, DIGEST)
        except BaseException as error:  # noqa: BLE001 - looked at below
            failed.append(error)

    threads = [threading.Thread(target=bring) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert memory_store.read(PATH) == DATA


def test_parts_that_go_while_others_come_are_brought_again(
    memory_store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
):
    put(memory_store, 0, 1, 2)
    swept = []

    def sweep(point: str) -> None:
        if point == "uploads.before_join" and not swept:
            swept.append(PARTS[1])
            memory_store.delete(PARTS[1].path(SHA256))

    monkeypatch.setattr(uploads, "reached", sweep)
    progress = Progress()
    put_material(memory_store, file, DIGEST, progress)
    assert memory_store.read(PATH) == DATA
    assert (progress.arrived, progress.sent) == (len(DATA), PART_BYTES + 1000)


def test_a_file_that_changes_on_its_way_is_not_kept_and_the_right_one_goes_on(memory_store: Store, file: Path):
    file.write_bytes(DATA[:-1] + b"!")
    with pytest.raises(SourceChanged, match="check the batch again"):
        put_material(memory_store, file, DIGEST)
    assert memory_store.list("materials") == []
    file.write_bytes(DATA)
    progress = Progress()
    put_material(memory_store, file, DIGEST, progress)
    assert memory_store.read(PATH) == DATA
    assert progress.sent == 1000


@pytest.fixture(params=["local", "memory"])
def either_store(request: pytest.FixtureRequest) -> Store:
    return request.getfixturevalue(f"{request.param}_store")


def test_parts_that_come_to_another_file_cost_nobody_what_they_brought(either_store: Store):
    wrong = Part(1, PARTS[0].sha256)
    put(either_store, 0, 1, 2, 3)
    uploads.put_part(either_store, SHA256, wrong, CUT[0])
    with pytest.raises(MaterialDamaged, match="send it again"):
        join(either_store, SHA256, len(DATA), [PARTS[0], wrong, *PARTS[2:]], checked=False)
    assert either_store.list("materials") == []
    assert held(either_store, SHA256) == {*PARTS, wrong}
    join(either_store, SHA256, len(DATA), PARTS, checked=False)
    assert either_store.read(PATH) == DATA


def test_a_part_that_the_store_has_damaged_is_brought_again(either_store: Store):
    put(either_store, 0, 1, 2, 3)
    either_store.replace(PARTS[1].path(SHA256), CUT[1][:-1])
    with pytest.raises(MaterialDamaged, match="send it again"):
        join(either_store, SHA256, len(DATA), PARTS, checked=False)
    assert held(either_store, SHA256) == {PARTS[0], *PARTS[2:]}
    put(either_store, 1)
    assert either_store.read(join(either_store, SHA256, len(DATA), PARTS, checked=False)) == DATA


def test_a_part_that_is_not_what_it_says_is_refused(either_store: Store):
    with pytest.raises(StoreRefused, match="send it again"):
        uploads.put_part(either_store, SHA256, PARTS[0], CUT[1])
    assert held(either_store, SHA256) == frozenset()


def test_what_lacks_parts_is_not_joined(either_store: Store):
    put(either_store, 0, 1)
    with pytest.raises(StoreRefused, match="has 4 parts"):
        join(either_store, SHA256, len(DATA), PARTS[:2], checked=False)
    with pytest.raises(NotThere):
        join(either_store, SHA256, len(DATA), PARTS, checked=False)
    assert held(either_store, SHA256) == frozenset(PARTS[:2])
    assert either_store.list("materials") == []


def test_short_and_empty_files_are_joined_too(either_store: Store):
    for data in (b"", b"short"):
        sha256 = hashlib.sha256(data).hexdigest()
        parts = [Part(0, sha256)] if data else []
        for part in parts:
            uploads.put_part(either_store, sha256, part, data)
        assert either_store.read(join(either_store, sha256, len(data), parts, checked=False)) == data


def test_what_somebody_left_is_swept_once_its_last_part_is_old(local_store: Store):
    put(local_store, 0, 1)
    Writer.begin(local_store, "ann", "run")
    os.utime(local_store.local_path(PARTS[0].path(SHA256)), (1.0, 1.0))
    assert gc(local_store, "ann").leftovers.files == 0, "the second part is young: somebody may be at it"
    assert len(held(local_store, SHA256)) == 2
    swept = gc(local_store, "ann", now=time.time() + 2 * 24 * 3600).leftovers
    assert (swept.files, swept.bytes) == (2, 2 * PART_BYTES)
    assert local_store.list("uploads") == []
