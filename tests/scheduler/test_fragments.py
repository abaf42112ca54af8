"""Hosts that hold several slots find room on one node, though what is free lies scattered over several."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.batch.load import canonical
from ancestra_farm.plan.events import AttemptEnded, CandidateGivenUp
from ancestra_farm.plan.farm_events import NodeOrdered
from ancestra_farm.scheduler.fragments import PLACING_S, in_its_way
from ancestra_farm.scheduler.hosts import Host
from ancestra_farm.scheduler.warming import NODE_S
from ancestra_farm.scheduler.world import NodeOrder, Submit
from tests.scheduler.elastic import ElasticWorld, farm_of, node_type
from tests.scheduler.world import CARDS, batch_of

STILLS = "{role: text_to_image, model: test/stills, candidates: 20000, wave: 400}"
CLIPS = "{role: text_to_video, model: test/clips, candidates: 2, wave: 2}"


def crowded(gpus=2, nodes=2, **fields):
    """A farm of nodes with several GPUs each, and no more of them than there may be."""
    big = node_type(gpus=gpus, cpus=8 * gpus, memory_gib=64 * gpus, max_nodes=nodes)
    seconds = {"test/stills": 1.0, "test/clips": 5.0}
    return ElasticWorld(farm=farm_of(big=big), seconds=seconds, load_s=5.0, **fields)


def submit(world, batch, **gpus):
    """``gpus``: what a host of ``stills`` and of ``clips`` holds."""
    cards = {
        model: canonical(
            card.model_copy(
                update={
                    "vram_gib": 8.0,
                    "seconds_per_candidate": world.seconds[model],
                    **({"gpus": gpus[model[5:]]} if gpus[model[5:]] >= 1 else {"gpus": 1, "share": gpus[model[5:]]}),
                }
            )
        )
        for model, card in CARDS.items()
    }
    world.tell(Submit(canonical(batch), cards, "ann"))


def backfill(**fields):
    return batch_of(f"{{still: {STILLS}}}", shots=1, batch="fill", priority="backfill", **fields)  # for hours


def dailies(**fields):
    return batch_of(f"{{shoot: {CLIPS}}}", shots=1, batch="urgent", priority="dailies", **fields)


def drain(world, host):
    """Have a host replaced, so that those of a node are not in the order in which they were asked for."""
    world.tell(NodeOrder(NodeOrdered("drain", "ada", world.now, host=host)))
    world.run_for(30)


def first_of(world, batch):
    return min((begun.at for begun in world.begun if begun.ticket.batch == batch), default=None)


def test_a_host_of_two_gpus_does_not_wait_behind_a_lower_class_for_two_that_lie_together():
    world = crowded()
    submit(world, backfill(), stills=1, clips=2)
    world.run_for(120)
    drain(world, next(iter(next(iter(world.nodes.values())).hosts)))
    assert [len(node.hosts) for node in world.nodes.values()] == [2, 2]
    asked = world.now
    submit(world, dailies(), stills=1, clips=2)
    world.run_for(60)
    begun = first_of(world, "urgent")
    assert begun is not None
    assert begun - asked < PLACING_S + 4 * 2.0 + world.load_s + 2
    world.run_for(100)
    assert len([begun for begun in world.begun if begun.ticket.batch == "urgent"]) == 2
    assert [len(node.hosts) for node in world.nodes.values()] == [2, 2], "who made way comes up again"
    assert not [e for e in world.log if isinstance(e, CandidateGivenUp)]
    assert {e.cause for e in world.log if isinstance(e, AttemptEnded)} == {"judged"}


def test_whole_gpus_are_found_where_parts_of_several_are_taken():
    world = crowded(gpus=1, nodes=2)
    submit(world, backfill(max_slots=1), stills=0.5, clips=1)
    world.run_for(120)
    submit(world, dailies(), stills=0.5, clips=1)
    world.run_for(60)
    assert first_of(world, "urgent") is not None


def test_within_a_class_a_host_moves_for_one_that_is_due_its_part():
    world = crowded()
    submit(world, batch_of(f"{{still: {STILLS}}}", shots=1, batch="first"), stills=1, clips=2)
    world.run_for(120)
    drain(world, next(iter(next(iter(world.nodes.values())).hosts)))
    many = CLIPS.replace("candidates: 2, wave: 2", "candidates: 40, wave: 40")
    submit(world, batch_of(f"{{shoot: {many}}}", shots=1, batch="second"), stills=1, clips=2)
    world.run_for(60)
    assert first_of(world, "second") is not None
    assert sorted(len(node.hosts) for node in world.nodes.values()) == [1, 2]
    assert len({begun.host for begun in world.begun if begun.at > world.now - 5}) == 3


def test_no_host_of_a_higher_class_that_has_work_makes_way():
    world = crowded()
    submit(world, batch_of(f"{{still: {STILLS}}}", shots=1, batch="urgent", priority="dailies"), stills=1, clips=2)
    world.run_for(120)
    submit(world, batch_of(f"{{shoot: {CLIPS}}}", shots=1, batch="wide", priority="shot"), stills=1, clips=2)
    fleet = world.scheduler.dispatcher.fleet
    pools = {pool.model: pool for pool in fleet.pools.values()}
    waiting = Host("waits", pools["test/clips"], asked_at=0.0, bay="big", slots=2.0)
    assert in_its_way(fleet, fleet.bays["big"], waiting) is None
    waiting.pool = pools["test/stills"]
    assert in_its_way(fleet, fleet.bays["big"], waiting) is None, "and none of its own model"


@pytest.mark.parametrize("gpus", [1, 2])
@pytest.mark.parametrize("nodes", [4, 10])
def test_a_lower_class_makes_way_where_no_further_node_comes(gpus, nodes):
    world = crowded(gpus=gpus, nodes=nodes, stock={"big": 2})
    submit(world, backfill(), stills=1, clips=gpus)
    world.run_for(120)
    assert len(world.nodes) == 2
    submit(world, dailies(), stills=1, clips=gpus)
    world.run_for(2 * NODE_S + 60)
    assert first_of(world, "urgent") is not None
    world.run_for(100)
    made = world.made
    world.run_for(1000)
    assert world.made == made, "who made way is back, and stays"
    on_nodes = {host for node in world.nodes.values() for host in node.hosts}
    assert len(on_nodes) == len({one.host for one in world.begun if one.at > world.now - 10}) == 2 * gpus


def test_where_no_further_node_comes_nobody_makes_way_for_their_own_class():
    world = crowded(gpus=1, nodes=4, stock={"big": 2})
    submit(world, batch_of(f"{{still: {STILLS}}}", shots=1, batch="first"), stills=1, clips=1)
    world.run_for(400)
    assert world.scheduler.dispatcher.fleet.bays["big"].supply.droughts
    many = CLIPS.replace("candidates: 2, wave: 2", "candidates: 40, wave: 40")
    submit(world, batch_of(f"{{shoot: {many}}}", shots=1, batch="second"), stills=1, clips=1)
    world.run_for(1000)
    assert world.made == 2


@settings(max_examples=6, deadline=None)
@given(
    st.integers(2, 4),
    st.integers(1, 3),
    st.sampled_from([(1, 2), (0.5, 2), (0.5, 1), (1, 1)]),
    st.lists(st.integers(0, 100), max_size=4),
)
def test_an_urgent_batch_begins_soon_whatever_hosts_hold(gpus, nodes, holds, drained):
    world = crowded(gpus, nodes, check=False)
    stills, clips = holds
    submit(world, backfill(), stills=stills, clips=clips)
    world.run_for(100)
    for number in drained:
        there = sorted(host for node in world.nodes.values() for host in node.hosts)
        drain(world, there[number % len(there)])
    submit(world, dailies(), stills=stills, clips=clips)
    world.run_for(100)
    assert first_of(world, "urgent") is not None
    world.scheduler.check_invariants()
