"""Who is told what: each thing once, under an id that no restart changes, and again only when it comes about anew."""

import json
from typing import Any

import pytest

from ancestra_farm.plan.events import OrderGiven
from ancestra_farm.plan.farm_events import NoticeDelivered, SettingsGiven
from ancestra_farm.scheduler.notices import FIRST_PAUSE_S, LAST_PAUSE_S, notices
from ancestra_farm.scheduler.world import ChangeSettings, Notice, NoticeTried, Order, Tell, TellPeople
from tests.scheduler.world import STILLS, Fate, World, batch_of

PAGE, HOOK = {"command": "page"}, {"webhook": "https://hooks.example.com/x", "secret": "studio"}
WAITS = batch_of(f"{{still: {STILLS[:-1]}, select: close}}}}", shots=1)
RUNS = batch_of("{clip: {role: text_to_video, model: test/clips, candidates: 8, wave: 4}}", shots=1)


class Told(World):
    """A world in which a messenger tells everybody at once, as far as ``works``."""

    works = True

    def listen(self, *recipients: dict[str, Any], show: str = "s") -> None:
        document = json.dumps({"schema": "ancestra/show/v1", "show": show, "notify": recipients})
        self.tell(ChangeSettings(SettingsGiven("show", show, document, "bea", self.now)))

    def look(self) -> list[Notice]:
        """Have it looked whom to tell; what was tried to be told."""
        asked = self.scheduler.handle(TellPeople(), self.now)
        tries = [one for one in asked if isinstance(one, Tell)]
        for one in tries:
            self.tell(NoticeTried(one.notice, one.to, self.works))
        return [one.notice for one in tries]

    def delivered(self) -> list[NoticeDelivered]:
        return [event for event in self.log if isinstance(event, NoticeDelivered)]


def told_of(found: list[Notice]) -> list[tuple[str, str, str]]:
    return [(one.occasion, one.shot, one.stage or one.version) for one in found]


def test_nobody_is_told_who_did_not_ask():
    world = Told()
    world.submit(WAITS)
    world.run()
    assert world.look() == []


def test_a_stage_that_waits_for_picks_is_told_once():
    world = Told()
    world.listen(PAGE)
    world.submit(WAITS)
    assert world.look() == []
    world.run()
    (notice,) = world.look()
    assert told_of([notice]) == [("waits_for_picks", "s000", "still")]
    survivors = len(world.survivors()["s000", "still"])
    assert notice.says == f"s000 still of b waits for picks: {survivors} survivors."
    assert world.look() == []
    (event,) = world.delivered()
    assert (event.event_id, event.to, event.show, event.batch) == (notice.event_id, "command:page", "s", "b")


def test_it_is_told_again_when_it_waits_again_after_more_was_made():
    world = Told()
    world.listen({**PAGE, "on": ["waits_for_picks"]})
    world.submit(WAITS)
    world.run()
    (first,) = world.look()
    pick = world.survivors()["s000", "still"][0]
    world.order("pick", "s000", "still", pick)
    world.order("close", "s000", "still")
    world.run()
    assert world.look() == []
    world.tell(Order(OrderGiven("b", "more", "bea", world.now, "s000", "still", candidates=20)))
    world.run()
    (second,) = world.look()
    assert second.event_id != first.event_id


def test_what_ended_before_anybody_could_be_told_is_not_told():
    world = Told()
    world.works = False
    world.listen({**PAGE, "on": ["waits_for_picks"]})
    world.submit(WAITS)
    world.run()
    assert world.look()
    world.order("pick", "s000", "still", world.survivors()["s000", "still"][0])
    world.order("close", "s000", "still")
    world.now += LAST_PAUSE_S
    assert world.look() == []
    assert world.delivered() == []


def test_each_version_is_told_and_those_before_anybody_asked_are_not():
    world = Told()
    world.submit(RUNS)
    world.run()
    world.now += 1
    world.listen(PAGE)
    assert world.look() == []
    world.submit(RUNS.model_copy(update={"batch": "c"}))
    world.run()
    (notice,) = world.look()
    assert (notice.occasion, notice.batch, notice.shot) == ("delivered", "c", "s000")
    assert notice.version.startswith("auto-")
    assert notice.says == f"s000 {notice.version} of c is published, 36 frames."


def test_who_is_named_later_hears_only_of_what_comes_after():
    world = Told()
    world.listen(PAGE)
    world.submit(WAITS)
    world.submit(RUNS.model_copy(update={"batch": "c"}))
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=1, budget={"candidates": 40}).model_copy(update={"batch": "d"}))
    world.run()
    assert {one.occasion for one in world.look()} == {"waits_for_picks", "delivered", "budget"}
    world.listen(HOOK)
    assert world.look() == [], "in place of the first"
    world.start()
    assert world.look() == [], "and a new controller knows it"
    world.listen(HOOK, PAGE)
    assert world.look() == [], "nor whoever comes back"
    world.submit(RUNS.model_copy(update={"batch": "e"}))
    world.run()
    assert [one.batch for one in world.look()] == ["e", "e"]
    assert [event.to for event in world.delivered() if event.batch == "e"] == ["hooks.example.com", "command:page"]


