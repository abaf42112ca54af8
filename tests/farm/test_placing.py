"""Where Ray puts hosts: types of nodes, what to fall back on, parts of GPUs and several of them, and what it counts."""

import pytest
import ray
from ray.util.placement_group import placement_group_table

from ancestra_farm.batch.load import canonical
from ancestra_farm.farm.cluster import OBJECT_STORE_BYTES
from ancestra_farm.farm.crew import Crew
from ancestra_farm.farm.news import Inbox
from ancestra_farm.farm.nodes import Node, nodes_up, slots_of
from ancestra_farm.farm.placing import resources_of, selectors_of
from ancestra_farm.ledger.store import Store
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.scheduler.world import HostPlaced, SlotsChanged, StartHost
from tests.farm.processes import wait_for
from tests.farm.small_cluster import MARKS, small_cluster


def order(host="h1", gpus=1.0, **fields):
    return StartHost(host, "m", "{}", gpus, 1.0, **fields)


def test_a_host_asks_for_its_types_first_then_for_what_will_do_instead():
    asked = order(node_types=("l4-spot", "l40s-spot"), or_on=("l4",))
    assert selectors_of(asked) == [
        {"ancestra/node-type": "in(l4-spot,l40s-spot)"}, {"ancestra/node-type": "l4"},
    ]  # fmt: skip
    assert selectors_of(asked, ["b", "a"])[1] == {"ancestra/node-type": "l4", "ray.io/node-id": "!in(a,b)"}


def test_without_node_types_only_the_kind_of_gpu_is_asked_for():
    assert selectors_of(order()) == [{}]
    assert selectors_of(order(accelerators=("H100",))) == [{"ray.io/accelerator-type": "H100"}]
    asked = order(accelerators=("L4", "L40S"), node_types=("l4",))
    assert selectors_of(asked) == [{"ancestra/node-type": "l4"}]


def test_only_what_is_needed_is_asked_for():
    assert resources_of(order(gpus=0.0)) == {"CPU": 1.0}
    assert resources_of(order(gpus=0.5, memory_gib=1.5)) == {"CPU": 1.0, "GPU": 0.5, "memory": 1.5 * 2**30}


def test_slots_are_those_of_nodes_that_hosts_may_be_placed_on():
    nodes = [Node("a", "l4", 4.0, 1.0), Node("b", "l4", 4.0, 1.0), Node("c", "", 2.0, 0.0)]
    assert slots_of(nodes) == SlotsChanged(10, 2, (("a", "l4"), ("b", "l4")))
    assert slots_of(nodes, {"b", "gone"}, 3) == SlotsChanged(3, 1, (("a", "l4"), ("b", "l4")), ("b",))


class Placed:
    """Hosts on a cluster, and on which type of node each of them is."""

    def __init__(self, folder):
        self.inbox = Inbox()
        self.crew = Crew(self.inbox, Store.open(str(folder / "store"), create=True).url)
        self.card = load_catalog(None)["procedural/stills"]
        self.types = {node.node: node.node_type for node in nodes_up()}
        self.on = {}

    def start(self, host, gpus, *types, **fields):
        self.crew.start(StartHost(host, self.card.id, canonical(self.card), gpus, 1.0, node_types=types, **fields))

    def where(self, host):
        """The type of node it comes up on."""

        def look():
            for news in self.inbox.collect(0.05, 0.0):
                if isinstance(one := news(), HostPlaced):
                    self.on[one.host] = self.types[one.node]
            return self.on.get(host)

        return wait_for(look, 120)


@pytest.fixture(scope="module")
def cluster():
    with small_cluster() as one:
        for name, gpus, market in (("l4-spot", 1, "spot"), ("quad", 4, "on_demand")):
            one.add_node(
                num_cpus=4,
                num_gpus=gpus,
                object_store_memory=OBJECT_STORE_BYTES,
                labels={"ancestra/node-type": name, "ancestra/market": market},
            )
        yield one


def on_a_cluster(test):
    """A test on one head and two nodes of different types."""
    for mark in MARKS:
        test = mark(test)
    return test


@on_a_cluster
def test_hosts_come_up_on_their_type_fall_back_and_share_gpus(tmp_path, cluster):
    told = slots_of(nodes_up())
    assert (told.cpu_slots, told.gpu_slots) == (8, 5)
    assert sorted(node_type for _, node_type in told.nodes) == ["l4-spot", "quad"]
    hosts = Placed(tmp_path)
    hosts.start("first", 1.0, "l4-spot", or_on=("quad",))
    assert hosts.where("first") == "l4-spot"
    hosts.start("second", 1.0, "l4-spot", or_on=("quad",))
    assert hosts.where("second") == "quad"  # the other is taken
    for name in ("half", "other half"):
        hosts.start(name, 0.5, "quad")
        assert hosts.where(name) == "quad"
    hosts.start("wide", 2.0, "l4-spot", or_on=("quad",))
    assert hosts.where("wide") == "quad"
    groups = [group for group in placement_group_table().values() if group["state"] == "CREATED"]
    assert [group["strategy"] for group in groups] == ["STRICT_PACK"]
    hosts.crew.close()
    wait_for(lambda: ray.available_resources().get("GPU", 0.0) == 5, 60)
    states = {group["state"] for group in placement_group_table().values()}
    assert states == {"REMOVED"}
