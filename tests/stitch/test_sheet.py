"""A contact sheet shows the best first, every pick, a sample of what was hidden, and never fails over a picture."""

import io
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from ancestra_farm.stitch import codec
from ancestra_farm.stitch.choice import sections_of
from ancestra_farm.stitch.page import PAPER, PICK, WIDTH, Page, plain
from ancestra_farm.stitch.sheet import contact_sheet
from ancestra_farm.stitch.thumbnails import thumbnail_sheet


def row(number, outcome="survivor", stage="still", score=None, **more):
    return {
        "candidate_id": f"{number:032x}",
        "batch": "demo",
        "show": "ancestra",
        "shot": "anc_010_0010",
        "stage": stage,
        "variant": f"{number % 2:08x}",
        "prompt": f"the sea, wording {number % 2}",
        "rung": "full",
        "frames": 1,
        "outcome": outcome,
        "reasons": [],
        "scores": {"quality": number / 1000 if score is None else score},
        "parents": [],
        "media": None,
        "thumbnail": None,
        "picked": False,
    } | more


def picture(number, size=(96, 64)):
    return np.full((size[1], size[0], 3), (number * 37 % 200 + 40, 90, 120), np.uint8)


def store_with(rows):
    """Gives every row a thumbnail in one sheet, and survivors a medium."""
    data, places = thumbnail_sheet([picture(number) for number in range(len(rows))])
    store = {"media/sheet.jpg": data}
    for number, (one, place) in enumerate(zip(rows, places, strict=True)):
        one["thumbnail"] = "media/sheet.jpg#xywh=" + ",".join(str(value) for value in place)
        if one["outcome"] == "survivor":
            path = f"media/{number}.mkv" if one["frames"] > 1 else f"media/{number}.png"
            frames = np.repeat(picture(number)[None], one["frames"], axis=0)
            store[path] = codec.encode_frames(frames, Fraction(16))[0]
            one["media"] = path
    return store


def opened(data):
    return np.array(Image.open(io.BytesIO(data)))


def holds(sheet, colour, within=0):
    """Whether some pixel has this colour; ``within`` levels, since thumbnails are compressed."""
    return bool((np.abs(sheet.astype(int) - np.array(colour)) <= within).all(axis=2).any())


# ---- what stands on it


def test_survivors_are_ranked_best_first():
    (section,) = sections_of([row(3), row(9), row(5, outcome="rejected"), row(7)])
    assert [entry.candidate_id[-1] for entry in section.best] == ["9", "7", "3"]
    assert [entry.rank for entry in section.best] == [1, 2, 3]
    assert (section.tried, section.survived, section.rejected) == (4, 3, 1)


def test_equal_scores_are_ordered_by_id_whatever_the_order_of_rows():
    rows = [row(number, score=0.5) for number in range(30)]
    forth = sections_of(rows, rejects=3)
    back = sections_of(rows[::-1], rejects=3)
    assert forth == back


def test_a_pick_beyond_the_best_is_shown_with_its_rank():
    rows = [row(number) for number in range(60)]
    rows[4]["picked"] = True
    (section,) = sections_of(rows, stills=10)
    assert len(section.best) == 11
    assert (section.best[-1].rank, section.best[-1].picked) == (56, True)


def test_a_picked_reject_is_shown_though_it_has_no_rank():
    (section,) = sections_of([row(1), row(2, outcome="rejected", reasons=["blur"], picked=True)])
    assert [(entry.rank, entry.picked, entry.note) for entry in section.best] == [(1, False, ""), (None, True, "blur")]


def test_a_random_sample_of_rejects_is_shown_with_their_reasons():
    rows = [
        row(number, outcome="rejected", reasons=["blur", "noise"], thumbnail="x#xywh=0,0,1,1") for number in range(50)
    ]
    (section,) = sections_of(rows, rejects=6)
    assert len(section.rejects) == 6
    assert {entry.note for entry in section.rejects} == {"blur, noise"}
    assert [entry.candidate_id for entry in section.rejects] != [one["candidate_id"] for one in rows[:6]]
    assert sections_of(rows[::-1], rejects=6)[0].rejects == section.rejects


