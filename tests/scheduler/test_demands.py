"""Caps hold over all bays: what they keep waiting asks for no further hosts, and keeps none that idle."""

from ancestra_farm.batch.farm_settings import FarmSettings, ShowCap
from ancestra_farm.scheduler.scaling import wishes_of
from tests.scheduler.elastic import ElasticWorld, farm_of, node_type
from tests.scheduler.test_scaling import elastic, stills, submit
from tests.scheduler.world import batch_of


def three_makes(**fields: object) -> FarmSettings:
    types = {
        "small": node_type(max_nodes=2),
        "middle": node_type(vram_gib=40, price_per_hour=5, max_nodes=2),
        "large": node_type(vram_gib=80, price_per_hour=9, max_nodes=2),
    }
    return farm_of(**types).model_copy(update=fields)


def of_show(**cap: float) -> FarmSettings:
    """Forty small nodes, and what the show ``s`` may have of them."""
    return farm_of(l4=node_type(max_nodes=40)).model_copy(update={"show_caps": {"s": ShowCap.model_validate(cap)}})


def pool_of(world: ElasticWorld):
    return next(pool for pool in world.scheduler.dispatcher.fleet.pools.values() if pool.model == "test/stills")


def test_what_a_cap_keeps_waiting_keeps_no_idle_hosts():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=6)))
    submit(world, stills(1000, wave=1000, batch="long", max_slots=1))
    submit(world, stills(200, wave=200, batch="short"))
    world.run_for(120)
    assert len(world.nodes) == 6
    world.run_for(300)
    assert len(world.nodes) == pool_of(world).staying == 1
    made = world.made
    world.run_for(300)
    assert world.made == made, "and none comes back for it"


def test_a_capped_batch_has_as_many_hosts_as_its_cap_on_a_farm_of_several_makes():
    world = elastic(farm=three_makes())
    clip = "{role: text_to_video, model: test/clips, candidates: 150, wave: 150}"
    submit(world, batch_of(f"{{clip: {clip}}}", shots=1, batch="others"))  # nodes of every make come for it
    submit(world, stills(2000, wave=2000, max_slots=1))
    submit(world, stills(2000, wave=2000, batch="second", max_slots=1))
    world.run_for(60)
    assert world.seen == {"small": 2, "middle": 2, "large": 2}
    world.run_for(600)
    assert pool_of(world).staying == 2, "one each, wherever they stand"


def test_a_capped_show_has_as_many_hosts_as_its_cap_on_a_farm_of_several_makes():
    world = elastic(farm=three_makes(show_caps=of_show(max_slots=3).show_caps))
    for number in range(4):
        submit(world, stills(500, wave=500, batch=f"b{number}"))
    world.run_for(120)
    assert world.made == pool_of(world).staying == 3
    world.run_for(200)
    assert world.made == 3


def test_a_shows_money_brings_nodes_once_for_all_its_batches():
    seen = []
    for batches in (1, 3):
        world = elastic(farm=of_show(max_money=0.6))  # a second costs 0.001, and a host is to last a minute
        for number in range(batches):
            submit(world, stills(290, wave=290, batch=f"b{number}"))
        world.run_for(600)
        seen.append(world.seen)
    assert seen == [{"l4": 10}, {"l4": 10}]


def test_a_shows_slots_are_warmed_once_for_all_its_batches():
    for batches in (1, 3):
        world = elastic(farm=of_show(max_slots=2))
        began = world.now
        for number in range(batches):
            submit(world, stills(400, wave=400, batch=f"b{number}"), start_at=began + 300)
        world.run_for(400)
        assert world.seen == {"l4": 2}
        assert world.made == 2


def test_what_the_higher_class_leaves_of_a_shows_money_is_for_the_lower():
    world = elastic(farm=of_show(max_money=0.6))
    submit(world, stills(290, wave=100, batch="low", priority="backfill"))
    submit(world, stills(100, wave=100, batch="high", priority="dailies"))
    pool = pool_of(world)
    ahead = {"low": {pool.digest: (380.0, 100)}}
    wishes = wishes_of(world.scheduler.dispatcher.fleet, pool, ahead)
    assert [(wish.rank, wish.hosts) for wish in wishes] == [(0, 4), (2, 7)]


def test_what_one_host_may_do_alone_asks_for_no_other():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=40)))
    submit(world, stills(3000, wave=3000, batch="long", max_slots=1))
    submit(world, stills(60, wave=60, batch="short"))
    world.run_for(100)
    assert world.seen == {"l4": 3}
