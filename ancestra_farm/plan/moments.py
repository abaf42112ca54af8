"""Times as people read them."""

import datetime as dt

_UNIX = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def until(at: float | None) -> str:
    """``until 2027-03-01 08:00 UTC``; empty for no time."""
    return "" if at is None else f"until {clock(at)}"


def clock(at: float) -> str:
    """A time: ``2027-03-01 08:00 UTC``, with its second where it is on no full minute.

    ``at``: Unix seconds; what no calendar of four digits has is told as the number that it is, since a log is
    told whatever stands in it.
    """
    try:
        time = _UNIX + dt.timedelta(seconds=at)
    except (OverflowError, ValueError):
        return f"{at:g} s of Unix time"
    return f"{time:%Y-%m-%d %H:%M}{f':{time:%S}' if time.second else ''} UTC"
