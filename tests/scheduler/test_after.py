"""Shots that wait for the picks of others: they begin when these are there; what can never come about is refused."""

from typing import Any

import pytest

from ancestra_farm.batch.load import canonical
from ancestra_farm.batch.schema import Batch
from ancestra_farm.plan.events import BranchOpened, OrderGiven
from ancestra_farm.scheduler.snapshot import StateCodec
from ancestra_farm.scheduler.world import Order, OrderRefused
from tests.scheduler.world import STILLS, Fate, World, batch_of

CLOSED = f"{{still: {STILLS[:-1]}, select: close}}}}"
AUTO = f"{{still: {STILLS}}}"


def batch(
    name: str, stages: str = AUTO, shots: int = 1, after: Any = None, of_shot: dict[int, Any] | None = None
) -> Batch:
    made = batch_of(stages, shots=shots, batch=name)
    document = made.model_dump(mode="json", by_alias=True, exclude_none=True)
    if after is not None:
        document["after"] = after
    for number, one in (of_shot or {}).items():
        document["shots"][number]["after"] = one
    return Batch.model_validate(document, by_alias=True, by_name=False)


def begun(world: World) -> set[tuple[str, str]]:
    return {(event.batch, event.shot) for event in world.log if isinstance(event, BranchOpened)}


def pick_and_close(world: World, name: str, shot: str = "s000") -> None:
    state = world.scheduler.state.batches[name].shots[shot].stages["still"]
    survivor = next(id_ for branch in state.branches.values() for id_ in branch.survivor_ids())
    for kind, candidate in (("pick", survivor), ("close", "")):
        world.tell(Order(OrderGiven(name, kind, "bea", world.now, shot, "still", candidate)))


def test_a_batch_begins_when_the_picks_of_another_are_there():
    world = World()
    world.submit(batch("previs", CLOSED, shots=2))
    world.submit(batch("film", after=[{"batch": "previs"}]))
    assert world.run() is not None
    assert begun(world) == {("previs", "s000"), ("previs", "s001")}
    assert world.done.stuck == (
        "s000 of film waits for the picks of s000 still of previs, s001 still of previs (after)",
    )
    assert "waits for the picks of s000 still of previs" in " ".join(world.scheduler.explain("film", "s000"))
    pick_and_close(world, "previs")
    assert ("film", "s000") not in begun(world)
    world.done = None
    pick_and_close(world, "previs", "s001")
    assert ("film", "s000") in begun(world)
    assert world.run()
    assert world.results()["s000", "still"]


def test_a_shot_follows_another_of_its_own_batch():
    world = World()
    world.submit(batch("b", shots=3, of_shot={2: [{"shot": "s000"}]}))
    assert begun(world) == {("b", "s000"), ("b", "s001")}
    assert world.run()
    assert begun(world) == {("b", "s000"), ("b", "s001"), ("b", "s002")}
    order = [event.shot for event in world.log if isinstance(event, BranchOpened)]
    assert order[-1] == "s002"
    assert not world.done.stuck


def test_what_nobody_has_to_pick_is_there_when_it_has_survivors():
    world = World(fate=Fate(passing=0.0))
    world.submit(batch("b", shots=2, of_shot={1: [{"shot": "s000", "stage": "still"}]}))
    world.run()
    assert begun(world) == {("b", "s000")}
    assert world.done.stuck == ("s001 of b waits for the picks of s000 still of b (after)",)


def test_what_has_begun_goes_on_whatever_becomes_of_the_picks():
    world = World()
    world.submit(batch("previs", CLOSED))
    world.submit(batch("film", after=[{"batch": "previs", "shot": "s000"}]))
    world.run()
    pick_and_close(world, "previs")
    world.submit(batch("previs", CLOSED.replace("40", "60")))
    assert world.run()
    assert world.scheduler.progress()[1].state == "done"


def test_a_new_controller_waits_for_the_same():
    world = World()
    world.submit(batch("previs", CLOSED))
    world.submit(batch("film", after=[{"batch": "previs"}]))
    world.run()
    world.start()
    world.run()
    assert ("film", "s000") not in begun(world)
    codec = StateCodec()
    read = codec.read(codec.write(world.scheduler.state))
    assert all(one.batches is read.batches for one in read.batches.values())
    pick_and_close(world, "previs")
    assert ("film", "s000") in begun(world)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (batch("b", after=[{"batch": "nobody"}]), "there is no batch nobody here; there are: film, previs"),
        (batch("b", after=[{"batch": "previs", "shot": "s009"}]), "batch previs has no shot s009"),
        (batch("b", after=[{"batch": "previs", "stage": "clip"}]), "no stage clip in any shot of previs"),
        (batch("b", shots=2, of_shot={0: [{"shot": "s001"}], 1: [{"shot": "s000"}]}), "none of them would ever begin"),
        (batch("b", shots=2, of_shot={0: [{}], 1: [{}]}), "s000 of b waits for s001 of b waits for s000 of b"),
        (batch("previs", CLOSED, after=[{"batch": "film"}]), "s000 of previs waits for s000 of film waits for"),
    ],
)
def test_what_could_never_begin_is_refused(wanted: Batch, says: str):
    world = World()
    world.submit(batch("previs", CLOSED))
    world.submit(batch("film", after=[{"batch": "previs"}]))
    before = len(world.log)
    with pytest.raises(OrderRefused, match=says):
        world.submit(wanted)
    assert len(world.log) == before


def test_a_batch_that_follows_nobody_is_written_down_as_before():
    assert "after" not in canonical(batch("b"))
