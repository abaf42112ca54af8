"""Failures have causes, and each cause its own consequence."""

from collections import Counter
from itertools import pairwise

import pytest

from ancestra_farm.plan.events import AttemptEnded, CandidateGivenUp
from ancestra_farm.plan.farm_events import HostNoted
from ancestra_farm.scheduler import Tunables
from ancestra_farm.scheduler.world import AllDone, HostLost, KillHost, Record, StartHost, TicketEnded, TicketStarted
from tests.scheduler.timed import TimedWorld
from tests.scheduler.world import STILLS, Fate, Tick, World, batch_of, finished, number_of

BATCH = batch_of(f"{{still: {STILLS}}}", shots=1)


def guilty(candidate_id: str) -> bool:
    return number_of(candidate_id, "guilty") < 0.08


def given_up(world):
    return [event for event in world.log if isinstance(event, CandidateGivenUp)]


def ids(world, outcome):
    return {
        result.candidate_id
        for branch in world.scheduler.state.batches["b"].branches.values()
        for result in branch.results["full"].values()
        if result.outcome == outcome
    }


def test_a_candidate_that_raises_three_times_is_quarantined_and_the_rest_is_done():
    world = finished(BATCH, fate=Fate(trouble=lambda c, n: "exception" if guilty(c) else None))
    quarantined = ids(world, "quarantined")
    assert quarantined
    assert all(guilty(c) and world.attempts[c] == 3 for c in quarantined)
    (stage,) = world.scheduler.progress()[0].stages
    assert stage.judged + stage.failed == stage.released == 40
    assert all("planted exception" in event.reason for event in given_up(world))


def test_an_exception_that_passes_costs_nothing_but_the_attempt():
    world = finished(BATCH, fate=Fate(trouble=lambda c, n: "exception" if guilty(c) and n < 3 else None))
    assert not given_up(world)
    assert world.survivors() == finished(BATCH).survivors()


def test_what_was_broken_off_is_tried_again_and_costs_what_it_cost():
    world = finished(BATCH, fate=Fate(trouble=lambda c, n: "aborted" if guilty(c) and n < 5 else None))
    broken_off = [event for event in world.log if isinstance(event, AttemptEnded) and event.cause == "aborted"]
    assert Counter(event.candidate_id for event in broken_off) == {c: 4 for c in world.attempts if guilty(c)}
    assert not given_up(world)
    assert world.survivors() == finished(BATCH).survivors()
    spent_s = world.scheduler.state.batches["b"].device_s
    assert spent_s == pytest.approx(0.1 * (len(world.attempts) + len(broken_off)))


def test_a_crash_is_halved_down_to_the_guilty_one_and_charges_nobody_else():
    world = finished(BATCH, fate=Fate(trouble=lambda c, n: "crash" if guilty(c) else None))
    assert ids(world, "quarantined") == {c for c in world.attempts if guilty(c)}
    crashes = [e for e in world.log if isinstance(e, AttemptEnded) and e.cause == "crash"]
    alone = Counter(e.candidate_id for e in crashes if e.of == 1)
    assert alone
    assert all(guilty(c) and count == 3 for c, count in alone.items())
    innocents = finished(BATCH).survivors()["s000", "still"]
    assert world.survivors()["s000", "still"] == [c for c in innocents if not guilty(c)]


def test_what_a_crash_taught_survives_a_restart():
    world = World(cpus=1, fate=Fate(trouble=lambda c, n: "crash" if guilty(c) else None))
    world.submit(BATCH)
    while not any(isinstance(e, AttemptEnded) and e.cause == "crash" for e in world.log):
        world.run(1)
    limits = {
        p: r.limit
        for b in world.scheduler.state.batches["b"].branches.values()
        for p, r in b.results["full"].items()
        if r.limit
    }
    world.start()
    again = {
        p: r.limit
        for b in world.scheduler.state.batches["b"].branches.values()
        for p, r in b.results["full"].items()
        if r.limit
    }
    assert limits
    assert again == limits


def test_a_candidate_lost_with_its_host_again_and_again_is_given_up_as_lost():
    world = finished(BATCH, crash_rate=0.0, fate=Fate(trouble=lambda c, n: None))
    assert not given_up(world)
    world = World(cpus=1, crash_rate=1.0)
    world.submit(BATCH)
    world.run(2000)
    losses = given_up(world)
    assert losses
    assert {event.outcome for event in losses} == {"lost"}
    assert all("lost with its host 5 times" in event.reason for event in losses)


