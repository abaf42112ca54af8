"""Numbers as people read them."""

import pytest

from ancestra_farm.batch.numbers import counted


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 hosts"), (1, "1 host"), (1.0, "1 host"), (0.5, "0.5 hosts"), (12_000, "12,000 hosts")]
)
def test_one_is_told_from_several(number: float, said: str) -> None:
    assert counted(number, "host") == said


def test_several_may_have_a_word_of_their_own() -> None:
    assert (counted(2, "stitch", "stitches"), counted(1, "stitch", "stitches")) == ("2 stitches", "1 stitch")
