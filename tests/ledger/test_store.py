import errno
import hashlib
import json
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ancestra_farm.ledger import local
from ancestra_farm.ledger.errors import NotThere, StoreMissing, StoreRefused, StoreUnavailable
from ancestra_farm.ledger.local import LocalFolder
from ancestra_farm.ledger.probe import probe
from ancestra_farm.ledger.remote import Bucket
from ancestra_farm.ledger.store import Store
from tests.ledger.conftest import new_bucket


def test_a_new_store_holds_its_mark_and_nothing_else(store: Store):
    assert store.list() == ["STORE"]
    mark = json.loads(store.read("STORE"))
    assert mark["ancestra_store"] == 1
    assert mark["id"] == store.id


def test_one_listing_tells_of_lengths_and_times_too(store: Store):
    for number in range(3):
        store.create(f"uploads/{number}/part", b"x" * number)
    store.create("uploads-of-another/part", b"x")
    told = store.entries("uploads")
    assert [path for path, _, _ in told] == store.list("uploads")
    for path, size, modified in told:
        assert size == store.size(path)
        assert modified == pytest.approx(store.modified(path), abs=1.0)
    assert store.entries("nowhere") == store.entries("STORE") == []


def test_opening_again_finds_the_same_store(store: Store, address: str):
    assert Store.open(address).id == store.id
    assert Store.open(address, create=True).id == store.id


def test_there_is_no_store_where_none_was_made(address: str):
    with pytest.raises(StoreMissing, match="no store here"):
        Store.open(address)


