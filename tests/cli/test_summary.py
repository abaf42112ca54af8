import pytest

from ancestra_farm.cli.summary import StageCount, duration, shot_line


def test_a_shot_is_told_in_one_line() -> None:
    stages = [StageCount("text_to_image", 1000, 412), StageCount("image_to_video", 4, 4)]
    line = shot_line("anc_010_0010", stages, clips=1, frames=96)
    assert line == "anc_010_0010  1,000 stills → 412 survivors → 4 animated → 1 clip, 96 frames"


def test_a_stage_that_lost_some_says_how_many_survived() -> None:
    stages = [StageCount("text_to_image", 10, 4), StageCount("image_to_video", 12, 9), StageCount("upscale", 9, 9)]
    line = shot_line("a", stages, clips=2, frames=24, handles=8)
    assert (
        line
        == "a  10 stills → 4 survivors → 12 animated → 9 survivors → 9 upscaled → 2 clips, 24 frames and 8 + 8 handles"
    )


def test_drafts_come_before_what_was_made_in_full() -> None:
    line = shot_line("a", [StageCount("text_to_image", 25, 20, drafts=100)], clips=0, frames=1)
    assert line == "a  100 drafts → 25 stills → 20 survivors → no clip"


def test_a_shot_that_goes_on_has_no_clip_yet() -> None:
    assert shot_line("a", [StageCount("text_to_image", 12, 9)], clips=0, frames=1, ended=False).endswith("no clip yet")


def test_what_was_not_begun_is_left_out_and_names_align() -> None:
    stages = [StageCount("text_to_image", 1, 1), StageCount("image_to_video", 0, 0)]
    assert shot_line("a", stages, clips=0, frames=1, width=4) == "a     1 still → 1 survivor → no clip"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (3599, "59 min 59 s"), (7500, "2 h 05 min")],
)
def test_durations_read_as_people_say_them(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
