from io import StringIO

import pytest
from rich.console import Console

from ancestra_farm.cli.display import Lines, bars_table, ended_of, totals_line, totals_of
from ancestra_farm.cli.listing import number, plain_lines, words
from ancestra_farm.scheduler import ShotProgress, StageProgress


def stage(state: str = "running", **more: object) -> StageProgress:
    fields = {
        "stage": "still", "role": "text_to_image", "makes_clips": False, "released": 24, "judged": 12, "survivors": 5,
        "rejected": 7, "failed": 1, "skipped": 0, "drafts": 0, "wanted": 100, "device_s": 1.0,
    }  # fmt: skip
    return StageProgress(state=state, **(fields | more))


def shot(
    name: str = "a", state: str = "running", *stages: StageProgress, versions: tuple[str, ...] = ()
) -> ShotProgress:
    return ShotProgress("demo", "ancestra", name, state, 96, stages or (stage(),), versions)


def test_totals_count_an_ended_stage_as_a_whole() -> None:
    progress = (shot(), shot("b", "done", stage("done", judged=60, wanted=80)))
    totals = totals_of(progress)
    assert (totals.ended, totals.wanted, totals.survivors, totals.done, totals.shots) == (13 + 80, 180, 10, 1, 2)
    assert totals.eta_s(8.7) == pytest.approx(10.0)
    assert totals.eta_s(0.0) is None
    assert ended_of(stage()) == 13


def test_what_nothing_more_is_tried_of_leaves_no_time_to_go() -> None:
    cancelled, waits = stage("cancelled", judged=9), stage("waiting_for_people", judged=9)
    totals = totals_of([shot("a", "cancelled", cancelled), shot("b", "waiting_for_people", waits)])
    assert (totals.ended, totals.wanted) == (200, 200)


@pytest.mark.parametrize("state", ["running", "paused", "waiting_for_people", "cancelled", "failed", "starved"])
def test_no_shot_counts_as_done_that_is_not(state: str) -> None:
    assert totals_of([shot("a", state, stage(state)), shot("b", "done", stage("done"))]).done == 1


def test_a_line_of_totals_says_rate_and_time_to_go() -> None:
    line = totals_line(totals_of([shot()]), 2.0, "2 hosts")
    assert line == "13 of 100 candidates, 5 survivors, 0 of 1 shots; 2.0/s, about 44 s to go; 2 hosts"
    assert totals_line(totals_of([shot("a", "done", stage("done"))]), 2.0).endswith("1 of 1 shots")


def test_a_log_gets_changes_at_once_and_totals_every_so_often(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    lines = Lines(now=lambda: now[0], every_s=10.0)
    lines.show([shot("a", "running", stage("waiting_for_inputs", released=0))], 0.0)
    assert capsys.readouterr().out.count("\n") == 1
    now[0] = 5.0
    lines.show([shot()], 1.0)
    assert capsys.readouterr().out == "a still: running, 5 survivors of 24\n"
    lines.show([shot()], 1.0)
    assert capsys.readouterr().out == ""
    now[0] = 10.0
    lines.show([shot("a", "waiting_for_people", stage("waiting_for_people"))], 1.0)
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["a still: waiting for people, 5 survivors of 24", "a: waiting for people"]
    assert len(out) == 3


def test_bars_show_running_shots_first_and_count_the_rest() -> None:
    progress = [shot(f"s{n:03}", "done", stage("done")) for n in range(40)] + [shot("late")]
    out = StringIO()
    Console(file=out, width=140).print(bars_table(progress, 1.0))
    text = out.getvalue()
    assert "late" in text
    assert "… and 11 more shots" in text
    assert "41 shots" in text


def test_plain_columns_are_aligned_without_trailing_blanks() -> None:
    lines = plain_lines(["shot", "count"], [False, True], [["a", "1,000"], ["longer", "7"]])
    assert lines == ["shot    count", "a       1,000", "longer      7"]


def test_cells_are_said_plainly() -> None:
    assert [number(value) for value in (None, 1000, 0.125)] == ["–", "1,000", "0.12"]
    assert [words(value) for value in (None, (), ("a", "b"), "", 3)] == ["–", "–", "a, b", "–", "3"]
