"""Weights make way for others on a full node: what was not used for longest first, and never what somebody uses."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.models.diffusion.room import LIMIT, Hold, Kept, _size, make_room_for_material, to_go
from ancestra_farm.models.diffusion.weights import WeightsMissing, fetch, folder_of, is_here
from tests.farm.processes import wait_for
from tests.models.diffusion.fake_hub import COMMIT, FakeHub
from tests.models.diffusion.test_weights import READ, UNET, card, files_in

#: Bytes of one model as the hub has it.
SIZE = sum(map(len, READ.values()))
NAMES = ("one", "two", "three")


def model(name: str) -> ModelCard:
    return card(f"owner/{name}", revision=COMMIT)


def here() -> list[str]:
    return [name for name in NAMES if is_here(model(name))]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("ANCESTRA_CACHE", str(folder))
    for name in ("ANCESTRA_FETCH", LIMIT, "HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    return folder


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    hub = FakeHub({f"owner/{name}": dict(READ) for name in NAMES})
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    yield hub
    hub.close()


@pytest.fixture
def room_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Have the node keep so many models at most."""
    return lambda models: monkeypatch.setenv(LIMIT, repr(models * SIZE / 2**30))


def unused_since(cache: Path, name: str, at: float) -> None:
    (use,) = (cache / "locks").glob(f"owner--{name}--*.use")
    os.utime(use, (at, at))


KEPT = st.builds(
    Kept, path=st.uuids().map(str), bytes=st.integers(0, 1000), used_at=st.floats(0, 100), held=st.booleans()
)


@given(st.lists(KEPT, max_size=12), st.integers(-100, 5000))
def test_what_goes_is_enough_the_oldest_and_no_more_than_that(kept: list[Kept], surplus: int):
    chosen = to_go(kept, surplus)
    free = [one for one in kept if not one.held]
    if chosen is None:
        assert sum(one.bytes for one in free) < surplus
        return
    gone = [one for one in free if one.path in chosen]
    assert len(gone) == len(chosen)
    assert sum(one.bytes for one in gone) >= surplus
    stays = [one.used_at for one in free if one.path not in chosen]
    assert max((one.used_at for one in gone), default=0.0) <= min(stays, default=100.0)
    by_age = sorted(gone, key=lambda one: (one.used_at, one.path))
    assert not gone or sum(one.bytes for one in by_age[:-1]) < surplus


def test_what_was_not_used_for_longest_makes_way(hub: FakeHub, cache: Path, room_for: Callable[[float], None]):
    room_for(2.5)
    fetch(model("one"), print)
    fetch(model("two"), print)
    unused_since(cache, "one", 1000.0)
    unused_since(cache, "two", 2000.0)
    folder_of(model("one"))
    said: list[str] = []
    assert files_in(fetch(model("three"), said.append)) == READ
    assert here() == ["one", "three"]
    assert any("two" in line and "makes way" in line for line in said)
    assert not list((cache / "models").glob("owner--two--*"))
    assert files_in(fetch(model("two"), print)) == READ
    assert here() == ["two", "three"]


def guide(cache: Path, digit: str, bytes_: int, used_at: float) -> Path:
    """Material as `ledger.materials` keeps it, beside its lock, and one that is being fetched."""
    file = cache / "materials" / (digit * 2) / (digit * 64)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"g" * bytes_)
    for suffix in (".lock", ".part"):
        file.with_suffix(suffix).touch()
    os.utime(file, (used_at, 0))
    return file


