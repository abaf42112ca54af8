"""Tickets, hosts, budgets: who works on what."""

from dataclasses import replace
from fractions import Fraction

import pytest

from ancestra_farm.plan.events import AttemptEnded, WaveReleased
from ancestra_farm.scheduler import Tunables, folded
from ancestra_farm.scheduler.counts import FilterCost
from ancestra_farm.scheduler.filter_order import cheapest_rejection_first
from ancestra_farm.scheduler.world import AllDone, Dispatch, HostLost, SlotsChanged, StartHost, StopRequested
from tests.scheduler.world import CARDS, CLIPS, STILLS, Fate, World, batch_of, finished, submission

MANY = "{role: text_to_image, model: test/stills, candidates: 5000, wave: 1000}"


def test_tickets_grow_with_cheap_work_and_shrink_with_dear_work():
    class Cost(Fate):
        cost = 0.001

        def attempt(self, *args):
            attempt = super().attempt(*args)
            return type(attempt)(**{**{f: getattr(attempt, f) for f in attempt.__slots__}, "device_s": self.cost})

    cheap = finished(batch_of(f"{{still: {MANY}}}", shots=1), fate=Cost(), check=False)
    assert max(len(t.positions) for t in cheap.dispatched) > 100
    assert len(cheap.dispatched[0].positions) <= Tunables().ticket_first  # whatever the card's guess

    class Dear(Cost):
        cost = 1.0

    dear = finished(batch_of(f"{{still: {STILLS}}}", shots=1), fate=Dear())
    assert {len(t.positions) for t in dear.dispatched[10:]} <= {1, 2}


def test_a_host_has_one_ticket_running_and_one_waiting():
    world = World(cpus=1)
    world.submit(batch_of(f"{{still: {STILLS}}}"))
    world.run(1)
    assert [len(tickets) for tickets in world.hosts.values()] == [2]


def test_no_more_hosts_start_than_there_are_slots_or_candidates():
    world = finished(batch_of(f"{{still: {STILLS.replace('40', '3')}}}", shots=1), cpus=9)
    assert world.scheduler.dispatcher.fleet.started <= 3
    world = World(cpus=4, check=True)
    world.submit(batch_of(f"{{still: {MANY}}}"))
    assert len(world.hosts) == 4


def test_releases_are_recorded_before_anything_is_handed_out():
    world = World(cpus=2)
    out = world.scheduler.handle(submission(batch_of(f"{{still: {STILLS}}}")), 1000.0)
    kinds = [type(i).__name__ for i in out]
    assert "Record" in kinds
    if "Dispatch" in kinds:
        assert kinds.index("Dispatch") > max(i for i, k in enumerate(kinds) if k == "Record")


def test_a_batch_of_millions_is_released_little_by_little():
    world = World(cpus=2, check=False)
    world.submit(
        batch_of("{still: {role: text_to_image, model: test/stills, candidates: 10000000, wave: 256}}", shots=20)
    )
    world.run(10)
    released = sum(e.stop - e.start for e in world.log if isinstance(e, WaveReleased))
    assert 0 < released <= 2048


def test_a_budget_in_candidates_ends_the_batch_at_that_number_whoever_does_the_work():
    batch = batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", budget={"candidates": 50})
    worlds = [finished(batch, seed=seed, cpus=cpus) for seed, cpus in ((1, 1), (2, 3), (3, 7))]
    for world in worlds:
        assert sum(e.stop - e.start for e in world.log if isinstance(e, WaveReleased)) <= 50
        assert world.survivors() == worlds[0].survivors()
    assert "budget" in " ".join(worlds[0].scheduler.explain("b", "s000"))


def test_a_budget_in_device_hours_ends_the_batch_with_the_candidate_that_spends_it():
    world = finished(batch_of(f"{{still: {MANY}}}", shots=1, budget={"device_hours": 20 / 3600}), check=False)
    batch = world.scheduler.state.batches["b"]
    assert 20 <= batch.device_s < 20 + 2 * 0.1
    branch = batch.branches["s000/still/0"]
    assert branch.closed.why == "budget"
    passed = [event for event in world.log if isinstance(event, AttemptEnded) and event.passed]
    assert len(branch.survivors) == len(passed) > 40, "what was judged of a wave that is cut short counts"
    (stage,) = world.scheduler.progress()[0].stages
    assert stage.judged + stage.skipped == stage.released
    assert "device-hours is spent" in " ".join(world.scheduler.explain("b", "s000"))
    again = folded(world.log)
    assert again.progress() == world.scheduler.progress()


def test_clips_take_over_slots_when_the_stills_need_them_no_more():
    world = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}"), cpus=1)
    models = [t.space.model for t in world.dispatched]
    assert set(models) == {"test/stills", "test/clips"}


def test_a_stop_takes_everything_back_and_a_new_start_goes_on():
    world = World(cpus=2)
    batch = batch_of(f"{{still: {STILLS}}}")
    world.submit(batch)
    world.run(4)
    world.tell(StopRequested())
    world.run()
    assert not any(isinstance(i, Dispatch | StartHost) for i in world.scheduler.handle(SlotsChanged(5, 0), world.now))
    world.start()
    assert world.run()
    assert world.survivors() == finished(batch).survivors()


def test_a_model_that_needs_a_gpu_is_said_to_have_none():
    world = World()
    card = CARDS["test/stills"].model_copy(update={"gpus": 1})
    request = submission(batch_of(f"{{still: {STILLS}}}", shots=1))
    world.tell(
        type(request)(request.document, {**request.cards, "test/stills": card.model_dump_json(by_alias=True)}, "ann")
    )
    assert isinstance(world.done, AllDone)
    assert world.done.stuck == ("test/stills needs 1 GPU, and there are 0",)
    assert "needs 1 GPU," in world.scheduler.explain("b", "s000")[0]


