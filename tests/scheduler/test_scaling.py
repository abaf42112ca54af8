"""Nodes come when there is work and go when there is none, within caps, and what they cost is told."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.batch.load import canonical
from ancestra_farm.plan.events import AttemptEnded
from ancestra_farm.plan.farm_events import SettingsGiven
from ancestra_farm.scheduler.pools import load_guess_s
from ancestra_farm.scheduler.scaling import idle_for_too_long
from ancestra_farm.scheduler.warming import NODE_S
from ancestra_farm.scheduler.world import ChangeSettings, SlotsChanged, Submit
from tests.scheduler.elastic import ElasticWorld, farm_of, node_type
from tests.scheduler.timed import TimedWorld
from tests.scheduler.world import CARDS, batch_of

GPU = {"gpus": 1, "vram_gib": 16.0}


def stills(candidates, wave=100, shots=1, **fields):
    stage = f"{{role: text_to_image, model: test/stills, candidates: {candidates}, wave: {wave}}}"
    return batch_of(f"{{still: {stage}}}", shots=shots, **fields)


def elastic(load_s=10.0, seconds=2.0, **fields):
    return ElasticWorld(load_s=load_s, seconds={"test/stills": seconds, "test/clips": 5 * seconds}, **fields)


def submit(world, batch, **card):
    world.submit(batch, seconds_per_candidate=world.seconds["test/stills"], **{**GPU, **card})


def test_nodes_come_for_work_and_go_when_it_is_done_and_their_cost_is_told():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=4, price_per_hour=3.6)))
    submit(world, stills(200, shots=2))
    assert not world.nodes
    assert world.run_for(1000) is not None
    assert world.seen == {"l4": 4}
    world.go_on(120)
    assert (world.nodes, world.hosts, world.pending) == ({}, {}, {})
    node_s, cost = world.billed()["l4"]
    assert 1.0 <= node_s / world.node_s["l4"] <= 1.02
    assert cost == pytest.approx(node_s * 3.6 / 3600)


def test_hosts_that_wait_for_a_node_hold_no_slot():
    world = elastic()
    submit(world, stills(300))
    world.run_for(world.boot_s / 2)
    fleet = world.scheduler.dispatcher.fleet
    assert world.pending
    assert fleet.kind_of_slots(on_gpu=True) == (0, 0)
    world.run_for(world.boot_s)
    there, held = fleet.kind_of_slots(on_gpu=True)
    assert there == held == len(world.nodes) > 0


def test_pools_grow_in_proportion_to_the_work_that_waits():
    grown = []
    for candidates in (10, 100, 400):
        world = elastic(farm=farm_of(l4=node_type(max_nodes=50)))
        submit(world, stills(candidates, wave=candidates))
        world.run_for(1000)
        grown.append(world.seen["l4"])
    assert grown == [1, 4, 14]  # 20, 200 and 800 device-seconds at a minute each


def test_what_a_stage_will_release_counts_as_work():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=50)))
    submit(world, stills(400, wave=50))
    world.run_for(60)
    assert world.seen["l4"] == 14


def test_batches_that_are_done_are_not_gone_through_again():
    world = elastic()
    submit(world, stills(20))
    fleet = world.scheduler.dispatcher.fleet
    assert [batch.name for batch in fleet.batches_at_work()] == ["b"]
    assert world.run_for(1000) is not None
    assert not list(fleet.batches_at_work())


def test_no_more_is_asked_for_than_a_budget_pays():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=50)))
    submit(world, stills(400, wave=400, budget={"device_hours": 200 / 3600}))
    world.run_for(1000)
    assert world.seen["l4"] <= 4


def test_a_batch_that_may_hold_few_slots_brings_few_nodes():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=50)))
    submit(world, stills(400, max_slots=2))
    world.run_for(1000)
    assert world.seen["l4"] == 2


def test_spot_nodes_come_first_and_what_is_not_urgent_waits_for_them():
    types = {"spot": node_type(market="spot", price_per_hour=1, max_nodes=2), "sure": node_type(max_nodes=3)}
    world = elastic(farm=farm_of(**types))
    submit(world, stills(300))
    world.run_for(2000)
    assert world.seen == {"spot": 2}
    world = elastic(farm=farm_of(**types))
    submit(world, stills(300, priority="dailies"))
    world.run_for(2000)
    assert world.seen == {"spot": 2, "sure": 3}


def test_where_no_spot_node_comes_others_are_taken_after_the_wait_that_is_aimed_at():
    types = {"spot": node_type(market="spot", price_per_hour=1), "sure": node_type(max_nodes=3)}
    world = elastic(farm=farm_of(**types), absent=frozenset({"spot"}))
    submit(world, stills(100))
    world.run_for(55)
    assert not world.nodes
    assert world.run_for(1000) is not None
    assert set(world.seen) == {"sure"}


def test_spot_nodes_that_come_one_after_the_other_are_waited_for():
    types = {"spot": node_type(market="spot", price_per_hour=1), "sure": node_type(max_nodes=3)}
    world = elastic(farm=farm_of(**types), stock={"spot": 1}, seconds=10.0)
    submit(world, stills(400, wave=400))
    for there in (2, 3, 4):
        world.run_for(150)
        world.stock["spot"] = there
    assert world.run_for(5000) is not None
    assert world.seen == {"spot": 4}


def test_urgent_work_takes_the_other_nodes_at_once():
    types = {"spot": node_type(market="spot", price_per_hour=1), "sure": node_type(max_nodes=3)}
    world = elastic(farm=farm_of(**types), absent=frozenset({"spot"}))
    submit(world, stills(100, priority="dailies"))
    world.run_for(50)
    assert world.nodes


def test_a_model_comes_up_only_where_it_fits():
    types = {"small": node_type(price_per_hour=1), "large": node_type(price_per_hour=4, vram_gib=80)}
    world = elastic(farm=farm_of(**types))
    submit(world, stills(50), vram_gib=60.0)
    assert world.run_for(1000) is not None
    assert set(world.seen) == {"large"}
    world = elastic(farm=farm_of(**types))
    submit(world, stills(50), vram_gib=20.0)
    assert world.run_for(1000) is not None
    assert set(world.seen) == {"small"}


def test_what_the_cheapest_nodes_cannot_take_goes_to_dearer_ones():
    types = {"small": node_type(price_per_hour=1, max_nodes=2), "large": node_type(price_per_hour=4, vram_gib=80)}
    world = elastic(farm=farm_of(**types))
    submit(world, stills(300, wave=300))
    world.run_for(1000)
    assert world.seen["small"] == 2
    assert world.seen["large"] >= 2


def test_a_node_with_several_gpus_is_filled():
    world = elastic(farm=farm_of(quad=node_type(gpus=4, cpus=16, memory_gib=128, max_nodes=3)))
    submit(world, stills(100))
    world.run_for(60)
    assert world.seen == {"quad": 1}
    assert len(world.machines) == 4


def test_hosts_that_share_a_gpu_stand_side_by_side():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=3)))
    submit(world, stills(100), share=0.25, vram_gib=6.0)
    world.run_for(60)
    assert world.seen == {"l4": 1}
    assert len(world.machines) == 4
    assert world.run_for(1000) is not None


def test_models_without_a_gpu_use_the_cpus_beside_gpus_where_there_is_nothing_else():
    world = elastic(farm=farm_of(l4=node_type()))
    submit(world, stills(50), gpus=0, vram_gib=0.0)
    assert world.run_for(1000) is not None
    assert set(world.seen) == {"l4"}
    world = elastic(farm=farm_of(l4=node_type(), cpu=node_type(gpus=0, vram_gib=0, price_per_hour=0.4)))
    submit(world, stills(50), gpus=0, vram_gib=0.0)
    assert world.run_for(1000) is not None
    assert set(world.seen) == {"cpu"}


def test_a_host_is_kept_for_as_long_as_its_model_takes_to_load():
    world = elastic(load_s=100.0, farm=farm_of(l4=node_type(max_nodes=1)))
    submit(world, stills(10))
    assert world.run_for(1000) is not None
    world.go_on(90)
    assert world.machines
    world.go_on(30)
    assert not world.machines


def test_the_model_of_the_next_stage_is_loaded_before_its_work_begins():
    stages = (
        "{still: {role: text_to_image, model: test/stills, candidates: 100, wave: 100}, "
        "animate: {role: image_to_video, model: test/clips, from: still, best: 3, candidates: 4, wave: 4}}"
    )
    world = elastic(seconds=1.0, farm=farm_of(small=node_type(), large=node_type(vram_gib=80, price_per_hour=9)))
    vram = {"test/stills": 16.0, "test/clips": 60.0}
    cards = {name: card.model_copy(update={"gpus": 1, "vram_gib": vram[name]}) for name, card in CARDS.items()}
    batch = batch_of(stages, shots=1)
    world.tell(Submit(canonical(batch), {name: canonical(card) for name, card in cards.items()}, "ann"))
    assert world.run_for(1000) is not None
    first = min(begun.at for begun in world.begun if begun.ticket.space.stage == "animate")
    last = max(begun.at for begun in world.begun if begun.ticket.space.stage == "still")
    assert first - last < world.boot_s + world.load_s


def test_the_model_of_the_next_stage_waits_while_the_one_before_has_much_to_try():
    stages = (
        "{still: {role: text_to_image, model: test/stills, candidates: 1000, wave: 20}, "
        "animate: {role: image_to_video, model: test/clips, from: still, best: 3, candidates: 4, wave: 4}}"
    )
    types = {"small": node_type(), "large": node_type(vram_gib=80, price_per_hour=9)}
    world = elastic(seconds=2.0, farm=farm_of(scaling={"target_wait_s": 600}, **types))  # four nodes, as there are
    needs = {"test/stills": (16.0, 2.0), "test/clips": (60.0, 10.0)}
    cards = {
        name: CARDS[name].model_copy(update={"gpus": 1, "vram_gib": vram_gib, "seconds_per_candidate": seconds})
        for name, (vram_gib, seconds) in needs.items()
    }
    world.tell(
        Submit(canonical(batch_of(stages, shots=1)), {name: canonical(card) for name, card in cards.items()}, "ann")
    )
    assert world.run_for(5000) is not None
    stills_at = [begun.at for begun in world.begun if begun.ticket.space.stage == "still"]
    came = next(at for at, kind in world.came if kind == "large")
    lead_s = NODE_S + load_guess_s(cards["test/clips"])
    assert stills_at[-1] - lead_s - 2 * world.load_s < came < stills_at[-1] + world.boot_s


def test_a_trickle_of_work_does_not_keep_more_hosts_than_it_needs():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=4)))
    submit(world, stills(200, wave=200))
    world.run_for(120)
    assert len(world.machines) == 4
    trickle = stills(200, wave=1, shots=1, batch="trickle")
    submit(world, trickle)
    world.run_for(250)
    assert len(world.machines) == 2  # one wave runs ahead
    assert world.run_for(2000) is not None


def two_quads():
    """Two nodes of four GPUs each, whose hosts have just come to have nothing to do."""
    quad = node_type(gpus=4, cpus=16, memory_gib=128, max_nodes=2)
    world = elastic(farm=farm_of(quad=quad, scaling={"idle_s": 60}))
    submit(world, stills(320, wave=320))
    assert world.run_for(1000) is not None
    assert (len(world.nodes), len(world.machines)) == (2, 8)
    world.done = None
    world.after(0.0, world._tick)
    return world


def busy(world, seconds, candidates):
    """So many hosts, the first that have nothing to do, are at work for so long."""
    world.seconds["test/stills"] = seconds
    submit(world, stills(candidates, wave=candidates, batch=f"b{len(world.scheduler.state.batches)}"))
    world.run_for(0.5)


def test_hosts_of_a_node_go_together_or_not_at_all():
    world = two_quads()
    busy(world, 110.0, 1)
    world.run_for(90)
    assert (len(world.nodes), len(world.machines)) == (1, 4)
    assert world.run_for(1000) is not None
    world.go_on(100)
    assert not world.nodes


def test_of_two_nodes_at_work_one_becomes_empty_where_the_other_is_enough_for_long():
    world = two_quads()
    for seconds, hosts in ((110.0, 1), (2.0, 3), (110.0, 1)):
        busy(world, seconds, hosts)
    world.run_for(60)
    hosts = world.scheduler.dispatcher.fleet.hosts.values()
    assert sorted((host.idle, host.stopping) for host in hosts) == [(False, False), (False, True), *[(True, False)] * 3]
    assert len({host.node for host in hosts if not host.stopping}) == 1
    assert world.run_for(1000) is not None
    assert {event.cause for event in world.log if isinstance(event, AttemptEnded)} == {"judged"}


def test_the_dearest_nodes_go_first():
    types = {"small": node_type(price_per_hour=1, max_nodes=2), "large": node_type(price_per_hour=4, vram_gib=80)}
    world = elastic(farm=farm_of(**types, scaling={"idle_s": 200}))
    submit(world, stills(400, wave=400))
    assert world.run_for(1000) is not None
    fleet = world.scheduler.dispatcher.fleet
    assert Counter(fleet.type_of(host) for host in fleet.hosts.values()) == {"small": 2, "large": 4}
    next(iter(fleet.hosts.values())).pool.needed = 3
    assert [fleet.type_of(host) for host in idle_for_too_long(fleet, world.now + 300)] == ["large"] * 3


def test_nodes_that_stay_anyway_keep_their_hosts():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=4, min_nodes=1)))
    submit(world, stills(200, wave=200))
    assert world.run_for(1000) is not None
    world.go_on(200)
    assert len(world.machines) == len(world.nodes) == 1


def test_a_farm_without_node_types_keeps_its_hosts():
    world = TimedWorld(cpus=2, load_s=1.0)
    world.submit(stills(20))
    assert world.run_for(1000) is not None
    world.done = None
    world.after(0.0, world._tick)
    world.run_for(1000)
    assert len(world.machines) == 2


class Unloadable(ElasticWorld):
    """A world in which the first so many hosts that have a machine do not come up."""

    failing = 100

    def _up(self, host: str) -> None:
        if not self.failing:
            super()._up(host)
        elif host in self.machines:
            self.failing -= 1
            self._leave(host)
            self.lose(host, "crash")


def test_a_model_that_does_not_load_is_tried_again_with_one_host():
    world = Unloadable(load_s=10.0, seconds={"test/stills": 2.0}, farm=farm_of(l4=node_type(max_nodes=8)))
    submit(world, stills(2000, wave=2000))
    submit(world, stills(2000, wave=2000, batch="other"))
    world.go_on(300)
    assert world.made == 10, "eight, and two in place of those that failed first"
    for tried in (11, 12, 13):
        world.go_on(350)
        assert world.made == tried
        assert len(world.nodes) <= 1
    world.failing = 0
    world.go_on(400)
    assert len(world.nodes) == 8, "once it has loaded, as many as its work asks for"


def test_a_node_that_is_lost_is_replaced_and_nobody_is_charged():
    undisturbed = elastic(farm=farm_of(l4=node_type(max_nodes=3)))
    submit(undisturbed, stills(150))
    undisturbed.run_for(2000)
    world = elastic(farm=farm_of(l4=node_type(max_nodes=3)))
    submit(world, stills(150))
    world.run_for(80)
    world.take(next(iter(world.nodes.values())), lost=True)
    assert world.run_for(2000) is not None
    assert len(world.came) == 4
    assert world.survivors() == undisturbed.survivors()
    causes = {event.cause for event in world.log if isinstance(event, AttemptEnded)}
    assert causes <= {"judged", "host_lost"}


def test_settings_given_to_a_farm_at_work_send_hosts_from_nodes_of_no_type():
    world = elastic(farm=farm_of())
    world.boot_s = 1.0
    world.cpus, world.gpus = 0, 2
    TimedWorld.slots_change(world, 0, 2)
    stage = stills(100)
    world.pending.clear()
    submit(world, stage)
    assert world.scheduler.dispatcher.fleet.hosts
    world.farm = farm_of(l4=node_type())
    world.tell(ChangeSettings(SettingsGiven("farm", "", canonical(world.farm), "bea", world.now)))
    assert world.run_for(1000) is not None
    assert world.seen == {"l4": 4}


def test_a_machine_that_is_all_there_is_is_used_whatever_the_settings_name():
    world = elastic(farm=farm_of(l4=node_type()))
    world.tell(SlotsChanged(2, 1, local=True))
    submit(world, stills(20))
    fleet = world.scheduler.dispatcher.fleet
    assert [(host.bay, host.slots) for host in fleet.hosts.values()] == [("GPU", 1)]
    assert {order.node_types for order, _ in world.pending.values()} == {()}
    world.tell(SlotsChanged(2, 1))
    assert set(fleet.bays) == {"l4", "l4 CPUs"}


def test_what_fits_nowhere_any_more_is_explained():
    world = elastic(farm=farm_of(l4=node_type()))
    submit(world, stills(100))
    world.run_for(5)
    told = world.scheduler.explain("b", "s000")
    assert any("waiting for a node of type l4" in sentence for sentence in told)
    world.farm = farm_of(t4=node_type(vram_gib=8))
    world.tell(ChangeSettings(SettingsGiven("farm", "", canonical(world.farm), "bea", world.now)))
    world.run_for(5)
    told = world.scheduler.explain("b", "s000")
    assert any("no node type has a GPU with 16 GiB" in sentence for sentence in told)


def test_a_scheduler_that_starts_anew_asks_for_the_nodes_again():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=3)))
    submit(world, stills(100))
    world.run_for(60)
    world.nodes.clear()
    world.start()
    assert world.run_for(1000) is not None


farms = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d"]),
    st.builds(
        lambda gpus, market, most, price, vram: node_type(
            gpus=gpus, cpus=4 * gpus, memory_gib=64 * gpus, market=market, max_nodes=most, price_per_hour=price,
            vram_gib=vram,
        ),
        st.integers(1, 4), st.sampled_from(["spot", "on_demand"]), st.integers(1, 4), st.sampled_from([1.0, 2.5, 4.0]),
        st.sampled_from([24, 80]),
    ),
    min_size=1,
    max_size=3,
)  # fmt: skip


@settings(max_examples=15)
@given(
    farms,
    st.integers(1, 150),
    st.sampled_from(["dailies", "shot", "backfill"]),
    st.sampled_from([{}, {"share": 0.5, "vram_gib": 10.0}, {"vram_gib": 20.0}]),
    st.integers(0, 1000),
)
def test_whatever_the_farm_caps_hold_work_ends_and_nodes_go(types, candidates, priority, card, seed):
    world = elastic(farm=farm_of(**types), seed=seed)
    submit(world, stills(candidates, priority=priority), **card)
    assert world.run_for(20_000) is not None
    world.go_on(300)
    assert not world.nodes
    assert all(count <= types[name]["max_nodes"] for name, count in world.seen.items())
    for name, (node_s, cost) in world.billed().items():
        assert world.node_s[name] - 1e-6 <= node_s <= world.node_s[name] + 2 * len(world.came)
        assert cost == pytest.approx(node_s * types[name]["price_per_hour"] / 3600)
