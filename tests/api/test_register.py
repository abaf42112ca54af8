"""Whose token it is, while the store answers and while it does not."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.api import register as registers
from ancestra_farm.api.people import FOLDER, TokenEnded, issue, read_person, revoke
from ancestra_farm.api.register import AGAIN, BELIEVED_S, KEPT_S, MOST_UNKNOWN, Register
from ancestra_farm.ledger.errors import StoreUnavailable
from ancestra_farm.ledger.store import Store
from ancestra_farm.scheduler.holders import PeopleSeen
from tests.api.door import OpenDoor
from tests.farm.processes import wait_for


@contextmanager
def away(store: Store) -> Iterator[None]:
    """The folder of people cannot be read: the operating system says so, as it does of a disk that fails."""
    people = store.local_path("people")
    assert people is not None
    aside = people.rename(people.with_name("aside"))
    people.symlink_to(people)
    try:
        yield
    finally:
        people.unlink()
        aside.rename(people)


class Timed:
    """A register whose clock stands still unless it is set."""

    def __init__(self, store: Store) -> None:
        self.now = 0.0
        self.register = Register(store, clock=lambda: self.now)

    def name_of(self, token: str, after_s: float = 0.0) -> str | None:
        """Who that is, so many seconds later."""
        self.now += after_s
        person = self.register.person(token)
        return None if person is None else person.name


def test_a_revoked_token_stops_to_count_and_only_those_of_that_person_do(store: Store) -> None:
    noor, again, bo = (issue(store, name, "artist", by="ada") for name in ("noor", "noor", "bo"))
    now = [0.0]
    register = Register(store, clock=lambda: now[0])
    assert {register.person(token).name for token in (noor, again, bo)} == {"noor", "bo"}  # type: ignore[union-attr]
    assert revoke(store, "noor", by="ada") == 2
    now[0] += BELIEVED_S
    assert register.person(noor) is None
    assert register.person(again) is None
    assert register.person(bo) is not None
    assert revoke(store, "noor", by="ada") == 0


def test_a_token_made_a_moment_ago_counts_at_once(store: Store) -> None:
    register = Register(store, clock=lambda: 0.0)
    assert register.person("ancestra_nobody") is None
    assert register.person(issue(store, "bo", "viewer", by="ada")) is not None


def test_a_token_counts_until_its_end(store: Store) -> None:
    wall = [100.0]
    register = Register(store, clock=lambda: 0.0, wall=lambda: wall[0])
    bo = issue(store, "bo", "viewer", by="ada", until=200.0)
    noor = issue(store, "noor", "viewer", by="ada")
    wall[0] = 199.9
    assert register.person(bo) is not None
    wall[0] = 200.0
    with pytest.raises(TokenEnded, match=r"the token of bo ended at 1970-01-01 00:03:20 UTC; an operator makes"):
        register.person(bo)
    assert register.person(noor) is not None


def test_a_record_whose_end_is_no_time_is_nobodys(store: Store) -> None:
    issue(store, "bo", "viewer", by="ada", until=200.0)
    (path,) = store.list(FOLDER)
    for until in ("NaN", '"soon"', "Infinity", "[]"):
        store.replace(path, store.read(path).replace(b"200.0", until.encode()))
        assert read_person(store, path) is None
        store.replace(path, store.read(path).replace(until.encode(), b"200.0"))
    assert read_person(store, path) is not None


def test_whoever_keeps_the_log_is_told_again_when_a_token_ends(store: Store) -> None:
    now, wall = [0.0], [100.0]
    register = Register(store, clock=lambda: now[0], wall=lambda: wall[0])
    told: list[PeopleSeen] = []
    register.tell(told.append)
    issue(store, "bo", "viewer", by="ada", until=200.0)

    def look() -> int:
        now[0] += BELIEVED_S
        register.look()
        wait_for(lambda: register._reading is None, 30)
        return len(told)

    assert look() == 1
    wall[0] = 199.0
    assert look() == 1, "nothing has changed"
    wall[0] = 201.0
    assert look() == 2
    assert look() == 2


def change(store: Store, name: str, **fields: Any) -> None:
    """What stands in somebody's record, by hand."""
    for path in store.list(FOLDER):
        record = json.loads(store.read(path))
        if record["name"] == name:
            store.replace(path, json.dumps(record | fields).encode())


def test_somebody_demoted_by_hand_orders_nothing_more(store: Store) -> None:
    noor = issue(store, "noor", "operator", by="ada")
    timed = Timed(store)
    assert timed.name_of(noor) == "noor"
    (path,) = store.list(FOLDER)
    for number in range(3 * AGAIN):
        issue(store, f"p{number}", "viewer", by="ada")
    looks = (timed.name_of(noor, BELIEVED_S) for _ in range(9))
    while path in timed.register._fresh:
        assert next(looks) == "noor"
    change(store, "noor", role="viewer")
    found = timed.register.person(noor, sure=True)
    assert found is not None
    assert found.role == "viewer"
    change(store, "noor", until=1.0)
    timed.now += BELIEVED_S
    with pytest.raises(TokenEnded):
        timed.register.person(noor, sure=True)


