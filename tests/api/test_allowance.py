"""What one person may leave lying through the door has a bound, past a controller's end, and it is their own."""

import hashlib
import os
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ancestra_farm.api.allowance import COUNTED_S, MARKED_S, Allowance
from ancestra_farm.api.problems import Refusal
from ancestra_farm.farm import keeper
from ancestra_farm.ledger import brought, uploads
from ancestra_farm.ledger.errors import StoreRefused
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.uploads import Part, join, put_part
from tests.api.door import OpenDoor
from tests.farm.processes import wait_for

A, B = (hashlib.sha256(name).hexdigest() for name in (b"a", b"b"))


def part(data: bytes, number: int = 0) -> Part:
    return Part(number, hashlib.sha256(data).hexdigest())


def bring(door: OpenDoor, sha256: str, data: bytes, name: str, number: int = 0) -> Any:
    one = part(data, number)
    path = f"/v1/upload_parts?digest=sha256:{sha256}&number={number}&part=sha256:{one.sha256}"
    token = door.token("wrangler", name)
    headers = {"content-type": "application/octet-stream", "authorization": f"Bearer {token}"}
    return door.ask("POST", path, data, role="", headers=headers)


def test_what_one_person_leaves_lying_has_a_bound(store: Store) -> None:
    with OpenDoor(store, most_lying=100) as door:
        assert bring(door, A, b"x" * 60, "noor").status == 200
        assert bring(door, A, b"x" * 60, "noor").status == 200, "it is there: that is no more than before"
        late = bring(door, B, b"y" * 60, "noor")
        assert (late.status, late.json["type"]) == (409, "#refused")
        assert "that noor brought lie here and no batch names them" in late.json["detail"]
        assert bring(door, B, b"y" * 60, "bo").status == 200, "they have their own"
    with OpenDoor(store, most_lying=100) as door:
        assert bring(door, B, b"z" * 60, "noor", 1).status == 409
        assert bring(door, B, b"z" * 40, "noor", 1).status == 200


def test_a_part_that_was_refused_counts_for_nothing(store: Store) -> None:
    with OpenDoor(store, most_lying=100) as door:
        for _ in range(3):
            lie = f"/v1/upload_parts?digest=sha256:{A}&number=0&part=sha256:{B}"
            said = door.ask("POST", lie, b"x" * 60, headers={"content-type": "application/octet-stream"})
            assert said.status == 409
        assert bring(door, A, b"x" * 100, "operator").status == 200


def test_what_was_joined_counts_until_a_batch_names_it(store: Store) -> None:
    data = b"x" * 80
    sha256 = hashlib.sha256(data).hexdigest()
    now = [0.0]
    allowance = Allowance(store, 100, lambda: now[0])
    allowance.take("noor", sha256, len(data))
    allowance.ended("noor", len(data), new=put_part(store, sha256, part(data), data))
    join(store, sha256, len(data), [part(data)], checked=False)
    assert store.list("uploads") == []
    now[0] += COUNTED_S
    with pytest.raises(StoreRefused, match="no batch names"):
        allowance.take("noor", A, 30)
    allowance.named([sha256])
    allowance.take("noor", A, 30)


