from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ancestra_farm.batch.card import FrameGrid
from ancestra_farm.plan.frames import (
    default_overlap,
    frames_at,
    frames_reached,
    longest_clip,
    segments_for,
    source_position,
    trim_of,
)
from ancestra_farm.plan.refusal import PlanRefused

RATES = st.sampled_from([Fraction(n) for n in (1, 8, 12, 16, 24, 25, 30, 48, 60)]) | st.sampled_from(
    [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(7, 3)]
)


@st.composite
def grids(draw):
    step, offset = draw(st.integers(1, 16)), draw(st.integers(0, 20))
    low = draw(st.integers(1, 60))
    high = draw(st.integers(low, 200))
    first = low + (offset - low) % step
    assume(first <= high)
    return FrameGrid(step=step, offset=offset, min=low, max=high)


@given(st.integers(1, 100_000), RATES, RATES)
def test_the_frames_a_model_makes_reach_the_last_frame_of_the_shot_and_no_further(total, rate, model_rate):
    needed = frames_at(total, rate, model_rate)
    assert source_position(total - 1, rate, model_rate) <= needed - 1
    assert needed == 1 or source_position(total - 1, rate, model_rate) > needed - 2
    assert frames_reached(needed, rate, model_rate) >= total
    assert needed == 1 or frames_reached(needed - 1, rate, model_rate) < total


@given(st.integers(1, 100_000), RATES)
def test_at_its_own_rate_a_model_makes_the_shot_frame_by_frame(total, rate):
    assert frames_at(total, rate, rate) == total


def test_81_frames_at_16_are_needed_for_121_frames_at_24():
    assert frames_at(121, Fraction(24), Fraction(16)) == 81


@settings(max_examples=500)
@given(st.integers(1, 5000), grids(), st.integers(0, 64))
def test_segments_less_overlaps_and_trim_are_what_is_needed(needed, grid, overlap):
    try:
        lengths = segments_for(needed, grid, overlap)
    except PlanRefused:
        assert needed > longest_clip(grid)
        assert grid.at_least(max(2 * overlap, overlap + 1)) is None
        return
    trim = trim_of(lengths, overlap, needed)
    assert sum(lengths) - (len(lengths) - 1) * overlap - trim == needed
    assert all(grid.accepts(length) for length in lengths)
    assert trim >= 0
    # the last segment is needed, and one segment fewer could not have done
    assert trim < lengths[-1] - (overlap if len(lengths) > 1 else 0)
    longest = longest_clip(grid)
    assert len(lengths) == 1 or (len(lengths) - 1) * longest - (len(lengths) - 2) * overlap < needed
    # as equal as the grid allows, and no longer in all than it takes
    assert max(lengths) - min(lengths) in (0, grid.step)
    shorter_still = sum(lengths) - grid.step - (len(lengths) - 1) * overlap
    assert (
        shorter_still < needed or not grid.accepts(max(lengths) - grid.step) or max(lengths) - grid.step < 2 * overlap
    )
    if len(lengths) > 1:
        assert min(lengths) >= 2 * overlap


@given(st.integers(1, 2000), st.integers(0, 48), RATES, RATES, grids())
def test_joined_trimmed_and_retimed_a_shot_is_exactly_cut_and_handles(cut, handles, rate, model_rate, grid):
    total = cut + 2 * handles
    needed = frames_at(total, rate, model_rate)
    overlap = default_overlap(grid)
    assume(longest_clip(grid) > 1)
    lengths = segments_for(needed, grid, overlap)
    joined = sum(lengths) - (len(lengths) - 1) * overlap
    kept = joined - trim_of(lengths, overlap, needed)
    # every result frame lies within the frames that are kept, and the last one of them is used
    assert frames_reached(kept, rate, model_rate) >= total
    assert source_position(total - 1, rate, model_rate) > kept - 2


def test_the_default_overlap_is_eight_frames_or_half_of_the_longest_clip():
    assert default_overlap(FrameGrid(step=4, offset=1, min=5, max=81)) == 8
    assert default_overlap(FrameGrid(step=4, offset=1, min=5, max=12)) == 4
    assert default_overlap(FrameGrid(step=1, offset=0, min=1, max=1)) == 1


def test_an_overlap_of_more_than_half_a_clip_is_refused_with_what_would_do():
    with pytest.raises(PlanRefused, match="share 16 or fewer"):
        segments_for(100, FrameGrid(step=4, offset=1, min=5, max=33), 17)


def test_a_model_of_single_frames_cannot_make_a_long_clip():
    with pytest.raises(PlanRefused, match="longest clip has 1 frame"):
        segments_for(100, FrameGrid(step=1, offset=0, min=1, max=1), 1)
