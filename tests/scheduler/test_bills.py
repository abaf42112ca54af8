"""What nodes cost, as it is told: all of the time that they are up, at the price that held then."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.batch.load import canonical
from ancestra_farm.plan.events import Event
from ancestra_farm.plan.farm_events import NodesPaid, SettingsGiven
from ancestra_farm.scheduler import Scheduler, folded
from ancestra_farm.scheduler.bills import QUIET_TELL_S, TELL_S, Bill
from ancestra_farm.scheduler.state import NodesTold
from ancestra_farm.scheduler.world import ChangeSettings, Instruction, Record, SlotsChanged, Tick
from tests.scheduler.elastic import farm_of, node_type

UP = SlotsChanged(0, 1, (("n1", "l4"),))


def told(bill, farm, now, up=UP, **last):
    return [(paid.nodes, paid.node_s, paid.cost) for paid in bill.look(farm, up, now, **last)]


def test_time_that_has_passed_keeps_its_price_when_settings_change():
    cheap, dear = (farm_of(l4=node_type(price_per_hour=price)) for price in (3600.0, 7200.0))
    bill = Bill()
    assert told(bill, cheap, 0.0) == [(1, 0.0, 0.0)]
    assert told(bill, cheap, 20.0) == []
    assert told(bill, dear, 30.0) == []
    assert told(bill, dear, 40.0, last=True) == [(1, 40.0, pytest.approx(30 * 1.0 + 10 * 2.0))]


def test_nodes_of_a_type_that_settings_drop_are_paid_for_until_then():
    bill = Bill()
    told(bill, farm_of(l4=node_type(price_per_hour=3600.0)), 0.0)
    assert told(bill, farm_of(a100=node_type(price_per_hour=1.0)), 30.0) == [(0, 30.0, pytest.approx(30.0))]


def test_a_node_is_paid_for_all_of_the_time_between_the_looks_that_saw_it():
    farm, none = farm_of(l4=node_type(price_per_hour=3600.0)), SlotsChanged(0, 0)
    bill = Bill()
    assert told(bill, farm, 0.0, none) == []
    assert told(bill, farm, 1.0) == [(1, 1.0, pytest.approx(1.0))]
    assert told(bill, farm, 2.0, none) == [(0, 1.0, pytest.approx(1.0))]
    assert told(bill, farm, 100.0, none, last=True) == []


def test_while_nothing_runs_it_is_told_seldom_and_all_of_it():
    farm, bill = farm_of(l4=node_type(price_per_hour=3600.0)), Bill()
    told(bill, farm, 0.0)
    rows = [row for second in range(1, 3601) for row in told(bill, farm, float(second), quiet=True)]
    assert len(rows) == 3600 / QUIET_TELL_S
    assert sum(node_s for _, node_s, _ in rows) == 3600
    assert told(bill, farm, 3600.0 + TELL_S) == [(1, TELL_S, pytest.approx(TELL_S))], "at once when something runs"


def test_nodes_are_named_when_they_come_or_go_and_not_while_nothing_changes():
    farm, bill = farm_of(l4=node_type()), Bill()
    two = SlotsChanged(0, 2, (("n2", "l4"), ("n1", "l4"), ("n3", "none of ours")))
    other = SlotsChanged(0, 2, (("n4", "l4"), ("n1", "l4")))
    looks = ((0.0, two), (TELL_S, two), (TELL_S + 1, other), (2 * TELL_S + 1, SlotsChanged(0, 0)))
    named = [paid.ids for now, there in looks for paid in bill.look(farm, there, now)]
    assert named == [("n1", "n2"), None, ("n1", "n4"), ()]


def test_what_another_controller_did_not_tell_is_told_by_the_next():
    farm = farm_of(l4=node_type(price_per_hour=3600.0), t4=node_type(price_per_hour=1800.0, vram_gib=16))
    before = {"l4": NodesTold(("n1", "n2"), 100.0), "t4": NodesTold(("n3",), 95.0), "gone": NodesTold(("n4",), 90.0)}
    there = SlotsChanged(0, 2, (("n1", "l4"), ("n5", "l4")))
    paid = {one.node_type: one for one in Bill().look(farm, there, 500.0, before)}
    assert (paid["l4"].nodes, paid["l4"].node_s, paid["l4"].cost) == (2, 400.0 + TELL_S, 400.0 + TELL_S)
    assert (paid["t4"].nodes, paid["t4"].node_s, paid["t4"].cost, paid["t4"].ids) == (0, TELL_S, TELL_S / 2, ())
    assert (paid["gone"].nodes, paid["gone"].cost) == (0, 0.0)
    soon = SlotsChanged(0, 0)
    (paid_at_once,) = Bill().look(farm, soon, 107.0, {"l4": before["l4"]})
    assert paid_at_once.node_s == 14.0
    (ahead,) = Bill().look(farm, soon, 50.0, {"l4": before["l4"]})
    assert ahead.node_s == 0.0, "by a clock that is behind"


def test_no_bill_is_below_nought_by_a_clock_that_was_put_back():
    farm, bill, there = farm_of(l4=node_type()), Bill(), SlotsChanged(0, 1, (("n1", "l4"),))
    looks = (100.0, 40.0, 100.0)
    assert sum(paid.node_s for now in looks for paid in bill.look(farm, there, now, last=True)) == 60.0


class Tended:
    """A farm whose nodes come, go and are counted, and whose controller is killed, at seconds of our choosing."""

    def __init__(self) -> None:
        self.log: list[Event] = []
        self.up_s: Counter[str] = Counter()
        self.scheduler = Scheduler(1)
        farm = farm_of(l4=node_type(price_per_hour=3600.0, max_nodes=9))
        self.heed(self.scheduler.handle(ChangeSettings(SettingsGiven("farm", "", canonical(farm), "bea", 0.0)), 0.0))

    def heed(self, instructions: list[Instruction]) -> None:
        self.log.extend(one.event for one in instructions if isinstance(one, Record))

    def pass_by(self, nodes: frozenset[str], since: int, until: int, *, killed: bool) -> None:
        """These nodes are up; a controller that is killed is followed by another at the end."""
        for second in range(since, until):
            if not killed:
                self.heed(self.scheduler.handle(Tick(), float(second)))
            self.up_s.update(nodes)

    def tell(self, nodes: frozenset[str], now: int) -> None:
        told = SlotsChanged(0, len(nodes), tuple((node, "l4") for node in sorted(nodes)))
        self.heed(self.scheduler.handle(told, float(now)))

    def begin_anew(self, now: int) -> None:
        self.scheduler = folded(self.log, 2)
        self.heed(self.scheduler.resume(float(now)))

    @property
    def paid(self) -> Iterator[NodesPaid]:
        return (event for event in self.log if isinstance(event, NodesPaid))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.frozensets(st.sampled_from("abc")), st.integers(1, 700), st.booleans()), min_size=1, max_size=8
    )
)
def test_a_controller_may_be_killed_at_any_time_and_no_bill_is_lost_with_it(stretches):
    farm = Tended()
    now, changes, kills = 0, 0, 0
    before: frozenset[str] = frozenset()
    for nodes, seconds, killed in stretches:
        if killed:
            farm.pass_by(before, now, now + seconds, killed=True)  # nobody looks, and nothing comes or goes
            now, kills = now + seconds, kills + 1
            farm.begin_anew(now)
            farm.tell(before, now)
        else:
            changes += len(nodes ^ before)
            farm.tell(nodes, now)
            farm.pass_by(nodes, now, now + seconds, killed=False)
            now, before = now + seconds, nodes
    farm.begin_anew(now)
    farm.tell(before, now)
    node_s = sum(paid.node_s for paid in farm.paid)
    assert farm.up_s.total() <= node_s + 1e-6 <= farm.up_s.total() + changes + 2e-6
    assert sum(paid.cost for paid in farm.paid) == pytest.approx(node_s)
    assert len(list(farm.paid)) <= changes + now / QUIET_TELL_S + 2 * kills + 3
