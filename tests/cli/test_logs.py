"""What happened on a farm, in sentences: the same from the controller and from the log."""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.cli import logs
from ancestra_farm.cli.happenings import DETAIL, happening
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.codec import encode_event
from ancestra_farm.plan.events import Event
from tests.api.door import OpenDoor
from tests.cli.conftest import Ancestra
from tests.cli.small_farm import batch_file, submission

EVENTS = st.one_of(*(st.from_type(kind) for kind in get_args(Event)))


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenDoor]:
    store = Store.open(str(tmp_path / "store"), create=True)
    with OpenDoor(store, submission(batch_file(tmp_path, "select: close"))) as door:
        door.until(lambda status: len(status["waiting"]) == 2)
        monkeypatch.setenv("ANCESTRA_STORE", store.url)
        monkeypatch.setenv("USER", "ada")
        yield door


@given(EVENTS)
def test_every_kind_of_event_is_told_in_one_line(event: Event) -> None:
    assert is_dataclass(event)
    kind, body = encode_event(event)
    told = happening(3, 5.0, kind, json.loads(body), everything=True)
    assert told is not None
    assert told.says
    assert told.says.isprintable()
    assert told.commit == 3
    assert told.batch == (json.loads(body).get("batch") or "")
    if kind in DETAIL:
        assert happening(3, 5.0, kind, json.loads(body)) is None


def test_bills_are_told_where_everything_is_wanted_and_notices_always() -> None:
    bill = {"node_type": "l4-spot", "nodes": 3, "node_s": 180.0, "cost": 0.0150, "currency": "EUR", "at": 7.0}
    assert happening(1, 5.0, "NodesPaid", bill) is None, "one comes every minute"
    told = happening(1, 5.0, "NodesPaid", bill, everything=True)
    assert told is not None
    assert told.says == "3 × l4-spot are up; 180 node-seconds for 0.0150 EUR since this was last told"
    notice = {"occasion": "waits_for_picks", "show": "film", "batch": "b", "shot": "a", "to": "command:page"}
    told = happening(1, 5.0, "NoticeDelivered", notice)
    assert told is not None
    assert told.says == "command:page was told of b a: waits for picks"
    told = happening(1, 5.0, "NoticeDelivered", notice | {"batch": "", "shot": ""})
    assert told is not None
    assert told.says == "command:page was told of show film: waits for picks"


def test_an_event_of_a_later_version_is_told_by_its_name_and_what_it_says() -> None:
    told = happening(1, 5.0, "GpuRented", {"who": "ada", "message": "for dailies", "at": 7.0})
    assert told is not None
    assert (told.says, told.at) == ("gpu rented: ada, for dailies", 7.0)


def test_the_day_of_a_batch_is_told_by_the_controller_and_by_the_log_alike(ancestra: Ancestra, door: OpenDoor) -> None:
    assert ancestra("pause", "--note", "the sea is wrong").code == 0
    live = ancestra("logs", "--last", "1000")
    assert live.code == 0, live.err
    assert "batch demo submitted by ada" in live.out
    assert "pause demo, ordered by ada: the sea is wrong" in live.out
    assert "wave 0 closed: " in live.out
    assert "passed" not in live.out, "single candidates are told only where everything is wanted"
    door.close()
    at_rest = ancestra("logs", "--last", "1000")
    assert at_rest.code == 0, at_rest.err
    lines = live.out.splitlines()
    assert lines == at_rest.out.splitlines()[: len(lines)]
    assert all(dt.datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S").year >= 2020 for line in lines), "each has its time"


def test_only_what_is_wanted_is_told(ancestra: Ancestra, door: OpenDoor) -> None:
    lines = [json.loads(line) for line in ancestra("logs", "--json", "--shot", "anc_010_0010").out.splitlines()]
    assert lines
    assert {line["shot"] for line in lines} == {"anc_010_0010"}
    everything = ancestra("logs", "--all", "--last", "10000").out
    assert everything.count("passed") + everything.count("rejected by") == 48
    assert len(ancestra("logs", "--last", "3").out.splitlines()) == 3
    assert ancestra("logs", "--last", "0").out == ""


def test_what_happens_is_told_as_it_happens(
    ancestra: Ancestra, door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = logs.Stream(door.store, everything=False)
    monkeypatch.setattr(logs, "WAIT_S", 5)
    past = list(stream.past())
    assert past
    assert ancestra("pause").code == 0
    news: list[Any] = []
    while not any(one.kind == "OrderGiven" for one in news):
        news += stream.news()
    seen = {one.commit for one in past}
    assert not seen & {one.commit for one in news}, "each event once"
    door.close()
    monkeypatch.setattr(logs, "LOOK_S", 0.01)
    assert all(one.commit not in seen for one in [*stream.news(), *stream.news()]), "and on from the log"


def test_a_farm_that_remembers_too_little_is_read_from_its_log(door: OpenDoor) -> None:
    door.recent._forgotten = door.recent.last  # as after a start from a snapshot, or a day of work
    kinds = [one.kind for one in logs.Stream(door.store, everything=False).past()]
    assert kinds[0] == "EpochTaken"
    assert "BatchSubmitted" in kinds


def test_the_job_of_a_farm_is_asked_of_a_cluster_that_is_named(
    ancestra: Ancestra, finished: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    said = ancestra("logs", "--job", "--store", finished.url)
    assert (said.code, "--address" in said.err) == (2, True)


def test_the_keys_of_a_line_are_in_the_help(ancestra: Ancestra, finished: Store) -> None:
    line = json.loads(ancestra("logs", "--json", "--last", "1", "--store", finished.url).out)
    assert list(line) == [field.name for field in fields(logs.Happening)]
    assert all(key in logs.EPILOG for key in line)
