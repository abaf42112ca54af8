"""Guides in recipes: which a stage is given, as what, and from which moment on; ids rest on what files hold."""

from fractions import Fraction

import pytest

from ancestra_farm.batch.schema import Guide
from ancestra_farm.plan.guides import RecipeGuide, ShotGuides, identity_of
from ancestra_farm.plan.refusal import PlanRefused
from tests.plan.conftest import ANIMATE, CARDS, CLIPS, SHOT, STILL, card

ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")


@pytest.fixture
def make(make_plan):
    def make(shot=None, animate=None):
        stages = {"still": {**STILL, "candidates": 20}, "animate": {**ANIMATE, **(animate or {})}}
        return make_plan(stages=stages, shots=[{**SHOT, **(shot or {})}])

    return make


def guide(kind="depth", source="depth.mkv", **more):
    return Guide.model_validate({"kind": kind, "source": source, "digest": ONE, **more})


def given(*guides, taken=("depth", "previz", "first_frame", "last_frame"), at="0", first=True, last=True):
    texts = ShotGuides.of(guides, taken, Fraction(1, 3)).at(Fraction(at), first=first, last=last)
    return [RecipeGuide.read(text) for text in texts]


def test_a_guide_says_what_it_is_and_as_what_the_model_is_given_it():
    (one,) = given(guide("motion_path", "paths/bird.json", role="the bird"))
    assert one == RecipeGuide("motion_path", "previz", "the bird", ONE, "bird.json", Fraction(-1, 3))
    assert RecipeGuide.read(one.text) == one


def test_a_model_is_given_only_what_it_takes():
    assert [one.kind for one in given(guide(), guide("mask", "mask.png"))] == ["depth"]


def test_what_begins_and_ends_a_shot_steers_its_first_and_last_segment_only():
    ends = [guide("first_frame", "a.png"), guide("last_frame", "b.png")]
    assert [one.kind for one in given(*ends, last=False)] == ["first_frame"]
    assert [one.kind for one in given(*ends, first=False)] == ["last_frame"]
    assert given(*ends, first=False, last=False) == []


def test_a_picture_has_no_time_and_a_clip_begins_with_the_cut_or_the_handles():
    assert given(guide(source="depth.png"), at="2")[0].start_s == 0
    assert given(guide(), at="2")[0].start_s == Fraction(5, 3)
    assert given(guide(covers="handles"), at="2")[0].start_s == 2


def test_a_guide_without_a_digest_can_be_planned_but_makes_no_candidates():
    guides = ShotGuides.of([guide(digest=None)], ("depth",), Fraction(0))
    with pytest.raises(PlanRefused, match=r"depth.mkv has no digest"):
        guides.at(Fraction(0), first=True, last=True)


def test_ids_rest_on_what_a_file_holds_and_not_on_where_it_lies(make):
    def ids(**changes):
        shot = {"guides": [{"kind": "depth", "source": "a/depth.png", "digest": ONE, **changes}]}
        return [recipe.candidate_id for recipe in make(shot=shot).shots[0].stage("still").space(0, ((),))]

    assert ids() == ids(source="s3://plates/another_name.PNG")
    assert set(ids()).isdisjoint(ids(digest=TWO))
    assert set(ids()).isdisjoint(ids(source="a/depth.exr"))
    assert set(ids()).isdisjoint(ids(role="of the sea"))


def test_how_a_file_is_called_is_no_part_of_a_candidate():
    one, other = (given(guide(source=source))[0].text for source in ("a.mkv", "b.MKV"))
    assert one != other
    assert identity_of(one) == identity_of(other)


def test_each_segment_of_a_chain_gets_its_part_of_a_guide(make_plan, monkeypatch):
    guided = card("test/guided", ["text_to_video", "extend"], **CLIPS, guides=["depth"])
    monkeypatch.setitem(CARDS, guided.id, guided)
    shot = {**SHOT, "frames": 120, "guides": [{"kind": "depth", "source": "depth.mkv", "digest": ONE}]}
    clip = {"role": "text_to_video", "model": guided.id, "candidates": 4}
    stage = make_plan(stages={"clip": clip}, shots=[shot]).shots[0].stage("clip")
    assert len(stage.segments) > 2
    handle_s = Fraction(stage.guides.handles_s)
    starts = [RecipeGuide.read(stage.space(k, ((),)).guides[0]).start_s + handle_s for k in range(len(stage.segments))]
    step = [segment.frames - stage.overlap_frames for segment in stage.segments]
    assert starts == [Fraction(sum(step[:k])) / stage.rate for k in range(len(starts))]
    end_s = starts[-1] + (stage.segments[-1].frames - 1) / stage.rate
    assert end_s >= stage.shot_s


def test_keys_of_a_shot_get_the_moments_they_are_shown_at(make):
    plan = make(
        shot={"frames": 120, "guides": [{"kind": "depth", "source": "depth.mkv", "digest": ONE}]},
        animate={"role": "first_last_frame", "join": "keyframes", "model": "test/clips"},
    )
    stage = plan.shots[0].stage("still")
    keys = len(stage.segments)
    assert keys > 2
    starts = [stage.start_s(key) for key in range(keys)]
    assert starts[0] == 0
    assert starts[-1] == stage.shot_s


def test_a_stage_that_starts_from_a_still_is_given_no_other_first_frame(make_plan, monkeypatch):
    guided = card("test/ends", ["text_to_video", "image_to_video"], **CLIPS, guides=["first_frame", "last_frame"])
    monkeypatch.setitem(CARDS, guided.id, guided)
    ends = [{"kind": kind, "source": f"{kind}.png", "digest": ONE} for kind in ("first_frame", "last_frame")]
    words = {"role": "text_to_video", "model": guided.id, "candidates": 4}
    stages = {"words": words, "still": STILL, "move": {**ANIMATE, "model": guided.id}}
    shot = make_plan(stages=stages, shots=[{**SHOT, "guides": ends}], deliver={"stage": "move"}).shots[0]

    def kinds(stage):
        return [guide.kind for guide in shot.stage(stage).guides.guides]

    assert kinds("words") == ["first_frame", "last_frame"]
    assert kinds("move") == ["last_frame"]
