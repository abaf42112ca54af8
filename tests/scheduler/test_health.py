"""Sick hosts: told from bad luck, from hard shots and from trouble that befalls everybody."""

import random
from dataclasses import replace
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.plan.events import AttemptEnded, VerdictsVoided
from ancestra_farm.plan.farm_events import HostNoted
from ancestra_farm.scheduler import Tunables, folded
from ancestra_farm.scheduler.health import Table, Ward, tail_probability
from ancestra_farm.scheduler.world import TicketEnded
from tests.scheduler.timed import TimedWorld
from tests.scheduler.world import Fate, World, batch_of, finished, number_of

MANY = "{role: text_to_image, model: test/stills, candidates: 600, wave: 200}"
BATCH = batch_of(f"{{still: {MANY}}}", shots=2)


class SickHost(Fate):
    """The first host that works judges by ``sickness``, as far as it lasts; the others as they should."""

    def __init__(self, sickness, passing=0.5):
        super().__init__(passing=passing)
        self.sickness, self.sick = sickness, None

    def attempt(self, ticket, position, host, now, number, of):
        self.sick = self.sick or host
        row = super().attempt(ticket, position, host, now, number, of)
        return replace(row, **self.sickness) if host == self.sick else row


def noted(world, what):
    return [event for event in world.log if isinstance(event, HostNoted) and event.what == what]


def attempts(count, bad, cause="judged"):
    row = AttemptEnded("b", "x", 0, "full", "id", "judged", passed=True, at=0.0)
    worse = replace(row, passed=False) if cause == "judged" else replace(row, cause=cause, passed=False)
    return [worse] * bad + [row] * (count - bad)


# ---- the test itself -------------------------------------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 24))
def test_the_tail_is_fishers(own, others, bad):
    bad = min(bad, own + others)
    for own_bad in range(max(0, bad - others), min(own, bad) + 1):
        exact = sum(comb(bad, k) * comb(own + others - bad, own - k) for k in range(own_bad, min(own, bad) + 1))
        found = tail_probability([Table(own, own_bad, others, bad - own_bad)])
        assert found == pytest.approx(exact / comb(own + others, own))


def test_branches_of_different_difficulty_are_compared_each_with_itself():
    easy, hard = Table(20, 2, 200, 20), Table(20, 20, 200, 200)
    assert tail_probability([easy, hard]) > 0.4
    lumped = Table(40, 22, 400, 20 + 20)
    assert tail_probability([lumped]) < 1e-6


def test_healthy_hosts_are_left_alone():
    """200 hosts with 12 windows each: at the stated rate 2,400 windows bring a false alarm once in 300 such runs."""
    chance = random.Random(11)
    ward, drained = Ward(), []
    for number in range(60):
        wave = number // 3
        for host in range(200):
            bad = sum(chance.random() < (wave + 0.5) / 20 for _ in range(13))
            why = ward.returned(f"h{host}", ("b", "x", wave, "full"), attempts(13, bad), 200)
            drained += [why] if why else []
    assert not drained


def test_a_host_without_others_to_compare_it_with_is_never_sick():
    ward = Ward()
    assert not any(ward.returned("h", ("b", "x", 0, "full"), attempts(20, 20, "exception"), 1) for _ in range(50))
    assert not any(ward.returned("h", ("b", "x", 0, "full"), attempts(20, 20, "exception"), 5) for _ in range(50))


def test_trouble_that_reaches_one_host_first_and_then_all_drains_nobody():
    ward = Ward()
    stratum = ("b", "x", 0, "full")
    for _ in range(20):
        for host in range(8):
            assert ward.returned(f"h{host}", stratum, attempts(20, 0), 8) is None
    for _ in range(20):
        for host in range(8):
            assert ward.returned(f"h{host}", stratum, attempts(20, 20, "exception"), 8) is None


# ---- what follows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sickness",
    [
        {"passed": False, "reasons": ("black",), "media": None},
        {"cause": "exception", "passed": False, "media": None, "message": "CUDA error"},
        {"passed": True, "media": "media/broken.png", "reasons": ()},
    ],
    ids=["rejects", "fails", "passes"],
)
def test_a_sick_host_is_drained_and_what_it_did_last_is_done_elsewhere(sickness):
    fate = SickHost(sickness)
    world = TimedWorld(cpus=5, fate=fate)
    world.submit(BATCH)
    assert world.run()
    (note,) = noted(world, "drained")
    assert note.host == fate.sick
    assert "departs from its pool" in note.message
    voided = [event for event in world.log if isinstance(event, VerdictsVoided)]
    assert voided
    assert {event.host for event in voided} == {fate.sick}
    at = world.log.index(voided[-1])
    believed = [
        e for e in world.log[at:] if isinstance(e, AttemptEnded) and e.host == fate.sick and e.cause == "judged"
    ]
    assert not believed
    assert all(machine != fate.sick for machine in world.machines)
    again = folded(world.log)
    assert again.progress() == world.scheduler.progress()