def test_whoever_keeps_the_log_is_told_in_a_while_what_was_changed_by_hand(store: Store) -> None:
    now, told = [0.0], list[PeopleSeen]()
    register = Register(store, clock=lambda: now[0])
    register.tell(told.append)
    for number in range(2 * AGAIN + 1):
        issue(store, f"p{number}", "viewer", by="ada")
    change(store, "p1", until=2e10)

    def look() -> None:
        now[0] += BELIEVED_S
        register.look()
        wait_for(lambda: register._reading is None, 30)

    look()
    change(store, "p0", role="operator")
    change(store, "p1", until=None)
    for _ in range(4):
        look()
    assert {one.name: one.role for one in told[-1].holders}["p0"] == "operator"
    assert {one.name: one.until for one in told[-1].holders}["p1"] is None
    seen = len(told)
    look()
    assert len(told) == seen, "nothing has changed"


def test_what_was_read_before_somebody_kept_the_log_is_not_told_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new epoch has folded rows by then that such a reading knows nothing of."""
    bo = issue(store, "bo", "viewer", by="ada")
    now, told, goes_on = [0.0], list[PeopleSeen](), threading.Event()
    register = Register(store, clock=lambda: now[0])
    register.tell(lambda seen: None)
    people_in = registers._people_in
    monkeypatch.setattr(registers, "_people_in", lambda *given: (people_in(*given), goes_on.wait(30))[0])
    register.look()
    wait_for(lambda: register._reading is not None, 30)
    revoke(store, "bo", by="ada")
    register.tell(told.append)
    goes_on.set()
    wait_for(lambda: register._reading is None, 30)
    now[0] += BELIEVED_S
    assert register.person(bo) is None
    assert [seen.holders for seen in told] == [()]


def test_through_the_door_it_is_said_that_a_token_has_ended(open_door: OpenDoor) -> None:
    ended = issue(open_door.store, "bo", "wrangler", by="ada", until=1.0)
    said = open_door.ask("GET", "/v1/status", role="", headers={"authorization": f"Bearer {ended}"})
    assert said.status == 401
    assert "the token of bo ended at 1970-01-01" in said.json["detail"]
    assert said.headers["www-authenticate"].startswith("Bearer")


def test_guessing_makes_the_store_be_read_only_a_few_times(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    list_ = Store.list
    monkeypatch.setattr(Store, "list", lambda self, prefix="": (looks.append(prefix), list_(self, prefix))[1])
    register = Register(store, clock=lambda: 0.0)
    for guess in range(500):
        assert register.person(f"ancestra_{guess}") is None
    assert len(looks) <= MOST_UNKNOWN + 1


def test_who_is_known_is_believed_while_the_store_does_not_answer_but_not_for_ever(store: Store) -> None:
    bo = issue(store, "bo", "artist", by="ada")
    timed = Timed(store)
    assert timed.name_of(bo) == "bo"
    with away(store):
        assert timed.name_of(bo, BELIEVED_S) == "bo"
        assert timed.name_of(bo, KEPT_S - BELIEVED_S - 1) == "bo"
        with pytest.raises(StoreUnavailable, match="nobody can say whose token this is"):
            timed.name_of(bo, 1.0)
    assert timed.name_of(bo, BELIEVED_S) == "bo", "once it answers all is as before"


def test_what_was_revoked_while_the_store_did_not_answer_counts_once_it_does(store: Store) -> None:
    bo, noor = issue(store, "bo", "artist", by="ada"), issue(store, "noor", "artist", by="ada")
    timed = Timed(store)
    assert timed.name_of(bo) == "bo"
    with away(store):
        assert timed.name_of(bo, BELIEVED_S) == "bo"
    revoke(store, "bo", by="ada")
    assert timed.name_of(bo, BELIEVED_S) is None
    assert timed.name_of(noor) == "noor"


def test_a_token_that_is_not_known_is_neither_taken_nor_refused_while_the_store_does_not_answer(store: Store) -> None:
    issue(store, "bo", "artist", by="ada")
    noor = issue(store, "noor", "artist", by="ada")
    timed = Timed(store)
    with away(store):
        for _ in range(2 * MOST_UNKNOWN):
            with pytest.raises(StoreUnavailable):
                timed.name_of(noor)
    assert timed.name_of(noor, BELIEVED_S) == "noor"


def test_a_folder_that_nothing_is_mounted_on_any_more_revokes_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "mount"
    store = Store.open(str(folder), create=True)
    bo = issue(store, "bo", "artist", by="ada")
    timed = Timed(store)
    assert timed.name_of(bo) == "bo"
    folder.rename(tmp_path / "elsewhere")
    folder.mkdir()
    assert timed.name_of(bo, BELIEVED_S) == "bo"
    folder.rmdir()
    (tmp_path / "elsewhere").rename(folder)
    assert revoke(store, "bo", by="ada") == 1
    assert timed.name_of(bo, BELIEVED_S) is None, "a store that is there and names nobody is believed"


def test_a_store_that_hangs_holds_up_whoever_asks_first_and_nobody_after(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bo = issue(store, "bo", "artist", by="ada")
    timed = Timed(store)
    assert timed.name_of(bo) == "bo"
    answers, waits = threading.Event(), []
    list_, wait_for_ = Store.list, timed.register._turn.wait_for
    monkeypatch.setattr(Store, "list", lambda self, prefix="": (answers.wait(60), list_(self, prefix))[1])
    monkeypatch.setattr(
        timed.register._turn, "wait_for", lambda holds, timeout: (waits.append(timeout), wait_for_(holds, 0.05))[1]
    )
    try:
        for _ in range(10):
            assert timed.name_of(bo, BELIEVED_S) == "bo"
        assert waits == [registers.PATIENCE_S]
        with pytest.raises(StoreUnavailable, match="does not answer"):
            timed.name_of("ancestra_of-somebody-else")
        revoke_quietly(store, list_)
    finally:
        answers.set()
    assert wait_for(lambda: timed.name_of(bo, BELIEVED_S) is None, 30) is True


def revoke_quietly(store: Store, list_: Any) -> None:
    """Take every token away past a listing that hangs."""
    for path in list_(store, "people"):
        store.delete(path)


def test_many_who_ask_at_once_have_the_store_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [issue(store, f"p{n}", "viewer", by="ada") for n in range(8)]
    register, looks = Register(store, clock=lambda: 0.0), []
    list_ = Store.list
    monkeypatch.setattr(Store, "list", lambda self, prefix="": (looks.append(prefix), list_(self, prefix))[1])
    with ThreadPoolExecutor(len(tokens)) as pool:
        found = list(pool.map(register.person, tokens))
    assert [person.name for person in found if person] == [f"p{n}" for n in range(8)]
    assert len(looks) == 1


def test_through_the_door_people_go_on_asking_while_the_store_does_not_say_who_they_are(open_door: OpenDoor) -> None:
    assert open_door.ask("GET", "/v1/status", role="artist").status == 200
    nobody = {"authorization": "Bearer ancestra_" + "x" * 43}
    with away(open_door.store):
        read_at = open_door.desk._register._read_at

        def in_trouble() -> bool:
            assert open_door.ask("GET", "/v1/status", role="artist").status == 200
            return open_door.desk._register._trouble is not None

        assert wait_for(in_trouble, 30) is True
        said = open_door.ask("GET", "/v1/status", role="", headers=nobody)
        assert (said.status, said.json["type"]) == (503, "#unknown-outcome")
        assert open_door.desk._register._read_at == read_at
    assert wait_for(lambda: open_door.ask("GET", "/v1/status", role="", headers=nobody).status == 401, 30) is True


def test_nobody_orders_while_the_store_does_not_say_whose_token_still_counts(store: Store) -> None:
    with OpenDoor(store) as door:

        def stop(status: int) -> bool:
            said = door.ask("POST", "/v1/stop", {}, role="wrangler")
            return said.status == status and (status == 200 or "whose token this is" in said.json["detail"])

        def in_trouble() -> bool:
            assert door.ask("GET", "/v1/status", role="wrangler").status == 200
            return door.desk._register._trouble is not None

        assert in_trouble() is False
        with away(store):
            assert wait_for(in_trouble, 30) is True
            assert stop(503)
            assert in_trouble() is True, "whoever only asks is told"
        assert door.thread.is_alive()
        assert wait_for(lambda: stop(200), 30) is True


class Flaky:
    """A backend that is away now and then."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.there = True

    def __getattr__(self, name: str) -> Any:
        if not self.there:
            raise StoreUnavailable("away")
        return getattr(self._backend, name)