def test_weights_and_material_make_way_for_each_other(hub: FakeHub, cache: Path, room_for: Callable[[float], None]):
    room_for(2.5)
    old, young = guide(cache, "a", SIZE, 1000.0), guide(cache, "b", SIZE // 4, 3000.0)
    fetch(model("one"), print)
    fetch(model("two"), print)
    assert here() == ["one", "two"]
    assert not old.exists()
    assert young.exists()
    unused_since(cache, "one", 2000.0)
    make_room_for_material(cache, SIZE, print)
    assert here() == ["two"]
    assert young.exists()
    assert sorted(file.suffix for file in (cache / "materials").rglob("*.*")) == [".lock", ".lock", ".part", ".part"]


def test_material_that_somebody_reads_stays(hub: FakeHub, cache: Path, room_for: Callable[[float], None]):
    room_for(1.5)
    read = guide(cache, "a", SIZE, 1000.0)
    with read.open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        with pytest.raises(WeightsMissing, match="hosts that are up hold"):
            fetch(model("one"), print)
        make_room_for_material(cache, SIZE, print)  # there is none, and whoever writes is told by the disk
    assert read.exists()
    fetch(model("one"), print)
    assert not read.exists()


def test_without_a_bound_all_of_a_disk_is_used(hub: FakeHub, cache: Path):
    for name in NAMES:
        fetch(model(name), print)
    assert here() == list(NAMES)


def test_a_full_disk_is_made_room_on(hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch):
    fetch(model("one"), print)
    usage = shutil.disk_usage("/")

    def of_a_small_disk(_: object) -> object:
        there = sum(path.stat().st_size for path in (cache / "models").rglob("*") if path.is_file())
        return usage._replace(free=max(3 * SIZE // 2 - there, 0))

    monkeypatch.setattr(shutil, "disk_usage", of_a_small_disk)
    fetch(model("two"), print)
    assert here() == ["two"]


def test_what_somebody_uses_stays_and_is_told_of(hub: FakeHub, cache: Path, room_for: Callable[[float], None]):
    room_for(2.5)
    with Hold() as hold:
        for name in ("one", "two"):
            fetch(model(name), print)
            folder_of(model(name), hold=hold)
            unused_since(cache, name, 1000.0)
        with pytest.raises(WeightsMissing, match=r"owner/three takes .* hosts that are up hold"):
            fetch(model("three"), print)
        assert here() == ["one", "two"]
    fetch(model("three"), print)
    assert len(here()) == 2


def test_nothing_goes_where_that_would_not_be_enough(hub: FakeHub, cache: Path, room_for: Callable[[float], None]):
    fetch(model("one"), print)
    room_for(0.5)
    with pytest.raises(WeightsMissing, match=LIMIT):
        fetch(model("two"), print)
    assert here() == ["one"]


@pytest.mark.parametrize("said", ["much", "-1", "0", "nan", "inf"])
def test_a_bound_that_is_none_is_said(hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch, said: str):
    monkeypatch.setenv(LIMIT, said)
    with pytest.raises(WeightsMissing, match=f"{LIMIT} is '{said}'"):
        fetch(model("one"), print)


# ---- processes ------------------------------------------------------------------------------------------------------

USE = """
import sys
from ancestra_farm.batch.card import ModelCard
from ancestra_farm.models.diffusion.room import Hold
from ancestra_farm.models.diffusion.weights import folder_of
hold = Hold()
folder_of(ModelCard.model_validate_json(sys.argv[1]), hold=hold)
print("held", flush=True)
sys.stdin.readline()
"""
FETCH = """
import sys
from ancestra_farm.batch.card import ModelCard
from ancestra_farm.models.diffusion.weights import fetch
fetch(ModelCard.model_validate_json(sys.argv[1]), lambda said: None)
"""
#: Dies where weights that make way have left their place and are not deleted.
DIE = """
import os, shutil, signal
whole = shutil.rmtree
def rmtree(path, *rest, **more):
    if "leaving" in str(path) and os.path.exists(path):
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(path, *rest, **more)
shutil.rmtree = rmtree
"""


def process(script: str, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, model(name).model_dump_json()]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_the_weights_of_a_live_process_stay_and_those_of_a_killed_one_may_go(
    hub: FakeHub, cache: Path, room_for: Callable[[float], None]
):
    fetch(model("one"), print)
    room_for(1.5)
    user = process(USE, "one")
    assert user.stdout is not None
    assert user.stdout.readline() == "held\n", user.communicate()
    with pytest.raises(WeightsMissing, match="hosts that are up hold"):
        fetch(model("two"), print)
    user.kill()
    user.communicate()
    fetch(model("two"), print)
    assert here() == ["two"]


def test_whoever_is_killed_while_weights_make_way_leaves_none_that_are_half(
    hub: FakeHub, cache: Path, room_for: Callable[[float], None]
):
    fetch(model("one"), print)
    room_for(1.5)
    killed = process(DIE + FETCH, "two")
    killed.communicate(timeout=100)
    assert killed.returncode == -signal.SIGKILL
    assert here() == []
    assert len(list((cache / "leaving").iterdir())) == 1
    fetch(model("two"), print)
    assert here() == ["two"]
    assert not list((cache / "leaving").glob("*"))
    assert files_in(folder_of(model("two"))) == READ


def test_a_fetch_that_was_broken_off_makes_way_too(hub: FakeHub, cache: Path, room_for: Callable[[float], None]):
    hub.stall.add(UNET)
    killed = process(FETCH, "one")
    assert hub.stalled.wait(timeout=120), killed.communicate()
    # So much of it is on the disk that the other one finds no room beside it.
    wait_for(lambda: _size(cache / "fetching") > SIZE // 2, 120)
    room_for(1.2)
    with pytest.raises(WeightsMissing, match=LIMIT):
        fetch(model("two"), print)  # it is still coming, and will be as large as the bound
    killed.kill()
    killed.communicate()
    hub.stall.clear()
    hub.release.set()
    fetch(model("two"), print)
    assert here() == ["two"]
    assert [path.name for path in (cache / "fetching").iterdir()] == []


def test_processes_that_fetch_at_once_keep_to_the_bound_together(
    hub: FakeHub, cache: Path, room_for: Callable[[float], None]
):
    fetch(model("one"), print)
    room_for(2.5)
    both = [process(FETCH, name) for name in ("two", "three")]
    ends = [one.communicate(timeout=240) for one in both]
    assert [one.returncode for one in both] == [0, 0], ends
    assert here() == ["two", "three"]
