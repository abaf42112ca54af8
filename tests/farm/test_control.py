"""The controller's loop with the real scheduler, log, filters and models, and hosts on threads instead of Ray."""

import pytest

from ancestra_farm.farm.news import Asked
from ancestra_farm.ledger.errors import StoreUnavailable
from ancestra_farm.ledger.liveness import who_is_alive
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.verify import verify
from ancestra_farm.plan.events import OrderGiven
from ancestra_farm.plan.farm_events import HostTimed
from ancestra_farm.scheduler.world import HostLost, Order, OrderRefused, StopRequested
from tests.farm.batches import batch_document, with_clips
from tests.farm.logs import ENDS, attempts_of, events_of, judged_more_than_once, rows_of, survivors_of
from tests.farm.processes import wait_for
from tests.farm.threads import ThreadFarm, submission


@pytest.fixture
def store(tmp_path):
    return Store.open(str(tmp_path / "store"), create=True)


def test_a_batch_goes_from_candidates_to_finished_clips(tmp_path, store):
    farm = ThreadFarm(store)
    ending = farm.loop.run([submission(tmp_path, with_clips(batch_document()))])
    assert (ending.how, ending.waiting, ending.stuck) == ("done", (), ())
    assert {row["outcome"] for row in rows_of(store.url)} <= ENDS
    assert [path for path in store.list("deliveries") if path.endswith("MANIFEST.json")]
    assert verify(store).problems == ()
    assert farm.hands.closed


def test_as_many_hosts_as_you_like_give_the_same_survivors(tmp_path):
    found = []
    for cpus in (1, 3):
        store = Store.open(str(tmp_path / f"store-{cpus}"), create=True)
        ThreadFarm(store, cpus).loop.run([submission(tmp_path, with_clips(batch_document()))])
        found.append(survivors_of(store.url))
    assert found[0] == found[1]


def test_a_stop_returns_what_is_done_and_the_next_loop_does_the_rest(tmp_path, store):
    document = batch_document(candidates=32, parameters={"delay_s": 0.03})
    farm = ThreadFarm(store)
    thread, box = farm.run_in_thread([submission(tmp_path, document)])
    wait_for(lambda: len(attempts_of(store.url, "judged")) >= 4)
    farm.inbox.ask(StopRequested())
    thread.join(40)
    assert box[0].how == "stopped"
    assert 4 <= len(attempts_of(store.url, "judged")) < 32

    assert ThreadFarm(store).loop.run().how == "done"
    assert len(rows_of(store.url)) == 32
    assert judged_more_than_once(store.url) == []


def test_a_loop_that_is_overtaken_stops_at_once_and_says_by_whom(tmp_path, store):
    document = batch_document(candidates=32, parameters={"delay_s": 0.05})
    farm = ThreadFarm(store)
    thread, box = farm.run_in_thread([submission(tmp_path, document)])
    wait_for(lambda: farm.hands.dispatched)
    Writer.begin(store, "somebody else", "run")
    thread.join(40)
    assert box[0].how == "superseded"
    assert "somebody else" in box[0].message
    assert farm.hands.closed


def test_the_same_batch_again_does_nothing_again(tmp_path, store):
    document = batch_document()
    ThreadFarm(store).loop.run([submission(tmp_path, document)])
    before = len(attempts_of(store.url))
    assert ThreadFarm(store).loop.run([submission(tmp_path, document)]).how == "done"
    assert len(attempts_of(store.url)) == before


def test_an_order_for_what_is_not_there_is_refused_and_leaves_no_trace(tmp_path, store):
    farm = ThreadFarm(store)
    order = Asked(Order(OrderGiven("nowhere", "pick", "ada", 0.0, shot="x", stage="still", candidate_id="y")))
    farm.loop.run([submission(tmp_path, batch_document()), order])
    with pytest.raises(OrderRefused):
        order.answer.result(0)
    assert not [event for event in events_of(store.url) if isinstance(event, OrderGiven)]