@given(st.lists(st.sampled_from(["issue", "revoke", "away", "back", "later", "ask", "ask"]), max_size=25))
def test_at_any_moment_those_are_believed_whom_the_store_named_last(steps: list[str]) -> None:
    whole = Store.open("memory://register", create=True)
    revoke_quietly(whole, Store.list)
    backend = Flaky(whole._backend)
    timed = Timed(Store(whole.url, backend, whole.id))  # type: ignore[arg-type]
    tokens: list[str] = []
    named: list[str] = []
    told: tuple[list[str], float] = ([], -KEPT_S)
    for step in steps:
        if step == "issue":
            tokens.append(issue(whole, f"p{len(tokens)}", "viewer", by="ada"))
            named.append(tokens[-1])
        elif step == "revoke" and named:
            revoke(whole, f"p{tokens.index(named.pop())}", by="ada")
        elif step == "later":
            timed.now += KEPT_S / 2
        elif step == "ask":
            timed.now += BELIEVED_S
            told = (list(named), timed.now) if backend.there else told
            believed = told[0] if timed.now < told[1] + KEPT_S else []
            assert [
                token for token in tokens if is_believed(timed.register, token, unsure=not backend.there)
            ] == believed
        else:
            backend.there = step != "away"


def is_believed(register: Register, token: str, *, unsure: bool) -> bool:
    """Whether a token counts. ``unsure``: where it does not, that is because the store does not answer."""
    try:
        found = register.person(token)
    except StoreUnavailable:
        assert unsure
        return False
    assert found is not None or not unsure
    return found is not None
