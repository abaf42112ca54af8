"""`ancestra token`, and what the log says of it."""

from pathlib import Path

from ancestra_farm.ledger.store import Store
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
