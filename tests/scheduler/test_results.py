"""Candidates are found by how their ids begin, whether they are held as objects or in columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.scheduler.columns import ID_DIGITS
from ancestra_farm.scheduler.results import Result, Results

#: Few different digits, so that ids begin alike, and look alike where one ends and the next begins.
IDS = st.text("0a", min_size=ID_DIGITS, max_size=ID_DIGITS)


@given(
    st.lists(IDS, unique=True, max_size=12), st.sets(st.integers(0, 11)), st.text("0a", min_size=2, max_size=ID_DIGITS)
)
def test_all_whose_ids_begin_so_are_found_and_nobody_else(ids: list[str], settled: set[int], prefix: str) -> None:
    results = Results()
    for position, candidate_id in enumerate(ids):
        results[position] = Result(candidate_id)
    results.settle(sorted(settled))
    for position in sorted(settled)[:1]:
        if position in results:
            results[position].outcome = "rejected"  # held as an object again
    named = [position for position, candidate_id in enumerate(ids) if candidate_id.startswith(prefix)]
    assert sorted(results.positions_of(prefix)) == named
    for position, candidate_id in enumerate(ids):
        assert results.position_of(candidate_id) == position


@pytest.mark.parametrize("text", ["", "0a", "x" * ID_DIGITS, "0" * ID_DIGITS])
def test_what_is_no_id_of_any_is_nowhere(text: str) -> None:
    results = Results()
    results[3] = Result("a" * ID_DIGITS)
    results.settle([3])
    assert results.position_of(text) is None
