"""What is put off until a time goes on then by itself, and its nodes and models are there by then."""

from dataclasses import replace
from math import inf

import pytest

from ancestra_farm.plan.events import OrderGiven
from ancestra_farm.scheduler import folded, warming
from ancestra_farm.scheduler.world import Order, OrderRefused, Record, Tick
from tests.scheduler.elastic import ElasticWorld, farm_of, node_type
from tests.scheduler.timed import TimedWorld
from tests.scheduler.world import batch_of, submission

GPU = {"gpus": 1, "vram_gib": 16.0}


def stills(candidates, wave=100, shots=1, **fields):
    stage = f"{{role: text_to_image, model: test/stills, candidates: {candidates}, wave: {wave}}}"
    return batch_of(f"{{still: {stage}}}", shots=shots, **fields)


def elastic(**fields):
    return ElasticWorld(load_s=30.0, seconds={"test/stills": 2.0}, **fields)


def submit(world, batch, start_at=None, **card):
    world.submit(batch, start_at=start_at, seconds_per_candidate=2.0, **{**GPU, **card})


def order(world, kind, **fields):
    world.tell(Order(OrderGiven("b", kind, "ann", world.now, **fields)))


def begun(world, batch="b"):
    return [one.at for one in world.begun if one.ticket.batch == batch]


def orders(world):
    return [(event.order, event.who, event.until) for event in world.log if isinstance(event, OrderGiven)]


def test_a_batch_that_is_to_begin_at_a_time_finds_its_nodes_there_and_its_model_loaded():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=4)))
    start = world.now + 1000
    submit(world, stills(200), start_at=start)
    world.run_for(800)
    assert (world.seen, begun(world)) == ({}, [])
    world.run_for(190)
    assert world.seen == {"l4": 4}
    assert begun(world) == []
    assert world.run_for(1000) is not None
    assert start <= min(begun(world)) < start + 2.0
    assert len({one.host for one in world.begun if one.at < start + 2.0}) == 4


def test_as_many_hosts_are_there_as_the_work_keeps_busy_and_no_more():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=9)))
    submit(world, stills(60), start_at=world.now + 500)
    world.run_for(495)
    assert world.seen == {"l4": 2}  # 120 device-seconds at a minute each


def test_what_nobody_will_pay_for_is_not_warmed():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=9)))
    submit(world, stills(400, budget={"device_hours": 100 / 3600}), start_at=world.now + 500)
    world.run_for(495)
    assert world.seen == {"l4": 2}


def test_urgent_work_that_is_to_begin_may_have_nodes_of_every_market():
    types = {"spot": node_type(market="spot", price_per_hour=1, max_nodes=1), "sure": node_type(max_nodes=3)}
    for priority, seen in (("dailies", {"spot": 1, "sure": 3}), ("shot", {"spot": 1})):
        world = elastic(farm=farm_of(**types))
        submit(world, stills(400, priority=priority), start_at=world.now + 500)
        world.run_for(495)
        assert world.seen == seen


def test_nodes_that_are_asked_for_ahead_are_not_taken_by_what_is_at_work():
    types = {"spot": node_type(market="spot", price_per_hour=1, max_nodes=1), "sure": node_type(max_nodes=3)}
    for farm in (farm_of(**types), farm_of(l4=node_type(max_nodes=4), scaling={"target_wait_s": 4000})):
        world = elastic(farm=farm)
        world.seconds["test/clips"] = 10.0
        clips = "{clip: {role: text_to_video, model: test/clips, candidates: 200, wave: 200}}"
        submit(world, batch_of(clips, batch="c", priority="backfill"))
        world.run_for(200)
        assert len(world.nodes) == 1
        submit(world, stills(6000, wave=3000, priority="dailies"), start_at=world.now + 400)
        world.run_for(360)
        ahead = [host for host in world.scheduler.dispatcher.fleet.hosts.values() if host.pool.model == "test/stills"]
        assert len(ahead) == 3
        assert all(host.ready for host in ahead)
        assert world.made == 4  # none of them came and went


def test_work_of_a_lower_class_makes_way_one_load_before_what_is_put_off_begins():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=2)))
    world.seconds["test/clips"] = 2.0
    clips = "{clip: {role: text_to_video, model: test/clips, candidates: 40000, wave: 4000}}"
    submit(world, batch_of(clips, batch="c", priority="backfill"))
    world.run_for(120)
    start = world.now + 600
    submit(world, stills(200, priority="dailies"), start_at=start)
    world.run_for(700)
    assert min(begun(world)) - start < 1.0
    assert len({one.host for one in world.begun if one.ticket.batch == "b"}) == 2
    lead_s = world.load_s + world.scheduler.tunables.rescale_s
    assert max(at for at in begun(world, "c") if at < start) > start - lead_s - 10.0, "until then it goes on"


