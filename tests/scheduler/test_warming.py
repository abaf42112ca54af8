"""Hosts for what comes next are asked for ahead only where it is known that it comes."""

from ancestra_farm.batch.load import canonical
from ancestra_farm.scheduler.world import Submit
from tests.scheduler.elastic import ElasticWorld, farm_of, node_type
from tests.scheduler.test_scaling import elastic, stills
from tests.scheduler.world import CARDS, batch_of

#: Stills are made on one kind of node, clips on another.
KINDS = {"test/stills": "L4", "test/clips": "H100"}


def two_kinds() -> ElasticWorld:
    """A farm on which clips wait for one of sixty shots of stills, forty candidates each."""
    types = {
        "l4": node_type(accelerator="L4", max_nodes=1),
        "h100": node_type(accelerator="H100", vram_gib=80, price_per_hour=9, max_nodes=1),
    }
    world = elastic(farm=farm_of(**types), load_s=30.0)
    submit(world, stills(40, wave=40, shots=60))
    clip = "{role: text_to_video, model: test/clips, candidates: 4, wave: 4}"
    after = [{"batch": "b", "shot": "s000"}]
    submit(world, batch_of(f"{{clip: {clip}}}", shots=1, batch="next", after=after))
    return world


def submit(world, batch):
    cards = {
        model: canonical(
            CARDS[model].model_copy(
                update={"gpus": 1, "vram_gib": 16.0, "accelerators": (kind,), "seconds_per_candidate": 2.0}
            )
        )
        for model, kind in KINDS.items()
    }
    world.tell(Submit(canonical(batch), cards, "ann"))


def test_hosts_for_what_comes_after_a_shot_are_asked_for_while_that_is_made():
    world = two_kinds()
    world.run_for(160)
    assert "h100" in world.seen


def test_no_host_is_warmed_for_what_comes_after_a_paused_shot():
    world = two_kinds()
    world.order_batch("b", "pause", shot="s000")
    world.run_for(1000)
    assert set(world.seen) == {"l4"}
    world.order_batch("b", "unpause", shot="s000")
    world.run_for(200)
    assert "h100" in world.seen


def test_no_host_is_warmed_for_what_comes_after_a_shot_that_waits_behind_a_higher_class():
    world = two_kinds()
    world.run_for(5)
    submit(world, stills(500, wave=250, batch="urgent", priority="dailies"))
    world.run_for(700)
    assert set(world.seen) == {"l4"}
    world.run_for(1000)
    assert "h100" in world.seen
