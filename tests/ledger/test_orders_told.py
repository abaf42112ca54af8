"""What orders and voided verdicts come to in the tables."""

from pathlib import Path

from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.read import orders
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.story import story
from ancestra_farm.ledger.tables import Projection, part_path, rebuild
from ancestra_farm.ledger.verify import verify
from ancestra_farm.plan.events import AttemptEnded, OrderGiven, VerdictsVoided
from ancestra_farm.scheduler.world import Order
from tests.scheduler.world import CLIPS, STILLS, World, batch_of


def begun() -> World:
    """A world in the middle of its first wave, with some verdicts in."""
    world = World(seed=4)
    world.submit(batch_of(f"{{still: {STILLS}, animate: {CLIPS}}}", shots=1))
    while not any(isinstance(event, AttemptEnded) for event in world.log):
        world.run(1)
    return world


def row(projection: Projection, candidate_id: str) -> dict[str, object]:
    rows = projection.table("candidates", "b", "s000").to_pylist()
    return next(one for one in rows if one["candidate_id"] == candidate_id)


def test_a_voided_verdict_leaves_its_row_open_with_what_it_cost() -> None:
    world = begun()
    judged = next(event for event in world.log if isinstance(event, AttemptEnded))
    projection = Projection()
    for event in world.log:
        projection.apply(event)
    assert row(projection, judged.candidate_id)["passed"] is judged.passed
    voided = VerdictsVoided("b", judged.branch, "full", (judged.position,), judged.host, "its verdicts stand out", 9.0)
    projection.apply(voided)
    after = row(projection, judged.candidate_id)
    assert (after["outcome"], after["passed"], after["reasons"], after["scores"]) == ("released", None, [], [])
    assert (after["attempts"], after["device_s"]) == (1, judged.device_s)
    assert projection.undecided()[1] == []
    again = AttemptEnded("b", judged.branch, judged.position, "full", judged.candidate_id, "judged", False, 10.0)
    projection.apply(again)
    assert row(projection, judged.candidate_id)["outcome"] == "rejected"
    assert projection.oddities == []


def test_orders_about_a_whole_batch_have_a_part_of_their_own_and_verify(tmp_path: Path) -> None:
    world = begun()
    for kind, shot, fields in (
        ("pause", "", {"note": "lunch"}),
        ("unpause", "", {}),
        ("priority", "", {"priority": "dailies"}),
        ("cancel", "s000", {"order_id": "c1"}),
    ):
        world.tell(Order(OrderGiven("b", kind, "bea", 5.0, shot=shot, **fields)))
    store = Store.open(str(tmp_path / "store"), create=True)
    Writer.begin(store, "ann", "run").commit(world.log)
    rebuild(store)
    rows = orders(store).to_pylist()
    assert {(one["order"], one["shot"], one["says"], one["note"], one["order_id"]) for one in rows} == {
        ("pause", None, "", "lunch", None),
        ("unpause", None, "", "", None),
        ("priority", None, "dailies", "", None),
        ("cancel", "s000", "", "", "c1"),
    }
    assert {one["who"] for one in rows} == {"bea"}
    assert store.exists(part_path("orders", "b", ""))
    assert [problem for problem in verify(store).problems if "media/" not in problem] == []
    store.replace(part_path("orders", "b", ""), store.read(part_path("orders", "b", "s000")))
    assert any("part-b~.parquet does not say what the log says" in problem for problem in verify(store).problems)


def test_the_story_of_a_candidate_tells_who_cancelled_its_shot(tmp_path: Path) -> None:
    world = begun()
    one = next(event.candidate_id for event in world.log if isinstance(event, AttemptEnded))
    world.tell(Order(OrderGiven("b", "pause", "cem", 5.0)))
    world.tell(Order(OrderGiven("b", "cancel", "bea", 5.0, shot="s000")))
    store = Store.open(str(tmp_path / "store"), create=True)
    Writer.begin(store, "ann", "run").commit(world.log)
    told = [event for _, event in story(store, one) if isinstance(event, OrderGiven)]
    assert [(event.order, event.who) for event in told] == [("cancel", "bea")]