def test_with_a_sick_host_found_in_the_first_wave_the_survivors_are_those_of_a_healthy_farm():
    one_wave = batch_of("{still: {role: text_to_image, model: test/stills, candidates: 800, wave: 800}}", shots=1)
    world = TimedWorld(cpus=5, fate=SickHost({"passed": False, "reasons": ("black",), "media": None}))
    world.submit(one_wave)
    assert world.run()
    assert noted(world, "drained")
    assert world.survivors() == finished(one_wave, fate=Fate(passing=0.5), check=False).survivors()


def test_a_pattern_of_the_whole_farm_drains_nobody():
    class Outage(Fate):
        def attempt(self, ticket, position, host, now, number, of):
            row = super().attempt(ticket, position, host, now, number, of)
            away = 1010.0 < now < 1012.0
            return replace(row, cause="exception", passed=False, media=None, message="bucket") if away else row

    world = TimedWorld(cpus=5, fate=Outage(passing=0.5))
    world.submit(BATCH)
    assert world.run()
    assert not noted(world, "drained")
    assert [e for e in world.log if isinstance(e, AttemptEnded) and e.cause == "exception"]


def test_shots_that_nothing_survives_make_no_host_sick():
    class Hard(Fate):
        def attempt(self, ticket, position, host, now, number, of):
            row = super().attempt(ticket, position, host, now, number, of)
            hard = ticket.branch.startswith("s001")
            return replace(row, passed=False, reasons=("blur",), media=None) if hard else row

    world = TimedWorld(cpus=5, fate=Hard(passing=0.9))
    world.submit(BATCH)
    assert world.run()
    assert not noted(world, "drained")


def test_poisoned_candidates_are_quarantined_and_their_hosts_stay():
    world = World(cpus=4, fate=Fate(trouble=lambda c, n: "exception" if number_of(c, "poison") < 0.05 else None))
    world.submit(BATCH)
    assert world.run()
    assert not noted(world, "drained")


def test_the_crash_of_a_drained_host_charges_nobody():
    class Drained(Ward):
        def returned(self, *_):
            return "planted sickness"

    world = TimedWorld(cpus=2, tunables=Tunables(ticket_s=0.1, ticket_least_s=0.001, losses=2, strikes=1))
    world.submit(batch_of(f"{{still: {MANY}}}", shots=1), seconds_per_candidate=0.1)
    for pool in world.scheduler.dispatcher.fleet.pools.values():
        pool.ward = Drained()
    while not any(host.sick and not host.idle for host in world.scheduler.dispatcher.fleet.hosts.values()):
        world.run_for(0.05)
    sick = next(host for host in world.scheduler.dispatcher.fleet.hosts.values() if host.sick and not host.idle)
    before = len(world.log)
    world.lose(sick.name, "crash")
    causes = {event.cause for event in world.log[before:] if isinstance(event, AttemptEnded)}
    assert causes <= {"aborted"}


def test_hosts_are_noted_as_they_come_and_go():
    world = TimedWorld(cpus=2)
    world.submit(BATCH)
    world.run_for(10.0)
    ready = noted(world, "ready")
    assert [event.host for event in ready] == list(world.machines)
    assert "loaded in 5.0 s" in ready[0].message
    host = next(iter(world.machines))
    world.lose(host, "crash")
    (lost,) = noted(world, "lost")
    assert (lost.host, lost.message) == (host, "planted crash")
    host = next(name for name, machine in world.machines.items() if not machine.ready)
    world.lose(host, "crash")
    assert [event.host for event in noted(world, "failed_to_start")] == [host]


def test_a_late_reply_leaves_its_trace_and_changes_nothing():
    world = TimedWorld(cpus=1)
    world.submit(BATCH)
    world.run_for(6.0)
    ((host, machine),) = world.machines.items()
    ticket = machine.tickets[0]
    world.lose(host, "host_lost")
    before = world.scheduler.progress()
    rows = tuple(Fate().attempt(ticket, p, host, world.now, 1, 1) for p in ticket.positions)
    world.tell(TicketEnded(host, ticket.ticket, rows))
    assert world.scheduler.progress() == before
    assert "its rows count for nothing" in noted(world, "lost")[-1].message
