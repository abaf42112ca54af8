"""Times as people write them on a command line: when a batch is to begin, when a pause or a token is to end."""

import datetime as dt
import re
from typing import Annotated

import typer

from ancestra_farm.cli.failures import CommandFailed

#: What ``+90m`` and the like are counted in, in seconds.
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0}

_METAVAR = "WHEN"
_WAYS = "08:00 (the next one), 2027-03-01T08:00 (both in this machine's time zone unless one is named), or +90m, +8h"

StartOption = Annotated[
    str,
    typer.Option(
        "--start-at",
        metavar=_METAVAR,
        help=f"Begin then, with nodes there and models loaded by that time: {_WAYS}.",
        show_default=False,
    ),
]
UntilOption = Annotated[
    str, typer.Option("--until", metavar=_METAVAR, help=f"Go on then by itself: {_WAYS}.", show_default=False)
]
CountsUntilOption = Annotated[
    str, typer.Option("--until", metavar=_METAVAR, help=f"It counts until then: {_WAYS}, +30d.", show_default=False)
]


def moment(text: str, option: str, now: dt.datetime | None = None) -> float | None:
    """What is meant by a time, in seconds since the Unix epoch; None where nothing is said.

    ``now``: in the time zone in which times without one are meant; by default now, in this machine's.

    Raises CommandFailed for what is no time, or is past.
    """
    text = text.strip()
    if not text:
        return None
    found = _parsed(text, now)
    if found is None:
        raise CommandFailed(f"{option} {text!r} is no time; say it as {_WAYS}")
    if found <= (now or dt.datetime.now(dt.UTC)):
        raise CommandFailed(f"{option} {text}: {found:%Y-%m-%d %H:%M %Z} is past")
    return found.timestamp()


def _parsed(text: str, now: dt.datetime | None) -> dt.datetime | None:
    here = dt.datetime.now().astimezone() if now is None else now
    try:
        if ahead := re.fullmatch(r"\+(\d+(?:\.\d+)?)([mhd])", text):
            return here.astimezone(dt.UTC) + dt.timedelta(seconds=float(ahead[1]) * _UNITS[ahead[2]])
        if re.fullmatch(r"\d{1,2}:\d{2}", text):
            time = dt.time.fromisoformat(text.rjust(5, "0"))
            days = (dt.datetime.combine(here.date() + dt.timedelta(more), time) for more in (0, 1))
            return next(found for found in (_placed(day, now) for day in days) if found > here)
        return _placed(dt.datetime.fromisoformat(text), now)
    except (ValueError, OverflowError, StopIteration):
        return None


def _placed(time: dt.datetime, now: dt.datetime | None) -> dt.datetime:
    """A time that names no zone, in the one meant."""
    if time.tzinfo is not None:
        return time
    return time.astimezone() if now is None else time.replace(tzinfo=now.tzinfo)
