"""Events with something in every field, for tests that only move them about."""

from typing import get_args

from hypothesis import strategies as st

from ancestra_farm.plan.events import AttemptEnded, Cause, Event, OrderGiven, WaveClosed
from ancestra_farm.plan.farm_events import HostTimed

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
NUMBER = st.floats(allow_nan=False, width=64)
SCORES = st.dictionaries(TEXT, NUMBER, max_size=4)
WHEN = st.floats(0, 4e9)
POSITION = st.integers(0, 2**40)

ATTEMPTS = st.builds(
    AttemptEnded,
    batch=TEXT,
    branch=TEXT,
    position=POSITION,
    rung=st.sampled_from(["draft", "full"]),
    candidate_id=st.text("0123456789abcdef", min_size=32, max_size=32),
    cause=st.sampled_from(get_args(Cause)),
    passed=st.booleans(),
    at=WHEN,
    reasons=st.lists(TEXT, max_size=3).map(tuple),
    scores=SCORES,
    filter_s=SCORES,
    judged_in_full=st.booleans(),
    phash=st.none() | st.integers(0, 2**64 - 1),
    media=st.none() | TEXT,
    thumbnail=st.none() | TEXT,
    generate_s=NUMBER,
    judge_s=NUMBER,
    device_s=NUMBER,
    host=TEXT,
    ticket=TEXT,
    message=TEXT,
    of=st.integers(1, 1000),
)
ORDERS = st.builds(
    OrderGiven,
    batch=TEXT,
    order=st.sampled_from(["pick", "unpick", "close"]),
    who=TEXT,
    at=WHEN,
    shot=TEXT,
    stage=TEXT,
    candidate_id=TEXT,
    note=TEXT,
)
CLOSED_WAVES = st.builds(
    WaveClosed,
    batch=TEXT,
    branch=TEXT,
    wave=st.integers(0, 1000),
    rung=st.sampled_from(["draft", "full"]),
    survivors=st.lists(POSITION, max_size=4).map(tuple),
    duplicates=st.dictionaries(POSITION, TEXT, max_size=3),
    promoted=st.lists(POSITION, max_size=4).map(tuple),
    skipped=st.lists(POSITION, max_size=4).map(tuple),
    at=WHEN,
)
TIMES = st.builds(
    HostTimed,
    batch=TEXT,
    pool=TEXT,
    host=TEXT,
    wall_s=NUMBER,
    busy_s=NUMBER,
    loading_s=NUMBER,
    starved_s=NUMBER,
    idle_s=NUMBER,
    at=WHEN,
)
EVENTS = st.lists(ATTEMPTS | ORDERS | CLOSED_WAVES | TIMES, min_size=1, max_size=12).map(tuple)


def pick(who: str, note: object = "") -> Event:
    """A small event that can be told from others."""
    return OrderGiven(batch="b", order="pick", who=who, at=1.0, candidate_id="c", note=str(note))
