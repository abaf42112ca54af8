"""Clocks of hosts that return no tickets: seldom asked while nothing runs, one row for a pool, and no second lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.farm.clocks import ANSWER_S, ASK_S, QUIET_ASK_S, Clocks
from ancestra_farm.plan.farm_events import HostTimed
from ancestra_farm.telemetry.boards.asked import RATE


def idle(host, seconds, pool="stills"):
    return HostTimed("", pool, host, seconds, 0.0, 0.0, 0.0, seconds, 7.0)


def test_the_hosts_of_a_farm_that_waits_are_one_row_every_five_minutes():
    clocks, rows = Clocks(), []
    timed_at = {f"h{number}": float(number % 60) for number in range(200)}
    for now in range(3600):
        for host in clocks.to_ask(timed_at, float(now), quiet=True):
            clocks.answered(idle(host, now - timed_at[host]))
            timed_at[host] = float(now)
        rows += clocks.take(float(now))
    assert len(rows) == 3600 // QUIET_ASK_S - 1
    assert {(row.host, row.pool) for row in rows} == {("", "stills")}
    assert sum(row.idle_s for row in rows) == sum(timed_at.values()) - sum(number % 60 for number in range(200))


def test_panels_look_back_far_enough_to_see_a_farm_that_waits():
    assert RATE.endswith("m")
    assert float(RATE[:-1]) * 60 >= 2 * QUIET_ASK_S


def test_while_some_work_those_that_return_no_tickets_are_asked_every_minute():
    clocks = Clocks()
    timed_at = {"idle": 0.0, "soon": ASK_S / 2, "at work": ASK_S - 1.0}
    assert clocks.to_ask(timed_at, ASK_S - 1.0, quiet=False) == []
    assert clocks.to_ask(timed_at, ASK_S, quiet=True) == []
    assert clocks.to_ask(timed_at, ASK_S, quiet=False) == ["idle", "soon"]


def test_hosts_that_are_asked_at_once_share_a_row_when_the_last_has_answered():
    clocks = Clocks()
    assert len(clocks.to_ask({"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0}, ASK_S, quiet=False)) == 4
    clocks.answered(idle("a", 60.0))
    clocks.answered(idle("b", 50.0, "clips"))
    assert clocks.take(ASK_S) == []
    clocks.answered(None)  # it is gone
    clocks.answered(idle("d", 40.0))
    assert {(row.pool, row.host, row.wall_s) for row in clocks.take(ASK_S)} == {
        ("stills", "", 100.0), ("clips", "b", 50.0),
    }  # fmt: skip
    assert clocks.take(ASK_S) == []


@pytest.mark.parametrize(("now", "last"), [(ASK_S + ANSWER_S, False), (ASK_S, True)])
def test_who_does_not_answer_holds_nobody_up(now, last):
    clocks = Clocks()
    clocks.to_ask({"a": 0.0, "hangs": 0.0}, ASK_S, quiet=False)
    clocks.answered(idle("a", 60.0))
    assert [row.host for row in clocks.take(now, last=last)] == ["a"]


def test_a_host_that_never_answers_holds_up_no_later_row():
    clocks = Clocks()
    clocks.to_ask({"a": 0.0, "hangs": 0.0}, ASK_S, quiet=False)
    clocks.answered(idle("a", 60.0))
    assert clocks.take(ASK_S + ANSWER_S)
    clocks.to_ask({"a": ASK_S}, 2 * ASK_S, quiet=False)
    clocks.answered(idle("a", 60.0))
    assert [row.host for row in clocks.take(2 * ASK_S)] == ["a"]
    clocks.answered(idle("hangs", 130.0))  # after all
    assert [row.host for row in clocks.take(2 * ASK_S + 1)] == ["hangs"]


@given(st.lists(st.tuples(st.sampled_from(["stills", "clips"]), *[st.floats(0, 1e6)] * 4), min_size=1, max_size=20))
def test_the_parts_of_a_row_add_up_and_no_second_is_lost(clocks_of):
    clocks = Clocks()
    for number, (pool, *parts) in enumerate(clocks_of):
        clocks.to_ask({f"h{number}": 0.0}, ASK_S, quiet=False)
        clocks.answered(HostTimed("", pool, f"h{number}", sum(parts), *parts, 1.0))
    rows = clocks.take(ASK_S)
    assert len(rows) == len({pool for pool, *_ in clocks_of})
    assert sum(row.wall_s for row in rows) == pytest.approx(sum(sum(parts) for _, *parts in clocks_of))
    for row in rows:
        assert row.busy_s + row.loading_s + row.starved_s + row.idle_s == pytest.approx(row.wall_s)
