"""Tokens that come and go have their rows in the log, whoever is at work, and whoever went past the commands."""

from collections.abc import Iterator

import pytest

from ancestra_farm.api import audit
from ancestra_farm.api.audit import note_tokens
from ancestra_farm.api.people import Person, everybody, issue, revoke
from ancestra_farm.farm import control
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.ledger.verify import verify
from ancestra_farm.plan.farm_events import StopOrdered, TokenNoted
from tests.api.door import OpenDoor
from tests.farm.processes import wait_for

Row = tuple[str, str, str, str]


def rows(store: Store) -> list[Row]:
    events = [one for commit in read_commits(store) for one in commit.events if isinstance(one, TokenNoted)]
    return [(one.what, one.name, one.role, one.who) for one in events]


def test_with_nobody_at_work_a_token_has_its_row_at_once_and_the_token_stands_nowhere(store: Store) -> None:
    token = issue(store, "noor", "artist", by="ada")
    assert note_tokens(store, "ada", "token for noor") == 2
    assert revoke(store, "noor", by="ana") == 1
    assert note_tokens(store, "ana", "tokens of noor revoked") is not None
    assert rows(store) == [("issued", "noor", "artist", "ada"), ("revoked", "noor", "artist", "ana")]
    before = store.list("log")
    note_tokens(store, "ana", "again")
    assert store.list("log") == before, "there is nothing to be noted"
    assert not [path for path in store.list() if token.encode() in store.read(path)]
    assert verify(store).problems == ()


@pytest.mark.parametrize("what", ["issues", "revokes"])
def test_somebody_who_comes_in_between_has_their_row_once_and_it_is_true(
    store: Store, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Another one's whole command, after the people were read and before the rows of that are written."""
    issue(store, "eve", "operator", by="ada")
    note_tokens(store, "ada", "token for eve")
    issue(store, "noor", "artist", by="ada")

    def read_and_overtaken(store: Store) -> dict[str, tuple[Person, str]]:
        seen = everybody(store)
        monkeypatch.setattr(audit, "everybody", everybody)
        if what == "issues":
            issue(store, "bo", "operator", by="ana")
        else:
            revoke(store, "eve", by="ana")
        note_tokens(store, "ana", "in between")
        return seen

    monkeypatch.setattr(audit, "everybody", read_and_overtaken)
    note_tokens(store, "ada", "token for noor")
    other = ("issued", "bo", "operator", "ana") if what == "issues" else ("revoked", "eve", "operator", "ana")
    assert rows(store)[0] == ("issued", "eve", "operator", "ada")
    assert sorted(rows(store)[1:]) == sorted([other, ("issued", "noor", "artist", "ada")])


@pytest.fixture
def watched(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenDoor]:
    """A farm at work that looks at tokens more often than it would."""
    monkeypatch.setattr(control, "PEOPLE_S", 0.2)
    issue(store, "from before", "viewer", by="ada")
    with OpenDoor(store, census=True) as door:
        yield door


def test_a_farm_at_work_writes_what_comes_and_goes_though_nobody_asks_it(watched: OpenDoor) -> None:
    store = watched.store
    wait_for(lambda: rows(store) == [("issued", "from before", "viewer", "ada")], 20)
    issue(store, "noor", "artist", by="ada")
    assert note_tokens(store, "ada", "token for noor") is None, "it is the farm's to write"
    wait_for(lambda: ("issued", "noor", "artist", "ada") in rows(store), 20)
    revoke(store, "noor", by="ana")
    wait_for(lambda: rows(store)[-1] == ("revoked", "noor", "artist", "ana"), 20)
    (path,) = everybody(store)
    store.delete(path)
    wait_for(lambda: rows(store)[-1] == ("revoked", "from before", "viewer", ""), 20)
    assert len(rows(store)) == 4


def test_who_stopped_the_farm_stands_in_the_log(store: Store) -> None:
    with OpenDoor(store) as door:
        assert door.ask("POST", "/v1/stop", {}, role="viewer").status == 403
        assert door.ask("POST", "/v1/stop", {}, role="wrangler").status == 200
        wait_for(lambda: not door.thread.is_alive(), 60)
    stops = [one for commit in read_commits(store) for one in commit.events if isinstance(one, StopOrdered)]
    assert [one.who for one in stops] == ["wrangler"]


def test_whoever_is_believed_stands_in_the_log_before_what_they_ordered(store: Store) -> None:
    with OpenDoor(store, census=True) as door:
        assert door.ask("POST", "/v1/farm_settings", {"document": '{"schema": "ancestra/farm/v1"}'}).status == 200
    kinds = [type(one).__name__ for commit in read_commits(store) for one in commit.events]
    assert kinds.index("TokenNoted") < kinds.index("SettingsGiven")


def test_what_came_while_nobody_looked_is_noted_by_the_next_farm(store: Store) -> None:
    with OpenDoor(store, census=True) as door:
        door.ask("GET", "/v1/status", role="viewer")
        wait_for(lambda: rows(store) == [("issued", "viewer", "viewer", "tester")], 20)
    revoke(store, "viewer", by="ana")
    issue(store, "bo", "operator", by="ana")
    with OpenDoor(store, census=True):
        wait_for(lambda: len(rows(store)) == 3, 20)
    assert rows(store)[1:] == [("revoked", "viewer", "viewer", "ana"), ("issued", "bo", "operator", "ana")]