def test_a_stage_that_waits_for_people_ends_the_run_and_goes_on_after_the_order(tmp_path, store):
    document = batch_document(candidates=8, select="close")
    ending = ThreadFarm(store).loop.run([submission(tmp_path, document)])
    assert ending.waiting == (("tiny", "anc_000", "still"),)
    picked = survivors_of(store.url)["anc_000/still"][0]
    pick = OrderGiven("tiny", "pick", "ada", 1.0, shot="anc_000", stage="still", candidate_id=picked)
    close = OrderGiven("tiny", "close", "ada", 2.0, shot="anc_000", stage="still")
    ending = ThreadFarm(store).loop.run([Asked(Order(pick)), Asked(Order(close))])
    assert (ending.how, ending.waiting) == ("done", ())
    assert "deliveries/anc/anc_000/v001/MANIFEST.json" in store.list("deliveries")


def test_a_store_that_fails_in_a_commit_ends_the_loop_and_nothing_after_it_is_done(tmp_path, store, monkeypatch):
    farm = ThreadFarm(store)

    def fail(_events):
        raise StoreUnavailable("the bucket is away")

    monkeypatch.setattr(farm.writer, "commit", fail)
    with pytest.raises(StoreUnavailable):
        farm.loop.run([submission(tmp_path, batch_document())])
    assert farm.hands.dispatched == []
    assert farm.hands.closed


def test_the_clocks_of_all_hosts_are_in_the_log_and_add_up(tmp_path, store):
    farm = ThreadFarm(store)
    farm.loop.run([submission(tmp_path, batch_document())])
    timings = [event for event in events_of(store.url) if isinstance(event, HostTimed)]
    assert {timing.pool for timing in timings} == {"procedural/stills"}
    for timing in timings:
        parts = timing.busy_s + timing.loading_s + timing.starved_s + timing.idle_s
        assert parts == pytest.approx(timing.wall_s)
    wall = farm.metrics.value("ancestra_device_wall_seconds_total", model="procedural/stills")
    assert wall == pytest.approx(sum(timing.wall_s for timing in timings))


def test_tables_are_complete_and_the_mark_is_there_while_it_runs(tmp_path, store):
    farm = ThreadFarm(store)
    farm.hands.hold.clear()
    thread, _ = farm.run_in_thread([submission(tmp_path, batch_document())])
    alive = wait_for(lambda: who_is_alive(store))
    assert alive.who == "tester"
    farm.hands.hold.set()
    thread.join(40)
    assert not [problem for problem in verify(store).notes if "behind" in problem]
    farm.upkeep.leave()
    assert who_is_alive(store) is None


def test_what_a_host_is_given_at_once_was_owed_to_it(tmp_path, store):
    farm = ThreadFarm(store, cpus=1)
    farm.loop.run([submission(tmp_path, batch_document())])
    assert farm.hands.owed[0] is True  # the first ticket: there was work before there was a host


def test_a_reply_that_comes_after_its_replacement_counts_for_nothing_but_its_cost(tmp_path, store):
    farm = ThreadFarm(store, cpus=1)
    farm.hands.hold.clear()
    thread, box = farm.run_in_thread([submission(tmp_path, batch_document(candidates=4, wave=4))])
    first = wait_for(lambda: farm.hands.dispatched)[0]
    farm.inbox.put(lambda: HostLost(first.host, "host_lost", "cut off, but at work"))
    wait_for(lambda: {dispatch.host for dispatch in farm.hands.dispatched} - {first.host})
    farm.hands.hold.set()
    thread.join(40)
    assert box[0].how == "done"
    assert judged_more_than_once(store.url) == []
    assert first.host not in {attempt.host for attempt in attempts_of(store.url, "judged")}
    assert first.host in {event.host for event in events_of(store.url) if isinstance(event, HostTimed)}
    assert verify(store).problems == ()