def test_who_asks_for_further_occasions_hears_of_them_from_then_on():
    world = Told()
    world.listen({**PAGE, "on": ["starved"]})
    world.submit(RUNS)
    world.run()
    world.listen({**PAGE, "on": ["starved", "delivered"]})
    assert world.look() == []
    world.submit(RUNS.model_copy(update={"batch": "c"}))
    world.run()
    assert [(one.occasion, one.batch) for one in world.look()] == [("delivered", "c")]


def test_what_could_not_be_delivered_yet_is_not_lost_by_a_change_of_settings():
    world = Told()
    world.works = False
    world.listen(PAGE)
    world.submit(RUNS)
    world.run()
    assert world.look()
    world.works = True
    world.listen(PAGE, {**HOOK, "on": ["starved"]})
    world.now += LAST_PAUSE_S
    assert [one.occasion for one in world.look()] == ["delivered"]
    assert [event.to for event in world.delivered()] == ["command:page"]


def test_a_shot_that_starved_before_is_not_told_and_one_that_starves_after_is():
    world = Told(fate=Fate(passing=0.0))
    world.submit(RUNS)
    world.run()
    world.listen(PAGE)
    assert world.look() == []
    world.submit(RUNS.model_copy(update={"batch": "c"}))
    world.run()
    assert [(one.occasion, one.batch) for one in world.look()] == [("starved", "c")]


def test_a_shot_without_a_survivor_is_starved():
    world = Told(fate=Fate(passing=0.0))
    world.listen(PAGE)
    world.submit(RUNS)
    world.run()
    (notice,) = world.look()
    assert told_of([notice]) == [("starved", "s000", "clip")]
    assert notice.says == "s000 of b is starved: clip ended without a survivor."


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        ({"candidates": 40}, "b has released 80% of its 40 candidates, or more."),
        ({"device_hours": 0.001}, "b has spent 80% of its 0.001 device-hours, or more."),
    ],
)
def test_a_budget_that_comes_to_its_end_is_told(budget: dict[str, float], says: str):
    world = Told()
    world.listen({**PAGE, "on": ["budget"]})
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=1, budget=budget))
    world.run()
    (notice,) = world.look()
    assert notice.says == says
    assert world.look() == []


def test_who_is_told_is_who_asked_for_that_occasion():
    world = Told()
    world.listen({**PAGE, "on": ["delivered"]}, {**HOOK, "on": ["delivered", "starved"]})
    world.listen(PAGE, show="another")
    world.submit(RUNS)
    world.run()
    found = world.look()
    assert len(found) == 2
    assert len({one.event_id for one in found}) == 1, "one notice for all"
    assert sorted(event.to for event in world.delivered()) == ["command:page", "hooks.example.com"]
    assert len({event.key for event in world.delivered()}) == 2


def test_what_could_not_be_delivered_is_tried_again_after_longer_and_longer():
    world = Told()
    world.works = False
    world.listen(PAGE)
    world.submit(RUNS)
    world.run()
    (notice,) = world.look()
    pauses, since = [], world.now
    while len(pauses) < 9:
        world.now += 1.0
        if tried := world.look():
            assert [one.event_id for one in tried] == [notice.event_id]
            pauses.append(world.now - since)
            since = world.now
    assert pauses[0] == pytest.approx(FIRST_PAUSE_S, abs=1.1)
    assert pauses == sorted(pauses)
    assert pauses[-1] <= LAST_PAUSE_S + 2
    world.works = True
    world.now += LAST_PAUSE_S
    assert world.look()
    assert len(world.delivered()) == 1


def test_a_new_controller_tells_what_the_one_before_could_not_and_nothing_twice():
    world = Told()
    world.listen({**PAGE, "on": ["delivered"]})
    world.submit(RUNS)
    world.run()
    (first,) = world.look()
    world.submit(RUNS.model_copy(update={"batch": "c"}))
    world.run()
    world.works = False
    (second,) = world.look()
    world.works = True
    world.start()
    (again,) = world.look()
    assert again == second
    assert again.event_id != first.event_id
    world.start()
    assert world.look() == []


def test_who_no_longer_asks_is_told_no_more():
    world = Told()
    world.works = False
    world.listen(PAGE)
    world.submit(RUNS)
    world.run()
    assert world.look()
    world.listen()
    world.now += LAST_PAUSE_S
    assert world.look() == []
    assert list(notices(world.scheduler.state, world.tunables)) == []


def test_a_try_that_is_under_way_is_not_begun_a_second_time():
    world = Told()
    world.listen(PAGE)
    world.submit(RUNS)
    world.run()
    assert len([one for one in world.scheduler.handle(TellPeople(), world.now) if isinstance(one, Tell)]) == 1
    for _ in range(3):
        world.now += LAST_PAUSE_S
        assert not [one for one in world.scheduler.handle(TellPeople(), world.now) if isinstance(one, Tell)]