def test_nobody_of_the_same_class_makes_way_for_what_is_put_off():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=2)))
    world.seconds["test/clips"] = 2.0
    clips = "{clip: {role: text_to_video, model: test/clips, candidates: 40000, wave: 4000}}"
    submit(world, batch_of(clips, batch="c"))
    world.run_for(120)
    submit(world, stills(200), start_at=world.now + 600)
    world.run_for(595)
    assert world.made == 2


def test_hosts_that_load_faster_than_was_thought_stay_until_the_work_begins():
    world = elastic(farm=farm_of(l4=node_type(vram_gib=192)))
    submit(world, stills(400), start_at=world.now + 800, vram_gib=150.0)
    world.run_for(795)
    assert (world.made, len(world.machines)) == (4, 4)


def test_a_pause_with_an_end_ends_by_itself_and_the_log_says_so():
    world = TimedWorld(cpus=2)
    world.submit(stills(200))
    world.run_for(5)
    until = world.now + 100
    order(world, "pause", until=until)
    before = len(begun(world))
    world.run_for(90)
    assert len(begun(world)) - before <= 2  # what a host had begun or was about to
    assert world.run_for(1000) is not None
    assert orders(world) == [("pause", "ann", until), ("unpause", "ann", None)]
    assert not [at for at in begun(world)[before + 2 :] if at < until]


def test_a_pause_of_a_batch_ends_on_time_though_all_its_shots_are_paused_without_an_end():
    world = TimedWorld(cpus=2)
    world.submit(stills(20, shots=2))
    until = world.now + 50
    for shot in ("s000", "s001"):
        order(world, "pause", shot=shot)
    order(world, "pause", until=until)
    world.run_for(100)  # nothing else is to be done, but who follows the farm may stay
    for _ in range(60):
        world.now += 1
        world.tell(Tick())
    assert [(at.order, at.at - until) for at in world.log if isinstance(at, OrderGiven)][3:] == [("unpause", 0)]
    order(world, "unpause", shot="s000")
    world.done = None
    world.after(1.0, world._tick)
    assert world.run_for(100) is not None
    assert len(begun(world)) > 0
    assert {one.ticket.branch.split("/")[0] for one in world.begun} == {"s000"}


def test_what_was_released_before_a_pause_is_warmed_for_too():
    world = elastic(farm=farm_of(l4=node_type(max_nodes=4)))
    submit(world, stills(200, wave=200))
    world.run_for(100)
    order(world, "pause", until=world.now + 600)
    world.run_for(300)
    assert not world.nodes
    world.run_for(295)
    assert len(world.machines) >= 2
    assert world.run_for(1000) is not None


def test_a_farm_that_waits_for_a_time_is_not_done():
    world = TimedWorld(cpus=2)
    world.submit(stills(20), start_at=world.now + 50)
    assert world.run_for(45) is None
    assert world.run_for(1000) is not None
    assert world.survivors()


def test_a_pause_of_what_is_done_keeps_no_farm_and_ends_all_the_same():
    world = TimedWorld(cpus=2)
    world.submit(stills(20))
    assert world.run_for(1000) is not None
    order(world, "pause", until=world.now + 500)
    assert world.done is not None
    assert [shot.goes_on_at for shot in world.scheduler.progress()] == [None]
    world.now += 500
    world.tell(Tick())
    assert [kind for kind, _, _ in orders(world)] == ["pause", "unpause"]
    order(world, "pause", until=world.now + 500)
    order(world, "more", shot="s000", stage="still", candidates=5)
    world.done = None
    assert [shot.goes_on_at for shot in world.scheduler.progress()] == [world.now + 500]


def test_the_end_of_a_pause_can_be_moved_and_taken_away():
    world = TimedWorld(cpus=2)
    world.submit(stills(20), start_at=world.now + 50)
    order(world, "pause", until=world.now + 500)
    world.run_for(100)
    assert not begun(world)
    order(world, "pause")
    assert world.run_for(1000) is not None  # done but for what is paused
    assert not begun(world)
    order(world, "unpause")
    world.run_for(100)
    assert begun(world)


