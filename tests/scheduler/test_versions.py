"""Of two who change the same settings the later is told what differs, and undoes nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.plan.farm_events import SettingsGiven
from ancestra_farm.scheduler import Scheduler
from ancestra_farm.scheduler.versions import NONE, differences, version_of
from ancestra_farm.scheduler.world import ChangeSettings, SettingsConflict

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def farm(who: str, order: str = "", **fields: object) -> SettingsGiven:
    return SettingsGiven("farm", "", json.dumps({"schema": "ancestra/farm/v1", **fields}), who, 5.0, order)


def in_force(scheduler: Scheduler) -> SettingsGiven | None:
    return scheduler.state.settings.given.get("farm")


def test_the_later_of_two_is_refused_with_what_differs_and_leaves_no_trace() -> None:
    scheduler = Scheduler()
    scheduler.handle(ChangeSettings(farm("ana", currency="EUR"), NONE), 6.0)
    began = version_of(in_force(scheduler))
    scheduler.handle(ChangeSettings(farm("bo", currency="USD"), began), 7.0)
    for look in (scheduler.handle, scheduler.check):
        with pytest.raises(SettingsConflict, match=r"that bo gave are in force.*nothing was changed") as conflict:
            look(ChangeSettings(farm("ana", currency="GBP"), began), 8.0)
        assert conflict.value.differences == (("currency", '"USD" in force, "GBP" here'),)
        assert conflict.value.version == version_of(in_force(scheduler)) != began
    assert scheduler.state.settings.farm.currency == "USD"
    scheduler.handle(ChangeSettings(farm("ana", currency="GBP"), conflict.value.version), 9.0)
    assert scheduler.state.settings.farm.currency == "GBP"


def test_an_order_whose_answer_was_lost_is_no_conflict_with_itself() -> None:
    scheduler = Scheduler()
    wanted = ChangeSettings(farm("ana", "one-id-throughout", currency="EUR"), NONE)
    assert scheduler.handle(wanted, 6.0)
    scheduler.handle(ChangeSettings(farm("bo", currency="USD"), version_of(in_force(scheduler))), 7.0)
    scheduler.handle(wanted, 8.0)
    assert scheduler.state.settings.farm.currency == "USD", "it was taken, and then changed"


def test_settings_for_a_store_that_has_none_are_not_based_on_any() -> None:
    with pytest.raises(SettingsConflict, match="is it the store that is meant"):
        Scheduler().handle(ChangeSettings(farm("ana", currency="EUR"), "0123456789abcdef"), 6.0)


@given(JSON, JSON)
def test_documents_differ_exactly_where_it_is_said(one: object, other: object) -> None:
    found = list(differences(one, other))
    assert bool(found) == (json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True)) or one == other
    assert not list(differences(one, one))
    assert [place for place, _ in found] == [place for place, _ in differences(other, one)]
