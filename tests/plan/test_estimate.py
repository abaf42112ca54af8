import pytest

from ancestra_farm.plan.estimate import draft_share, estimate

STILL = {"role": "text_to_image", "model": "test/stills", "candidates": 1000}
ANIMATE = {"role": "image_to_video", "model": "test/clips", "from": "still", "best": 4, "candidates": 6}


def shot(**fields):
    return {"shot": "a", "frames": 17, "handles": 0, "rate": 16, "prompt": {"text": "the sea"}, **fields}


@pytest.fixture(scope="session")
def of(make_plan):
    def of(stages, shots=None, **fields):
        return estimate(make_plan(stages=stages, shots=shots or [shot()], **fields))

    return of


def counts(found):
    return [(row.shot, row.stage, row.drafts, row.full) for row in found.stages]


def test_a_fan_out_of_stills_and_clips_from_the_best(of):
    found = of({"still": STILL, "animate": ANIMATE}, [shot(), shot(shot="b")])
    assert counts(found) == [(s, n, 0, c) for s in "ab" for n, c in (("still", 1000), ("animate", 24))]
    assert found.candidates == 2048
    assert found.device_hours == pytest.approx(2 * (1000 * 2 + 24 * 30) / 3600)
    assert [row.at_most for row in found.stages] == [False, True, False, True]
    assert found.cost is None


def test_a_stage_that_stops_early_is_an_upper_bound_and_feeds_no_more_than_it_keeps(of):
    found = of({"still": {**STILL, "keep": 3}, "animate": {**ANIMATE, "best": None}})
    assert counts(found) == [("a", "still", 0, 1000), ("a", "animate", 0, 18)]
    assert found.stages[0].at_most


def test_drafts_are_counted_and_cost_their_steps_and_pixels(of, make_plan):
    draft = {"promote": 0.1, "size": [48, 32]}
    stages = {"still": {**STILL, "wave": 256, "draft": draft}}
    found = of(stages)
    # of waves of 256, 256, 256 and 232 the best tenth, rounded up
    assert counts(found) == [("a", "still", 1000, 26 * 3 + 24)]
    assert draft_share(make_plan(stages=stages, shots=[shot()]).shots[0].stage("still")) == pytest.approx(4 / 20 / 4)
    assert found.device_hours == pytest.approx(2 * (102 + 1000 * 0.05) / 3600)
    assert found.stages[0].candidates == 1102


def test_a_chain_goes_on_from_its_tails(of):
    found = of({"clip": {**ANIMATE, "role": "text_to_video", "from": None, "candidates": 9}}, [shot(frames=50)])
    assert counts(found) == [("a", "clip", 0, 9 + 3 * 3)]
    assert found.stages[0].at_most


def test_keyframed_segments_and_their_keys_are_each_tried(of):
    move = {"role": "first_last_frame", "model": "test/clips", "from": "still", "best": 2, "candidates": 5}
    assert counts(of({"still": {**STILL, "candidates": 10}, "move": move}, [shot(frames=75)])) == [
        ("a", "still", 0, 40),
        ("a", "move", 0, 30),
    ]


def test_the_price_gives_the_cost_up_to_what_the_budget_allows(of):
    free = of({"still": STILL}, budget={"price_per_device_hour": 3.6})
    assert free.cost == pytest.approx(2.0)
    assert free.budget_ends_it is None
    assert not free.at_most
    tight = of({"still": STILL}, budget={"price_per_device_hour": 3.6, "device_hours": 0.25})
    assert tight.cost == pytest.approx(0.9)
    assert tight.budget_ends_it == "the budget ends after 0.25 of 0.556 device-hours"
    few = of({"still": STILL}, budget={"candidates": 100})
    assert few.budget_ends_it == "the budget ends after 100 of 1,000 candidates"
    assert few.at_most


def test_money_is_counted_by_what_each_model_costs(of):
    found = of({"still": STILL, "animate": ANIMATE})
    stills_h, clips_h = 1000 * 2 / 3600, 24 * 30 / 3600
    prices = {"test/stills": 2.0, "test/clips": 5.0}
    assert found.cost_at(prices) == pytest.approx(stills_h * 2 + clips_h * 5)
    assert found.cost_at({"test/stills": 2.0}) is None


def test_money_that_the_budget_forbids_is_not_spent_and_the_dearest_comes_first(of):
    prices = {"test/stills": 2.0, "test/clips": 5.0}
    clips_h = 24 * 30 / 3600
    in_hours = of({"still": STILL, "animate": ANIMATE}, budget={"device_hours": clips_h + 0.1})
    assert in_hours.cost_at(prices) == pytest.approx(clips_h * 5 + 0.1 * 2)
    within = of({"still": STILL, "animate": ANIMATE}, budget={"candidates": 12})
    assert within.cost_at(prices) == pytest.approx(clips_h * 5 / 2)
    ample = of({"still": STILL, "animate": ANIMATE}, budget={"candidates": 10_000, "device_hours": 1000})
    assert ample.cost_at(prices) == of({"still": STILL, "animate": ANIMATE}).cost_at(prices)
