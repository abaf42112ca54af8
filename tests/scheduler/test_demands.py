"""Caps hold over all bays: what they keep waiting asks for no further hosts, and keeps none that idle."""

from ancestra_farm.batch.farm_settings import FarmSettings
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
    capped = FarmSettings.model_validate({"schema": "ancestra/farm/v1", "show_caps": {"s": {"max_slots": 3}}})
    world = elastic(farm=three_makes(show_caps=capped.show_caps))
    for number in range(4):
        submit(world, stills(500, wave=500, batch=f"b{number}"))
    world.run_for(120)
    assert world.made == pool_of(world).staying == 3
    world.run_for(200)
    assert world.made == 3
