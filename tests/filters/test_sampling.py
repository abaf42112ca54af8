import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.filters.sampling import in_full, rejection_rates, wilson


def test_about_the_stated_fraction_of_ids_is_judged_in_full():
    chosen = sum(in_full(f"{number:032x}", 0.05) for number in range(20_000))
    low, high = wilson(chosen, 20_000, z=4)
    assert low <= 0.05 <= high


def test_none_and_all_are_exact():
    assert not any(in_full(str(number), 0.0) for number in range(500))
    assert all(in_full(str(number), 1.0) for number in range(500))


@given(st.text(max_size=40), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_sample_contains_the_smaller_one(candidate_id, one, other):
    small, large = sorted((one, other))
    assert in_full(candidate_id, large) or not in_full(candidate_id, small)


def test_membership_is_the_same_on_every_machine():
    members = [number for number in range(40) if in_full(f"candidate-{number}", 0.2)]
    assert members == [6, 17, 27, 28, 36, 38, 39]


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_fraction_outside_zero_and_one_is_refused(fraction):
    with pytest.raises(ValueError, match="between 0 and 1"):
        in_full("x", fraction)
    with pytest.raises(ValueError, match="between 0 and 1"):
        rejection_rates([], fraction)


def cascaded(faults, order, full_sample):
    """What a cascade records of candidates with these faults."""
    rows = []
    for number, faulty in enumerate(faults):
        rejections = [name for name in order if name in faulty]
        rows.append(rejections if in_full(f"id-{number}", full_sample) else rejections[:1])
    return rows


#: Faults come together: most noisy pictures are blurred too, so that the second filter sees few of them.
CORRELATED = [
    {"blur"} if number % 10 < 2 else {"blur", "noise"} if number % 10 < 5 else {"noise"} if number % 10 < 6 else set()
    for number in range(20_000)
]


@pytest.mark.parametrize("order", [("blur", "noise"), ("noise", "blur")])
def test_rates_are_those_of_each_filter_alone_whatever_the_order(order):
    rates = rejection_rates(cascaded(CORRELATED, order, 0.05), 0.05)
    assert abs(rates["blur"].rate - 0.5) < 4 * rates["blur"].error + 1e-12
    assert abs(rates["noise"].rate - 0.4) < 4 * rates["noise"].error + 1e-12
    assert 0 < max(rates["blur"].error, rates["noise"].error) < 0.02


def test_rates_are_exact_when_everything_was_judged_in_full():
    rates = rejection_rates(cascaded(CORRELATED, ("noise", "blur"), 1.0), 1.0)
    assert (rates["blur"].rate, rates["noise"].rate) == (0.5, 0.4)
    assert (rates["blur"].error, rates["noise"].error) == (0, 0)


def test_without_a_sample_the_rates_are_those_of_first_rejections():
    rates = rejection_rates(cascaded(CORRELATED, ("blur", "noise"), 0.0), 0.0)
    assert (rates["blur"].rate, rates["noise"].rate) == (0.5, 0.1)


def test_a_second_rejection_without_a_sample_is_a_contradiction():
    with pytest.raises(ValueError, match="no candidate was judged in full"):
        rejection_rates([["blur", "noise"]], 0.0)


def test_nothing_judged_gives_no_rates():
    assert rejection_rates([], 0.5) == {}


@given(st.integers(0, 500), st.integers(0, 500))
@settings(max_examples=200)
def test_an_interval_lies_around_its_share(hits, more):
    trials = hits + more
    low, high = wilson(hits, trials)
    assert 0 <= low <= high <= 1
    if trials:
        assert low - 1e-12 <= hits / trials <= high + 1e-12


def test_the_interval_is_wilsons():
    low, high = wilson(990, 1000)
    assert (round(low, 4), round(high, 4)) == (0.9817, 0.9946)


def test_more_hits_than_trials_are_refused():
    with pytest.raises(ValueError, match="3 hits in 2 trials"):
        wilson(3, 2)
