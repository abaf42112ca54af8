"""Times as people read them."""

import math

import pytest

from ancestra_farm.plan.moments import clock


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (0.0, "1970-01-01 00:00 UTC"),
        (1_803_888_000.0, "2027-03-01 08:00 UTC"),
        (1_803_888_007.9, "2027-03-01 08:00:07 UTC"),
        (-1.0, "1969-12-31 23:59:59 UTC"),
    ],
)
def test_a_time_is_told_to_the_minute_or_the_second(at: float, said: str) -> None:
    assert clock(at) == said


@pytest.mark.parametrize("at", [1e300, -1e300, 1e12, math.inf, -math.inf, math.nan])
def test_what_no_calendar_has_is_told_as_a_number(at: float) -> None:
    assert clock(at) == f"{at:g} s of Unix time"
