import pytest

from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.plan.events import OrderGiven
from tests.cli.conftest import Ancestra
from tests.cli.small_farm import SmallFarm


def survivors(ancestra: Ancestra, store: Store, shot: str = "anc_010_0010") -> list[str]:
    rows = ancestra("manifest", "--store", store.url, "--shot", shot, "--outcome", "survivor", "--json").json
    return [row["candidate_id"] for row in rows]


def orders(store: Store) -> list[OrderGiven]:
    return [event for commit in read_commits(store) for event in commit.events if isinstance(event, OrderGiven)]


def test_pick_and_close_let_the_shot_go_on_with_what_was_picked(ancestra: Ancestra, waiting: Store) -> None:
    first, second, *_ = survivors(ancestra, waiting)
    picked = ancestra("pick", first[:10], second[:10], "--store", waiting.url, "--as", "bo", "--note", "calm")
    assert picked.code == 0, picked.err
    assert ancestra("unpick", second, "--store", waiting.url, "--as", "bo").code == 0
    closed = ancestra("close", "anc_010_0010", "--store", waiting.url, "--as", "bo")
    assert closed.code == 0, closed.err
    assert f"ancestra resume --store {waiting.url}" in closed.out
    assert f"ancestra up --store {waiting.url}" in closed.out
    assert [(one.order, one.who) for one in orders(waiting)] == [
        ("pick", "bo"),
        ("pick", "bo"),
        ("unpick", "bo"),
        ("close", "bo"),
    ]
    SmallFarm(waiting).work()
    made = ancestra("manifest", "--store", waiting.url, "--where", "stage=animate", "--json").json
    assert [row["parents"] for row in made] == [[first]]
    version = ancestra("stitch", "anc_010_0010", "--store", waiting.url, "--json").json
    assert [one["state"] for one in version] == ["done"]
    assert "picked by bo: calm" in ancestra("why", first, "--store", waiting.url).out


def test_an_order_is_given_under_the_users_own_name(
    ancestra: Ancestra, waiting: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = survivors(ancestra, waiting)
    monkeypatch.setenv("USER", "cy")
    assert ancestra("pick", first, "--store", waiting.url).code == 0
    monkeypatch.setenv("ANCESTRA_USER", "noor")
    assert ancestra("pick", second, "--store", waiting.url).code == 0
    assert [(one.who, one.note) for one in orders(waiting)] == [("cy", ""), ("noor", "given by cy")]
    assert "printable" in ancestra("pick", first, "--store", waiting.url, "--as", "a\tb").err


def test_a_refused_order_leaves_no_trace(ancestra: Ancestra, waiting: Store) -> None:
    before = waiting.list("log")
    reject = ancestra("manifest", "--store", waiting.url, "--outcome", "rejected", "--json").json[0]["candidate_id"]
    for arguments in (
        ("pick", reject),
        ("unpick", reject),
        ("close", "anc_010_0010"),
        ("close", "anc_010_0010", "x"),
    ):
        said = ancestra(*arguments, "--store", waiting.url, "--as", "bo")
        assert said.code == 2, arguments
        assert "unexpected" not in said.err
    assert waiting.list("log") == before


def test_an_order_is_refused_where_a_controller_is_alive_that_does_not_answer(
    ancestra: Ancestra, waiting: Store
) -> None:
    one = survivors(ancestra, waiting)[0]
    presence = Presence.here("ada", 7)
    presence.write(waiting)
    before = waiting.list("log")
    said = ancestra("pick", one, "--store", waiting.url, "--as", "bo")
    assert said.code == 1
    assert "ada" in said.err
    assert "epoch 7" in said.err
    assert waiting.list("log") == before
    presence.withdraw(waiting)
    assert ancestra("pick", one, "--store", waiting.url, "--as", "bo").code == 0


def test_close_says_what_does_not_wait(ancestra: Ancestra, finished: Store) -> None:
    said = ancestra("close", "anc_010_0010", "--store", finished.url, "--as", "bo")
    assert said.code == 2
    assert "no stage of anc_010_0010 waits" in said.err


def test_several_picks_are_taken_together_or_not_at_all(ancestra: Ancestra, waiting: Store) -> None:
    first, second, *_ = survivors(ancestra, waiting)
    assert ancestra("pick", second, "--store", waiting.url, "--as", "bo").code == 0
    before = waiting.list("log")
    refused = ancestra("pick", first, second, "--store", waiting.url, "--as", "bo")
    assert refused.code == 2
    assert "already" in refused.err
    assert "none of the 2 candidates was picked" in refused.err
    assert waiting.list("log") == before
    taken = ancestra("pick", first, second, first, "--store", waiting.url, "--as", "cy")
    assert taken.code == 0, taken.err
    assert len(waiting.list("log")) == len(before) + 2
    assert [(one.candidate_id, one.who) for one in orders(waiting)] == [(second, "bo"), (first, "cy"), (second, "cy")]


def test_a_pick_says_how_it_comes_to_count(ancestra: Ancestra, finished: Store, waiting: Store) -> None:
    first = survivors(ancestra, waiting)[0]
    said = ancestra("pick", first[:8], "--store", waiting.url, "--as", "bo").out
    close = next(line for line in said.splitlines() if "ancestra close" in line).partition("ancestra ")[2]
    assert ancestra(*close.replace("NAME", "bo").split()).code == 0
    assert "close anc_010_0010 STAGE" in ancestra("close", "anc_010_0010", "--store", finished.url, "--as", "bo").err
