"""Drain, block, forgive: what people order of nodes and hosts, and what stands of it."""

from dataclasses import replace

import pytest

from ancestra_farm.plan.farm_events import NodeNoticed, NodeOrdered
from ancestra_farm.scheduler import folded
from ancestra_farm.scheduler.ordered import NODE_ORDERS
from ancestra_farm.scheduler.snapshot import StateCodec
from ancestra_farm.scheduler.world import (
    BlockNodes,
    Dispatch,
    DrainNode,
    HostLost,
    NodeLeaving,
    NodeOrder,
    OrderRefused,
    Record,
    SlotsChanged,
    StartHost,
    StopHost,
)
from tests.scheduler.nodes import NodeWorld
from tests.scheduler.world import batch_of, finished

STILLS = "{role: text_to_image, model: test/stills, candidates: 400, wave: 100}"
BATCH = batch_of(f"{{still: {STILLS}}}", shots=1)
NODES = ("aaaa1111", "aaaa2222", "bbbb3333")


@pytest.fixture
def world():
    world = NodeWorld(nodes=NODES)
    world.submit(BATCH)
    world.run_for(8)
    assert set(world.at_node.values()) == set(NODES)
    return world


def order(world, kind, **about):
    """Give an order; the instructions that followed."""
    before = len(world.told)
    fields = {"who": "ann", "at": world.now} | about
    world.tell(NodeOrder(NodeOrdered(kind, **fields)))
    return [one for _, one in world.told[before:] if not isinstance(one, Record)]


def refused(world, kind, **about):
    """Why an order is refused; it leaves no trace."""
    before = len(world.log)
    with pytest.raises(OrderRefused) as error:
        order(world, kind, **about)
    assert len(world.log) == before
    return str(error.value)


def test_a_drained_node_is_emptied_and_given_back(world):
    host = world.on("bbbb3333")
    told = order(world, "drain", node="bbbb3333", note="its fan is loud")
    assert told[-1] == DrainNode("bbbb3333", "drained by ann: its fan is loud")
    world.gone.add("bbbb3333")
    world.slots_change(2)
    assert world.run()
    (stop,) = [one for one in world.since(StopHost, 0) if one.host == host]
    assert stop.why == "its node goes away: drained by ann: its fan is loud"
    (noticed,) = [event for event in world.log if isinstance(event, NodeNoticed)]
    assert noticed.hosts == (host,)
    assert world.survivors() == finished(BATCH).survivors()


def test_a_blocked_node_gets_no_host_until_it_is_forgiven(world):
    host = world.on("bbbb3333")
    assert order(world, "block", node="bbbb")[-1] == BlockNodes(("bbbb3333",))
    world.gone.add("bbbb3333")
    world.slots_change(2)
    world.run_for(5)
    assert host not in world.machines
    assert len(world.machines) == 2
    told = order(world, "forgive", node="bbbb3333")
    assert BlockNodes(()) in told
    world.gone.discard("bbbb3333")
    world.slots_change(3)
    world.run_for(0.5)
    assert set(world.at_node.values()) == set(NODES)
    assert world.run()
    assert world.survivors() == finished(BATCH).survivors()


def test_a_block_says_which_host_it_means_as_well(world):
    host = world.on("aaaa2222")
    assert order(world, "block", host=host)[-1] == BlockNodes(("aaaa2222",))
    (given,) = [event for event in world.log if isinstance(event, NodeOrdered)]
    assert (given.node, given.host) == ("aaaa2222", "")


def test_a_block_is_no_notice_that_a_node_goes_away(world):
    order(world, "block", node="bbbb3333")
    assert not [event for event in world.log if isinstance(event, NodeNoticed)]


def test_a_block_stands_after_a_restart_and_after_a_snapshot(world):
    order(world, "block", node="bbbb3333", order_id="o1")
    again = folded(world.log)
    assert list(again.state.nodes) == ["bbbb3333"]
    assert BlockNodes(("bbbb3333",)) in again.resume(world.now)
    codec = StateCodec()
    assert codec.read(codec.write(again.state)).nodes == again.state.nodes
    world.start()
    assert BlockNodes(("bbbb3333",)) in [one for _, one in world.told]
    assert refused(world, "block", node="bbbb3333") == "node bbbb3333 is blocked already, by ann"


def test_a_drained_host_makes_room_for_another_on_its_node(world):
    host, at = world.on("bbbb3333"), world.now
    order(world, "drain", host=host)
    world.run_for(5)
    assert host not in world.machines
    assert world.on("bbbb3333") != host
    assert [one.why for one in world.since(StopHost, at)] == ["drained by ann"]
    assert len(world.since(StartHost, at)) == 1
    assert refused(world, "drain", host=host) == f"there is no host '{host}'; `ancestra hosts` lists them"


def test_nothing_more_is_given_to_a_host_that_is_drained(world):
    host = world.on("bbbb3333")
    order(world, "drain", host=host)
    at = world.now
    world.run_for(5)
    assert not [one for one in world.since(Dispatch, at) if one.host == host]


