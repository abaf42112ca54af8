"""The log knows who has a token: whatever the store says, what differs is noted once."""

import math

from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.plan.farm_events import TokenNoted
from ancestra_farm.scheduler import Scheduler
from ancestra_farm.scheduler.holders import Holder, PeopleSeen
from ancestra_farm.scheduler.snapshot import StateCodec
from ancestra_farm.scheduler.world import Record

HOLDERS = st.builds(
    Holder,
    st.sampled_from(["a" * 16, "b" * 16, "c" * 16, "d" * 16]),
    st.sampled_from(["noor", "bo"]),
    st.sampled_from(["artist", "operator"]),
    st.just("ada"),
    st.sampled_from([1.0, 2.0, math.inf, math.nan, -5.0]),
    st.sampled_from([None, 8.0, 9.0, 9.5, 1e300]),
)
SEEN = st.builds(
    PeopleSeen,
    st.lists(HOLDERS, max_size=4, unique_by=lambda one: one.token_id).map(tuple),
    st.dictionaries(st.sampled_from(["a" * 16, "b" * 16]), st.just(("ana", 3.0))),
)


def noted(scheduler: Scheduler, seen: PeopleSeen, now: float = 9.0) -> list[TokenNoted]:
    instructions = scheduler.handle(seen, now)
    return [one.event for one in instructions if isinstance(one, Record) and isinstance(one.event, TokenNoted)]


@given(st.lists(SEEN, max_size=5))
def test_what_is_noted_comes_to_what_the_store_says(looks: list[PeopleSeen]) -> None:
    scheduler, again = Scheduler(), Scheduler()
    for seen in looks:
        events = noted(scheduler, seen)
        assert noted(scheduler, seen) == [], "nothing is noted twice"
        for event in events:
            again.apply(event)
        counting = [one for one in seen.holders if one.until is None or one.until > 9.0]
        there = {one.token_id: (one.name, one.role, one.until) for one in counting}
        for known in (scheduler.state.tokens, again.state.tokens):
            assert {token_id: (one.name, one.role, one.until) for token_id, one in known.items()} == there
        assert all(0.0 <= event.at <= 9.0 for event in events), "a record says no time that was not"
    codec = StateCodec()
    assert codec.read(codec.write(scheduler.state)).tokens == scheduler.state.tokens


def test_who_did_it_is_said_where_somebody_said_so_and_only_there() -> None:
    scheduler = Scheduler()
    noor = Holder("a" * 16, "noor", "artist", "ada", 1.0)
    bo = Holder("b" * 16, "bo", "viewer", "ada", 2.0)
    events = noted(scheduler, PeopleSeen((bo, noor), {}))
    assert [(one.what, one.name, one.who, one.at) for one in events] == [
        ("issued", "noor", "ada", 1.0),
        ("issued", "bo", "ada", 2.0),
    ]
    by_hand = Holder("b" * 16, "bo", "operator", "ada", 2.0)
    (changed,) = noted(scheduler, PeopleSeen((by_hand, noor), {}))
    assert (changed.what, changed.role, changed.who, changed.at) == ("changed", "operator", "", 9.0)
    gone = noted(scheduler, PeopleSeen((), {noor.token_id: ("ana", 5.0)}))
    assert {(one.name, one.what, one.who) for one in gone} == {("noor", "revoked", "ana"), ("bo", "revoked", "")}


def test_a_token_that_ends_by_itself_is_noted_once_and_by_whom_it_was_made() -> None:
    scheduler = Scheduler()
    seen = PeopleSeen((Holder("a" * 16, "noor", "artist", "ada", 1.0, until=20.0),), {})
    (issued,) = noted(scheduler, seen)
    assert (issued.what, issued.until) == ("issued", 20.0)
    assert noted(scheduler, seen, now=19.9) == []
    (ended,) = noted(scheduler, seen, now=25.0)
    assert (ended.what, ended.who, ended.at) == ("ended", "ada", 20.0)
    assert noted(scheduler, seen, now=26.0) == []
    assert noted(scheduler, PeopleSeen((), {"a" * 16: ("ana", 27.0)}), now=28.0) == [], "it had ended before"
