"""Guides and looks on a node whose cache is bounded: the oldest go, what is read stays, and nothing is lost by it."""

import hashlib
import uuid
from pathlib import Path

import pytest

from ancestra_farm.farm.materials import node_materials
from ancestra_farm.ledger import materials
from ancestra_farm.ledger.materials import put_material
from ancestra_farm.ledger.store import Store
from ancestra_farm.models.diffusion.room import LIMIT

SIZE = 100_000


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a node that has room for two and a half files."""
    monkeypatch.setenv("ANCESTRA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(LIMIT, repr(2.5 * SIZE / 2**30))
    return tmp_path / "cache"


@pytest.fixture
def store() -> Store:
    return Store.open(f"memory://{uuid.uuid4().hex}", create=True)


def put(store: Store, folder: Path, *numbers: int) -> list[str]:
    digests = []
    for number in numbers:
        file = folder / f"{number}.mkv"
        file.write_bytes(bytes([number]) * SIZE)
        digests.append(f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}")
        put_material(store, file, digests[-1])
    return digests


def there(cache: Path) -> set[str]:
    return {f"sha256:{file.name}" for file in (cache / "materials").rglob("*") if len(file.name) == 64}


def test_material_that_was_not_read_for_longest_makes_way_and_comes_again(store, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(materials, "HELD", 1)
    read = node_materials(store)
    first, second, third = put(store, tmp_path, 0, 1, 2)
    for digest in (first, second, third):
        read(digest)
    assert there(cache) == {second, third}
    assert read(first).read_bytes() == bytes([0]) * SIZE
    assert there(cache) == {third, first}


def test_material_that_a_host_reads_stays_though_the_bound_is_passed(store, cache, tmp_path):
    digests = put(store, tmp_path, 0, 1, 2, 3)
    reader, other = node_materials(store), node_materials(store)
    files = [reader(digest) for digest in digests]
    assert there(cache) == set(digests)
    assert [file.read_bytes()[0] for file in files] == [0, 1, 2, 3]
    del reader
    (further,) = put(store, tmp_path, 4)
    other(further)
    assert there(cache) == {digests[-1], further}
