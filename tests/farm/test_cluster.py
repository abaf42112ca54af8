"""Ray of our own, and Ray that is joined."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.verify import verify
from tests.farm.batches import batch_document, write_batch
from tests.farm.processes import ROOT, Attended, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

HEAD = """
import sys
import ray
from ancestra_farm.farm.cluster import ray_cluster
if __name__ == "__main__":
    with ray_cluster(cpus=1):
        print(ray.get_runtime_context().gcs_address, flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def head(tmp_path):
    """The address of a Ray that another process runs, with the token that Ray makes for this user."""
    (tmp_path / "head.py").write_text(HEAD)
    out = tmp_path / "head.log"
    with out.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "head.py")],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        yield wait_for(lambda: address_in(out))
        process.stdin.close()
        assert process.wait(60) == 0


def address_in(log):
    return next((line for line in log.read_text().splitlines() if line.count(":") == 1 and line[0].isdigit()), None)


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
