"""Every file in ``malformed/`` opens with what is expected of it: ``# expect LINE: FRAGMENT``, one for each problem."""

import re
from pathlib import Path

import pytest

from ancestra_farm.batch import BatchRefused, checked_batch
from tests.batch.catalogue import CARDS, FILTERS, SCORES

FILES = sorted((Path(__file__).parent / "malformed").glob("*.yaml"))
EXPECT = re.compile(r"# expect (\d+): (.+)")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_malformed_batch_is_refused_with_the_line_and_a_useful_sentence(file):
    expected = [
        (int(line), words) for line, words in EXPECT.findall(file.read_text(encoding="utf-8", errors="replace"))
    ]
    assert expected, f"{file} says nothing of what is expected"

    with pytest.raises(BatchRefused) as refused:
        checked_batch(file, CARDS, FILTERS, SCORES)

    problems = list(refused.value.problems)
    assert all(problem.file == str(file) for problem in problems)
    for line, words in expected:
        fitting = [problem for problem in problems if problem.line == line and words in str(problem)]
        assert fitting, f"no problem on line {line} with {words!r} in:\n{refused.value}"
        problems.remove(fitting[0])
    assert not problems, "problems that are noise:\n" + "\n".join(map(str, problems))


def test_there_are_at_least_twenty_malformed_batches():
    assert len(FILES) >= 20