def test_opening_without_create_leaves_nothing_behind(tmp_path: Path):
    with pytest.raises(StoreMissing):
        Store.open(str(tmp_path / "nowhere"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_things_in_it_is_not_made_a_store(tmp_path: Path):
    (tmp_path / "diary.txt").write_text("Dear diary")
    with pytest.raises(StoreRefused, match=r"diary\.txt"):
        Store.open(str(tmp_path), create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_a_file_is_not_a_store(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreRefused, match="is a file"):
        Store.open(str(tmp_path / "file"), create=True)


@pytest.mark.parametrize("mark", [b"", b"{", b"[]", b'{"ancestra_store": 1}', b'{"ancestra_store": "x", "id": "y"}'])
def test_a_mark_that_is_none_is_refused(tmp_path: Path, mark: bytes):
    (tmp_path / "STORE").write_bytes(mark)
    with pytest.raises(StoreRefused, match="STORE"):
        Store.open(str(tmp_path), create=True)


def test_a_store_of_a_later_layout_is_refused(tmp_path: Path):
    (tmp_path / "STORE").write_text('{"ancestra_store": 2, "id": "x"}')
    with pytest.raises(StoreRefused, match="layout 2"):
        Store.open(str(tmp_path))


@pytest.mark.parametrize(
    "url", ["http://example.org/x", "file:///a::s3://b", "s3://key:secret@bucket/x", "s3://169.254.169.254/x", ""]
)
def test_an_address_that_is_not_allowed_is_refused(url: str):
    with pytest.raises(StoreRefused):
        Store.open(url, create=True)


def test_racing_to_make_a_store_gives_one_store(address: str):
    with ThreadPoolExecutor(4) as pool:
        ids = {store.id for store in pool.map(lambda _: Store.open(address, create=True), range(4))}
    assert len(ids) == 1


def test_a_name_is_given_once(store: Store):
    assert store.create("a/b", b"first")
    assert not store.create("a/b", b"second")
    assert store.read("a/b") == b"first"


def test_replacing_takes_the_name_whether_or_not_it_is_there(store: Store):
    store.replace("a/b", b"one")
    store.replace("a/b", b"two")
    assert store.read("a/b") == b"two"
    assert store.size("a/b") == 3


def test_what_is_not_there_is_said_by_name(store: Store):
    for ask in (store.read, store.size):
        with pytest.raises(NotThere, match="log/00000007"):
            ask("log/00000007.parquet")
    assert not store.exists("log/00000007.parquet")


def test_a_folder_is_no_file(store: Store):
    store.create("a/b", b"x")
    assert not store.exists("a")
    with pytest.raises(NotThere):
        store.read("a")


def test_listing_is_sorted_and_stays_below_the_folder(store: Store):
    for path in ("log/2", "log/1", "log/deep/3", "logbook/4", "media/5"):
        store.create(path, b"x")
    assert store.list("log") == store.list("log/") == ["log/1", "log/2", "log/deep/3"]
    assert store.list("nothing") == []
    assert store.list("log/1") == []
    assert store.list() == ["STORE", "log/1", "log/2", "log/deep/3", "logbook/4", "media/5"]


def test_a_listing_sees_what_another_has_just_written(store: Store, address: str):
    assert store.list("log") == []
    Store.open(address).create("log/1", b"x")
    assert store.list("log") == ["log/1"]
    assert store.exists("log/1")


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a\\b", "a\0b", "a/", "a/.tmp-x", "a\nb"]
)
def test_a_path_never_leaves_the_store(local_store: Store, path: str):
    for use in (local_store.read, local_store.exists, local_store.size, local_store.delete, local_store.local_path):
        with pytest.raises(StoreRefused):
            use(path)
    for write in (local_store.create, local_store.replace):
        with pytest.raises(StoreRefused):
            write(path, b"x")


def test_media_lie_under_their_digest_however_often_they_are_put(store: Store):
    data = b"picture" * 1000
    digest = hashlib.sha256(data).hexdigest()
    paths = {store.put_media(data, "png") for _ in range(3)}
    assert paths == {f"media/{digest[:2]}/{digest}.png"}
    assert store.read(paths.pop()) == data


def test_a_medium_that_was_cut_short_is_put_right(store: Store):
    path = store.put_media(b"whole", "png")
    store.replace(path, b"who")
    assert store.put_media(b"whole", "png") == path
    assert store.read(path) == b"whole"


@pytest.mark.parametrize("suffix", ["", ".png", "PNG", "a/b", "verylongsuffix"])
def test_a_suffix_is_a_suffix(local_store: Store, suffix: str):
    with pytest.raises(StoreRefused):
        local_store.put_media(b"x", suffix)


def test_the_record_is_never_deleted(store: Store):
    store.create("log/00000001.parquet", b"x")
    store.create("tables/a", b"x")
    for path in ("STORE", "log/00000001.parquet", store.put_media(b"x", "png")):
        with pytest.raises(StoreRefused, match="never deleted"):
            store.delete(path)
    store.delete("tables/a")
    store.delete("tables/a")
    assert not store.exists("tables/a")


def test_a_store_travels_by_its_address(store: Store):
    there = pickle.loads(pickle.dumps(store))
    assert (there.id, there.url) == (store.id, store.url)
    assert there.create("a", b"x")
    assert store.read("a") == b"x"


def test_only_a_folder_has_local_paths(store: Store):
    store.create("a/b", b"x")
    path = store.local_path("a/b")
    if store.url.startswith("file://"):
        assert path is not None
        assert path.read_bytes() == b"x"
    else:
        assert path is None


def test_of_many_racing_threads_one_gets_the_name(store: Store):
    racers, rounds = 8, 10
    with ThreadPoolExecutor(racers) as pool:
        for number in range(rounds):
            start = threading.Barrier(racers)

            def race(racer: int, number: int = number, start: threading.Barrier = start) -> bool:
                start.wait(30)
                return store.create(f"race/{number}", bytes([racer]) * 10_000)

            won = list(pool.map(race, range(racers)))
            assert won.count(True) == 1
            assert store.read(f"race/{number}") == bytes([won.index(True)]) * 10_000


def test_the_probe_leaves_nothing_behind(store: Store):
    probe(store.url, store._backend)
    assert store.list() == ["STORE"]


class Careless(LocalFolder):
    """As many a file system does it: look first, then write."""

    def create(self, key: str, data: bytes) -> bool:
        if self.exists(key):
            return False
        self.replace(key, data)
        return True


class Forgetful(LocalFolder):
    """Says no to everybody."""

    def create(self, key: str, data: bytes) -> bool:
        super().create(key, data)
        return False


def test_a_backend_with_two_winners_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    looked = threading.Barrier(4)
    exists = Careless.exists

    def all_look_first(self: Careless, key: str) -> bool:
        found = exists(self, key)
        looked.wait(30)
        return found

    monkeypatch.setattr(Careless, "exists", all_look_first)
    with pytest.raises(StoreRefused, match="of 4 racers for one name 4 were told"):
        probe("file:///x", Careless(tmp_path))
    assert list(tmp_path.rglob("*")) == []


def test_a_backend_without_a_winner_is_refused(tmp_path: Path):
    with pytest.raises(StoreRefused, match="0 were told"):
        probe("file:///x", Forgetful(tmp_path))


def test_a_refused_backend_never_becomes_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ancestra_farm.ledger.store.probe", probe)  # also where this file system was raced before
    monkeypatch.setattr("ancestra_farm.ledger.store.LocalFolder", Forgetful)
    with pytest.raises(StoreRefused):
        Store.open(str(tmp_path / "store"), create=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_system_without_links_is_refused_with_what_would_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(local.os, "link", link)
    with pytest.raises(StoreRefused, match=r"hard links.*bucket"):
        LocalFolder(tmp_path).create("a", b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_no_half_file(local_store: Store, monkeypatch: pytest.MonkeyPatch):
    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(local.os, "fsync", fsync)
    with pytest.raises(StoreUnavailable, match=r"log/1: No space left"):
        local_store.create("log/1", b"x")
    monkeypatch.undo()
    assert local_store.list("log") == []
    assert list(local_store.local_path("log").iterdir()) == []


def test_a_link_that_was_answered_as_existing_is_recognised_as_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    link = os.link

    def answer_lost(source: Path, target: Path) -> None:
        link(source, target)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    monkeypatch.setattr(local.os, "link", answer_lost)
    assert LocalFolder(tmp_path).create("a", b"x")


def test_files_in_the_making_are_not_listed(local_store: Store):
    local_store.create("log/1", b"x")
    (local_store.local_path("log") / ".tmp-left-by-a-killed-process").write_bytes(b"half")
    assert local_store.list("log") == ["log/1"]


@pytest.mark.s3
def test_a_bucket_that_is_not_there_is_said(s3_bucket: str):
    with pytest.raises(StoreRefused, match=r"no-such-bucket.*no such bucket"):
        Store.open("s3://no-such-bucket/x", create=True)


@pytest.mark.s3
def test_wrong_credentials_are_said(s3_bucket: str, monkeypatch: pytest.MonkeyPatch):
    bucket = Bucket(f"s3://{s3_bucket}/x")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(bucket.fs, "pipe_file", denied)
    with pytest.raises(StoreUnavailable, match="x/a: PermissionError: Access Denied"):
        bucket.create("a", b"x")


@pytest.mark.s3
def test_an_s3_service_that_ignores_conditions_is_refused(careless_endpoint: str, monkeypatch: pytest.MonkeyPatch):
    import fsspec

    bucket = new_bucket(careless_endpoint, monkeypatch)
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # file systems are kept by what is in their address
    with pytest.raises(StoreRefused, match="of 4 racers for one name 4 were told that they had made it"):
        Store.open(f"s3://{bucket}/farm", create=True)
    assert Bucket(f"s3://{bucket}/farm").list("") == []
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.mark.parametrize("door", ["http://127.0.0.1:8470", "https://farm.example.com:8470#aa"])
def test_a_door_is_not_taken_for_a_store(door: str):
    with pytest.raises(StoreRefused, match="is a farm's door: this is done with its store"):
        Store.open(door)
