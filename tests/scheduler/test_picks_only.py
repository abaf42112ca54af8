"""A stage that is closed by people hands on what they picked, and nothing else: an upscale of picks only."""

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.plan.events import BranchOpened
from tests.scheduler import world as worlds
from tests.scheduler.world import CLIPS, STILLS, World, batch_of

PICKED = CLIPS.replace("wave: 4", "wave: 4, select: close")
UP = "{role: upscale, model: test/up, from: animate, candidates: 1}"


def upscaled_of(world):
    """What each round of the upscale started from."""
    return [e.inputs for e in world.log if isinstance(e, BranchOpened) and e.stage == "up"]


def waiting(monkeypatch):
    card = {**worlds.CARDS["test/clips"].model_dump(by_alias=True), "id": "test/up", "roles": ["upscale"]}
    frames = {"step": 1, "offset": 0, "min": 1, "max": 999}
    monkeypatch.setitem(worlds.CARDS, "test/up", ModelCard.model_validate({**card, "frames": frames, "rate": None}))
    world = World()
    world.submit(batch_of(f"{{still: {STILLS}, animate: {PICKED}, up: {UP}}}", shots=1))
    world.run()
    return world


def test_an_upscale_behind_a_stage_that_people_close_starts_from_their_picks_only(monkeypatch):
    world = waiting(monkeypatch)
    made = world.survivors()["s000", "animate"]
    assert len(made) > 2
    assert upscaled_of(world) == []
    assert world.scheduler.progress()[0].state == "waiting_for_people"
    world.order("pick", "s000", "animate", made[1])
    world.run()
    assert upscaled_of(world) == []  # picks count when the stage is closed
    world.order("close", "s000", "animate")
    world.run()
    assert upscaled_of(world) == [((made[1],),)]


def test_later_picks_are_upscaled_in_a_round_of_their_own(monkeypatch):
    world = waiting(monkeypatch)
    made = world.survivors()["s000", "animate"]
    for clip in made[:2]:
        world.order("pick", "s000", "animate", clip)
        world.order("close", "s000", "animate")
        world.run()
    first, second = upscaled_of(world)
    assert first == ((made[0],),)
    assert set(second) == {(made[0],), (made[1],)}
    tried = [position for ticket in world.dispatched if ticket.space.stage == "up" for position in ticket.positions]
    assert len(tried) == 2  # what was upscaled in the first round is not made again