def test_whoever_has_come_to_the_bound_makes_the_store_be_read_only_now_and_then(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    lying = brought.lying
    monkeypatch.setattr(brought, "lying", lambda store, who: (counted.append(who), lying(store, who))[1])
    now = [0.0]
    allowance = Allowance(store, 10, lambda: now[0])
    for _ in range(50):
        with pytest.raises(StoreRefused):
            allowance.take("noor", A, 11)
    assert len(counted) == 1
    now[0] += COUNTED_S
    with pytest.raises(StoreRefused):
        allowance.take("noor", A, 11)
    assert len(counted) == 2


class Counted:
    """A backend that counts what it is asked."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        return getattr(self._backend, name)


def test_what_somebody_brought_is_counted_by_listings_however_many_parts_there_are() -> None:
    whole = Store.open(f"memory://{uuid.uuid4().hex}", create=True)
    backend = Counted(whole._backend)
    store = Store(whole.url, backend, whole.id)  # type: ignore[arg-type] # stands for the one it counts
    brought.mark(store, "noor", A)
    for number in range(200):
        put_part(store, A, part(b"x", number), b"x")
    backend.asked.clear()
    allowance = Allowance(store, 300)
    allowance.take("noor", A, 1)
    assert backend.asked == {"list": 1, "entries": 2, "replace": 1}
    allowance.take("noor", A, 1)
    allowance.named([B])
    allowance.take("noor", A, 1)
    assert backend.asked == {"list": 2, "entries": 2, "replace": 1}, "what is of others is no reason to count again"
    backend.asked.clear()
    assert uploads.sweep(store, 0.0) == 0
    brought.sweep_marks(store, time.time() + 60.0)
    assert backend.asked == {"entries": 4}
    assert brought.lying(store, "noor") == 200


def test_one_count_of_a_person_is_made_at_a_time_and_nobody_waits_for_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting, goes_on = threading.Event(), threading.Event()
    lying = brought.lying

    def slow(store: Store, who: str) -> int:
        counting.set()
        assert who == "bo" or goes_on.wait(30)
        return lying(store, who)

    monkeypatch.setattr(brought, "lying", slow)
    allowance = Allowance(store, 100)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(allowance.take, "noor", A, 10)
        assert counting.wait(30)
        with pytest.raises(Refusal, match="is being counted"):
            allowance.take("noor", B, 10)
        allowance.take("bo", B, 10)
        goes_on.set()
        first.result(30)
    allowance.take("noor", B, 10)


def test_what_arrives_while_somebody_is_counted_is_counted_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    allowance = Allowance(store, 100, lambda: now[0])
    allowance.take("noor", A, 60)
    lying = brought.lying

    def overtaken(store: Store, who: str) -> int:
        counted = lying(store, who)
        allowance.ended("noor", 60, new=put_part(store, A, part(b"x" * 60), b"x" * 60))
        return counted

    monkeypatch.setattr(brought, "lying", overtaken)
    now[0] += COUNTED_S
    with pytest.raises(StoreRefused):
        allowance.take("noor", B, 60)
    monkeypatch.undo()
    allowance.take("noor", B, 40)
    with pytest.raises(StoreRefused):
        allowance.take("noor", B, 1)


def test_what_was_on_its_way_is_given_back_once_whatever_happens_meanwhile(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowance = Allowance(store, 100)
    allowance.take("noor", A, 60)
    allowance.named([A])
    allowance.take("noor", B, 10)
    allowance.ended("noor", 60, new=False)
    with pytest.raises(StoreRefused):
        allowance.take("noor", B, 91)
    monkeypatch.setattr(brought, "mark", None)
    for _ in range(3):
        with pytest.raises(TypeError):
            allowance.take("noor", hashlib.sha256(b"of no mark").hexdigest(), 90)
    monkeypatch.undo()
    allowance.take("noor", B, 90)


def test_a_mark_is_made_once_in_a_while_and_none_is_swept_before_its_first_part_can_have_come(store: Store) -> None:
    now = [0.0]
    allowance = Allowance(store, 100, lambda: now[0])
    allowance.take("noor", A, 10)
    (path,) = store.list("brought")
    brought.sweep_marks(store, time.time() - 60.0)
    assert store.list("brought") == [path], "its first part is on its way"
    store.delete(path)
    allowance.take("noor", A, 10)
    assert store.list("brought") == []
    now[0] += MARKED_S
    allowance.take("noor", A, 10)
    assert store.list("brought") == [path]
    brought.sweep_marks(store, time.time() + 60.0)
    assert store.list("brought") == []


def test_what_nobody_goes_on_with_is_swept_while_the_farm_is_at_work(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, young = b"old" * 10, b"young"
    for sha256, data in ((A, old), (B, young)):
        put_part(store, sha256, part(data), data)
        brought.mark(store, "noor", sha256)
    for path in (part(old).path(A), *store.list("brought")):
        left = store.local_path(path)
        assert isinstance(left, Path)
        os.utime(left, (1.0, 1.0))
    monkeypatch.setattr(keeper, "UPLOADS_S", 0.1)
    with OpenDoor(store):
        wait_for(lambda: len(store.list("uploads")) == 1 and len(store.list("brought")) == 1, 20)
        assert store.list("uploads") == [part(young).path(B)]
    assert brought.lying(store, "noor") == len(young)


def test_a_file_is_left_alone_while_one_of_its_parts_is_young(store: Store) -> None:
    for number, data in enumerate((b"first", b"second")):
        put_part(store, A, part(data, number), data)
    first = store.local_path(part(b"first").path(A))
    assert isinstance(first, Path)
    os.utime(first, (1.0, 1.0))
    assert uploads.sweep(store, time.time() - 60.0) == 0
    assert len(store.list("uploads")) == 2
    assert uploads.sweep(store, time.time() + 60.0) == 2
