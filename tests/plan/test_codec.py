import dataclasses
import json
import math
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.plan.codec import EventUnreadable, decode_event, encode_event
from ancestra_farm.plan.events import AttemptEnded, EpochTaken, Event, WaveClosed, WaveReleased

KINDS = get_args(Event)


def events(kind):
    """Any event of a kind, every field drawn from its type, those with defaults too."""
    return st.builds(kind, **{field.name: st.from_type(field.type) for field in dataclasses.fields(kind)})


def test_logs_are_written_in_these_words():
    """A kind or field that is renamed makes every log there is unreadable; new fields have defaults."""
    kinds = "EpochTaken BatchSubmitted BranchOpened WaveReleased AttemptEnded CandidateGivenUp WaveClosed BranchClosed "
    kinds += "StageClosed OrderGiven StitchPlanned StitchEnded HostTimed"
    assert set(kinds.split()) <= {kind.__name__ for kind in KINDS}
    body = '{"batch":"b","branch":"k","wave":0,"rung":"draft","start":0,"stop":2,"filters":["nan"],"at":1.5}'
    assert decode_event("WaveReleased", body) == WaveReleased("b", "k", 0, "draft", 0, 2, ("nan",), 1.5)
    assert encode_event(EpochTaken(1, "ada", "run", 2.0)) == (
        "EpochTaken",
        '{"epoch":1,"who":"ada","purpose":"run","at":2.0}',
    )


ATTEMPT = AttemptEnded(
    batch="b", branch="b/s/0", position=3, rung="full", candidate_id="ab" * 16, cause="judged", passed=True, at=1.5
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_comes_back_as_it_was(kind):
    @settings(max_examples=40, deadline=None)
    @given(events(kind))
    def check(event):
        name, body = encode_event(event)
        assert name == kind.__name__
        assert repr(decode_event(name, body)) == repr(event)  # repr, since NaN is unequal to itself

    check()


@given(st.floats(), st.integers(0, 2**64 - 1), st.text(), st.dictionaries(st.text(), st.floats()))
def test_scores_hashes_and_messages_come_back_exactly(seconds, phash, message, scores):
    event = dataclasses.replace(ATTEMPT, device_s=seconds, phash=phash, message=message, scores=scores)
    back = decode_event(*encode_event(event))
    assert repr(back) == repr(event)


def test_a_score_that_is_not_a_number_is_still_plain_json():
    event = dataclasses.replace(ATTEMPT, scores={"sharpness": math.nan, "noise": math.inf})

    def refuse(constant):
        raise AssertionError(constant)

    kind, body = encode_event(event)
    assert json.loads(body, parse_constant=refuse)["scores"] == {"sharpness": "NaN", "noise": "Infinity"}
    assert math.isnan(decode_event(kind, body).scores["sharpness"])


def test_integer_keys_come_back_as_integers():
    event = WaveClosed("b", "b/s/0", 0, "full", (1,), {7: "ab"}, (), (2,), 3.0)
    assert decode_event(*encode_event(event)).duplicates == {7: "ab"}


def test_text_that_is_no_unicode_never_stops_the_log():
    event = dataclasses.replace(ATTEMPT, message="file \udcff lost", reasons=("\ud800",), scores={"a\udcff": 1.0})
    back = decode_event(*encode_event(event))
    assert (back.message, back.reasons, back.scores) == ("file ? lost", ("?",), {"a?": 1.0})


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("AttemptStarted", "{}", "no event 'AttemptStarted'"),
        ("AttemptEnded", "{", "body"),
        ("AttemptEnded", "null", "null"),
        ("AttemptEnded", "{}", "batch"),
        ("EpochTaken", '{"epoch":1,"who":"a","purpose":"b","at":1,"colour":2}', "colour"),
        ("EpochTaken", '{"epoch":"x","who":"a","purpose":"b","at":1}', "epoch"),
    ],
)
def test_a_body_that_is_no_such_event_is_refused_with_its_field(kind, body, said):
    with pytest.raises(EventUnreadable, match=said):
        decode_event(kind, body)
