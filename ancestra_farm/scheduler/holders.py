"""Who has a token, as the log tells it: a row for each that is issued, changed or taken away, or ends by itself.

Tokens are made and taken away in the store itself, by whoever can write it, whether or not a controller is at work. So
the log is held against what the store says, and what differs is noted: also where a record was put there or removed by
hand. Whose a token is, and what it is good for, is decided by the store alone; nothing here is asked for that.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ancestra_farm.plan.farm_events import TokenNoted


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody with a token, as its record in the store says.

    ``at``: Unix seconds; ``who`` made it. ``until``: when it stops to count, likewise; None: never.
    """

    token_id: str
    name: str
    role: str
    who: str
    at: float
    until: float | None = None


@dataclass(frozen=True, slots=True)
class PeopleSeen:
    """Who has a token, by what the store says. ``gone``: who took one away and when, by its id, where that was said."""

    holders: tuple[Holder, ...]
    gone: Mapping[str, tuple[str, float]]


def news(known: Mapping[str, TokenNoted], seen: PeopleSeen, now: float) -> Iterator[TokenNoted]:
    """What is to be noted of tokens. ``known``: those that stand as noted, by id; ``now``: Unix seconds."""
    there = {holder.token_id for holder in seen.holders}
    for token_id, one in known.items():
        if token_id not in there:
            who, at = seen.gone.get(token_id, ("", now))
            yield TokenNoted("revoked", one.name, one.role, token_id, who, _sane(at, now), one.until)
    for holder in sorted(seen.holders, key=lambda one: (one.at, one.token_id)):
        before = known.get(holder.token_id)
        if holder.until is not None and holder.until <= now:
            if before is not None:
                yield _noted("ended", holder, holder.who, _sane(holder.until, now))
        elif before is None:
            yield _noted("issued", holder, holder.who, _sane(holder.at, now))
        elif (before.name, before.role, before.until) != (holder.name, holder.role, holder.until):
            # No command changes a record: whoever did says nothing of it.
            yield _noted("changed", holder, "", now)


def _noted(what: Literal["issued", "changed", "ended"], holder: Holder, who: str, at: float) -> TokenNoted:
    return TokenNoted(what, holder.name, holder.role, holder.token_id, who, at, holder.until)


def _sane(at: float, now: float) -> float:
    """What a record says of when, unless that is no time that was."""
    return at if 0.0 <= at <= now else now
