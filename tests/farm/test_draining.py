"""Nodes that go away, on a real cluster: what Ray does about a drain, and a farm whose node is given notice."""

import time
from datetime import UTC, datetime

import pytest
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ancestra_farm.api.client import Client
from ancestra_farm.farm.draining import Drains, away_from, drain, draining_nodes, still_owed
from ancestra_farm.farm.run import run_batch
from ancestra_farm.ledger.errors import StoreMissing
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.farm_events import HostNoted, NodeNoticed, NodeOrdered
from tests.farm.batches import batch_document, write_batch
from tests.farm.clouds import AWS, endpoint
from tests.farm.logs import attempts_of, events_of, survivors_of
from tests.farm.processes import wait_for
from tests.farm.small_cluster import MARKS, add_node, in_thread, nodes_of, small_cluster
from tests.farm.soundness import faults_of
from tests.farm.threads import ThreadFarm, submission

pytestmark = list(MARKS)


@pytest.fixture(scope="module")
def cluster():
    with small_cluster() as one:
        yield one


@ray.remote(num_cpus=1)
class Place:
    def node(self):
        return ray.get_runtime_context().get_node_id()


def alive():
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def undisturbed(tmp_path, document):
    """Survivors of the same batch on threads."""
    store = Store.open(str(tmp_path / "undisturbed"), create=True)
    assert ThreadFarm(store, 16).loop.run([submission(tmp_path, document)]).how == "done"
    return survivors_of(store.url)


def noted(url, kind):
    return [event for event in events_of(url) if isinstance(event, kind)]


def hosts_there(url):
    """Nodes of the hosts that are up and not on their way out, as the door tells."""
    try:
        client = Client.of(Store.open(url))
    except StoreMissing:
        client = None
    if client is None:
        return {}
    with client:
        return {one.node: one.host for one in client.hosts().hosts if one.ready and not one.stopping}


# ---- Ray's own promises ----------------------------------------------------------------------------------------------


def test_ray_drains_a_node_as_is_relied_on(cluster):
    node = add_node(cluster).node_id
    here = NodeAffinitySchedulingStrategy(node, soft=False)
    actor = Place.options(scheduling_strategy=here, num_cpus=0).remote()
    assert ray.get(actor.node.remote()) == node
    assert draining_nodes() == {}
    at = time.time() + 300
    drain(node, "a test", at)
    wait_for(lambda: node in draining_nodes(), 30)
    assert draining_nodes()[node] == pytest.approx(at, abs=0.01)
    drain(node, "once more, which changes the time", at + 100)
    wait_for(lambda: draining_nodes()[node] == pytest.approx(at + 100, abs=0.01), 30)
    # nothing new comes there, while what is there goes on
    other = add_node(cluster).node_id
    placed = [Place.remote() for _ in range(1)]
    assert [ray.get(one.node.remote()) for one in placed] == [other]
    assert ray.get(actor.node.remote()) == node
    ray.kill(actor)
    del actor
    wait_for(lambda: node not in alive(), 60)
    assert node not in draining_nodes()
    drain(node, "it is gone", None)
    drain(other, "no deadline", None)
    wait_for(lambda: other in draining_nodes(), 30)
    assert draining_nodes()[other] is None
    ray.kill(placed.pop())
    wait_for(lambda: other not in alive(), 60)


def test_ray_keeps_actors_away_from_nodes_that_are_named(cluster):
    first, second = nodes_of(cluster, 2)
    nodes = [first.node_id, second.node_id]
    for avoided in nodes:
        actors = [Place.options(num_cpus=0.2, label_selector=away_from({}, [avoided])).remote() for _ in range(3)]
        found = {ray.get(actor.node.remote()) for actor in actors}
        assert avoided not in found
        assert found <= set(nodes)
        for actor in actors:
            ray.kill(actor)
    neither = Place.options(num_cpus=0.2, label_selector=away_from({}, nodes)).remote()
    third = add_node(cluster)
    assert ray.get(neither.node.remote()) == third.node_id
    ray.kill(neither)
    cluster.remove_node(third)


def test_nobody_is_kept_away_from_no_node():
    assert away_from({}, ()) == {}
    assert away_from({"a": "b"}, ()) == {"a": "b"}
    assert away_from({"a": "b"}, ["n2", "n1"]) == {"a": "b", "ray.io/node-id": "!in(n1,n2)"}


def test_a_drain_is_asked_for_only_while_its_node_is_there_and_does_not_drain():
    wish = ("drained by ann", None)
    owed = {"there": wish, "draining": wish, "gone": wish}
    assert still_owed(owed, {"draining"}, {"there", "draining"}) == {"there": wish}


