"""People, roles and tokens: the store knows digests alone, and each machine keeps its owner's token to itself."""

import itertools
import json
import os
import stat
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.api import tokens
from ancestra_farm.api.people import (
    RIGHTS,
    RIGHTS_ON_SHOW,
    NotAllowed,
    Person,
    Reach,
    Right,
    Role,
    everybody,
    issue,
    lowest,
)
from ancestra_farm.api.register import Register
from ancestra_farm.api.tokens import keep_token, kept_token, own_token, token_path
from ancestra_farm.batch.show_settings import ShowRole
from ancestra_farm.ledger.errors import StoreUnavailable
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.events import OrderKind
from ancestra_farm.plan.farm_events import NodeOrderKind


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_each_role_has_the_rights_of_the_one_below_and_more() -> None:
    rights = [RIGHTS[role] for role in get_args(Role)]
    assert all(lower < higher for lower, higher in itertools.pairwise(rights))
    assert RIGHTS["operator"] == set(get_args(Right))
    assert set(get_args(OrderKind)) < set(get_args(Right)), "every order is a right of its own"


def test_what_other_shows_feel_is_in_no_role_on_a_show() -> None:
    farms: set[Right] = {"priority", "farm_settings", "stop", "act_for_others", *get_args(NodeOrderKind)}
    assert farms < set(get_args(Right))
    for rights in RIGHTS_ON_SHOW.values():
        assert not rights & farms
        assert RIGHTS_ON_SHOW["viewer"] <= rights <= RIGHTS_ON_SHOW["supervisor"]
    assert set(RIGHTS_ON_SHOW) == set(get_args(ShowRole))


@pytest.mark.parametrize("role", get_args(Role))
@pytest.mark.parametrize("on", [None, *get_args(ShowRole)])
def test_a_token_and_a_role_on_a_show_add_up(role: Role, on: ShowRole | None) -> None:
    reach = Reach(Person("bo", role), {} if on is None else {"anc": on})
    for right in get_args(Right):
        of_show = on is not None and right in RIGHTS_ON_SHOW[on]
        assert reach.may(right, "anc") is (right in RIGHTS[role] or of_show)
        assert reach.may(right, "other") is (right in RIGHTS[role])
        shows = reach.shows(right)
        assert shows is None if right in RIGHTS[role] else shows == ({"anc"} if of_show else set())
        for show in ("anc", "other"):
            if not reach.may(right, show):
                with pytest.raises(NotAllowed, match="bo") as refused:
                    reach.need(right, show)
                assert "operator" in str(refused.value) or "of anc may" in str(refused.value)


def test_a_refusal_says_who_may_on_a_show() -> None:
    reach = Reach(Person("bo", "member"), {"anc": "reviewer"})
    with pytest.raises(NotAllowed, match="bo is a reviewer of anc and may not submit batches; a submitter of anc may"):
        reach.need("submit", "anc")
    with pytest.raises(NotAllowed, match="bo is a reviewer of anc and may not stop the farm; a wrangler may"):
        reach.need("stop", "anc")
    with pytest.raises(NotAllowed, match="bo has no role on other"):
        reach.need("pick", "other")
    with pytest.raises(NotAllowed, match="bo is an artist and may not close a stage; a supervisor may"):
        Reach(Person("bo", "artist")).need("close", "anc")


def test_a_refusal_says_who_may() -> None:
    with pytest.raises(NotAllowed, match="bo is an artist and may not close a stage; a supervisor may"):
        Person("bo", "artist").need("close")
    assert (lowest("pick"), lowest("stop"), lowest("act_for_others")) == ("artist", "wrangler", "operator")


def test_the_store_keeps_the_digest_and_never_the_token(store: Store) -> None:
    token = issue(store, " Noor Al Amin ", "artist", by="ada", now=5.0)
    files = [store.read(path) for path in store.list()]
    assert not any(token.encode() in data for data in files)
    ((person, digest),) = everybody(store).values()
    assert person == Person("Noor Al Amin", "artist", digest[:16], 5.0, "ada")
    assert Register(store).person(token) == person
    assert Register(store).person(token + "x") is None


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 121])
def test_a_name_is_printable_and_not_too_long(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="a name is"):
        issue(store, name, "artist", by="ada")
    assert everybody(store) == {}


RECORD = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("name", "role", "sha256", "at", "by"), RECORD) | {"role": st.just("operator")}
    )
    | RECORD
)
def test_a_file_that_is_no_record_is_nobodys(record: object) -> None:
    store = Store.open("memory://people", create=True)
    store.replace("people/0000000000000000.json", json.dumps(record).encode())
    assert everybody(store) == {}


def test_a_record_under_another_name_is_nobodys(store: Store) -> None:
    issue(store, "bo", "artist", by="ada")
    (path,) = everybody(store)
    store.replace("people/ffffffffffffffff.json", store.read(path))
    assert list(everybody(store)) == [path]


def test_the_first_use_makes_a_token_that_nobody_else_can_read(store: Store, own_state: Path) -> None:
    before = os.umask(0)
    try:
        own = own_token(store)
    finally:
        os.umask(before)
    path = token_path(store.id)
    assert path.is_relative_to(own_state)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    person = Register(store).person(own.token)
    assert person is not None
    assert (person.name, person.role) == ("ada", "operator")
    assert own_token(store).token == own.token
    assert own.token not in repr(own)
    assert [one.name for one in path.parent.iterdir()] == ["token"]


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602])
def test_a_token_that_others_can_read_or_write_is_not_used(store: Store, bits: int) -> None:
    token = own_token(store).token
    path = token_path(store.id)
    path.chmod(bits)
    with pytest.raises(NotAllowed, match=f"mode 0{bits:o}") as refused:
        kept_token(store.id)
    assert token not in str(refused.value)
    keep_token(store.id, token, "ada")
    assert mode(path) == 0o600


def test_a_file_that_is_no_token_is_said_to_be_none(store: Store) -> None:
    keep_token(store.id, "x", "ada").write_bytes(b"\xff{")
    with pytest.raises(NotAllowed, match="is no token"):
        kept_token(store.id)


def test_the_environment_goes_before_the_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    own_token(store)
    monkeypatch.setenv("ANCESTRA_TOKEN", "ancestra_other")
    found = kept_token(store.id)
    assert found is not None
    assert (found.token, found.name, found.place) == ("ancestra_other", "", "ANCESTRA_TOKEN")


def test_whoever_cannot_write_the_store_is_told_whom_to_ask(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(self: Store, path: str, data: bytes) -> None:
        raise StoreUnavailable(f"{path}: Permission denied")

    monkeypatch.setattr(Store, "replace", cannot)
    with pytest.raises(NotAllowed, match="ancestra token issue"):
        own_token(store)
    assert not token_path(store.id).exists()


@pytest.mark.parametrize(("text", "is_one"), [("ancestra_abc", True), ("abc", False), ("ancestra_é", False)])
def test_what_is_no_token_is_seen_at_once(text: str, is_one: bool) -> None:
    assert tokens.looks_like_token(text) is is_one
