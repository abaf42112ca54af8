"""Revocations: the first stands, all are found, and one that cannot be read is not overlooked."""

import pytest

from ancestra_farm.ledger.errors import LogDamaged, StoreRefused
from ancestra_farm.ledger.revoked import revocations, revoke
from ancestra_farm.ledger.store import Store

DIGEST = "sha256:" + "a" * 64


def test_the_first_revocation_stands(tmp_path):
    store = Store.open(str(tmp_path / "store"), create=True)
    assert revocations(store) == {}
    first = revoke(store, DIGEST, "ada", "he asked us to", 86_400.0)
    assert revoke(store, DIGEST, "bo", "again", 99.0) == first
    assert revocations(store) == {DIGEST: first}
    assert str(first) == f"{DIGEST} was revoked on 1970-01-02, says ada: he asked us to"


def test_what_is_no_digest_is_refused_and_what_cannot_be_read_is_said(tmp_path):
    store = Store.open(str(tmp_path / "store"), create=True)
    with pytest.raises(StoreRefused, match="is not a digest"):
        revoke(store, "ember.jpg", "ada", "", 1.0)
    store.create(f"revoked/{'b' * 64}.json", b"{")
    with pytest.raises(LogDamaged, match="is no revocation that can be read"):
        revocations(store)
