"""The node agent: when it says that its machine has to leave, and when it waits."""

import logging

import pytest

from ancestra_farm.farm.agent import leaves_on_risk, wait_for_notice
from ancestra_farm.farm.notices import AwsNotices, Metadata, MetadataUnreadable, Notice
from tests.farm.clouds import AWS, endpoint


class Told:
    """Notices one after the other, the last for ever; the clock moves on with every look. ``now`` is when it ended."""

    def __init__(self, *told):
        self.told = list(told)
        self.now = 1000.0

    def look(self, now):
        assert now == self.now
        found = self.told.pop(0) if len(self.told) > 1 else self.told[0]
        if isinstance(found, Exception):
            raise found
        return found

    def wait(self, **options):
        def sleep(seconds):
            assert seconds == 5.0
            self.now += seconds
            assert self.now < 100_000, "it waits for ever"

        return wait_for_notice(self, clock=lambda: self.now, sleep=sleep, **options)


def test_it_waits_until_something_is_said():
    told = Told(None, None, Notice(1030.0, "preempted"))
    assert told.wait() == Notice(1030.0, "preempted")
    assert told.now == 1010.0


def test_a_notice_far_ahead_is_kept_until_five_minutes_before():
    told = Told(Notice(1000.0 + 3600, "maintenance"))
    assert told.wait().why == "maintenance"
    assert told.now == 1000.0 + 3300


def test_a_notice_that_comes_forward_is_heard_in_time():
    told = Told(Notice(4600.0, "maintenance"), Notice(1040.0, "preempted"))
    assert told.wait().why == "preempted"
    assert told.now == 1005.0


def test_what_is_only_likely_is_passed_by_unless_an_operator_wants_it():
    likely = Notice(None, "a rebalance recommendation", sure=False)
    assert Told(likely, likely, Notice(1100.0, "terminate")).wait().why == "terminate"
    assert Told(likely).wait(on_risk=True) == likely


def test_an_endpoint_that_is_away_is_asked_again_and_complained_about_once(caplog):
    away = MetadataUnreadable("no answer")
    told = Told(away, away, None, away, Notice(1050.0, "preempted"))
    with caplog.at_level(logging.WARNING):
        assert told.wait().why == "preempted"
    assert [record.getMessage() for record in caplog.records] == [
        "no word from the metadata endpoint, asking on: no answer"
    ] * 2


def test_it_hears_what_a_real_endpoint_says():
    with endpoint(AWS) as aws:
        aws.interrupt("2020-01-01T00:00:00Z")
        assert wait_for_notice(AwsNotices(Metadata(aws.url))).why == "AWS: spot instance, terminate"


def test_a_wish_about_risk_that_makes_no_sense_is_said_to():
    assert not leaves_on_risk({})
    assert leaves_on_risk({"ANCESTRA_ON_REBALANCE": "Drain"})
    assert not leaves_on_risk({"ANCESTRA_ON_REBALANCE": "stay"})
    with pytest.raises(ValueError, match="stay or drain"):
        leaves_on_risk({"ANCESTRA_ON_REBALANCE": "yes"})