def test_a_model_whose_hosts_failed_to_start_is_tried_again_when_it_is_forgiven():
    world = NodeWorld(nodes=("aaaa1111",), load_s=1e9)
    world.submit(BATCH)
    for _ in range(3):
        world.run_for(1)
        (host,) = world.machines
        del world.machines[host], world.hosts[host]
        world.at_node.pop(host, None)
        world.tell(HostLost(host, "crash", "the disk is full"))
    assert not world.machines
    at = world.now
    order(world, "forgive", model="test/stills")
    assert len(world.since(StartHost, at)) == 1
    why = refused(world, "forgive", model="test/stills")
    assert why == "no host of test/stills has failed to start since the last that came up"


def test_the_same_order_under_the_same_id_counts_once(world):
    order(world, "block", node="bbbb", order_id="o1")
    before = len(world.log)
    assert not order(world, "block", node="bbbb", order_id="o1")
    assert not order(world, "block", node="bbbb", order_id="o1", at=0.0)
    assert len(world.log) == before
    assert "was given to another order before" in refused(world, "drain", node="aaaa1111", order_id="o1")


def test_refusals_say_what_would_be_right(world):
    assert refused(world, "block", node="aaaa") == "aaaa begins several nodes: aaaa1111, aaaa2222"
    assert refused(world, "block", node="cccc") == (
        "no node with hosts begins with cccc; there are: aaaa1111, aaaa2222, bbbb3333. Or say the whole id"
    )
    assert "4 to 56 hex digits" in refused(world, "block", node="gpu-7")
    assert "4 to 56 hex digits" in refused(world, "block", node="aaa")
    assert refused(world, "forgive", node="bbbb3333") == "node bbbb3333 is not blocked; blocked are: none"
    assert refused(world, "drain", model="test/stills") == "a model is only forgiven; to drain, name a node or a host"
    assert refused(world, "forgive", model="x/y") == (
        "no batch here needs the model x/y; there are: test/clips, test/stills"
        if len(world.scheduler.dispatcher.fleet.pools) == 2
        else "no batch here needs the model x/y; there are: test/stills"
    )
    assert "one of them" in refused(world, "drain")
    assert "one of them" in refused(world, "drain", node="aaaa1111", host="h")
    assert refused(world, "drain", host="h") == "there is no host 'h'; `ancestra hosts` lists them"
    assert "name of the person" in refused(world, "drain", node="aaaa1111", who=" ")


def test_a_node_that_goes_already_is_neither_drained_nor_blocked_again(world):
    world.tell(NodeLeaving("bbbb3333", world.now + 60, "preempted"))
    assert refused(world, "drain", node="bbbb3333") == "node bbbb3333 goes away already: preempted"
    assert refused(world, "block", node="bbbb3333") == "node bbbb3333 goes away anyhow: preempted"


def test_a_whole_id_is_taken_of_a_node_that_has_no_host_yet(world):
    node = "c" * 56
    assert order(world, "block", node=node) == [BlockNodes((node,))]
    assert refused(world, "block", node=node[:4]) == "node cccccccc is blocked already, by ann"


def test_a_blocked_node_can_be_drained_and_can_go_away(world):
    order(world, "block", node="bbbb3333")
    assert order(world, "drain", node="bbbb3333")[-1] == DrainNode("bbbb3333", "drained by ann")
    order(world, "block", node="aaaa1111")
    world.tell(NodeLeaving("aaaa1111", world.now + 30, "preempted"))
    assert world.scheduler.dispatcher.departures.going["aaaa1111"].why == "preempted"
    order(world, "forgive", node="aaaa1111")
    assert "aaaa1111" in world.scheduler.dispatcher.departures.going


def test_a_drain_is_carried_out_by_the_next_controller_if_this_one_ended_before(world):
    order(world, "drain", node="bbbb3333")
    order(world, "block", node="aaaa1111")
    again = folded(world.log).resume(world.now)
    assert [one for one in again if isinstance(one, BlockNodes | DrainNode)] == [
        BlockNodes(("aaaa1111",)),
        DrainNode("bbbb3333", "drained by ann"),
    ]
    assert refused(world, "forgive", node="bbbb3333") == "node bbbb3333 was drained by ann, which Ray does not undo"


def test_orders_about_nodes_do_not_pile_up_for_ever(world):
    given = NodeOrdered("block", "ann", 0.0)
    again = folded([replace(given, node=f"{number:056x}") for number in range(NODE_ORDERS + 5)])
    assert len(again.state.nodes) == NODE_ORDERS
    assert f"{NODE_ORDERS + 4:056x}" in again.state.nodes


def test_why_nothing_runs_says_that_nodes_are_blocked(world):
    for node in NODES:
        order(world, "block", node=node)
    world.gone.update(NODES)
    world.tell(SlotsChanged(0, 0, closed=NODES))
    world.run_for(5)
    assert world.done is not None
    why = "test/stills needs 1 CPU slot, and there are 0, while 3 nodes are blocked or going away"
    assert world.done.stuck == (why,)
