from contextlib import suppress
from pathlib import Path

import pytest

from ancestra_farm.api.offline import StoreBusy, give_order
from ancestra_farm.ledger.errors import Superseded
from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.plan.events import BranchOpened, EpochTaken, OrderGiven, StageClosed, WaveClosed
from ancestra_farm.scheduler.world import OrderRefused
from tests.cli.small_farm import SmallFarm, batch_file, finished_store, submission


def survivor(store: Store, shot: str = "anc_010_0010") -> str:
    for commit in read_commits(store):
        for event in commit.events:
            if isinstance(event, StageClosed) and event.shot == shot:
                return event.chains[0][0]
    farm = SmallFarm(store)
    stage = farm.scheduler.state.batches["demo"].shots[shot].stages["still"]
    return next(iter(stage.branches.values())).survivor_ids()[0]


def pick(candidate_id: str, who: str = "bo") -> OrderGiven:
    return OrderGiven("demo", "pick", who, 5.0, shot="anc_010_0010", stage="still", candidate_id=candidate_id)


def close() -> OrderGiven:
    return OrderGiven("demo", "close", "bo", 6.0, shot="anc_010_0010", stage="still")


def test_an_order_takes_the_epoch_and_is_in_the_log_with_what_follows(tmp_path: Path) -> None:
    store = finished_store(tmp_path, "select: close")
    one = survivor(store)
    first = give_order(store, pick(one))
    assert first.events == (pick(one),)
    second = give_order(store, close())
    assert second.epoch == first.epoch + 1
    kinds = {type(event) for event in second.events}
    assert {OrderGiven, StageClosed, BranchOpened} <= kinds
    last = list(read_commits(store))[-2:]
    assert isinstance(last[0].events[0], EpochTaken)
    assert last[0].events[0].who == "bo"
    assert last[1].number == second.commit
    assert last[1].events == second.events


def test_a_refused_order_takes_no_epoch(tmp_path: Path) -> None:
    store = finished_store(tmp_path, "select: close")
    before = store.list("log")
    with pytest.raises(OrderRefused, match="not a survivor"):
        give_order(store, pick("0" * 32))
    with pytest.raises(OrderRefused, match="no batch"):
        give_order(store, OrderGiven("other", "close", "bo", 5.0, shot="a", stage="b"))
    assert store.list("log") == before


def test_a_live_controller_is_named_and_nothing_is_ordered(tmp_path: Path) -> None:
    store = finished_store(tmp_path, "select: close")
    one = survivor(store)
    Presence.here("ada", 9).write(store)
    before = store.list("log")
    with pytest.raises(StoreBusy, match=r"ada .*epoch 9") as busy:
        give_order(store, pick(one))
    assert busy.value.presence.who == "ada"
    assert store.list("log") == before


def test_an_order_in_the_middle_of_a_stopped_run_loses_nothing(tmp_path: Path) -> None:
    """Stopped anywhere, ordered, resumed: the survivors are those of a run that was never stopped."""
    whole = finished_store(tmp_path, "select: close")
    wanted = decided(whole)
    for most in (3, 7, 12):
        folder = tmp_path / str(most)
        folder.mkdir()
        store = Store.open(str(folder / "store"), create=True)
        SmallFarm(store).work(submission(batch_file(folder, "select: close")), most=most)
        with suppress(OrderRefused):  # too early for this pick: refused, and just as harmless
            give_order(store, pick(survivor(whole)))
        SmallFarm(store).work()
        assert decided(store) == wanted


def decided(store: Store) -> set[tuple[str, int, tuple[int, ...]]]:
    events = [event for commit in read_commits(store) for event in commit.events]
    return {(event.branch, event.wave, event.survivors) for event in events if isinstance(event, WaveClosed)}


def test_whoever_wrote_before_is_superseded_by_an_order(tmp_path: Path) -> None:
    store = finished_store(tmp_path, "select: close")
    one = survivor(store)
    writer = Writer.begin(store, "ada", "run")
    give_order(store, pick(one))
    with pytest.raises(Superseded, match="bo"):
        writer.commit([pick(one, "cy")])
