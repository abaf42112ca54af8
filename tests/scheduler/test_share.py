"""Whose turn it is: classes, fair shares, caps, pauses and looks, with hosts of different speeds on a clock."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.scheduler import Tunables
from ancestra_farm.scheduler.share import Account, Clock, Demand, hosts_by_pool, max_min, settle, turn
from ancestra_farm.scheduler.world import Revoke
from tests.scheduler.timed import TimedWorld
from tests.scheduler.world import CLIPS, STILLS, batch_of

LONG = "{role: text_to_image, model: test/stills, candidates: 3000, wave: 300}"
SHORT = "{role: text_to_image, model: test/stills, candidates: 120, wave: 60}"


def long(name="long", **fields):
    return batch_of(f"{{still: {LONG}}}", shots=1, batch=name, **fields)


def short(name="short", **fields):
    return batch_of(f"{{still: {SHORT}}}", shots=1, batch=name, **fields)


# ---- arithmetic ------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0.1, 10)), min_size=1, max_size=8),
    st.floats(0.5, 100),
)
def test_max_min_gives_all_there_is_and_nobody_more_than_wanted(wants, slots):
    most, weights = [want for want, _ in wants], [weight for _, weight in wants]
    parts = max_min(slots, most, weights)
    assert all(0 <= part <= want + 1e-9 for part, want in zip(parts, most, strict=True))
    assert sum(parts) == pytest.approx(min(slots, sum(most)))
    hungry = [part / weight for part, want, weight in zip(parts, most, weights, strict=True) if part < want - 1e-6]
    full = [part / weight for part, want, weight in zip(parts, most, weights, strict=True) if part >= want - 1e-6]
    assert not hungry or max(hungry) == pytest.approx(min(hungry))
    assert not (hungry and full) or max(full) <= min(hungry) + 1e-6


@given(st.lists(st.tuples(st.sampled_from([0.5, 1.0, 4.0]), st.floats(0.1, 5)), min_size=2, max_size=5))
def test_backlogged_batches_get_device_seconds_by_weight_to_within_a_ticket(batches):
    """The bound of start-time fair queueing: served by weight, two differ by one longest ticket each at most."""
    clock, accounts, served = Clock.fresh(), [Account() for _ in batches], [0.0] * len(batches)
    for account in accounts:
        clock.join(account, 1, 0.0)
    for _ in range(200):
        at = min(range(len(batches)), key=lambda i: turn(accounts[i], i, 0.0, 600.0))
        weight, seconds = batches[at]
        charged = clock.charge(accounts[at], 1.0, weight, 0.0)
        settle(accounts[at], charged, seconds, weight)
        served[at] += seconds
    shares = [had / weight for had, (weight, _) in zip(served, batches, strict=True)]
    longest = [max(seconds, 1.0) / weight for weight, seconds in batches]
    assert all(
        abs(shares[i] - shares[j]) <= longest[i] + longest[j] + 1e-6 for i in range(len(batches)) for j in range(i)
    )


def test_who_joins_late_has_no_credit_for_the_past_and_who_leaves_keeps_what_is_owed():
    clock, early, late = Clock.fresh(), Account(), Account()
    clock.join(early, 1, 0.0)
    for _ in range(50):
        clock.charge(early, 10.0, 1.0, 0.0)
    clock.join(late, 1, 0.0)
    assert early.tag - late.tag <= 10.0
    early.active = False
    owed = early.tag
    clock.join(early, 1, 0.0)
    assert early.tag == owed


def test_slots_go_to_classes_strictly_then_to_batches_by_weight_then_to_models_by_work():
    def demand(pool, batch, rank, weight=1.0, work=100.0, most=100, cap=None):
        return Demand(pool, batch, rank, weight, cap, work, most, 1.0)

    assert hosts_by_pool(8, [demand("x", "high", 0), demand("y", "low", 2)]) == {"x": 8}
    assert hosts_by_pool(8, [demand("x", "high", 0, most=3), demand("y", "low", 2)]) == {"x": 3, "y": 5}
    assert hosts_by_pool(8, [demand("x", "a", 1, weight=3.0), demand("y", "b", 1)]) == {"x": 6, "y": 2}
    assert hosts_by_pool(8, [demand("x", "a", 1, work=300), demand("y", "a", 1, work=100)]) == {"x": 6, "y": 2}
    assert hosts_by_pool(8, [demand("x", "a", 0, cap=2), demand("y", "b", 1)]) == {"x": 2, "y": 6}
    assert hosts_by_pool(1, [demand("x", "a", 1), demand("y", "b", 1)]) == {"x": 1, "y": 1}
    assert hosts_by_pool(0, [demand("x", "a", 1)]) == {}


# ---- classes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speeds", [(1.0,), (1.0, 0.2, 3.0)])
def test_once_a_higher_class_is_submitted_nothing_lower_starts_where_it_could_run(speeds):
    world = TimedWorld(cpus=6, speeds=speeds)
    world.submit(long(priority="backfill"))
    world.run_for(30.0)
    running = sum(len(machine.tickets) for machine in world.machines.values())
    assert running == 12  # one runs and one waits on each, all of the lower class
    since = world.now
    world.submit(short(priority="dailies"))
    world.run_for(60.0)
    urgent = world.started_of("short", since)
    assert sum(len(begun.ticket.positions) for begun in urgent) == 120
    lower = [begun for begun in world.started_of("long", since) if begun.at < max(b.at for b in urgent)]
    assert not world.late
    assert all(begun.at > max(b.at for b in urgent if b.ticket.branch) - 2.0 for begun in lower)
    assert world.run()


def test_large_tickets_that_wait_are_taken_back_and_those_that_run_go_on():
    world = TimedWorld(cpus=2, seconds={"test/stills": 1.0}, tunables=Tunables(ticket_s=50.0))
    world.submit(long(priority="backfill"), seconds_per_candidate=1.0)
    world.run_for(20.0)
    before = {begun.ticket.ticket for begun in world.begun}
    since = world.now
    world.submit(short(priority="shot"), seconds_per_candidate=1.0)
    world.run_for(400.0)
    aborted = [e for e in world.log if getattr(e, "cause", None) == "aborted"]
    assert not aborted
    assert {begun.ticket.ticket for begun in world.begun if begun.at < since} == before
    first = next(begun for begun in world.begun if begun.at >= since)
    assert first.ticket.batch == "short"
    assert not world.late


def test_classes_hold_in_each_of_several_pools():
    world = TimedWorld(cpus=6)
    both = f"{{still: {LONG}, animate: {CLIPS.replace('candidates: 4', 'candidates: 40')}}}"
    world.submit(batch_of(both, shots=2, batch="low", priority="backfill"))
    world.run_for(60.0)
    world.submit(batch_of(f"{{still: {SHORT}, animate: {CLIPS}}}", shots=3, batch="mid", priority="shot"))
    world.run_for(5.0)
    world.submit(batch_of(f"{{still: {SHORT}, animate: {CLIPS}}}", shots=3, batch="high", priority="dailies"))
    assert world.run()
    assert not world.late
    ends = {name: max(begun.at for begun in world.started_of(name)) for name in ("low", "mid", "high")}
    assert ends["high"] < ends["mid"] < ends["low"]


def test_a_model_that_a_higher_class_needs_gets_the_slots_first():
    world = TimedWorld(cpus=4)
    world.submit(long(priority="backfill"))
    world.run_for(20.0)
    clips = "{role: text_to_video, model: test/clips, candidates: 400}"
    world.submit(batch_of(f"{{animate: {clips}}}", shots=1, batch="high", priority="dailies"))
    world.run_for(20.0)
    assert Counter(machine.model for machine in world.machines.values()) == {"test/clips": 4}


def test_all_hosts_that_a_higher_class_needs_of_another_model_change_over_at_once():
    """Not one after the other, each waiting for a ticket of minutes to end."""
    world = TimedWorld(cpus=12, seconds={"test/stills": 20.0, "test/clips": 20.0}, check=False)
    world.submit(long(priority="backfill"), seconds_per_candidate=20.0)
    world.run_for(60.0)
    since = world.now
    clips = "{role: text_to_video, model: test/clips, candidates: 200}"
    world.submit(batch_of(f"{{animate: {clips}}}", shots=1, batch="high", priority="dailies"), seconds_per_candidate=20)
    world.run_for(30.0)
    assert Counter(machine.model for machine in world.machines.values()) == {"test/clips": 12}
    assert not world.started_of("long", since + 1.0)


def test_only_as_many_hosts_change_over_as_are_worth_a_load_each():
    world = TimedWorld(cpus=8)
    world.submit(long())
    world.run_for(20.0)
    clips = "{role: text_to_video, model: test/clips, candidates: 25}"
    world.submit(batch_of(f"{{animate: {clips}}}", shots=1, batch="few"))
    world.run_for(6.0)  # 25 s of work, and a load takes 5: two hosts, not the four of a fair share
    assert Counter(machine.model for machine in world.machines.values()) == {"test/stills": 6, "test/clips": 2}


def test_a_batch_that_needs_another_model_does_not_wait_for_the_end_of_all_others():
    world = TimedWorld(cpus=1)
    world.submit(batch_of(f"{{still: {LONG}}}", shots=30, batch="big"))
    world.run_for(30.0)
    clips = "{role: text_to_video, model: test/clips, candidates: 4}"
    world.submit(batch_of(f"{{animate: {clips}}}", shots=1, batch="tiny"))
    world.run_for(Tunables().ageing_s + 60.0)
    assert sum(len(begun.ticket.positions) for begun in world.started_of("tiny")) == 4
    assert world.started_of("big", world.now - 30.0)


def test_a_batch_alone_finishes_with_one_model_before_its_only_slot_goes_to_the_next():
    world = TimedWorld(cpus=1)
    clips = "{role: text_to_video, model: test/clips, candidates: 4}"
    world.submit(batch_of(f"{{still: {LONG}, animate: {clips}}}", shots=3, batch="alone"))
    assert world.run_for(2000.0)
    models = [begun.ticket.space.model for begun in world.begun]
    assert sum(one != other for one, other in pairwise(models)) == 1


def test_within_a_class_nothing_is_taken_back():
    world = TimedWorld(cpus=4)
    revoked = []
    carry_out = world.carry_out
    world.carry_out = lambda out: (revoked.extend(i for i in out if isinstance(i, Revoke)), carry_out(out))
    world.submit(long())
    world.run_for(20.0)
    world.submit(long("other"))
    world.run_for(20.0)
    assert not revoked


def test_an_order_moves_a_batch_to_another_class_at_once():
    world = TimedWorld(cpus=4)
    world.submit(long("one"))
    world.submit(long("two", priority="backfill"))
    world.run_for(30.0)
    assert not world.started_of("two")
    world.order_batch("two", "priority", priority="dailies")
    since = world.now
    world.run_for(20.0)
    assert world.started_of("two", since)
    assert not world.started_of("one", since)
    assert not world.late


# ---- shares ----------------------------------------------------------------------------------------------------------


def test_device_seconds_follow_weights_within_a_class():
    world = TimedWorld(cpus=8, speeds=(1.0, 2.0))
    world.submit(long("one", weight=3.0))
    world.submit(long("two"))
    world.run_for(25.0)
    assert world.busy_s["one"] / world.busy_s["two"] == pytest.approx(3.0, rel=0.15)


def test_a_batch_that_comes_late_shares_from_then_on():
    world = TimedWorld(cpus=4)
    world.submit(long("one"))
    world.run_for(30.0)
    world.submit(long("two"))
    world.run_for(5.0)  # in which hosts work off what they hold
    before = dict(world.busy_s)
    world.run_for(25.0)
    gained = {name: busy_s - before[name] for name, busy_s in world.busy_s.items()}
    assert gained["two"] / gained["one"] == pytest.approx(1.0, rel=0.15)


def test_a_tiny_weight_means_slow_but_never_not_at_all():
    world = TimedWorld(cpus=2, tunables=Tunables(ageing_s=30.0))
    world.submit(long("big", weight=1000.0))
    world.run_for(10.0)
    world.submit(long("tiny", weight=0.001))
    world.run_for(110.0)
    starts = [begun.at for begun in world.started_of("tiny")]
    assert 3 <= len(starts) <= 5
    assert all(later - before < 40.0 for before, later in pairwise(starts))


def test_ageing_never_lifts_a_batch_over_its_class():
    world = TimedWorld(cpus=2, tunables=Tunables(ageing_s=5.0))
    world.submit(long("high", priority="dailies"))
    world.submit(long("low", priority="backfill"))
    world.run_for(100.0)
    assert not world.started_of("low")


def test_a_cap_on_slots_holds_whatever_is_free():
    world = TimedWorld(cpus=6)  # the cap is an invariant, looked at after each happening
    world.submit(long("capped", max_slots=2))
    world.run_for(60.0)
    assert len({begun.host for begun in world.begun}) == 2
    world.submit(long("free", priority="backfill"))
    world.run_for(60.0)
    assert len({begun.host for begun in world.started_of("free")}) >= 4
    assert (
        len({begun.host for begun in world.begun if begun.at > world.now - 20 and begun.ticket.batch == "capped"}) <= 2
    )


def test_a_batch_that_waits_is_told_for_whom():
    world = TimedWorld(cpus=2)
    world.submit(long("high", priority="dailies"))
    world.submit(long("low"))
    world.run_for(20.0)
    (said,) = world.scheduler.explain("low", "s000")
    assert "high is served first: its class dailies comes before shot" in said
    (said,) = world.scheduler.explain("low", "s000", shows=("another",))
    assert "a batch of another show is served first: its class dailies comes before shot" in said
    assert "high" not in said
    (said,) = world.scheduler.explain("high", "s000")
    assert "tickets out with" in said


def test_what_waits_for_its_cap_keeps_no_lower_class_from_being_released():
    world = TimedWorld(cpus=6)
    wide = LONG.replace("wave: 300", "wave: 3000")
    world.submit(batch_of(f"{{still: {wide}}}", shots=1, batch="capped", priority="dailies", max_slots=1))
    world.run_for(1.0)
    world.submit(long("free", priority="backfill"))
    world.run_for(30.0)
    assert len({begun.host for begun in world.started_of("free")}) == 5


def test_a_cap_below_one_host_is_said_and_holds_nobody_else_up():
    world = TimedWorld(cpus=4)
    world.submit(short("narrow", max_slots=1), cpus=2.0)
    assert world.run()
    assert world.done.stuck == ("narrow may hold 1 slot at once (max_slots), and test/stills needs 2",)


# ---- pauses ----------------------------------------------------------------------------------------------------------


def test_a_paused_batch_starts_nothing_and_finishes_what_runs():
    world = TimedWorld(cpus=3)
    world.submit(long())
    world.run_for(20.0)
    world.order_batch("long", "pause")
    since, judged = world.now, world.scheduler.progress()[0].stages[0].judged
    world.run_for(30.0)
    assert not world.started_of("long", since)
    assert world.scheduler.progress()[0].stages[0].judged > judged
    assert "paused" in " ".join(world.done.stuck)
    world.done = None
    world.order_batch("long", "unpause")
    world.after(1.0, world._tick)
    assert world.run()
    assert world.scheduler.progress()[0].stages[0].judged == 3000


def test_what_is_paused_makes_room_for_others():
    world = TimedWorld(cpus=3)
    world.submit(long("one", priority="dailies"))
    world.submit(short("two", priority="backfill"))
    world.run_for(20.0)
    assert not world.started_of("two")
    world.order_batch("one", "pause")
    world.run_for(60.0)
    assert sum(len(begun.ticket.positions) for begun in world.started_of("two")) == 120


# ---- idle hosts ------------------------------------------------------------------------------------------------------


def test_an_idle_host_takes_what_waits_behind_a_slow_one():
    stage = "{role: text_to_image, model: test/stills, candidates: 8, wave: 8}"
    world = TimedWorld(cpus=2, speeds=(1.0, 0.02), seconds={"test/stills": 2.0})
    world.submit(batch_of(f"{{still: {stage}}}", shots=1), seconds_per_candidate=2.0)
    begun_at = world.now + world.load_s
    assert world.run()
    assert world.now - begun_at < 2 * 2.0 / 0.02  # the slow host's second ticket went to the fast one
    assert len({begun.host for begun in world.begun}) == 2


# ---- looks -----------------------------------------------------------------------------------------------------------


def looked(candidates=400):
    stage = f"{{role: text_to_image, model: test/stills, candidates: {candidates}, wave: {candidates}, look: LOOK}}"
    digests = {"red": "sha256:" + "1" * 64, "blue": "sha256:" + "2" * 64}
    looks = {name: {"source": f"{name}.safetensors", "digest": digest} for name, digest in digests.items()}
    return [batch_of(f"{{still: {stage.replace('LOOK', name)}}}", shots=1, batch=name, looks=looks) for name in digests]


def test_hosts_stay_with_the_look_they_have_and_neither_look_starves():
    def switches(**tunables):
        world = TimedWorld(cpus=1, tunables=Tunables(**tunables))
        for batch in looked():
            world.submit(batch, looks=True)
        world.run_for(45.0)
        assert set(world.busy_s) == {"red", "blue"}
        return sum(begun.switched for begun in world.begun)

    assert switches(look_stay_s=10.0) < switches(look_stay_s=0.1) / 3


def test_two_hosts_each_keep_a_look():
    world = TimedWorld(cpus=2)
    for batch in looked():
        world.submit(batch, looks=True)
    world.run_for(35.0)
    assert set(world.busy_s) == {"red", "blue"}
    assert sum(begun.switched for begun in world.begun) <= 2


# ---- everything at once ----------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    priorities=st.lists(st.sampled_from(["dailies", "shot", "backfill"]), min_size=2, max_size=4),
    cpus=st.integers(1, 5),
    caps=st.lists(st.sampled_from([None, 1, 2]), min_size=4, max_size=4),
)
def test_many_batches_of_all_classes_end_each_as_if_alone(seed, priorities, cpus, caps):
    stages = f"{{still: {STILLS}, animate: {CLIPS}}}"
    alone = TimedWorld(cpus=2)
    alone.submit(batch_of(stages, shots=1))
    alone.run()
    world = TimedWorld(seed=seed, cpus=cpus, speeds=(1.0, 0.3, 2.0))
    for number, priority in enumerate(priorities):
        world.submit(batch_of(stages, shots=1, batch=f"b{number}", priority=priority, max_slots=caps[number]))
        world.run_for(world.random.random() * 5)
        if world.machines and world.random.random() < 0.3:
            world.lose(world.random.choice(sorted(world.machines)), "host_lost")
    if world.random.random() < 0.3:
        world.slots_change(1 + cpus // 2)
    assert world.run()
    assert not world.late
    for batch in world.scheduler.state.batches.values():
        for (shot, stage), survivors in alone.survivors().items():
            branches = batch.shots[shot].stages[stage].branches.values()
            assert [c for branch in branches for c in branch.survivor_ids()] == survivors
