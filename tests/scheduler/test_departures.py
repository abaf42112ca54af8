"""Nodes that go away: their hosts get nothing more, what cannot end in time is handed back, and nobody is to blame."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.plan.events import AttemptEnded, CandidateGivenUp
from ancestra_farm.plan.farm_events import HostNoted, NodeNoticed
from ancestra_farm.scheduler import Tunables
from ancestra_farm.scheduler.departures import REMEMBERED_S
from ancestra_farm.scheduler.world import (
    Dispatch,
    HostLost,
    HostPlaced,
    HostReady,
    KillHost,
    NodeLeaving,
    Revoke,
    StartHost,
    StopHost,
)
from tests.scheduler.elastic import ElasticWorld, farm_of, node_type
from tests.scheduler.nodes import NodeWorld
from tests.scheduler.world import Fate, batch_of, finished

STILLS = "{role: text_to_image, model: test/stills, candidates: 400, wave: 100}"
CLIPS = "{role: text_to_video, model: test/clips, candidates: 24, wave: 12}"
BATCH = batch_of(f"{{still: {STILLS}}}", shots=1)
LONG = batch_of(f"{{clip: {CLIPS}}}", shots=1)
WIDE = batch_of("{clip: {role: text_to_video, model: test/clips, candidates: 90, wave: 90}}", shots=1)
SMALL = batch_of("{still: {role: text_to_image, model: test/stills, candidates: 120, wave: 40}}", shots=1)
#: Tickets of one clip, and clips of a minute.
SLOWLY = {"tunables": Tunables(ticket_s=0.1), "seconds": {"test/stills": 0.1, "test/clips": 60.0}}


def working(**options) -> NodeWorld:
    """A world whose hosts are all at work."""
    batch = options.pop("batch", BATCH)
    world = NodeWorld(**options)
    guesses = {"seconds_per_candidate": world.seconds["test/clips"]} if batch in (LONG, WIDE) else {}
    world.submit(batch, **guesses)
    world.run_for(world.load_s + 3)
    assert len(world.at_node) == len(world.nodes)
    assert all(machine.working for machine in world.machines.values())
    return world


def failures(world) -> list[AttemptEnded | CandidateGivenUp]:
    return [
        event
        for event in world.log
        if isinstance(event, CandidateGivenUp)
        or (isinstance(event, AttemptEnded) and event.cause not in ("judged", "aborted"))
    ]


def test_a_host_on_a_node_that_goes_gets_nothing_more_and_leaves_when_its_ticket_is_done():
    world = working()
    host, at = world.on("n2"), world.now
    world.notice("n2", 30)
    given_before = {one.ticket.ticket for one in world.since(Dispatch, 0) if one.host == host}
    assert world.run()
    assert {one.ticket.ticket for one in world.since(Dispatch, 0) if one.host == host} == given_before
    (stop,) = [one for one in world.since(StopHost, at) if one.host == host]
    assert stop.why == "its node goes away: preempted"
    assert not world.since(KillHost, at)
    assert failures(world) == []
    assert world.survivors() == finished(BATCH).survivors()


def test_a_node_that_went_without_a_time_is_forgotten_in_the_end_and_a_block_is_not():
    departures = NodeWorld().scheduler.dispatcher.departures
    departures.begin("idle", None, "Ray drains it", 0.0)
    departures.begin("shut", None, "blocked by ada", 0.0, blocked=True)
    departures.hand_back(REMEMBERED_S)
    assert departures.going.keys() == {"idle", "shut"}
    departures.hand_back(REMEMBERED_S + 1)
    assert departures.going.keys() == {"shut"}


def test_what_has_not_started_comes_back_at_once_and_what_runs_goes_on():
    world = working()
    host, at = world.on("n2"), world.now
    running, *waiting = [lease.ticket.ticket for lease in world.scheduler.dispatcher.fleet.hosts[host].leases]
    world.notice("n2", 30)
    assert [(one.host, one.ticket) for one in world.since(Revoke, at)] == [(host, ticket) for ticket in waiting]
    assert any(begun.ticket.ticket == running for begun in world.begun)


def test_what_cannot_end_in_time_is_handed_back_at_once():
    world = working(batch=LONG, **SLOWLY)
    host, at = world.on("n1"), world.now
    held = [lease.ticket.ticket for lease in world.scheduler.dispatcher.fleet.hosts[host].leases]
    world.notice("n1", 20)
    assert sorted(one.ticket for one in world.since(Revoke, at)) == sorted(held)
    world.run_for(1)
    assert host not in world.machines
    assert world.run()
    assert failures(world) == []
    assert world.survivors() == finished(LONG).survivors()


def test_a_ticket_of_many_goes_on_to_the_last_moment_and_what_was_made_of_it_counts():
    world = working(
        batch=WIDE, tunables=Tunables(ticket_s=600.0, ticket_first=8), seconds={"test/stills": 0.1, "test/clips": 10.0}
    )
    host, at = world.on("n1"), world.now
    (running,) = _started(world, host)
    world.notice("n1", 30)
    assert running not in {one.ticket for one in world.since(Revoke, at)}
    assert world.run()
    (taken_back,) = [when for when, one in world.told if isinstance(one, Revoke) and one.ticket == running]
    assert at + 24 < taken_back < at + 27
    done = [e for e in world.log if isinstance(e, AttemptEnded) and e.host == host]
    assert done
    assert {attempt.cause for attempt in done} == {"judged"}
    assert failures(world) == []


def test_a_node_without_a_time_is_left_when_what_runs_is_done_however_long_that_takes():
    world = working(batch=LONG, **SLOWLY)
    host, at = world.on("n1"), world.now
    world.notice("n1", None, "drained by ann")
    assert not [one for one in world.since(Revoke, at) if one.host == host and one.ticket in _started(world, host)]
    assert world.run()
    assert [one.why for one in world.since(StopHost, at) if one.host == host] == ["its node goes away: drained by ann"]
    assert failures(world) == []


def _started(world, host):
    return {begun.ticket.ticket for begun in world.begun if begun.host == host}


def test_a_node_that_vanishes_with_work_on_it_counts_as_no_loss_of_any_candidate():
    world = working(batch=LONG, **SLOWLY)
    host = world.on("n1")
    world.tell(NodeLeaving("n1", world.now + 200, "maintenance"))
    world.slots_change(2)
    world.run_for(1)
    assert host in world.machines
    world.gone.add("n1")
    world._vanish("n1")
    lost = [e for e in world.log if isinstance(e, AttemptEnded) and e.host == host and e.cause != "judged"]
    assert [attempt.cause for attempt in lost] == ["aborted"]
    assert lost[0].device_s > 0
    assert world.run()
    assert failures(world) == []
    results = [r for b in world.scheduler.state.batches["b"].branches.values() for r in b.results["full"].values()]
    assert {(result.losses, result.strikes) for result in results} == {(0, 0)}


def test_a_node_that_vanishes_without_notice_is_a_loss_as_ever():
    world = working(batch=LONG, **SLOWLY)
    world.gone.add("n1")
    world._vanish("n1")
    assert {event.cause for event in failures(world)} == {"host_lost"}


def test_what_fails_on_a_node_that_goes_is_taken_for_the_nodes_doing():
    failing = {"on": False}
    fate = Fate(trouble=lambda _id, _attempt: "exception" if failing["on"] else None)
    world = working(fate=fate)
    host = world.on("n1")
    world.notice("n1", 30)
    failing["on"] = True
    while world.machines.get(host) and world.machines[host].working:
        world.run_for(0.05)
    failing["on"] = False
    assert world.run()
    assert {e.cause for e in world.log if isinstance(e, AttemptEnded) and e.host == host} >= {"aborted"}
    assert not [e for e in failures(world) if e.host == host]


def test_a_host_that_holds_on_to_its_node_is_ended_when_the_node_should_be_gone():
    world = working(batch=LONG, **SLOWLY)
    host, at = world.on("n1"), world.now
    world.deaf.add(host)
    world.tell(NodeLeaving("n1", world.now + 20, "preempted"))
    world.slots_change(2)
    world.run_for(19)
    assert not world.since(KillHost, at)
    world.run_for(3)
    assert [one.host for one in world.since(KillHost, at)] == [host]
    world.gone.add("n1")
    assert world.run()
    assert failures(world) == []


def test_a_late_notice_leaves_time_to_hand_back():
    world = working()
    host, at = world.on("n1"), world.now
    world.tell(NodeLeaving("n1", world.now - 1, "preempted"))
    world.slots_change(2)
    world.gone.add("n1")
    world.run_for(4)
    assert not world.since(KillHost, at)
    assert [one.host for one in world.since(StopHost, at)] == [host]


def test_a_host_that_is_still_loading_there_is_let_go_and_its_model_is_not_to_blame():
    world = NodeWorld(nodes=("n1",), load_s=60.0)
    world.submit(BATCH)
    world.run_for(10)
    host, at = world.on("n1"), world.now
    world.notice("n1", 30)
    assert [one.host for one in world.since(StopHost, at)] == [host]
    (pool,) = [pool for pool in world.scheduler.dispatcher.fleet.pools.values() if pool.model == "test/stills"]
    assert pool.start_failures == 0
    assert not [e for e in world.log if isinstance(e, HostNoted) and e.what == "failed_to_start"]


def test_a_host_that_comes_up_on_a_node_that_goes_is_let_go_again():
    world = NodeWorld(nodes=("n1", "n2"))
    world.submit(BATCH)
    (one, two) = list(world.machines)
    world.tell(NodeLeaving("n1", world.now + 30, "preempted"))
    world.tell(HostPlaced(one, "n1"))
    assert world.told[-1][1] == StopHost(one, "its node goes away: preempted")
    assert two in world.machines


def test_slots_are_counted_off_with_the_notice_and_no_host_is_asked_for_in_their_place():
    world = working()
    at = world.now
    world.tell(NodeLeaving("n2", world.now + 30, "preempted"))
    assert not world.since(StartHost, at)
    world.slots_change(2)
    assert not world.since(StartHost, at)
    others = {world.on("n1"), world.on("n3")}
    assert not [one for one in world.since(StopHost, at) if one.host in others]
    world.run_for(0.5)
    world.slots_change(3)  # another node came
    assert len(world.since(StartHost, at)) == 1


def test_a_notice_is_in_the_log_once_with_the_hosts_it_is_about():
    world = working()
    host, at = world.on("n2"), world.now
    for _ in range(3):
        world.tell(NodeLeaving("n2", at + 30, "AWS: spot instance, terminate"))
    (noticed,) = [event for event in world.log if isinstance(event, NodeNoticed)]
    assert (noticed.node, noticed.hosts, noticed.leaves_at) == ("n2", (host,), at + 30)
    assert noticed.why == "AWS: spot instance, terminate"


def lost_with(world) -> list[str]:
    return [event.node for event in world.log if isinstance(event, HostNoted) and event.what == "lost"]


def test_a_node_that_vanishes_is_told_once_whatever_number_of_hosts_it_had():
    kind = node_type(gpus=4, cpus=16, memory_gib=128, max_nodes=1)
    world = ElasticWorld(farm=farm_of(big=kind), seconds={"test/stills": 2.0})
    world.submit(BATCH, gpus=1, vram_gib=16.0, seconds_per_candidate=2.0)
    world.run_for(90)
    (node,) = world.nodes.values()
    assert len(node.hosts) == 4
    world.take(node, lost=True)
    assert lost_with(world) == [node.name, "", "", ""]


def test_a_node_that_gave_notice_and_a_host_that_crashed_are_no_node_that_vanished():
    world = working()
    world.lose(world.on("n1"), "crash")
    world.notice("n2", 30)
    world.lose(world.on("n2"), "host_lost")
    world.lose(world.on("n3"), "host_lost")
    assert lost_with(world) == ["", "", "n3"]


def test_a_node_without_hosts_goes_unnoticed():
    world = working(nodes=("n1", "n2"))
    at = world.now
    world.tell(NodeLeaving("n9", at + 30, "idle"))
    world.tell(NodeLeaving("n8", None, "idle"))
    assert not [event for event in world.log if isinstance(event, NodeNoticed)]
    assert not world.since(Revoke, at)


def test_an_earlier_time_counts_and_a_later_one_does_not():
    world = working(batch=LONG, **SLOWLY)
    host, at = world.on("n1"), world.now
    world.tell(NodeLeaving("n1", at + 300, "maintenance"))
    world.tell(NodeLeaving("n1", None, "Ray drains it"))
    assert not [one for one in world.since(Revoke, at) if one.ticket in _started(world, host)]
    world.tell(NodeLeaving("n1", at + 20, "preempted"))
    assert [one.host for one in world.since(Revoke, at)][-1] == host
    world.tell(NodeLeaving("n1", at + 900, "maintenance"))
    world.slots_change(2)
    world.gone.add("n1")
    assert world.run()
    assert failures(world) == []


def test_a_host_that_was_surplus_is_not_kept_when_its_node_goes():
    world = working()
    hosts = {world.on(node): node for node in world.nodes}
    world.slots_change(2)
    (surplus,) = [host for host in hosts if world.scheduler.dispatcher.fleet.hosts[host].surplus]
    world.notice(hosts[surplus], 30)
    world.slots_change(3)
    assert world.scheduler.dispatcher.fleet.hosts[surplus].stopping
    assert world.run()
    assert surplus not in world.machines


def test_a_host_that_is_told_lost_twice_is_lost_once():
    world = working(batch=LONG, **SLOWLY)
    host = world.on("n1")
    world.notice("n1", 20)
    world.run_for(30)
    before = len(world.log)
    world.tell(HostLost(host, "deadline", "ended"))
    world.tell(HostReady(host, 1.0))
    assert len(world.log) == before


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_notices_decides_nothing(seed):
    world = NodeWorld(nodes=tuple(f"n{number}" for number in range(8)), seed=seed)
    world.submit(BATCH)
    for round_ in range(6):
        world.run_for(2 + world.random.random() * 4)
        world.notice(f"n{round_}", world.random.choice([0.0, 3.0, 8.0, 30.0, None]))
        world.scheduler.check_invariants()
    assert world.run()
    assert failures(world) == []
    assert world.survivors() == finished(BATCH).survivors()


@settings(max_examples=25, deadline=None)
@given(
    notices=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from([None, 0.0, 2.0, 6.0, 12.0, 40.0]), st.floats(0.0, 9.0)),
        max_size=6,
    ),
    back=st.booleans(),
)
def test_whatever_notices_come_and_go_all_is_made_and_nobody_is_charged(notices, back):
    world = NodeWorld(nodes=("n0", "n1", "n2", "n3", "n4"), seconds={"test/stills": 0.2, "test/clips": 1.0})
    world.submit(SMALL)
    for node, seconds, pause in notices:
        world.run_for(pause)
        name = f"n{node}"
        if name not in world.gone and len(world.gone) < 4:
            world.notice(name, seconds)
    if back:
        world.nodes += ("new",)
        world.slots_change(len(world.nodes) - len(world.gone))
    assert world.run() is not None
    assert failures(world) == []
    assert world.survivors() == UNDISTURBED
    assert Counter(type(one).__name__ for _, one in world.told)["KillHost"] <= len(world.gone)


UNDISTURBED = finished(SMALL).survivors()
