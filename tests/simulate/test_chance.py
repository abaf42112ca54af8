from statistics import fmean, stdev

from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.simulate.chance import Chance, exponential, lognormal, normal

NAMES = st.lists(st.text() | st.integers(), min_size=1, max_size=3)


@given(NAMES, st.integers())
def test_a_number_rests_on_its_seed_its_concern_and_its_names_alone(names, seed):
    chance = Chance(seed, "hosts")
    first = chance.several(*names)
    chance.of("something", "else")
    assert chance.several(*names) == first == Chance(seed, "hosts").several(*names)
    assert Chance(seed, "nodes").several(*names) != first
    assert all(0 <= number < 1 for number in first)


def test_numbers_are_spread_as_they_say():
    numbers = [Chance(1, "test").several(n) for n in range(4000)]
    assert abs(fmean(one[0] for one in numbers) - 0.5) < 0.02
    normals = [normal(one[0], one[1]) for one in numbers]
    assert abs(fmean(normals)) < 0.05
    assert abs(stdev(normals) - 1) < 0.05
    assert abs(fmean(lognormal(one[2], one[3], 0.5) for one in numbers) - 1) < 0.05
    assert abs(fmean(exponential(one[4], 6.0) for one in numbers) - 600) < 40
