"""Material lies in a store once, whole, under its digest, and comes to nodes whatever dies on the way."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from ancestra_farm.batch.schema import Batch
from ancestra_farm.ledger import uploads
from ancestra_farm.ledger.errors import MaterialDamaged, NotThere, SourceChanged, StoreRefused
from ancestra_farm.ledger.gc import Pile, gc
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.materials import (
    NodeMaterials,
    fetched_source,
    material,
    missing_materials,
    node_cache,
    put_material,
)
from ancestra_farm.ledger.store import Store, material_path
from ancestra_farm.ledger.verify import verify
from ancestra_farm.plan.plan import Plan
from tests.farm.processes import wait_for
from tests.ledger.film import CARDS, plan_of, submitted

DATA = bytes(range(256)) * 40_000  # more than one block


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


DIGEST = digest_of(DATA)
PATH = material_path(DIGEST.removeprefix("sha256:"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "guide.mkv"
    file.write_bytes(DATA)
    return file


@pytest.fixture
def memory_store() -> Store:
    return Store.open(f"memory://{uuid.uuid4().hex}", create=True)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_material_is_kept_once_under_its_digest(store: Store, file: Path):
    assert put_material(store, file, DIGEST) == put_material(store, file, DIGEST) == PATH
    assert store.list("materials") == [PATH]
    assert store.read(PATH) == DATA
    assert missing_materials(store, [DIGEST, digest_of(b"other"), digest_of(b"other")]) == [digest_of(b"other")]


def test_a_file_that_changed_since_it_was_looked_at_is_not_kept(store: Store, file: Path):
    file.write_bytes(DATA + b"!")
    with pytest.raises(SourceChanged, match=r"guide\.mkv has been changed since it was looked at"):
        put_material(store, file, DIGEST)
    file.unlink()
    with pytest.raises(SourceChanged, match=r"guide\.mkv cannot be read any more"):
        put_material(store, file, DIGEST)
    assert store.list("materials") == []


def test_a_copy_that_was_cut_short_by_another_tool_is_put_right(local_store: Store, file: Path):
    put_material(local_store, file, DIGEST)
    local_store.local_path(PATH).write_bytes(DATA[:1000])
    put_material(local_store, file, DIGEST)
    assert local_store.read(PATH) == DATA


def test_a_node_reads_a_store_that_is_a_folder_where_it_lies(local_store: Store, file: Path, cache: Path):
    put_material(local_store, file, DIGEST)
    assert material(local_store, DIGEST, cache) == local_store.local_path(PATH)
    assert not cache.exists()


@pytest.mark.s3
def test_a_node_fetches_from_a_bucket_once(s3_bucket: str, file: Path, cache: Path):
    store = Store.open(f"s3://{s3_bucket}/farm", create=True)
    put_material(store, file, DIGEST)
    there = material(store, DIGEST, cache)
    assert there.read_bytes() == DATA
    stamp = there.stat().st_mtime_ns
    assert NodeMaterials(store, cache)(DIGEST) == there
    assert there.stat().st_mtime_ns == stamp
    assert [path.name for path in there.parent.iterdir() if path.suffix == ".part"] == []


def test_what_is_damaged_in_the_cache_is_fetched_anew(memory_store: Store, file: Path, cache: Path):
    put_material(memory_store, file, DIGEST)
    there = material(memory_store, DIGEST, cache)
    there.write_bytes(b"damaged")
    assert material(memory_store, DIGEST, cache).read_bytes() == DATA


def test_damaged_material_is_refused_and_handing_it_in_again_puts_it_right(local_store: Store, file: Path):
    put_material(local_store, file, DIGEST)
    changed = bytearray(DATA)
    changed[5000] ^= 1
    local_store.local_path(PATH).write_bytes(changed)
    with pytest.raises(MaterialDamaged, match="hand the batch in again"):
        material(local_store, DIGEST)
    put_material(local_store, file, DIGEST)
    assert material(local_store, DIGEST).read_bytes() == DATA


@pytest.mark.parametrize("data", [b"", b"short", DATA * 2], ids=["empty", "short", "in parts"])
def test_what_a_node_found_damaged_is_sent_to_a_bucket_once_more(
    memory_store: Store, tmp_path: Path, cache: Path, data: bytes
):
    file = tmp_path / "file"
    file.write_bytes(data)
    digest = digest_of(data)
    path = put_material(memory_store, file, digest)
    memory_store.replace(path, data[:-1] + b"!")  # of the same length, if it has any
    with pytest.raises(MaterialDamaged):
        material(memory_store, digest, cache)
    assert uploads.sweep(memory_store, time.time() + 60.0) == 0, "the note is good until the file has come"
    put_material(memory_store, file, digest)
    assert material(memory_store, digest, cache).read_bytes() == data
    assert memory_store.list("uploads") == []


def test_material_that_is_not_there_is_said_plainly(store: Store, cache: Path):
    with pytest.raises(NotThere):
        material(store, DIGEST, cache)
    with pytest.raises(StoreRefused, match="is not a digest"):
        material(store, "md5:1234", cache)


def test_many_threads_of_many_readers_fetch_a_file_once(memory_store: Store, file: Path, cache: Path):
    put_material(memory_store, file, DIGEST)
    found: list[Path] = []
    readers = [NodeMaterials(memory_store, cache) for _ in range(2)]
    threads = [threading.Thread(target=lambda one=one: found.append(one(DIGEST))) for one in readers * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 6


@pytest.mark.s3
def test_a_fetch_that_is_killed_in_the_middle_is_begun_anew(s3_bucket: str, file: Path, cache: Path):
    store = Store.open(f"s3://{s3_bucket}/farm", create=True)
    put_material(store, file, DIGEST)
    script = (
        "import sys; from pathlib import Path; from ancestra_farm.ledger.store import Store\n"
        "from ancestra_farm.ledger.materials import material\n"
        "material(Store.open(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, store.url, DIGEST, str(cache)],
        env={**os.environ, "ANCESTRA_KILL_AT": "materials.before_rename"},
        check=False,
        capture_output=True,
        timeout=100,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    there = cache / DIGEST[7:9] / DIGEST[7:]
    assert not there.exists()
    there.with_suffix(".part").write_bytes(b"half")
    assert material(store, DIGEST, cache) == there
    assert there.read_bytes() == DATA


@pytest.mark.s3
def test_a_source_in_a_bucket_is_fetched_by_its_url_and_known_by_its_digest(s3_bucket: str, cache: Path):
    store = Store.open(f"s3://{s3_bucket}/plates", create=True)
    store.create("sea/plate.mkv", DATA)
    url = f"s3://{s3_bucket}/plates/sea/plate.mkv"
    assert fetched_source(url, None, cache) == fetched_source(url, DIGEST, cache)
    assert fetched_source(url, DIGEST, cache).read_bytes() == DATA
    with pytest.raises(MaterialDamaged, match="has other bytes than its digest says"):
        fetched_source(url, digest_of(b"other"), cache)
    with pytest.raises(NotThere):
        fetched_source(url.replace("plate.mkv", "no.mkv"), None, cache)


def test_the_cache_of_a_node_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("ANCESTRA_CACHE", str(tmp_path))
    assert node_cache() == tmp_path / "materials"
    monkeypatch.delenv("ANCESTRA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert node_cache() == tmp_path / "x/ancestra-farm/materials"


# ---- verify and gc ---------------------------------------------------------------------------------------------------


def guided_plan(shot: dict[str, Any]) -> Plan:
    plan = plan_of()
    document = {**plan.batch.model_dump(mode="json", by_alias=True, exclude_none=True), "shots": [shot]}
    return Plan.of(Batch.model_validate(document), CARDS)


def handed_in(store: Store) -> None:
    guides = [{"kind": "depth", "source": "guide.mkv", "digest": DIGEST}]
    shot = {"shot": "a", "frames": 17, "prompt": {"text": "the sea"}, "guides": guides}
    Writer.begin(store, "ann", "run").commit([submitted(guided_plan(shot))])


def test_verify_reads_all_material_that_a_batch_names(local_store: Store, file: Path):
    handed_in(local_store)
    assert verify(local_store).problems == (f"{PATH} of guide depth of shot a of batch womb.v1 is missing",)
    put_material(local_store, file, DIGEST)
    report = verify(local_store)
    assert (report.problems, report.materials) == ((), 1)
    changed = bytearray(DATA)
    changed[9] ^= 4
    local_store.local_path(PATH).write_bytes(changed)
    (problem,) = verify(local_store).problems
    assert "has been changed: its SHA-256 is" in problem


def test_verify_tells_of_material_that_no_batch_names(local_store: Store, file: Path):
    put_material(local_store, file, DIGEST)
    assert "1 materials are named by no batch (`ancestra gc`)" in verify(local_store).notes


def test_material_that_a_batch_names_is_never_collected_and_other_is(store: Store, file: Path, tmp_path: Path):
    put_material(store, file, DIGEST)
    spare = tmp_path / "spare"
    spare.write_bytes(b"of a batch that was refused")
    put_material(store, spare, digest_of(spare.read_bytes()))
    handed_in(store)
    now = time.time() + 10 * 24 * 3600
    assert gc(store, "ann", now=now).orphans == Pile(1, 27)
    assert store.list("materials") == [PATH]
    assert gc(store, "ann", now=now, rejects_older_than_s=0.0).orphans == Pile()


def test_material_that_is_put_again_is_young_until_its_batch_is_committed(local_store: Store, file: Path):
    put_material(local_store, file, DIGEST)
    os.utime(local_store.local_path(PATH), (1.0, 1.0))
    Writer.begin(local_store, "ann", "run")
    assert gc(local_store, "ann", dry_run=True).orphans.files == 1
    put_material(local_store, file, DIGEST)
    assert gc(local_store, "ann", dry_run=True).orphans.files == 0


@pytest.mark.parametrize("large", [False, True])
def test_what_was_put_long_ago_is_made_young_without_being_sent_again(
    store: Store, file: Path, large: bool, monkeypatch: pytest.MonkeyPatch
):
    put_material(store, file, DIGEST)
    first = store.modified(PATH)
    monkeypatch.setattr("ancestra_farm.ledger.store.YOUNG_S", -1.0)  # whatever is there was put long ago
    if large:  # what S3 copies in pieces
        monkeypatch.setattr("s3fs.core.MANAGED_COPY_THRESHOLD", 2**20)
    sent = []

    def renewed() -> bool:
        put_material(store, file, DIGEST, lambda _, more: sent.append(more))
        return store.modified(PATH) > first

    wait_for(renewed, 30)
    assert sum(sent) == 0
    assert store.read(PATH) == DATA


def test_material_that_is_put_while_others_are_collected_stays(
    local_store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
):
    put_material(local_store, file, DIGEST)
    os.utime(local_store.local_path(PATH), (1.0, 1.0))
    Writer.begin(local_store, "ann", "run")
    from ancestra_farm.ledger import gc as module

    monkeypatch.setattr(module, "reached", lambda _: put_material(local_store, file, DIGEST))
    gc(local_store, "ann")
    assert local_store.list("materials") == [PATH]


def test_material_is_not_deleted_as_what_can_be_made_again(store: Store, file: Path):
    put_material(store, file, DIGEST)
    with pytest.raises(StoreRefused, match="part of the record"):
        store.delete(PATH)
    with pytest.raises(StoreRefused):
        store.delete_collected("materials/ab/short")
