"""Kill -9 at any level of the process tree, then go on: nothing is lost, nothing is done twice, nothing is unfair."""

import os
import signal

import pytest

from ancestra_farm.ledger.liveness import who_is_alive
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.verify import verify
from tests.farm.batches import batch_document, with_clips, write_batch
from tests.farm.logs import ENDS, attempts_of, judged_more_than_once, rows_of, survivors_of
from tests.farm.processes import Attended, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kill")


@pytest.fixture(scope="module")
def batch(folder):
    """Two shots of stills and clips; each candidate waits a little, so that there is a middle to be killed in."""
    document = with_clips(
        batch_document(2, candidates=24, wave=8, parameters={"delay_s": 0.15}), parameters={"delay_s": 0.15}
    )
    return str(write_batch(folder, document))


@pytest.fixture
def attend(folder):
    runs = []

    def start(**wanted):
        runs.append(Attended(folder, **wanted))
        return runs[-1]

    yield start
    for run in runs:
        run.close()


@pytest.fixture(scope="module")
def undisturbed(folder, batch):
    """Survivors of the same batch where nothing was killed."""
    url = str(folder / "undisturbed")
    run = Attended(folder, batch=batch, store=url)
    try:
        summary = run.finish()
    finally:
        run.close()
    assert summary["how"] == "done", summary
    return survivors_of(url)


def judged(url):
    return len(attempts_of(url, "judged"))


def check_store(url, expected):
    assert {row["outcome"] for row in rows_of(url)} <= ENDS
    assert survivors_of(url) == expected
    assert judged_more_than_once(url) == []
    assert verify(Store.open(url)).problems == ()


def test_a_killed_farm_goes_on_where_it_was(folder, batch, attend, undisturbed):
    url = str(folder / "killed")
    run = attend(batch=batch, store=url)
    wait_for(lambda: judged(url) >= 12)
    run.kill_all()
    before = {(a.branch, a.position): a for a in attempts_of(url, "judged")}
    assert who_is_alive(Store.open(url)) is None

    assert attend(batch=None, store=url).finish()["how"] == "done"
    check_store(url, undisturbed)
    after = {(a.branch, a.position): a for a in attempts_of(url, "judged")}
    assert before.items() <= after.items()


def test_a_killed_host_costs_nobody_a_place(folder, batch, attend, undisturbed):
    url = str(folder / "host-killed")
    run = attend(batch=batch, store=url)
    wait_for(lambda: judged(url) >= 6)
    os.kill(wait_for(lambda: run.pids("ray::Host"))[0], signal.SIGKILL)
    assert run.finish()["how"] == "done"
    check_store(url, undisturbed)
    assert all(row["outcome"] not in {"quarantined", "lost", "failed"} for row in rows_of(url))


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(folder, batch, attend, undisturbed):
    url = str(folder / "stopped")
    run = attend(batch=batch, store=url)
    wait_for(lambda: judged(url) >= 6)
    os.killpg(run.process.pid, signal.SIGINT)
    summary = run.finish()
    assert summary["how"] == "interrupted"
    assert "ancestra resume" in summary["message"]
    assert wait_for(lambda: not run.pids()) is True
    assert judged(url) < 48

    assert attend(batch=None, store=url).finish()["how"] == "done"
    check_store(url, undisturbed)