def test_drains_that_stand_are_told_to_ray_once_more_where_they_are_needed(cluster):
    gone, there = (node.node_id for node in nodes_of(cluster, 2))
    here = NodeAffinitySchedulingStrategy(there, soft=False)
    actor = Place.options(scheduling_strategy=here, num_cpus=0).remote()
    ray.get(actor.node.remote())
    drain(gone, "a test", None)
    wait_for(lambda: gone not in alive(), 60)
    heard = []
    drains = Drains(ray.get_runtime_context().get_node_id(), heard.append)
    for node in (gone, there):
        drains.owe(node, "drained by ann", None)
    assert draining_nodes() == {}
    drains.look()
    wait_for(lambda: draining_nodes() == {there: None}, 30)
    drains.look()
    assert heard == []  # whoever ordered it knows
    ray.kill(actor)
    wait_for(lambda: there not in alive(), 60)


# ---- a farm ----------------------------------------------------------------------------------------------------------


def test_a_node_that_is_given_notice_is_emptied_in_time_and_no_failure_is_counted(tmp_path, cluster):
    document = batch_document(candidates=96, wave=32, parameters={"delay_s": 0.25})
    url = str(tmp_path / "store")
    with endpoint(AWS) as aws:
        leaving = add_node(cluster, {"ANCESTRA_CLOUD": "aws", "ANCESTRA_METADATA_URL": aws.url})
        staying = add_node(cluster, {"ANCESTRA_CLOUD": "none"})
        running = in_thread(lambda: run_batch(write_batch(tmp_path, document), url, who="tester"))
        both = wait_for(lambda: (found := hosts_there(url)) and len(found) == 2 and found)
        wait_for(lambda: {both[leaving.node_id], both[staying.node_id]} <= {a.host for a in attempts_of(url)})
        at = time.time() + 60
        aws.interrupt(datetime.fromtimestamp(at, UTC).isoformat())
        (notice,) = wait_for(lambda: noted(url, NodeNoticed), 60)
        wait_for(lambda: leaving.node_id not in alive(), 45)
        left_at = time.time()
        summary = running.result(240)
    assert summary.how == "done"
    assert notice.node == leaving.node_id
    assert notice.hosts == (both[leaving.node_id],)
    assert notice.why == "AWS: spot instance, terminate"
    assert notice.leaves_at == pytest.approx(at, abs=1)
    assert left_at < at
    assert {attempt.cause for attempt in attempts_of(url)} <= {"judged", "aborted"}
    assert not [note for note in noted(url, HostNoted) if note.what != "ready"]
    assert both[staying.node_id] in {a.host for a in attempts_of(url) if a.at > left_at}
    assert faults_of(url, undisturbed(tmp_path, document)) == []
    cluster.remove_node(leaving, allow_graceful=False)


def test_people_block_forgive_and_drain_nodes_of_a_farm_at_work(tmp_path, cluster):
    document = batch_document(candidates=400, wave=100, parameters={"delay_s": 0.1})
    url = str(tmp_path / "store")
    first, second = nodes_of(cluster, 2, {"ANCESTRA_CLOUD": "none"})
    running = in_thread(lambda: run_batch(write_batch(tmp_path, document), url, who="tester", timeout_s=200))
    wait_for(lambda: hosts_there(url).keys() == {first.node_id, second.node_id})
    with Client.of(Store.open(url)) as client:
        client.order_node(NodeOrdered("block", "tester", 0.0, node=first.node_id[:12], note="it rattles"))
        wait_for(lambda: hosts_there(url).keys() == {second.node_id})
        told = {one.node: one for one in client.hosts().nodes}
        assert told[first.node_id].state == "blocked"
        assert told[first.node_id].why.startswith("blocked by tester: it rattles")
        client.order_node(NodeOrdered("forgive", "tester", 0.0, node=first.node_id))
        wait_for(lambda: hosts_there(url).keys() == {first.node_id, second.node_id})
        client.order_node(NodeOrdered("drain", "tester", 0.0, node=second.node_id))
        wait_for(lambda: second.node_id not in alive(), 60)
        assert hosts_there(url).keys() == {first.node_id}
        client.stop()
    assert running.result(120).how == "interrupted"
    assert {attempt.cause for attempt in attempts_of(url)} <= {"judged", "aborted"}
    assert [given.order for given in noted(url, NodeOrdered)] == ["block", "forgive", "drain"]
    cluster.remove_node(second, allow_graceful=False)
