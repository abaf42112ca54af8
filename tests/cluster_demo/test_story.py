"""What the demonstration is made of, without Ray: its files, what it keeps, what it says, what it draws."""

from pathlib import Path

import pytest
from PIL import Image

from ancestra_farm.api.batchfile import prepared
from ancestra_farm.api.people import RIGHTS_ON_SHOW
from ancestra_farm.batch.farm_settings import load_farm_settings
from ancestra_farm.batch.schema import PRIORITIES
from ancestra_farm.batch.show_settings import load_show_settings
from ancestra_farm.scheduler.placement import fits, needs_of
from tests.cluster_demo.__main__ import BATCHES, JOBS, told
from tests.cluster_demo.board import Numbers, short
from tests.cluster_demo.plot import averaged, draw
from tests.cluster_demo.story import DOING, Bill, Mark, Sample, Story, clock
from tests.farm.processes import ROOT

BEGAN = 1_800_000_000.0
METRICS = """\
# TYPE ancestra_nodes gauge
ancestra_nodes{node_type="l4",market="on_demand"} 1.0
ancestra_nodes{node_type="l4-spot",market="spot"} 3.0
# TYPE ancestra_slots_planned gauge
ancestra_slots_planned{device="gpu"} 4.0
"""


@pytest.fixture
def story():
    """Two nodes come, one is killed, the other one goes."""
    samples = [
        Sample(
            BEGAN + second,
            {"l4-spot": 0 if second < 5 or second > 55 else 2 if second < 30 else 1, "l4": 0},
            {"busy": 1 if 10 < second < 50 else 0, "loading": 0, "idle": 0, "empty": 1 if 5 <= second <= 10 else 0},
            {"dailies": max(0, 40 - second)},
            1.0 if second < 40 else 0.0,
        )
        for second in range(60)
    ]
    marks = [
        Mark(BEGAN, "submitted", "ana submits dailies", "dailies"),
        Mark(BEGAN + 30, "killed", "node 2 is gone", "node 2"),
        Mark(BEGAN + 42, "lost", "a host is lost"),
        Mark(BEGAN + 43, "done", "dailies is done", "dailies"),
    ]
    clock_s = {"wall": 50.0, "busy": 40.0, "loading": 5.0, "starved": 1.0, "idle": 4.0}
    bill = Bill(clock_s, {"l4-spot": 80.0}, {"l4-spot": 0.02}, "EUR", 40.0)
    return Story(samples, marks, bill, 2, 40, 30)


def test_every_file_of_the_demonstration_is_good_and_its_people_may_submit_their_batches():
    folder = ROOT / JOBS
    farm = load_farm_settings(folder / "farm.yaml")
    plans = [prepared(folder / f"{name}.yaml", folder / "cards").plan for name in ("backfill", "shot", "dailies")]
    assert {plan.batch.batch: plan.batch.priority for plan in plans} == BATCHES
    assert set(BATCHES.values()) == set(PRIORITIES)
    for plan in plans:
        people = load_show_settings(folder / f"{plan.batch.show}.yaml", plan.batch.show).people
        assert "submit" in RIGHTS_ON_SHOW[people[plan.batch.owner]]
        for card in plan.cards.values():
            assert [fits(needs_of(card), kind) for kind in farm.node_types.values()] == [None, None]


def test_a_story_is_read_as_it_was_kept_and_drawn(story, tmp_path: Path):
    story.keep(tmp_path / "story.json")
    assert Story.kept(tmp_path / "story.json") == story
    draw(story, tmp_path / "cluster.png")
    with Image.open(tmp_path / "cluster.png") as picture:
        assert picture.size == (1560, 1260)
        assert len(picture.convert("RGB").getcolors(1_000_000)) > 50


def test_shares_of_nodes_add_up_while_there_are_any(story):
    for sample, shares in zip(story.samples, averaged(story.samples), strict=True):
        assert set(shares) == set(DOING)
        assert sum(shares.values()) == pytest.approx(1 if sum(sample.doing.values()) else 0)


def test_what_it_came_to_is_said_in_lines(story):
    lines = "\n".join(told(story))
    assert "busy 80.0%, loading 10.0%, starved 2.0%, idle 8.0%" in lines
    assert "2 came; 50% of the time they were up went into candidates" in lines
    assert "0.0200 EUR, 0.00067 a survivor" in lines


def test_metrics_are_summed_by_their_labels():
    numbers = Numbers(METRICS)
    assert numbers.by("ancestra_nodes", "node_type") == {"l4": 1.0, "l4-spot": 3.0}
    assert numbers.total("ancestra_nodes", market="spot") == 3.0
    assert numbers.total("ancestra_slots_planned", device="gpu") == 4.0
    assert numbers.total("ancestra_hosts") == 0


@pytest.mark.parametrize(("seconds", "said"), [(0, "0:00"), (59.6, "1:00"), (125, "2:05"), (-3, "-0:03")])
def test_times_are_said_in_minutes_and_seconds(seconds, said):
    assert clock(seconds) == said


def test_a_node_is_called_by_its_number():
    assert short("f" * 51 + "00012") == "node 12"
    assert short("0a1b2c3d" + "e" * 48) == "node 0a1b2c3d"
