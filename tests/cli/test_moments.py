"""Times as people write them, in the zone of whoever writes them."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.cli.moments import moment

NOW = dt.datetime(2027, 3, 27, 22, 15, tzinfo=ZoneInfo("Europe/Berlin"))  # the clocks go forward that night


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("23:00", "2027-03-27T22:00:00+00:00"),
        ("8:00", "2027-03-28T06:00:00+00:00"),
        ("08:00", "2027-03-28T06:00:00+00:00"),
        ("2027-03-28T08:00", "2027-03-28T06:00:00+00:00"),
        ("2027-03-28 08:00", "2027-03-28T06:00:00+00:00"),
        ("2027-03-28T08:00Z", "2027-03-28T08:00:00+00:00"),
        ("2027-03-28T08:00-05:00", "2027-03-28T13:00:00+00:00"),
        ("+90m", "2027-03-27T22:45:00+00:00"),
        ("+1.5h", "2027-03-27T22:45:00+00:00"),
        ("+2d", "2027-03-29T21:15:00+00:00"),
    ],
)
def test_a_time_is_meant_where_it_is_written(text: str, meant: str) -> None:
    found = moment(text, "--until", NOW)
    assert found is not None
    assert dt.datetime.fromtimestamp(found, dt.UTC) == dt.datetime.fromisoformat(meant)


@pytest.mark.parametrize("text", ["tomorrow", "25:00", "8", "+90", "+3w", "2027-13-01T08:00", "+99999999d", "-1h"])
def test_what_is_no_time_is_refused_with_the_ways_to_say_one(text: str) -> None:
    with pytest.raises(CommandFailed, match=r"is no time; say it as 08:00"):
        moment(text, "--until", NOW)


def test_a_time_that_is_past_is_refused() -> None:
    with pytest.raises(CommandFailed, match=r"--start-at 2027-03-27T22:14: 2027-03-27 22:14 CET is past"):
        moment("2027-03-27T22:14", "--start-at", NOW)


def test_nothing_said_is_no_time() -> None:
    assert moment("", "--until") is None
    assert moment("+1m", "--until") is not None