def test_out_of_memory_is_tried_again_in_a_smaller_ticket():
    def trouble(candidate_id, attempt):
        return "out_of_memory" if attempt == 1 else None

    world = finished(BATCH, fate=Fate(trouble=trouble))
    assert not given_up(world)
    first: dict[str, int] = {}
    for ticket in world.dispatched:
        for position in ticket.positions:
            candidate_id = ticket.space.id_of(position, ticket.rung)
            if candidate_id in first:
                assert len(ticket.positions) <= max(1, first[candidate_id] // 2)
            first[candidate_id] = len(ticket.positions)
    assert world.survivors() == finished(BATCH).survivors()


def test_a_hung_generation_is_ended_by_its_deadline():
    world = World(cpus=1, tunables=Tunables(deadline_floor_s=10))
    world.submit(BATCH)
    world.run(1)  # the host is ready and has its tickets
    ((host, tickets),) = world.hosts.items()
    world.tell(TicketStarted(host, tickets[0].ticket))
    later = world.now + tickets[0].deadline_s
    assert not [i for i in world.scheduler.handle(Tick(), later - 1) if isinstance(i, KillHost)]
    out = world.scheduler.handle(Tick(), later + 1)
    assert [i.host for i in out if isinstance(i, KillHost)] == [host]
    recorded = [i.event for i in out if isinstance(i, Record) and isinstance(i.event, AttemptEnded)]
    assert {e.cause for e in recorded} == {"deadline"}
    assert len(recorded) == len(tickets[0].positions)
    assert any(isinstance(i, StartHost) for i in out)
    world.scheduler.check_invariants()


def test_what_waited_behind_a_lost_ticket_is_charged_with_nothing():
    world = World(cpus=1)
    world.submit(BATCH)
    world.run(1)
    ((host, (running, _)),) = world.hosts.items()
    world.tell(TicketStarted(host, running.ticket))
    world.lose(host, "crash")
    charged = {e.candidate_id for e in world.log if isinstance(e, AttemptEnded)}
    assert charged == {running.space.id_of(p, "full") for p in running.positions}


def test_a_late_reply_of_a_replaced_host_counts_for_nothing():
    world = World(cpus=1)
    world.submit(BATCH)
    world.run(1)
    ((host, (ticket, _)),) = world.hosts.items()
    world.tell(TicketStarted(host, ticket.ticket))
    world.lose(host, "host_lost")
    before = len(world.log)
    late = tuple(Fate().attempt(ticket, p, host, world.now, 1, 1) for p in ticket.positions)
    world.tell(TicketEnded(host, ticket.ticket, late))
    assert not [e for e in world.log[before:] if isinstance(e, AttemptEnded) and e.cause == "judged"]
    assert world.run()
    assert world.survivors() == finished(BATCH).survivors()


def test_a_model_that_never_loads_ends_the_run_with_the_reason():
    world = World(cpus=1)
    world.submit(BATCH)
    for _ in range(20):
        for host in list(world.hosts):
            world.hosts.pop(host)
            world.tell(HostLost(host, "exception", "no such file: weights.safetensors"))
    assert isinstance(world.done, AllDone)
    assert "failed to start 3 times" in world.done.stuck[0]
    assert "weights.safetensors" in world.done.stuck[0]
    assert "weights.safetensors" in " ".join(world.scheduler.explain("b", "s000"))


def test_a_model_that_could_not_start_is_tried_again_after_a_while():
    world = World(cpus=1, tunables=Tunables(start_pause_s=60))
    world.submit(BATCH)
    while world.hosts:
        host = next(iter(world.hosts))
        world.hosts.pop(host)
        world.tell(HostLost(host, "exception", "no space left on device"))
    assert "1 minutes after that it is tried again" in world.done.stuck[0]
    world.now += 50
    world.tell(Tick())
    assert not world.hosts
    world.now += 20
    world.tell(Tick())
    assert len(world.hosts) == 1
    assert world.run().stuck == ()
    assert world.survivors() == finished(BATCH).survivors()


def test_what_could_not_start_is_tried_again_with_one_host_while_others_of_it_work():
    world = World(cpus=6, tunables=Tunables(start_pause_s=60))
    world.submit(BATCH)
    world._ready(next(iter(world.hosts)))
    while len(world.hosts) > 1:
        host = list(world.hosts)[-1]
        world.hosts.pop(host)
        world.tell(HostLost(host, "exception", "no space left on device"))
    world.now += 70
    world.tell(Tick())
    assert len(world.hosts) == 2


def test_a_model_is_not_given_up_while_one_of_its_hosts_still_comes_up():
    world = World(cpus=4)
    world.submit(BATCH)
    while len(world.hosts) > 1:  # after three failures no further ones are tried
        host = next(iter(world.hosts))
        world.hosts.pop(host)
        world.tell(HostLost(host, "crash", "out of shared memory"))
    assert world.done is None
    assert world.run().stuck == ()
    assert world.survivors() == finished(BATCH).survivors()


def test_a_missed_deadline_is_laid_at_the_ticket_that_missed_it():
    world = World(cpus=1, tunables=Tunables(deadline_floor_s=10))
    world.submit(BATCH)
    world.run(1)
    ((host, (hung, later)),) = world.hosts.items()
    world.tell(TicketStarted(host, hung.ticket))
    begun = world.now
    world.now += hung.deadline_s - 1
    world.tell(TicketStarted(host, later.ticket))
    out = world.scheduler.handle(Tick(), begun + hung.deadline_s + 1)
    charged = {i.event.ticket for i in out if isinstance(i, Record) and isinstance(i.event, AttemptEnded)}
    assert charged == {hung.ticket}


def test_what_does_not_fit_into_memory_alone_is_tried_once_more_and_then_quarantined():
    world = finished(BATCH, fate=Fate(trouble=lambda c, n: "out_of_memory" if guilty(c) else None))
    quarantined = ids(world, "quarantined")
    assert quarantined == {c for c in world.attempts if guilty(c)}
    assert all("does not fit into memory alone" in event.reason for event in given_up(world))
    tries = {c: [e.of for e in world.log if isinstance(e, AttemptEnded) and e.candidate_id == c] for c in quarantined}
    for sizes in tries.values():
        assert len(sizes) >= 2
        assert sizes[-1] == 1
        assert all(later <= max(1, before // 2) for before, later in pairwise(sizes))


def test_a_host_that_never_comes_up_is_ended_and_another_takes_its_slot():
    world = World(cpus=1, tunables=Tunables(start_deadline_s=60))
    world.submit(BATCH)
    (first,) = world.hosts
    asked = world.now
    assert not [i for i in world.scheduler.handle(Tick(), asked + 59) if isinstance(i, KillHost)]
    out = world.scheduler.handle(Tick(), asked + 61)
    assert [i.host for i in out if isinstance(i, KillHost)] == [first]
    assert len([i for i in out if isinstance(i, StartHost)]) == 1
    assert [i.event.what for i in out if isinstance(i, Record) and isinstance(i.event, HostNoted)] == [
        "failed_to_start"
    ]
    world.scheduler.check_invariants()


def test_machines_taken_away_while_a_model_loads_say_nothing_about_the_model():
    world = World(cpus=1)
    world.submit(BATCH)
    for _ in range(10):
        world.lose(next(iter(world.hosts)), "host_lost")
    assert world.done is None
    assert world.run()
    assert world.survivors() == finished(BATCH).survivors()


def test_a_ticket_that_never_starts_is_ended_by_its_deadline_too():
    world = World(cpus=1, tunables=Tunables(deadline_floor_s=10))
    world.submit(BATCH)
    world.run(1)
    ((host, (first, _)),) = world.hosts.items()  # no word of it ever comes: neither a start nor a reply
    given = world.now
    out = world.scheduler.handle(Tick(), given + first.deadline_s + 1)
    assert [i.host for i in out if isinstance(i, KillHost)] == [host]
    world.scheduler.check_invariants()


def test_a_lost_host_costs_the_batch_the_seconds_it_was_held():
    world = TimedWorld(cpus=1)
    world.submit(BATCH)
    world.run_for(6.0)
    ((host, machine),) = world.machines.items()
    held = world.now - machine.begun_at
    before = world.scheduler.state.batches["b"].device_s
    world.lose(host, "crash")
    assert abs(world.scheduler.state.batches["b"].device_s - before - held) < 0.01


def test_with_fewer_slots_hosts_go_the_lowest_class_first_and_nothing_is_lost():
    many = "{still: {role: text_to_image, model: test/stills, candidates: 900, wave: 300}}"
    world = TimedWorld(cpus=6)
    world.submit(batch_of(many, shots=1, batch="low", priority="backfill"))
    world.run_for(8.0)
    clips = "{animate: {role: text_to_video, model: test/clips, candidates: 60}}"
    world.submit(batch_of(clips, shots=1, batch="high", priority="dailies", max_slots=3))
    world.run_for(12.0)
    assert Counter(machine.model for machine in world.machines.values()) == {"test/clips": 3, "test/stills": 3}
    world.slots_change(3)
    world.run_for(5.0)
    assert Counter(machine.model for machine in world.machines.values()) == {"test/clips": 3}
    assert not [e for e in world.log if isinstance(e, AttemptEnded) and e.cause == "aborted"]
    world.slots_change(6)
    assert world.run()
    judged = {progress.batch: progress.stages[0].judged for progress in world.scheduler.progress()}
    assert judged == {"low": 900, "high": 60}


def test_a_slot_that_is_gone_for_a_moment_costs_no_host():
    world = TimedWorld(cpus=2)
    world.submit(BATCH)
    world.run_for(6.0)
    hosts = set(world.machines)
    world.slots_change(1)
    world.slots_change(2)
    world.run_for(1.0)
    assert set(world.machines) == hosts
