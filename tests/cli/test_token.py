"""`ancestra token`, and what the log says of it."""

from pathlib import Path

from typer.testing import CliRunner

from ancestra_farm.api.people import issue
from ancestra_farm.cli.main import app
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.moments import clock
from tests.cli.conftest import Ancestra


def test_who_made_and_took_away_which_token_stands_in_the_log(ancestra: Ancestra, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    made = ancestra("token", "issue", "Noor", "--role", "artist", "--store", store.url)
    assert made.code == 0, made.err
    assert made.out.startswith("ancestra_")
    assert len(made.out.splitlines()) == 1
    assert ancestra("token", "revoke", "Noor", "--store", store.url).code == 0
    none = ancestra("token", "revoke", "Noor", "--store", store.url)
    assert none.code == 2
    rows = ancestra("log", "orders", "--store", store.url, "--json").json
    assert [(row["order"], row["about"]) for row in rows] == [("token issued", "Noor"), ("token revoked", "Noor")]
    assert all(row["who"] for row in rows)
    assert rows[0]["says"].startswith("artist, token ")
    told = ancestra("log", "orders", "--store", store.url).out
    assert made.out.strip() not in told


def test_what_was_revoked_is_told_among_the_orders(ancestra: Ancestra, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    digest = f"sha256:{'1' * 64}"
    assert ancestra("token", "issue", "Noor", "--store", store.url).code == 0
    revoked = ancestra("look", "revoke", digest, "--store", store.url, "--as", "Ana Lima", "--note", "she asked us to")
    assert revoked.code == 0, revoked.err
    assert ancestra("token", "revoke", "Noor", "--store", store.url).code == 0
    rows = ancestra("log", "orders", "--store", store.url, "--json").json
    assert [row["order"] for row in rows] == ["token issued", "revoke", "token revoked"]
    assert (rows[1]["who"], rows[1]["about"], rows[1]["says"]) == ("Ana Lima", digest, "she asked us to")
    assert "she asked us to" in ancestra("log", "orders", "--store", store.url).out


def test_a_token_may_be_made_for_a_while(ancestra: Ancestra, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    made = ancestra("token", "issue", "Noor", "--store", store.url, "--until", "+30d")
    assert made.code == 0, made.err
    assert "it ends at 20" in made.err
    (row,) = ancestra("token", "ls", "--store", store.url, "--json").json
    assert 30 * 86_400 - 5 < row["until"] - row["at"] <= 30 * 86_400 + 5
    (order,) = ancestra("log", "orders", "--store", store.url, "--json").json
    assert f"until {clock(row['until'])}" in order["says"]
    for wrong in ("soon", "2020-01-01"):
        said = ancestra("token", "issue", "Bo", "--store", store.url, "--until", wrong)
        assert said.code == 2
        assert wrong in said.err
    assert len(ancestra("token", "ls", "--store", store.url, "--json").json) == 1


def test_a_token_that_has_ended_is_listed_as_such_and_not_kept(ancestra: Ancestra, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    token = issue(store, "Noor", "viewer", by="ada", until=100.0)
    assert "1970-01-01 00:01:40 (ended)" in ancestra("token", "ls", "--store", store.url).out
    said = CliRunner().invoke(app, ["token", "use", "--store", store.url], input=f"{token}\n")
    assert said.exit_code == 1
    assert "ended at 1970-01-01" in said.stderr
