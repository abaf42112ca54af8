"""Where a cloud has no more of a kind of machine, work goes to others, and what does not come is tried again."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.api.nodes import whereabouts
from ancestra_farm.scheduler.bays import bays_of, stand
from ancestra_farm.scheduler.hosts import Host
from ancestra_farm.scheduler.scaling import Wish, nodes_for
from ancestra_farm.scheduler.supply import waits_in_vain
from tests.scheduler.elastic import ElasticWorld, farm_of, node_type
from tests.scheduler.test_scaling import elastic, stills, submit

#: What two nodes take to boot: shorter waits are in vain for nobody.
WAIT_S = 240.0


def small_and_large(**fields: object):
    """A cheap make and a dear one."""
    small = node_type(price_per_hour=1, max_nodes=20, **fields)
    return farm_of(small=small, large=node_type(price_per_hour=4, vram_gib=80, max_nodes=20))


def supply_of(world: ElasticWorld, bay: str):
    return world.scheduler.dispatcher.fleet.bays[bay].supply


def told(world: ElasticWorld) -> str:
    return " ".join(world.scheduler.explain("b", "s000"))


def test_where_no_node_of_a_make_comes_the_work_is_done_on_another():
    world = elastic(farm=small_and_large(), absent=frozenset({"small"}))
    began = world.now
    submit(world, stills(100))
    assert world.run_for(1000) is not None
    assert set(world.seen) == {"large"}
    assert world.came[0][0] - began > WAIT_S
    assert "waiting for" not in told(world)


def test_a_make_of_which_some_nodes_came_is_left_with_those():
    world = elastic(farm=small_and_large(), stock={"small": 3}, seconds=10.0)
    submit(world, stills(120, wave=120))  # work for twenty
    world.run_for(WAIT_S)
    assert world.seen == {"small": 3}
    world.run_for(2 * world.boot_s + 10)
    assert world.seen["large"] > 1
    assert world.count("small") == 3
    assert world.run_for(5000) is not None
    assert world.seen["small"] == 3


def test_a_batch_that_becomes_urgent_waits_for_spot_nodes_no_longer():
    types = {"spot": node_type(market="spot", price_per_hour=1), "sure": node_type(price_per_hour=2)}
    for raised in (True, False):
        world = elastic(farm=farm_of(**types, scaling={"target_wait_s": 600}), absent=frozenset({"spot"}))
        submit(world, stills(200, priority="shot"))
        world.run_for(20)
        if raised:
            world.order_batch("b", "priority", priority="dailies")
        else:  # other work for the hosts that are asked for
            submit(world, stills(20, batch="urgent", priority="dailies"))
        world.run_for(world.boot_s + 10)
        assert set(world.seen) == {"sure"}
        assert supply_of(world, "spot").scarce_until < world.now, "that says nothing of spot nodes"


def test_only_as_many_hosts_as_urgent_work_needs_wait_for_spot_nodes_no_longer():
    types = {"spot": node_type(market="spot", price_per_hour=1), "sure": node_type(price_per_hour=2)}
    world = elastic(farm=farm_of(**types), absent=frozenset({"spot"}))
    submit(world, stills(200, priority="backfill"))
    world.run_for(20)
    assert len(world.pending) == 4
    submit(world, stills(10, batch="urgent", priority="dailies"))
    world.run_for(world.boot_s + 10)
    assert world.seen == {"sure": 1}
    assert world.pending


def test_on_demand_nodes_of_a_make_are_waited_for_before_another_make_is_taken():
    types = {
        "spot": node_type(market="spot", price_per_hour=1), "sure": node_type(price_per_hour=2),
        "large": node_type(price_per_hour=9, vram_gib=80),
    }  # fmt: skip
    world = elastic(farm=farm_of(**types), absent=frozenset({"spot", "sure"}))
    began = world.now
    submit(world, stills(100))
    assert world.run_for(2000) is not None
    assert set(world.seen) == {"large"}
    assert world.came[0][0] - began > 2 * WAIT_S


def test_each_time_that_a_make_is_tried_in_vain_it_is_left_alone_for_longer_up_to_a_bound():
    world = elastic(farm=small_and_large(), absent=frozenset({"small"}), seconds=20.0)
    submit(world, stills(560, wave=560, max_slots=2))
    waits, found_at = [], 0.0
    while world.run_for(10) is None:
        supply = supply_of(world, "small")
        if supply.droughts > len(waits):
            waits.append(round((supply.dry_until - world.now) / WAIT_S))
            found_at = world.now
        elif waits and world.now > found_at + 10:
            asked = [order for order, _ in world.pending.values() if "small" in order.node_types]
            assert len(asked) <= (world.now >= supply.dry_until)  # it is tried with one node
    assert waits == [1, 2, 4, 8, 8]


def test_the_first_node_that_comes_ends_a_drought():
    world = elastic(farm=small_and_large(), absent=frozenset({"small"}), seconds=20.0)
    submit(world, stills(400, wave=400, max_slots=2))
    world.run_for(2 * WAIT_S)
    assert supply_of(world, "small").droughts == 1
    world.absent = frozenset()
    world.run_for(WAIT_S)
    assert world.seen["small"] >= 1
    assert supply_of(world, "small").droughts == 0
    assert world.run_for(20_000) is not None


def test_a_drought_that_nobody_asked_about_for_long_is_forgotten():
    world = elastic(farm=small_and_large(), absent=frozenset({"small"}))
    submit(world, stills(100))
    assert world.run_for(1000) is not None
    world.absent = frozenset()
    world.go_on(20 * WAIT_S)
    assert not world.nodes
    submit(world, stills(100, batch="later"))
    assert world.run_for(1000) is not None
    assert set(world.seen) == {"small", "large"}
    assert world.count("large") == 0


def test_what_fits_nowhere_else_goes_on_asking_for_what_does_not_come():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=3)), absent=frozenset({"l4"}))
    submit(world, stills(100))
    for _ in range(20):
        world.run_for(WAIT_S / 2)
        assert world.pending
    assert "no node of type l4 has come since" in told(world)
    assert "asked for all the same" in told(world)
    world.absent = frozenset()
    assert world.run_for(1000) is not None


def test_why_a_shot_waits_says_which_nodes_do_not_come_and_when_they_are_asked_for_again():
    world = elastic(farm=small_and_large(), absent=frozenset({"small"}))
    submit(world, stills(100))
    world.run_for(WAIT_S / 2)
    assert "waiting for a node of type small" in told(world)
    world.run_for(WAIT_S / 2 + 30)
    assert "no node of type small has come since" in told(world)
    assert "so that it is asked for again at" in told(world)


def test_the_list_of_nodes_says_of_which_type_each_is():
    world = elastic(farm=small_and_large())
    submit(world, stills(100))
    world.run_for(WAIT_S / 2)
    listed = {one.node: one.node_type for one in whereabouts(world.scheduler).nodes}
    assert listed
    assert listed == dict(world.scheduler.dispatcher.fleet.told.nodes)
    assert set(listed.values()) <= {"small", "large"}


def test_the_list_of_hosts_says_which_nodes_do_not_come():
    world = elastic(farm=small_and_large(), absent=frozenset({"small"}))
    submit(world, stills(100))
    world.run_for(WAIT_S / 2)
    assert whereabouts(world.scheduler).dry == ()
    world.run_for(WAIT_S / 2 + 30)
    (said,) = whereabouts(world.scheduler).dry
    assert said.startswith("no node of type small has come since")


def test_settings_given_anew_do_not_make_nodes_come():
    world = elastic(farm=small_and_large(), absent=frozenset({"small"}), seconds=20.0)
    submit(world, stills(400, wave=400))
    world.run_for(WAIT_S + 60)
    fleet = world.scheduler.dispatcher.fleet
    fleet.equip(small_and_large(cpus=4))
    assert fleet.bays["small"].supply.droughts == 1
    assert fleet.bays["small CPUs"].supply is fleet.bays["small"].supply


def test_nodes_that_take_no_hosts_count_against_the_most_there_may_be():
    types = {"spot": node_type(market="spot", price_per_hour=1, max_nodes=2), "sure": node_type(max_nodes=3)}
    bays = bays_of(farm_of(**types), [])
    name = next(iter(bays))  # its GPUs

    def nodes(rank, there, closed):
        stand(bays, there, closed)
        return nodes_for([Wish("m", rank, 10, {name: 1.0})], bays, 0.0)[name]

    assert nodes(0, ["spot"], ["spot", "sure"]) == 3
    assert nodes(1, ["spot"], ["spot"]) == 1
    assert nodes(1, ["spot"], ["sure"]) == 2
    assert nodes(1, [], ["spot", "spot"]) == 0


def test_an_on_demand_node_that_is_up_takes_no_spot_nodes_place():
    types = {"spot": node_type(market="spot", price_per_hour=1, max_nodes=2), "sure": node_type(max_nodes=3)}
    bays = bays_of(farm_of(**types), [])
    (name,) = (name for name, bay in bays.items() if bay.on_gpu)
    for there, planned in (((), 2), (("sure",), 3), (("spot", "sure"), 3), (("sure",) * 3, 5)):
        stand(bays, there)
        assert nodes_for([Wish("m", 1, 10, {name: 1.0})], bays, 0.0)[name] == planned


def test_a_lost_spot_node_is_replaced_while_an_on_demand_node_is_there():
    types = {"spot": node_type(market="spot", price_per_hour=1, max_nodes=2), "sure": node_type(max_nodes=1)}
    world = elastic(farm=farm_of(**types))
    submit(world, stills(70, batch="urgent", priority="dailies"))
    submit(world, stills(900, wave=900))
    world.run_for(200)
    assert {begun.ticket.batch for begun in world.started_of("urgent", world.now - 50)} == set()
    assert (world.count("spot"), world.count("sure")) == (2, 1)
    world.absent = frozenset({"spot"})  # the autoscaler looks every few seconds
    world.take(next(node for node in world.nodes.values() if node.kind == "spot"), lost=True)
    world.run_for(3)
    world.absent = frozenset()
    world.run_for(world.boot_s + 20)
    assert (world.count("spot"), world.count("sure")) == (2, 1)


def test_a_host_that_waits_for_room_on_nodes_there_are_finds_no_make_dry():
    world = elastic(farm=small_and_large())
    submit(world, stills(400, max_slots=2))
    world.run_for(200)
    fleet = world.scheduler.dispatcher.fleet
    pool = next(pool for pool in fleet.pools.values() if pool.hosts)
    bay = fleet.bays["small"]
    fleet.add(Host("waits", pool, asked_at=world.now, bay="small", slots=1.0))
    bay.planned = bay.slots
    assert waits_in_vain(fleet, world.now + 2 * WAIT_S) == []
    assert bay.supply.droughts == 0
    bay.planned = bay.slots + 1
    assert waits_in_vain(fleet, world.now + 2 * WAIT_S) == []
    assert bay.supply.droughts == 1


def test_makes_that_are_dry_are_left_to_the_last_and_then_the_one_that_was_dry_first():
    bays = bays_of(small_and_large(), [])
    wish = [Wish("model", 1, 10, {"small": 1.0, "large": 1.0})]
    assert nodes_for(wish, bays, 0.0) == {"small": 10, "large": 0}
    small, large = bays["small"].supply, bays["large"].supply
    small.droughts, small.dry_until = 1, 100.0
    assert nodes_for(wish, bays, 50.0) == {"small": 0, "large": 10}
    assert nodes_for(wish, bays, 100.0) == {"small": 1, "large": 9}
    bays["small"].slots = 4.0
    assert nodes_for(wish, bays, 50.0) == {"small": 4, "large": 6}
    assert nodes_for([Wish("model", 1, 30, wish[0].sizes)], bays, 50.0) == {"small": 10, "large": 20}
    large.droughts, large.dry_until = 1, 60.0
    assert nodes_for(wish, bays, 50.0) == {"small": 4, "large": 6}
    large.dry_until = 160.0
    assert nodes_for(wish, bays, 50.0) == {"small": 10, "large": 0}


SHAPES = {
    "l4-spot": ("spot", 24, 1.0),
    "l4": ("on_demand", 24, 2.0),
    "h100-spot": ("spot", 80, 3.0),
    "h100": ("on_demand", 80, 6.0),
}


@settings(max_examples=12)
@given(
    st.sets(st.sampled_from(sorted(SHAPES)), min_size=1, max_size=3),
    st.integers(1, 120),
    st.sampled_from(["dailies", "shot", "backfill"]),
    st.integers(0, 1000),
)
def test_whatever_types_are_sold_out_work_ends_on_those_that_are_not(absent, candidates, priority, seed):
    types = {
        name: node_type(market=market, vram_gib=vram, price_per_hour=price, max_nodes=2)
        for name, (market, vram, price) in SHAPES.items()
    }
    world = elastic(farm=farm_of(**types), absent=frozenset(absent), seed=seed)
    submit(world, stills(candidates, priority=priority))
    assert world.run_for(20_000) is not None
    assert not set(world.seen) & absent
    world.go_on(300)
    assert not world.nodes
