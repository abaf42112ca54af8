"""The gate: a thousand faults of each kind, from seeds that no threshold was fitted on.

`benchmarks/filters.py --gate` does the same with more sizes and lengths and prints the intervals.
"""

import cv2
import pytest

from tests.filters import truth

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("gate")]  # its thousands are drawn once
STILL, LARGER = (128, 80), (256, 144)


@pytest.fixture(scope="module", autouse=True)
def one_core():
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


@pytest.fixture(scope="module")
def stills():
    kinds = truth.PICTURE_FAULTS
    return truth.gate(truth.GATE, range(1000), lambda n: truth.clean_still(truth.GATE, n, STILL), STILL, kinds)


@pytest.fixture(scope="module")
def larger_stills():
    numbers, kinds = range(1000, 1200), truth.PICTURE_FAULTS
    return truth.gate(truth.GATE, numbers, lambda n: truth.clean_still(truth.GATE, n, LARGER), LARGER, kinds)


@pytest.fixture(scope="module")
def clips():
    numbers, kinds = range(1000), truth.CLIP_FAULTS
    return truth.gate(
        truth.GATE, numbers, lambda n: truth.clean_clip(truth.GATE, n, STILL, 9 + 4 * (n % 2)), STILL, kinds
    )


@pytest.mark.parametrize("kind", truth.PICTURE_FAULTS)
def test_ninety_nine_of_a_hundred_visible_picture_faults_are_caught(stills, larger_stills, kind):
    assert stills[kind].trials == 1000
    assert stills[kind].share >= 0.99, (stills[kind].interval, stills[kind].others)
    assert larger_stills[kind].share >= 0.98, (larger_stills[kind].interval, larger_stills[kind].others)


@pytest.mark.parametrize("kind", truth.CLIP_FAULTS)
def test_ninety_nine_of_a_hundred_visible_clip_faults_are_caught(clips, kind):
    assert clips[kind].trials == 1000
    assert clips[kind].share >= 0.99, (clips[kind].interval, clips[kind].others)


def test_at_most_one_clean_picture_in_a_hundred_is_rejected_by_any_filter(stills, larger_stills):
    rejected = [*stills["clean"].others, *larger_stills["clean"].others]
    assert len(rejected) <= 0.01 * (stills["clean"].trials + larger_stills["clean"].trials), rejected


def test_at_most_one_clean_clip_in_a_hundred_is_rejected_by_any_filter(clips):
    assert len(clips["clean"].others) <= 0.01 * clips["clean"].trials, clips["clean"].others
