"""What nodes cost, as it is told: all of the time that they are up, at the price that held then."""

import pytest

from ancestra_farm.scheduler.bills import Bill
from ancestra_farm.scheduler.world import SlotsChanged
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