def test_drafts_count_as_tried_and_promoted_fulls_are_not_counted_twice():
    rows = [row(number, outcome="not_promoted", rung="draft") for number in range(8)]
    rows += [row(number, outcome="promoted", rung="draft") for number in range(8, 10)]
    rows += [row(20), row(21, outcome="rejected")]
    (section,) = sections_of(rows)
    assert (section.tried, section.survived) == (10, 1)
    assert sum(wording.tried for wording in section.wordings) == 10


def test_stages_follow_each_other_as_work_flows_through_them():
    rows = [
        row(3, stage="animate", parents=[f"{1:032x}"], frames=17),
        row(1),
        row(5, stage="polish", parents=[f"{3:032x}"]),
    ]
    assert [section.stage for section in sections_of(rows)] == ["still", "animate", "polish"]


def test_each_wording_has_a_letter_and_its_yield():
    (section,) = sections_of([row(number, outcome="survivor" if number < 6 else "rejected") for number in range(10)])
    assert [(w.label, w.prompt, w.survivors, w.tried) for w in section.wordings] == [
        ("A", "the sea, wording 0", 3, 5),
        ("B", "the sea, wording 1", 3, 5),
    ]


def test_a_row_without_an_outcome_is_refused_by_name():
    with pytest.raises(ValueError, match="outcome"):
        sections_of([row(1) | {"outcome": None}])


# ---- the picture


def test_a_sheet_is_a_picture_of_the_stated_width_and_the_same_every_time():
    rows = [row(number, outcome="rejected" if number % 3 else "survivor", reasons=["blur"]) for number in range(40)]
    rows += [row(number + 100, stage="animate", parents=[rows[0]["candidate_id"]], frames=9) for number in range(3)]
    store = store_with(rows)
    data = contact_sheet(rows, store.__getitem__, title="The ocean at dawn")
    sheet = opened(data)
    assert sheet.shape[1] == WIDTH
    assert tuple(sheet[0, 0]) == PAPER
    for number in (0, 39, 42):
        assert holds(sheet, picture(number)[0, 0])
    assert contact_sheet(rows[::-1], store.__getitem__, title="The ocean at dawn") == data


def test_only_picks_have_a_ring():
    rows = [row(number) for number in range(4)]
    store = store_with(rows)
    assert not holds(opened(contact_sheet(rows, store.__getitem__)), PICK)
    rows[2]["picked"] = True
    assert holds(opened(contact_sheet(rows, store.__getitem__)), PICK)


def test_a_medium_that_cannot_be_read_falls_back_to_its_thumbnail():
    rows = [row(number) for number in range(2)]
    store = store_with(rows)
    store["media/1.png"] = b"not a picture"
    assert holds(opened(contact_sheet(rows, store.__getitem__)), picture(1)[0, 0], within=2)


def test_a_picture_that_is_nowhere_leaves_a_gap_and_not_an_error():
    class Gone(Exception):
        """What a store says."""

    def read(path):
        raise Gone(path)

    rows = [row(number) for number in range(3)]
    store_with(rows)
    rows[1]["thumbnail"] = "media/sheet.jpg#xywh=9000,0,10,10"
    assert opened(contact_sheet(rows, read)).shape[1] == WIDTH


def test_a_shot_with_nothing_but_failures_has_a_sheet():
    rows = [row(number, outcome="failed", scores=None, prompt="") for number in range(5)]
    assert opened(contact_sheet(rows, {}.__getitem__)).shape[1] == WIDTH


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([], {}.__getitem__)


def test_text_keeps_to_the_letters_the_font_has():
    assert plain("Françoise → 4 × 2 – 中") == "Francoise > 4 x 2 - ?"


def test_long_text_is_cut_to_its_place():
    page = Page()
    cut = page.fitted("the ocean seen from a helicopter " * 20, 14, 300)
    assert cut.endswith("...")
    assert page.text((0, 0), cut, 14) <= 300
