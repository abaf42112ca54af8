import pytest

from ancestra_farm.scheduler.glance import Glance
from tests.scheduler.world import CLIPS, STILLS, Fate, World, batch_of

STAGES = f"{{still: {STILLS}, animate: {CLIPS}}}"


def glance(world: World) -> Glance:
    return world.scheduler.glance(world.scheduler.progress())


def test_before_the_farm_says_what_slots_there_are_none_are_shown() -> None:
    from ancestra_farm.scheduler import Scheduler

    assert Scheduler().glance(()) == Glance(currency="USD")


def test_slots_are_shown_as_there_and_as_held() -> None:
    world = World(seed=1, cpus=3)
    world.submit(batch_of(STAGES))
    world.run(40)
    there_are, held = glance(world).slots["cpu"]
    assert there_are == 3
    assert 0 < held <= 3
    assert glance(world).slots["gpu"] == (0, 0)


def test_what_waits_is_what_is_neither_out_nor_ended() -> None:
    world = World(seed=1)
    world.submit(batch_of(STAGES, priority="dailies"))
    world.run(30)
    shown = glance(world).queues
    assert {priority for _, priority in shown} <= {"dailies"}
    by_model: dict[str, int] = {}
    for (model, _), number in shown.items():
        by_model[model] = by_model.get(model, 0) + number
    assert by_model == {model: number for model, number in world.scheduler.queues().items() if number}


def test_a_batch_is_shown_as_long_as_something_of_it_is_left() -> None:
    world = World(seed=1)
    world.submit(batch_of(STAGES, shots=3))
    (shown,) = glance(world).batches
    assert (shown.batch, shown.show, shown.priority) == ("b", "s", "shot")
    assert shown.shots == {"running": 3}
    world.run()
    assert glance(world).batches == ()


def test_a_shot_that_starved_stays_in_sight() -> None:
    world = World(seed=1, fate=Fate(passing=0.0))
    world.submit(batch_of(STAGES))
    world.run()
    (shown,) = glance(world).batches
    assert shown.shots == {"starved": 2}
    assert shown.to_go_s == 0


def test_work_to_go_is_what_stages_want_at_what_theirs_cost_and_falls_to_nothing() -> None:
    world = World(seed=1)
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=2))
    (before,) = glance(world).batches
    assert before.to_go_s == pytest.approx(2 * 40 * 2 * 0.1, rel=0.5), "by the card's first guess, in each wording"
    world.run(100)
    now = glance(world).batches
    assert all(shown.to_go_s >= 0 for shown in now)
    world.run()
    assert glance(world).batches == ()


@pytest.mark.parametrize("draft", ["", ", draft: {promote: 0.4}"])
def test_what_waits_for_people_has_no_work_to_go(draft: str) -> None:
    world = World(seed=1)
    world.submit(batch_of(f"{{still: {STILLS.replace('wave: 10', f'wave: 10, select: close{draft}')}}}"))
    world.run()
    (shown,) = glance(world).batches
    assert shown.shots == {"waiting_for_people": 2}
    assert shown.to_go_s == 0


def test_budgets_are_shown_by_the_part_that_is_left() -> None:
    world = World(seed=1)
    world.submit(batch_of(STAGES, budget={"candidates": 60, "device_hours": 1.0}))
    world.run(60)
    (shown,) = glance(world).batches
    batch = world.scheduler.state.batches["b"]
    counts = [stage.counts for shot in batch.shots.values() for stage in shot.stages.values()]
    released = sum(count.released + count.drafts for count in counts)
    assert shown.budgets_left["candidates"] == pytest.approx(1 - released / 60)
    assert shown.budgets_left["device_hours"] == pytest.approx(1 - batch.device_s / 3600)
    assert shown.to_go_s <= 3600 - batch.device_s
