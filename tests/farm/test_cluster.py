"""Ray of our own, and Ray that is joined."""

import stat
from pathlib import Path

import pytest

from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.verify import verify
from tests.farm.batches import batch_document, write_batch
from tests.farm.heads import Head
from tests.farm.processes import Attended

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]


@pytest.fixture
def head(tmp_path):
    """The address of a Ray that another process runs, with the token that Ray makes for this user."""
    head = Head(tmp_path)
    yield head.address
    head.close()


def test_a_run_joins_a_ray_with_its_token_and_leaves_it_running(tmp_path, head):
    url = str(tmp_path / "store")
    batch = str(write_batch(tmp_path, batch_document()))
    for store in (url, url + "-again"):
        run = Attended(tmp_path, batch=batch, store=store, address=head)
        try:
            assert run.finish()["how"] == "done"
        finally:
            run.close()
    assert verify(Store.open(url)).problems == ()
    token = Path.home() / ".ray" / "auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_an_address_where_nobody_is_makes_no_store(tmp_path):
    batch = str(write_batch(tmp_path, batch_document()))
    run = Attended(tmp_path, batch=batch, store=str(tmp_path / "store"), address="127.0.0.1:1")
    try:
        assert run.process.wait(60) != 0
        assert "there is no Ray at 127.0.0.1:1" in run.log.read_text()
    finally:
        run.close()
    assert not (tmp_path / "store").exists()
