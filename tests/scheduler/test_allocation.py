"""A wave is shared out by what each wording has shown, exactly, and none is ever left out."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.scheduler.allocation import Exploration, Shown, chances_of_being_best, share_out
from ancestra_farm.scheduler.yields import Yields

SHOWN = st.builds(
    Shown, st.integers(0, 200).map(float), st.integers(0, 10_000).map(float) | st.floats(0, 10_000, allow_nan=False)
)


def spent(yields: list[float], total: int, wave: int, seed: int) -> tuple[int, list[int]]:
    """Distinct survivors, and candidates by wording, of a branch whose wordings yield so much."""
    drawn = random.Random(seed)
    branch = Yields.of(len(yields))
    survivors, open_wave = 0, None
    for number in range(total // wave):
        counts = branch.next_counts(wave)
        wordings = [v for v, count in enumerate(counts) for _ in range(count)]
        branch.released(number, wordings)
        branch.costs(number, wordings, 1.0)
        if open_wave is not None:
            branch.closed(*open_wave)
        open_wave = (number, [v for v in wordings if drawn.random() < yields[v]])
        survivors += len(open_wave[1])
    return survivors, branch.taken


@settings(max_examples=80, deadline=None)
@given(shown=st.lists(SHOWN, min_size=1, max_size=12))
def test_chances_add_up_to_one_and_equal_wordings_have_equal_ones(shown):
    chances = chances_of_being_best(shown)
    assert sum(chances) == pytest.approx(1.0)
    assert all(0.0 <= chance <= 1.0 for chance in chances)
    for one, chance in zip(shown, chances, strict=True):
        assert chance == chances[shown.index(one)]


@pytest.mark.parametrize(
    ("shown", "rest_on"),
    [
        ([Shown(9, 200), Shown(1, 200), Shown(0, 200), Shown(0, 10)], 11),
        ([Shown(64, 1600), Shown(55, 1600), Shown(2, 500)], 12),
        ([Shown(0, 30), Shown(0, 60)], 13),
        ([Shown(3, 4.5), Shown(0, 0)], 14),
    ],
)
def test_chances_are_those_that_drawing_from_the_posteriors_gives(shown, rest_on):
    drawn = random.Random(rest_on)
    mean = (sum(one.survivors for one in shown) + 1) / (sum(one.cost for one in shown) + 1)
    wins = [0] * len(shown)
    for _ in range(20_000):
        rates = [drawn.gammavariate(1 + one.survivors, 1 / (1 / mean + one.cost)) for one in shown]
        wins[rates.index(max(rates))] += 1
    for chance, won in zip(chances_of_being_best(shown), wins, strict=True):
        assert chance == pytest.approx(won / 20_000, abs=0.015)


@settings(max_examples=60, deadline=None)
@given(
    wordings=st.integers(1, 12),
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=8),
    floor=st.sampled_from([0.01, 0.1, 0.5, 1.0]),
    data=st.data(),
)
def test_shares_add_up_and_the_floor_holds_after_every_wave(wordings, sizes, floor, data):
    exploration = Exploration(floor=floor)
    taken = [0] * wordings
    for size in sizes:
        shown = data.draw(st.lists(SHOWN, min_size=wordings, max_size=wordings))
        counts = share_out(size, taken, shown, exploration)
        assert sum(counts) == size
        assert min(counts) >= 0
        taken = [had + count for had, count in zip(taken, counts, strict=True)]
        least = int(floor * sum(taken))
        assert all(had >= (least + wordings - 1 - v) // wordings for v, had in enumerate(taken))


@pytest.mark.parametrize(("size", "wordings"), [(10, 3), (250, 6), (3, 10), (1, 4)])
def test_before_anything_is_known_a_wave_is_split_evenly_and_goes_round(size, wordings):
    taken = [0] * wordings
    for _ in range(2):
        counts = share_out(size, taken, [Shown(0, 0)] * wordings)
        taken = [had + count for had, count in zip(taken, counts, strict=True)]
        assert max(taken) - min(taken) <= 1


def test_what_is_known_better_and_poor_gets_less_than_what_is_hardly_known():
    poor, unknown, good = share_out(1000, [500, 20, 500], [Shown(1, 500), Shown(0, 20), Shown(10, 500)])
    assert poor < unknown < good


def test_a_wording_that_costs_half_as_much_for_the_same_survivors_gets_more():
    dear, cheap = share_out(1000, [400, 400], [Shown(10, 400), Shown(10, 200)])
    assert cheap > 2 * dear


def test_no_survivors_anywhere_keep_the_split_near_even():
    counts = share_out(1000, [400, 500, 450], [Shown(0, 400), Shown(0, 500), Shown(0, 450)])
    assert min(counts) > 250


@pytest.mark.parametrize("seed", range(6))
def test_most_of_the_budget_goes_to_the_wording_that_yields_most(seed):
    survivors, taken = spent([0.002, 0.002, 0.04, 0.002, 0.002, 0.002], 6000, 250, seed)
    assert taken[2] > 3500
    assert min(taken) >= 100  # a tenth of the budget, shared by six
    assert survivors > 2 * 6000 * 0.05 / 6


def test_a_wording_whose_survivors_dry_up_is_left_for_the_next_best():
    branch = Yields.of(3)
    open_wave = None
    for number in range(60):
        counts = branch.next_counts(100)
        wordings = [v for v, count in enumerate(counts) for _ in range(count)]
        branch.released(number, wordings)
        branch.costs(number, wordings, 1.0)
        if open_wave is not None:
            branch.closed(*open_wave)
        # every tenth of the second survives; of the first every second, and nothing new any more from the tenth wave on
        every = {0: 2 if number < 10 else len(wordings) + 1, 1: 10, 2: len(wordings) + 1}
        open_wave = (number, [v for n, v in enumerate(wordings, 1) if n % every[v] == 0])
    assert counts[1] > 60
    assert counts[0] < counts[1]


def test_what_lies_past_a_stop_is_as_if_it_had_never_been_released():
    ahead, behind = Yields.of(2), Yields.of(2)
    for branch in (ahead, behind):
        for number, survivors in enumerate(([0], [0, 0, 1])):
            branch.released(number, [0, 0, 1])
            branch.costs(number, [0, 0, 1], 1.0)
            branch.closed(number, survivors)
    ahead.released(2, [0, 1, 1])
    ahead.costs(2, [0, 1, 1], 1.0)
    ahead.taken_back(2, [0, 1, 1])
    for branch in (ahead, behind):
        branch.stopped()
    assert ahead == behind
    assert ahead.next_counts(100) == behind.next_counts(100)


@pytest.mark.parametrize("fields", [{"floor": 0.0}, {"floor": 1.1}, {"memory": 0.5}, {"memory": 10_000}])
def test_an_exploration_that_could_not_work_is_refused(fields):
    with pytest.raises(ValueError, match=r"^(floor|memory) is"):
        Exploration(**fields)
