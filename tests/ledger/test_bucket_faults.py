"""A bucket behind a network that fails: each fault by itself, then all of them, through a real HTTP proxy."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pytest

from ancestra_farm.ledger import remote
from ancestra_farm.ledger.errors import StoreUnavailable
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.verify import verify
from tests.ledger.conftest import new_bucket
from tests.ledger.film import shoot
from tests.ledger.proxy import FaultProxy, Profile
from tests.ledger.test_log import notes, race_to_commit

pytestmark = [pytest.mark.s3, pytest.mark.timeout(120)]
#: Hard weather: about one request in three is hit. Few are told to slow down, since a client then waits for seconds.
STORM = Profile(
    slow_down=0.01, broken=0.05, reset_before=0.05, reset_after=0.08, broken_after=0.08, slow=0.01, cut_short=0.05
)


@pytest.fixture
def proxy(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # file systems are kept by what is in their address
    with FaultProxy(s3_endpoint, seed=7).running() as running:
        yield running
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture
def calm(proxy: FaultProxy, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store behind the proxy, which lets everything pass so far."""
    return Store.open(f"s3://{new_bucket(proxy.endpoint, monkeypatch)}/farm", create=True)


def once(proxy: FaultProxy, fault: str, *methods: str) -> None:
    """Let a fault befall the next request of these methods, and none after it."""
    waiting = [fault]

    def fault_for(method: str, path: str) -> str | None:
        if method not in methods or not waiting:
            return None
        proxy.said[waiting[-1]] += 1
        return waiting.pop()

    proxy.fault_for = fault_for


@pytest.mark.parametrize(
    "fault", ["slow_down", "broken", "reset_before", "reset_after", "broken_after", "silent_after", "slow"]
)
def test_a_name_taken_through_a_fault_is_taken_once_and_by_us(calm: Store, proxy: FaultProxy, fault: str):
    proxy.profile = Profile(silence_s=0.2)
    once(proxy, fault, "PUT")
    assert calm.create("log/1", b"mine")
    assert proxy.said[fault] == 1
    assert calm.read("log/1") == b"mine"


@pytest.mark.parametrize("fault", ["reset_after", "broken_after"])
def test_a_name_that_another_has_is_not_ours_however_answers_are_lost(calm: Store, proxy: FaultProxy, fault: str):
    assert calm.create("log/1", b"theirs")
    once(proxy, fault, "PUT")
    assert not calm.create("log/1", b"mine!!")
    assert calm.read("log/1") == b"theirs"


@pytest.mark.parametrize("fault", ["slow_down", "broken", "reset_before", "reset_after", "slow", "cut_short"])
def test_reading_and_looking_go_through_a_fault(calm: Store, proxy: FaultProxy, fault: str):
    data = bytes(range(256)) * 100
    calm.create("a/b", data)
    for look in (
        lambda: calm.read("a/b") == data,
        lambda: calm.exists("a/b"),
        lambda: calm.size("a/b") == len(data),
        lambda: calm.list("a") == ["a/b"],
    ):
        once(proxy, fault, "GET", "HEAD")
        assert look()
    once(proxy, fault, "DELETE")
    calm.delete("a/b")
    assert not calm.exists("a/b")


def test_a_service_that_stays_away_is_said_and_never_taken_for_a_no(
    calm: Store, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    calm.create("a/b", b"x")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    store = Store.open(calm.url)
    proxy.profile = Profile(slow_down=1.0)
    for ask in (store.exists, store.read, store.size, store.list, lambda path: store.create(path, b"y")):
        with pytest.raises(StoreUnavailable, match=r"a/b|farm/a"):
            ask("a/b")


def test_a_service_that_says_nothing_is_given_up_in_time(
    calm: Store, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
):
    config = {**remote._S3_CONFIG, "read_timeout": 0.2, "retries": {"mode": "standard", "total_max_attempts": 2}}
    monkeypatch.setattr(remote, "_S3_CONFIG", config)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    store = Store.open(calm.url)
    proxy.profile = Profile(silent_after=1.0, silence_s=2.0)
    with pytest.raises(StoreUnavailable, match=r"a/b: .*[Tt]imeout"):
        store.create("a/b", b"x")
    proxy.profile = Profile()
    assert not store.create("a/b", b"y")  # it had been done all the same
    assert store.read("a/b") == b"x"


def test_a_call_has_an_end_though_bytes_trickle(calm: Store, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remote, "_CALL_S", 0.5)
    monkeypatch.setattr(remote, "_SLOWEST_BYTES_PER_S", 2**40)
    calm.create("a/b", b"x" * 100)
    proxy.profile = Profile(slow=1.0, silence_s=9.0)
    with pytest.raises(StoreUnavailable, match=r"a/b: FSTimeoutError"):
        calm.read("a/b")


def test_everything_of_a_film_is_kept_in_a_storm(calm: Store, proxy: FaultProxy):
    proxy.profile = STORM
    shoot(calm, stop_after=7)
    proxy.profile = Profile()
    report = verify(calm)
    assert report.problems == ()
    assert report.void == 0
    assert sum(proxy.said[fault] for fault in ("reset_after", "broken_after")) > 0


def test_writers_racing_in_a_storm_lose_nothing_and_double_nothing(calm: Store, proxy: FaultProxy):
    proxy.profile = STORM
    told: list[tuple[str, str]] = []
    maybe: list[tuple[str, str]] = []

    def race(name: str) -> None:
        made = 0
        while made < 4:
            try:
                race_to_commit(calm, f"{name}.{made}.{uuid.uuid4().hex[:4]}", 1, told)
            except StoreUnavailable:
                maybe.append((name, str(made)))
                continue
            made += 1

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(race, ["ann", "ben"]))
    proxy.profile = Profile()
    found = notes(calm)
    assert len(found) == len(set(found))
    assert set(told) <= set(found)
    assert len(told) == 8
    assert len(found) <= len(told) + len(maybe)


def test_a_zombie_in_a_storm_learns_that_it_is_superseded(calm: Store, proxy: FaultProxy):
    from ancestra_farm.ledger.errors import Superseded
    from tests.ledger.samples import pick

    proxy.profile = STORM
    old = Writer.begin(calm, "ann", "run")
    old.commit([pick("ann", 1)])
    new = Writer.begin(calm, "ben", "run")
    new.commit([pick("ben", 2)])
    with pytest.raises(Superseded, match="ben has taken over"):
        old.commit([pick("ann", "late")])
    proxy.profile = Profile()
    assert notes(calm) == [("ann", "1"), ("ben", "2")]
