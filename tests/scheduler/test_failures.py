"""Failures have causes, and each cause its own consequence."""

from collections import Counter

from ancestra_farm.plan.events import AttemptEnded, CandidateGivenUp
from ancestra_farm.scheduler import Tunables
from ancestra_farm.scheduler.world import AllDone, HostLost, KillHost, Record, StartHost, TicketEnded, TicketStarted
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
