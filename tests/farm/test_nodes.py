"""Several real nodes on one machine: one is lost in the middle, one comes back, one is slow."""

import time
from collections import Counter

import pytest

from ancestra_farm.batch.faults import FaultProfile
from ancestra_farm.batch.load import canonical
from ancestra_farm.farm.crew import Crew
from ancestra_farm.farm.faults import Injection, chance
from ancestra_farm.farm.news import Inbox
from ancestra_farm.farm.run import run_batch
from ancestra_farm.ledger.store import Store
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.scheduler.world import HostLost, HostPlaced, HostReady, StartHost, StopHost
from tests.farm.batches import batch_document, write_batch
from tests.farm.logs import attempts_of, survivors_of
from tests.farm.processes import wait_for
from tests.farm.small_cluster import MARKS, add_node, in_thread, nodes_of, small_cluster
from tests.farm.soundness import faults_of
from tests.farm.test_crew import Heard
from tests.farm.threads import ThreadFarm, submission

pytestmark = list(MARKS)


@pytest.fixture(scope="module")
def cluster():
    with small_cluster() as one:
        yield one


@pytest.fixture
def document():
    # Long enough for a node to come up and load while the others work, also where the machine is busy.
    return batch_document(candidates=96, wave=32, parameters={"delay_s": 0.4})


def undisturbed(tmp_path, document):
    """Survivors of the same batch on threads."""
    store = Store.open(str(tmp_path / "undisturbed"), create=True)
    assert ThreadFarm(store, 16).loop.run([submission(tmp_path, document)]).how == "done"
    return survivors_of(store.url)


def judged_by(url, since=0.0):
    return Counter(attempt.host for attempt in attempts_of(url, "judged") if attempt.at >= since)


def test_a_lost_node_is_nobodys_fault_and_a_new_one_is_put_to_work(tmp_path, cluster, document):
    url = str(tmp_path / "store")
    batch = write_batch(tmp_path, document)
    _, leaving = nodes_of(cluster, 2)
    running = in_thread(lambda: run_batch(batch, url, who="tester"))
    wait_for(lambda: running.done() or len(judged_by(url)) == 2)
    lost_at = time.time()
    cluster.remove_node(leaving, allow_graceful=False)
    told = wait_for(lambda: [a for a in attempts_of(url) if a.cause != "judged"])
    assert {attempt.cause for attempt in told} == {"host_lost"}, told[0].message
    add_node(cluster)
    summary = running.result(240)
    assert summary.how == "done"
    assert len(judged_by(url)) == 3
    assert attempts_of(url, "crash") == []
    assert faults_of(url, undisturbed(tmp_path, document)) == []
    assert max(attempt.at for attempt in told) - lost_at < 60


def test_a_node_that_was_killed_gets_no_host_though_ray_believes_it_to_be_up(tmp_path, cluster):
    staying, killed = nodes_of(cluster, 2)
    inbox, card = Inbox(), load_catalog(None)["procedural/stills"]
    crew, heard = Crew(inbox, Store.open(str(tmp_path / "store"), create=True).url), Heard(inbox)

    def start(name):
        crew.start(StartHost(name, card.id, canonical(card), 0, 1.0))

    start("h1")
    start("h2")
    heard.wait(lambda _: len(heard.of(HostReady)) == 2)
    on = {one.node: one.host for one in heard.of(HostPlaced)}
    assert crew.slots().cpu_slots == 2
    cluster.remove_node(killed, allow_graceful=False)
    lost = heard.wait(lambda one: isinstance(one, HostLost))
    assert (lost.host, lost.cause) == (on[killed.node_id], "host_lost")
    assert crew.slots().cpu_slots == 1
    crew.stop(StopHost(on[staying.node_id], "its slot is needed"))
    start("h3")
    placed = heard.wait(lambda one: isinstance(one, HostPlaced) and one.host == "h3")
    assert placed.node == staying.node_id
    crew.close()


def test_a_slow_node_does_less_and_decides_nothing(tmp_path, cluster):
    document = batch_document(candidates=64, wave=32, parameters={"delay_s": 0.05})
    hosts = ("e1-procedural-stills-1", "e1-procedural-stills-2")
    seed = next(n for n in range(100) if [chance(n, "slow_hosts", host) < 0.5 for host in hosts] == [True, False])
    profile = FaultProfile(slow_hosts=0.5, slow_factor=8.0, persistent=0.0)
    faults = Injection(profile=profile, seed=seed, journal=str(tmp_path / "journal")).model_dump_json()
    url = str(tmp_path / "store")
    nodes_of(cluster, 2)
    summary = run_batch(write_batch(tmp_path, document), url, who="tester", faults=faults)
    assert summary.how == "done"
    assert faults_of(url, undisturbed(tmp_path, document)) == []
    done = judged_by(url)
    assert done[hosts[0]] < done[hosts[1]]
