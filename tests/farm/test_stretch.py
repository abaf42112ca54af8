"""A host's clock: no second is lost or counted twice, whatever the device does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.farm.stretch import StretchClock

STATES = st.sampled_from(["busy", "loading", "starved", "idle", "owed", "take"])
STEPS = st.lists(st.tuples(STATES, st.floats(0, 1000)), max_size=40)


@given(STEPS)
def test_the_parts_add_up_to_the_wall_clock(steps):
    now = [0.0]
    clock = StretchClock("pool", "host", lambda: now[0])
    stretches = []
    for what, seconds in steps:
        if what == "take":
            stretches.append(clock.take("batch", 0.0))
        elif what == "owed":
            clock.owed()
        else:
            clock.switch(what)
        now[0] += seconds
    stretches.append(clock.take("batch", 0.0))
    for stretch in stretches:
        parts = stretch.busy_s + stretch.loading_s + stretch.starved_s + stretch.idle_s
        assert parts == pytest.approx(stretch.wall_s)
    assert sum(stretch.wall_s for stretch in stretches) == pytest.approx(now[0])


def test_waiting_for_work_that_was_there_is_starving():
    now = [0.0]
    clock = StretchClock("pool", "host", lambda: now[0])
    now[0] = 3.0
    clock.owed()
    clock.switch("busy")
    now[0] = 5.0
    stretch = clock.take("batch", 0.0)
    assert (stretch.starved_s, stretch.busy_s, stretch.idle_s) == (3.0, 2.0, 0.0)
