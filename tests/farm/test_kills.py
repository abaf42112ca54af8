"""Kill -9 for whoever there is, at named points and at any time: then go on, and nothing is lost, doubled or unfair."""

import contextlib
import os
import signal

import pytest

from ancestra_farm.api.client import Client, EndpointGone
from ancestra_farm.ledger.liveness import who_is_alive
from ancestra_farm.ledger.points import KILL_AT, KILL_ONCE
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.events import OrderGiven, StitchEnded
from tests.farm.batches import batch_document, with_clips, write_batch
from tests.farm.logs import attempts_of, events_of, survivors_of
from tests.farm.processes import Attended, Persisting, wait_for
from tests.farm.soundness import faults_of
from tests.farm.threads import ThreadFarm, submission

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

#: A Ray whose GCS is gone is waited for by its raylet, for a minute unless told otherwise.
SOON = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
HOST_AND_STITCH = (
    "host.before_ticket:2",
    "media.before_link:3",
    "host.after_media_before_row:4",
    "host.before_reply:2",
    "stitch.after_version_before_publish",
    "publish.half_way",
)
CONTROLLER = (
    "control.after_order",
    "control.before_commit:2",
    "control.after_commit_before_acknowledgement:3",
    "commit.before_create:4",
    "commit.after_create:6",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kills")


@pytest.fixture(scope="module")
def document():
    """Two shots of stills and clips; each candidate waits a little, so that there is a middle to be killed in."""
    waits = {"delay_s": 0.05}
    return with_clips(batch_document(2, candidates=24, wave=8, parameters=waits), parameters=waits)


@pytest.fixture(scope="module")
def batch(folder, document):
    return str(write_batch(folder, document))


@pytest.fixture(scope="module")
def undisturbed(folder, document):
    """Survivors of the same batch where nothing was killed."""
    store = Store.open(str(folder / "undisturbed"), create=True)
    assert ThreadFarm(store).loop.run([submission(folder, document)]).how == "done"
    return survivors_of(store.url)


@pytest.fixture
def persist(folder):
    started = []

    def start(name, *points):
        once = folder / f"{name}-killed"
        once.mkdir(exist_ok=True)
        environment = {**SOON, KILL_AT: ",".join(points), KILL_ONCE: str(once)} if points else SOON
        started.append(Persisting(folder, environment, cpus=2))
        return started[-1]

    yield start
    for farm in started:
        farm.run.close()


@pytest.fixture(scope="module")
def standing(folder):
    """A Ray on which nothing is killed, for what others leave undone."""
    farm = Persisting(folder, SOON, cpus=2)
    yield farm
    farm.run.close()


def judged(url):
    return len(attempts_of(url, "judged"))


def kill(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def killed_at(folder, name):
    return {path.name for path in (folder / f"{name}-killed").iterdir()}


def test_hosts_and_stitches_that_die_at_any_step_cost_nobody_a_place(folder, batch, persist, undisturbed):
    url = str(folder / "hosts")
    farm = persist("hosts", *HOST_AND_STITCH)
    farm.give(batch=batch, store=url)
    result = farm.result()
    assert (result["how"], result["again"]) == ("done", 0)
    assert killed_at(folder, "hosts") == set(HOST_AND_STITCH)
    assert faults_of(url, undisturbed) == []
    farm.leave()
    assert farm.gone()


def test_a_controller_that_dies_at_any_step_is_followed_by_the_next(folder, batch, persist, undisturbed):
    url = str(folder / "controllers")
    farm = persist("controllers", *CONTROLLER)
    farm.give(batch=batch, store=url, hosts=1)  # each controller brings up its own
    result = farm.result()
    assert (result["how"], result["again"]) == ("done", len(CONTROLLER))
    assert killed_at(folder, "controllers") == set(CONTROLLER)
    assert faults_of(url, undisturbed) == []
    farm.leave()
    assert farm.gone()


def test_a_ray_that_dies_in_any_part_leaves_nothing_behind_and_the_next_goes_on(
    folder, batch, persist, standing, undisturbed
):
    url = str(folder / "rays")
    parts = ("persisting", "raylet/raylet", "gcs_server", "")
    following = persist("rays")
    for n, part in enumerate(parts):
        farm, before = following, judged(url)
        farm.give(batch=batch, store=url)
        wait_for(lambda before=before: judged(url) >= before + 4)
        kill(farm.run.pids(part))
        following = standing if n == len(parts) - 1 else persist("rays")  # comes up while the other one goes
        assert farm.gone(), (part, farm.run.pids())
        assert who_is_alive(Store.open(url)) is None
    standing.give(batch=None, store=url)
    assert standing.result()["how"] == "done"
    assert faults_of(url, undisturbed) == []


def test_an_order_whose_controller_dies_before_it_says_so_counts_once(folder, persist):
    url = str(folder / "ordered")
    document = batch_document(candidates=8, wave=8, select="close")
    farm = persist("ordered", "control.after_order:2")  # the first is the submission
    farm.give(batch=str(write_batch(folder, document, "ordered.yaml")), store=url, hosts=1, stay=True)
    wait_for(lambda: survivors_of(url))
    [best, *_] = survivors_of(url)["anc_000/still"]
    of_stage = {"batch": "tiny", "who": "", "at": 0.0, "shot": "anc_000", "stage": "still"}
    pick = OrderGiven(order="pick", candidate_id=best, order_id="5" * 32, **of_stage)
    with wait_for(lambda: Client.of(Store.open(url))) as client, pytest.raises(EndpointGone):
        client.give([pick])
    with wait_for(lambda: Client.of(Store.open(url), patience_s=120.0), 120) as client:
        client.give([pick])  # nobody knows whether it was taken: given again, it is acknowledged
        client.give([OrderGiven(order="close", **of_stage)])
        wait_for(lambda: [e for e in events_of(url) if isinstance(e, StitchEnded)])
        client.stop()
    assert farm.result()["again"] == 1
    assert killed_at(folder, "ordered") == {"control.after_order:2"}
    assert [e.order for e in events_of(url) if isinstance(e, OrderGiven)] == ["pick", "close"]
    assert [e.version for e in events_of(url) if isinstance(e, StitchEnded) and e.ok] == ["v001"]
    assert faults_of(url, survivors_of(url)) == []


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(folder, batch, standing, undisturbed):
    url = str(folder / "stopped")
    run = Attended(folder, batch=batch, store=url)
    try:
        wait_for(lambda: judged(url) >= 6)
        os.killpg(run.process.pid, signal.SIGINT)
        summary = run.finish()
        assert summary["how"] == "interrupted"
        assert "ancestra resume" in summary["message"]
        assert wait_for(lambda: not run.pids()) is True
    finally:
        run.close()
    assert judged(url) < 48

    standing.give(batch=None, store=url)
    assert standing.result()["how"] == "done"
    assert faults_of(url, undisturbed) == []
