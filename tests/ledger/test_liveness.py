import json
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest

from ancestra_farm.ledger import liveness
from ancestra_farm.ledger.liveness import CLOCKS_S, HEARTBEAT_S, PATH, Presence, who_is_alive, who_would_be_ended
from ancestra_farm.ledger.store import Store

SLEEPER = """
import sys, time
from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.ledger.store import Store
Presence.here("run", 7).write(Store.open(sys.argv[1]))
print("written", flush=True)
sys.stdin.read()
"""


def test_nobody_is_alive_in_a_new_store(store: Store):
    assert who_is_alive(store) is None


def test_a_process_at_work_is_seen(store: Store):
    Presence.here("ancestra run", 3, "127.0.0.1:8080").write(store)
    found = who_is_alive(store)
    assert found is not None
    assert (found.who, found.epoch, found.endpoint) == ("ancestra run", 3, "127.0.0.1:8080")
    assert "ancestra run (process" in str(found)


def test_a_killed_process_is_not_alive_however_young_its_heartbeat(local_store: Store):
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, local_store.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "written\n"
    found = who_is_alive(local_store)
    assert found is not None
    assert found.pid == process.pid
    process.kill()
    process.communicate()
    assert who_is_alive(local_store) is None


def test_a_silent_process_on_this_machine_is_still_alive(store: Store):
    Presence.here("run", 1).write(store)
    assert who_is_alive(store, now=time.time() + 10 * HEARTBEAT_S) is not None


def test_another_process_of_the_same_number_is_not_taken_for_it(store: Store):
    mine = replace(Presence.here("run", 1), started="1")
    store.replace(PATH, json.dumps({**{f: getattr(mine, f) for f in mine.__slots__}}).encode())
    assert who_is_alive(store) is None


@pytest.mark.parametrize(("age_s", "alive"), [(0.0, True), (HEARTBEAT_S - 1, True), (HEARTBEAT_S + 1, False)])
def test_of_another_machine_the_heartbeat_counts(store: Store, age_s: float, alive: bool):
    there = replace(Presence.here("run", 1), machine="elsewhere/boot/pid")
    there.write(store)
    at = json.loads(store.read(PATH))["at"]
    assert (who_is_alive(store, now=at + age_s) is not None) is alive


def test_what_a_later_version_says_besides_keeps_nobody_from_being_seen(store: Store):
    Presence.here("run", 4).write(store)
    store.replace(PATH, json.dumps({**json.loads(store.read(PATH)), "mood": "calm"}).encode())
    assert who_is_alive(store) is not None
    store.replace(PATH, b"[]")
    assert who_is_alive(store) is None


def test_leaving_takes_the_mark_away(store: Store):
    mine = Presence.here("run", 1)
    mine.write(store)
    mine.withdraw(store)
    assert not store.exists(PATH)
    mine.withdraw(store)


def test_leaving_does_not_take_a_successors_mark_away(store: Store):
    mine = Presence.here("run", 1)
    mine.write(store)
    replace(mine, epoch=2).write(store)
    mine.withdraw(store)
    found = who_is_alive(store)
    assert found is not None
    assert found.epoch == 2


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"who": "x"}', b'{"unknown": 1}', b"null"])
def test_a_mark_that_cannot_be_read_is_nobody(store: Store, text: bytes):
    store.replace(PATH, text)
    assert who_is_alive(store) is None


def elsewhere(store: Store, age_s: float) -> Presence:
    """A mark of another machine whose clock is behind, or that was killed."""
    there = replace(Presence.here("run", 1), machine="elsewhere/boot/pid", at=time.time() - age_s)
    store.replace(PATH, json.dumps(asdict(there)).encode())
    return there


def test_somebody_whose_clock_is_behind_is_not_taken_for_dead(store: Store, monkeypatch: pytest.MonkeyPatch):
    elsewhere(store, 3 * HEARTBEAT_S)
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            elsewhere(store, 3 * HEARTBEAT_S)  # it goes on

    monkeypatch.setattr(liveness.time, "sleep", sleep)
    assert who_is_alive(store) is None
    found = who_would_be_ended(store)
    assert found is not None
    assert found.machine == "elsewhere/boot/pid"
    assert len(looks) == 2


@pytest.mark.parametrize("age_s", [HEARTBEAT_S + 1, CLOCKS_S + 1])
def test_whoever_writes_no_heartbeat_any_more_holds_up_nobody(
    store: Store, monkeypatch: pytest.MonkeyPatch, age_s: float
):
    monkeypatch.setattr(liveness, "NEXT_S", 0.2)
    monkeypatch.setattr(liveness, "LOOK_S", 0.05)
    elsewhere(store, age_s)
    assert who_would_be_ended(store) is None