def test_folding_the_log_gives_the_same_knowledge():
    world = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}"))
    again = folded(world.log)
    assert again.progress() == world.scheduler.progress()
    assert again.explain("b", "s001") == world.scheduler.explain("b", "s001")


def test_the_cheapest_rejection_comes_first():
    costs = {
        "dear and strict": FilterCost(runs=100, seconds=1.0, rejections=50),
        "cheap and lenient": FilterCost(runs=100, seconds=0.1, rejections=1),
        "cheap and strict": FilterCost(runs=100, seconds=0.1, rejections=50),
    }
    assert cheapest_rejection_first(costs) == ("cheap and strict", "dear and strict", "cheap and lenient")
    assert cheapest_rejection_first({}) == ()


def test_waves_after_the_first_run_their_filters_in_measured_order():
    world = finished(batch_of(f"{{still: {STILLS}}}", shots=1))
    orders = [e.filters for e in world.log if isinstance(e, WaveReleased)]
    assert orders[0] == ()
    assert set(orders[-1]) == {"blur", "noise"}


def test_rates_survive_the_way_through_the_log():
    batch = batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", rate="24000/1001")
    world = finished(batch)
    shot = world.scheduler.state.batches["b"].shots["s000"].plan
    assert shot.rate == Fraction(24000, 1001)


def test_every_tunable_must_make_sense():
    for name in Tunables.__slots__:
        with pytest.raises(ValueError, match=name):
            Tunables(**{name: 0})


def with_card(batch, model, **changes):
    request = submission(batch)
    card = CARDS[model].model_copy(update=changes).model_dump_json(by_alias=True)
    return replace(request, cards={**request.cards, model: card})


def test_work_that_cannot_run_reserves_nothing_of_the_budget():
    clips = "{role: text_to_video, model: test/clips, candidates: 30}"
    world = World()
    batch = batch_of(f"{{animate: {clips}, still: {STILLS}}}", shots=1, budget={"device_hours": 25 / 3600})
    world.tell(with_card(batch, "test/clips", gpus=1))
    assert world.run().stuck == ("test/clips needs 1 GPU, and there are 0",)
    assert [stage.judged for stage in world.scheduler.progress()[0].stages] == [0, 40]


def test_work_that_is_too_wide_for_its_cap_reserves_nothing_of_the_budget():
    clips = "{role: text_to_video, model: test/clips, candidates: 30}"
    world = World(cpus=4)
    stages = f"{{animate: {clips}, still: {STILLS}}}"
    batch = batch_of(stages, shots=1, budget={"device_hours": 25 / 3600}, max_slots=1)
    world.tell(with_card(batch, "test/clips", cpus=2.0))
    assert world.run().stuck == ("b may hold 1 slot at once (max_slots), and test/clips needs 2",)
    assert [stage.judged for stage in world.scheduler.progress()[0].stages] == [0, 40]


def test_a_model_that_takes_two_slots_gets_them_from_two_hosts_of_another():
    world = World(cpus=2)
    world.tell(with_card(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1), "test/clips", cpus=2.0))
    assert world.run()
    assert world.scheduler.progress()[0].state == "done"


def test_hosts_are_let_go_when_a_stop_has_emptied_them():
    world = World(cpus=3)
    world.submit(batch_of(f"{{still: {STILLS}}}"))
    world.run(5)
    world.tell(StopRequested())
    world.run()
    assert world.hosts == {}


def test_many_batches_in_one_store_each_end_as_if_alone():
    alone = finished(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}")).survivors()
    world = World()
    for name in ("b", "c", "d"):
        world.submit(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", batch=name))
        world.run(7)
    assert world.run()
    for batch in world.scheduler.state.batches.values():
        for (shot, stage), survivors in alone.items():
            branches = batch.shots[shot].stages[stage].branches.values()
            assert [c for branch in branches for c in branch.survivor_ids()] == survivors
    assert len(world.scheduler.progress()) == 6


def needs_of_stills(scheduler):
    (pool,) = (pool for pool in scheduler.dispatcher.fleet.pools.values() if pool.model == "test/stills")
    return pool.card.cpus


def test_what_the_newest_batch_states_of_a_model_holds_after_a_restart_too():
    world = World(cpus=8)
    states = {"a": 1.0, "b2": 4.0}
    for name, seed in (("a", 7), ("b2", 7), ("a", 8)):  # the first is given anew
        world.submit(batch_of(f"{{still: {STILLS}}}", batch=name, seed=seed), cpus=states[name])
        again = folded(world.log)
        again.resume(world.now)
        assert needs_of_stills(world.scheduler) == needs_of_stills(again) == states[name]
    world.submit(batch_of(f"{{still: {STILLS}}}", batch="b2"), cpus=4.0)
    assert needs_of_stills(world.scheduler) == 1.0, "nothing new was stated"


def test_a_batch_that_is_submitted_again_as_it_is_has_what_could_not_start_tried_at_once():
    world = World(cpus=1)
    world.submit(batch_of(f"{{still: {STILLS}}}"))
    while world.hosts:
        host = next(iter(world.hosts))
        world.hosts.pop(host)
        world.tell(HostLost(host, "exception", "no space left on device"))
    world.submit(batch_of(f"{{still: {STILLS}}}"))
    assert world.hosts
