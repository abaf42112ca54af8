"""Every kind of order while nobody is at work: it takes the epoch, commits what follows, and leaves."""

import time
from pathlib import Path

import pytest

from ancestra_farm.api.offline import give_order
from ancestra_farm.cli.lookup import locate
from ancestra_farm.cli.telling import Teller
from ancestra_farm.ledger.read import candidates, orders, story
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tables import rebuild
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.ledger.verify import verify
from ancestra_farm.plan.events import EpochTaken, OrderGiven, StageClosed, WaveReleased
from ancestra_farm.plan.moments import clock
from ancestra_farm.plan.recipe import Recipe
from ancestra_farm.scheduler.world import OrderRefused
from tests.cli.small_farm import SmallFarm, batch_file, finished_store, submission

SHOT = {"shot": "anc_010_0010"}
STILL = SHOT | {"stage": "still"}
TOMORROW = float(round(time.time()) + 86_400)  # seconds since the Unix epoch


def given(kind: str, who: str = "bo", **fields: object) -> OrderGiven:
    return OrderGiven("demo", kind, who, 5.0, **fields)


def reject(store: Store) -> str:
    rows = candidates(store, "demo", "anc_010_0010").to_pylist()
    return next(row["candidate_id"] for row in rows if row["outcome"] == "rejected")


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (given("pause"), ""),
        (given("pause", **SHOT), ""),
        pytest.param(given("pause", until=TOMORROW), f"until {clock(TOMORROW)}", id="until tomorrow"),
        (given("priority", priority="dailies", weight=2.0), "dailies, weight 2"),
        (given("more", candidates=6, **STILL), "6 more"),
        (given("retry", filter="blur", **STILL), "rejected by blur"),
    ],
)
def test_an_order_offline_is_committed_and_told_in_its_table(tmp_path: Path, order: OrderGiven, says: str) -> None:
    store = finished_store(tmp_path)
    taken = give_order(store, order)
    assert taken.events[0] == order
    *_, epoch, last = read_commits(store)
    assert isinstance(epoch.events[0], EpochTaken)
    assert epoch.events[0].purpose.startswith(f"{order.order} {order.shot or order.batch}")
    assert last.number == taken.commit
    rebuild(store)
    (row,) = orders(store).to_pylist()
    assert (row["who"], row["order"], row["shot"], row["stage"], row["says"]) == (
        "bo",
        order.order,
        order.shot or None,
        order.stage or None,
        says,
    )
    assert row["epoch"] == taken.epoch


def test_what_was_ordered_offline_is_made_by_the_next_run(tmp_path: Path) -> None:
    store = finished_store(tmp_path)
    before = candidates(store, "demo", "anc_010_0010").num_rows
    one = reject(store)
    give_order(store, given("more", candidates=6, **STILL))
    give_order(store, given("restore", candidate_id=one, **STILL))
    farm = SmallFarm(store)
    farm.work()
    rebuild(store)
    rows = {row["candidate_id"]: row for row in candidates(store, "demo", "anc_010_0010").to_pylist()}
    stills = [row for row in rows.values() if row["stage"] == "still"]
    assert len(stills) == 24 + 6
    assert len(rows) >= before + 6
    assert (rows[one]["outcome"], rows[one]["reasons"], rows[one]["passed"]) == ("survivor", ["restored by bo"], False)
    assert rows[one]["media"] is not None
    assert verify(store).problems == ()
    told = [event for _, event in story(store, one)]
    assert [event.who for event in told if isinstance(event, OrderGiven)] == ["bo"]
    assert [event.by_word for event in told if isinstance(event, WaveReleased)] == [False, True]
    lines = [line.says for line in Teller("demo", recipe_of(store, one)).tell(read_commits(store))]
    assert "restored by bo" in lines
    assert any(line.startswith("made again by a person's word in wave") for line in lines)
    assert any(line.startswith("6 more candidates of anc_010_0010/still ordered by bo") for line in lines)


def recipe_of(store: Store, candidate_id: str) -> Recipe:
    located = locate(store, candidate_id)
    return located.space.recipe(located.position, located.rung)


def test_a_batch_paused_offline_stands_still_until_somebody_lifts_it(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    SmallFarm(store).work(submission(batch_file(tmp_path)), most=4)
    give_order(store, given("pause", note="wait for the grade"))
    farm = SmallFarm(store)
    farm.work()
    assert {shot.state for shot in farm.scheduler.progress()} == {"paused"}
    give_order(store, given("unpause", who="cy"))
    farm = SmallFarm(store)
    farm.work()
    assert {shot.state for shot in farm.scheduler.progress()} == {"done"}


def test_a_shot_cancelled_offline_is_taken_up_by_a_retry(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    SmallFarm(store).work(submission(batch_file(tmp_path)), most=4)
    taken = give_order(store, given("cancel", **SHOT))
    assert [event.why for event in taken.events if isinstance(event, StageClosed)] == ["cancelled"]
    farm = SmallFarm(store)
    farm.work()
    assert [shot.state for shot in farm.scheduler.progress()] == ["cancelled", "done"]
    taken = give_order(store, given("retry", **SHOT))
    farm = SmallFarm(store)
    farm.work()
    assert [shot.state for shot in farm.scheduler.progress()] == ["done", "done"]
    whole = finished_store(tmp_path / "whole")
    assert survivors(store) == survivors(whole)


def survivors(store: Store) -> set[str]:
    rebuild(store)
    return {row["candidate_id"] for row in candidates(store).to_pylist() if row["outcome"] == "survivor"}


def test_a_refused_order_takes_no_epoch_whatever_its_kind(tmp_path: Path) -> None:
    store = finished_store(tmp_path)
    before = store.list("log")
    for order in (
        given("unpause"),
        given("cancel"),
        given("retry"),
        given("more", candidates=0, **STILL),
        given("priority", priority="soon"),
        given("restore", candidate_id="0" * 32, **STILL),
    ):
        with pytest.raises(OrderRefused):
            give_order(store, order)
    assert store.list("log") == before


def test_the_same_order_twice_under_one_id_changes_nothing(tmp_path: Path) -> None:
    store = finished_store(tmp_path)
    order = given("more", candidates=3, order_id="a1", **STILL)
    give_order(store, order)
    before = store.list("log")
    assert give_order(store, order).events == ()
    assert store.list("log") == before
    again = [e for c in read_commits(store) for e in c.events if isinstance(e, WaveReleased) and e.again]
    assert again == []