def test_a_shot_waits_for_the_later_of_two_ends():
    world = TimedWorld(cpus=2)
    world.submit(stills(20, shots=2))
    shot = next(iter(world.scheduler.state.batches["b"].shots))
    start = world.now
    order(world, "pause", until=start + 50)
    order(world, "pause", shot=shot, until=start + 120)
    assert world.run_for(1000) is not None
    at = {name: [one.at for one in world.begun if one.ticket.branch.startswith(f"{name}/")] for name in
          world.scheduler.state.batches["b"].shots}  # fmt: skip
    assert min(at.pop(shot)) >= start + 120
    assert [start + 50 <= min(times) < start + 60 for times in at.values()] == [True]


def test_a_time_that_is_past_is_refused_and_nothing_is_recorded():
    world = TimedWorld(cpus=2)
    with pytest.raises(OrderRefused, match="is not ahead"):
        world.submit(stills(20), start_at=world.now - 1)
    with pytest.raises(OrderRefused, match="needs the name"):  # its end is an order in somebody's name
        world.tell(replace(submission(stills(20)), who=" ", start_at=world.now + 10))
    assert not world.scheduler.state.batches
    world.submit(stills(20))
    with pytest.raises(OrderRefused, match="is not ahead"):
        order(world, "pause", until=world.now + 4e8)
    assert not orders(world)


def test_a_pause_that_ended_while_no_controller_was_there_ends_when_one_comes():
    world = TimedWorld(cpus=2)
    world.submit(stills(20), start_at=world.now + 50)
    again = folded(world.log)
    later = world.now + 1000
    assert not [one for one in again.resume(later) if isinstance(one, Record)]
    told = [one.event for one in again.handle(Tick(), later) if isinstance(one, Record)]
    assert [type(event).__name__ for event in told][:2] == ["OrderGiven", "WaveReleased"]
    assert (told[0].order, told[0].who, told[0].at) == ("unpause", "ann", later)


def test_work_that_comes_after_other_work_finds_its_model_loaded():
    stage = "{{role: {}, model: test/{}, candidates: {}, wave: {}}}"
    world = ElasticWorld(
        load_s=30.0,
        seconds={"test/stills": 1.0, "test/clips": 5.0},
        farm=farm_of(small=node_type(), large=node_type(vram_gib=80, price_per_hour=9)),
    )
    first = batch_of(f"{{still: {stage.format('text_to_image', 'stills', 100, 100)}}}", shots=1)
    world.submit(first, vram_gib=16.0, gpus=1)
    second = batch_of(
        f"{{clip: {stage.format('text_to_video', 'clips', 4, 4)}}}", shots=1, batch="c", after=[{"batch": "b"}]
    )
    world.submit(second, vram_gib=60.0, gpus=1)
    assert world.run_for(1000) is not None
    last, came = max(begun(world)), next(at for at, kind in world.came if kind == "large")
    assert came < last
    assert min(begun(world, "c")) - last < world.boot_s + world.load_s


def test_what_many_shots_come_after_is_looked_through_once_for_all_of_them(monkeypatch):
    world = TimedWorld(cpus=2, seconds={"test/stills": 50.0, "test/clips": 1.0})
    world.submit(stills(4000, shots=30))
    clips = "{clip: {role: text_to_video, model: test/clips, candidates: 4, wave: 4}}"
    world.submit(batch_of(clips, shots=30, batch="c", after=[{"batch": "b"}]))
    world.run_for(20)
    looked = []
    monkeypatch.setattr(warming, "_left_s", lambda _fleet, stage: looked.append(stage) or inf)
    assert warming.needed_soon(world.scheduler.dispatcher.fleet) == {}
    assert len(looked) == 1


def test_on_machines_that_are_there_a_model_is_loaded_ahead_too_where_nobody_else_has_the_slots():
    world = TimedWorld(cpus=2, load_s=12.0)
    start = world.now + 60
    world.submit(stills(200), start_at=start)
    world.run_for(40)
    assert not world.machines
    assert world.run_for(1000) is not None
    assert start <= min(begun(world)) < start + 1.5
    world = TimedWorld(cpus=1, load_s=12.0, seconds={"test/stills": 1.0, "test/clips": 1.0})
    world.submit(batch_of("{clip: {role: text_to_video, model: test/clips, candidates: 60, wave: 60}}", batch="c"))
    world.submit(stills(20), start_at=world.now + 40)
    world.run_for(45)
    assert max(begun(world, "c")) > world.now - 30
    assert world.run_for(1000) is not None
