"""What clip pipelines are shown of guides and clips, and what a check says of guides that they would leave unused."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.batch.card import INPUTS_OF_ROLE, SizeGrid
from ancestra_farm.batch.check import checked_text
from ancestra_farm.batch.guides import CONTROLS
from ancestra_farm.batch.problems import BatchRefused
from ancestra_farm.batch.schema import Batch
from ancestra_farm.models.build import stage_faults
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.models.diffusion import clip_inputs
from ancestra_farm.models.diffusion.kinds import Inputs
from ancestra_farm.models.diffusion.ltx_kinds import _context
from ancestra_farm.models.diffusion.wan_kinds import vace_canvas
from ancestra_farm.models.guides.colours import flow_of
from ancestra_farm.models.guides.frames import guide_frames
from ancestra_farm.plan.plan import Plan
from tests.models.diffusion.clip_recipes import HEIGHT, WIDTH, card_of, clip, parents_of, picture, recipe_of
from tests.models.guides.files import motion_path


def test_every_guide_that_steers_all_frames_is_a_control():
    assert set(clip_inputs.CONTROL) == CONTROLS


@pytest.mark.parametrize(
    ("role", "guides", "words"),
    [
        ("text_to_video", ("camera", "depth"), "one control guide, and the shot has camera, depth"),
        ("text_to_video", ("mask",), "give the shot a plate"),
        ("text_to_video", ("plate",), "give the shot a mask"),
        ("video_to_video", ("depth",), "two things to follow"),
        ("video_to_video", ("plate", "mask", "depth"), "two things to follow"),
    ],
)
def test_guides_that_would_be_unused_are_an_error(role, guides, words):
    recipe = recipe_of("WanVACEPipeline", role)
    inputs = Inputs(tuple(parents_of(recipe).values()), {kind: clip(3, 5) for kind in guides})
    with pytest.raises(ValueError, match=words):
        vace_canvas(recipe, inputs)


# ---- what VACE and LTX are shown ------------------------------------------------------------------------------------


def canvas(role, guides=None, context=None, frames=9):
    recipe = recipe_of("WanVACEPipeline", role, frames=frames, context=context)
    return (*vace_canvas(recipe, Inputs(tuple(parents_of(recipe).values()), guides or {})), parents_of(recipe))


def test_words_alone_leave_everything_free():
    frames, paint, _ = canvas("text_to_video")
    assert (frames == 128).all()
    assert (paint == 255).all()


def test_known_frames_are_kept_and_the_rest_is_free():
    frames, paint, parents = canvas("first_last_frame")
    assert (frames[0] == parents["parent-0"][0]).all()
    assert (frames[-1] == parents["parent-1"][0]).all()
    assert (paint[[0, -1]] == 0).all()
    assert (frames[1:-1] == 128).all()
    assert (paint[1:-1] == 255).all()


@given(context=st.integers(1, 8))
@settings(max_examples=8, deadline=None)
def test_an_extension_begins_with_the_end_of_the_clip_before(context):
    frames, paint, parents = canvas("extend", context=context)
    assert (frames[:context] == parents["parent-0"][-context:]).all()
    assert (paint[:context] == 0).all()
    assert (paint[context:] == 255).all()


def test_control_is_followed_around_known_frames():
    control = clip(5, 9)
    frames, paint, parents = canvas("image_to_video", {"camera": control})
    assert (frames[0] == parents["parent-0"][0]).all()
    assert (frames[1:] == control[1:]).all()
    assert (paint[0] == 0).all()
    assert (paint[1:] == 255).all()


def test_a_clip_that_is_followed_begins_with_the_frame_that_is_given():
    frames, paint, parents = canvas("video_to_video", {"first_frame": picture(3)})
    assert (frames[0] == picture(3)[0]).all()
    assert (paint[0] == 0).all()
    assert (frames[1:] == parents["parent-0"][1:]).all()
    assert (paint[1:] == 255).all()


@pytest.mark.parametrize("painted", ["nothing", "depth"])
def test_a_mask_keeps_the_clip_outside_and_follows_control_inside(painted):
    mask = np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)
    mask[:, :, : WIDTH // 2] = 255
    control = clip(5, 9)
    guides = {"mask": mask, **({"depth": control} if painted == "depth" else {})}
    frames, paint, parents = canvas("video_to_video", guides)
    half = WIDTH // 2
    assert (frames[:, :, half:] == parents["parent-0"][:, :, half:]).all()
    assert (frames[:, :, :half] == (control[:, :, :half] if painted == "depth" else 128)).all()
    assert (paint[:, :, :half] == 255).all()
    assert (paint[:, :, half:] == 0).all()


def test_a_plate_stays_outside_the_mask_and_the_clip_is_followed_inside():
    mask = np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)
    mask[:, :, : WIDTH // 2] = 255
    plate = picture(9)
    frames, _, parents = canvas("video_to_video", {"mask": mask, "plate": plate})
    half = WIDTH // 2
    assert (frames[:, :, :half] == parents["parent-0"][:, :, :half]).all()
    assert (frames[:, :, half:] == plate[:, :, half:]).all()


@given(frames=st.integers(1, 40), step=st.sampled_from([4, 8]))
def test_context_is_given_in_whole_latents_and_its_last_frame_always(frames, step):
    shots = np.arange(frames, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 1, 3), np.uint8)
    known = _context(shots, step)
    assert known[0][0] == 0
    assert (len(known[0][1]) - 1) % step == 0
    for place, given_frames in known:
        assert (given_frames == shots[place : place + len(given_frames)]).all()
    assert known[-1][0] + len(known[-1][1]) == frames


def test_a_path_beside_a_batch_is_what_vace_follows_in_each_segment_and_draft(tmp_path):
    """At the size of the rung, the rate of the model, and from where the segment begins: right, then down."""
    file = motion_path(tmp_path / "way.json", {"points": [(0, 0.1, 0.1), (4, 0.9, 0.1), (10, 0.9, 1.3)]})
    path = {"kind": "motion_path", "source": file.name, "digest": f"sha256:{'1' * 64}"}
    small = SizeGrid(multiple_of=16, min=32, max=96, default=(96, 64))  # quicker to draw than its own
    vace = load_catalog()["wan/2.1-vace-1.3b"].model_copy(update={"sizes": small})
    along = {"role": "text_to_video", "model": vace.id, "candidates": 4, "overlap_frames": 8}
    document = {
        "schema": "ancestra/v1", "batch": "tiny", "show": "ancestra", "rate": 24, "handles": 0,
        "stages": {"along": {**along, "draft": {"promote": 0.5, "size": [48, 32]}}},
        "shots": [{"shot": "a", "frames": 192, "prompt": {"text": "the sea"}, "guides": [path]}],
    }  # fmt: skip
    stage = Plan.of(Batch.model_validate(document), {vace.id: vace}).shots[0].stage("along")
    spaces = [stage.space(segment, ((),) if segment == 0 else (("p" * 32,),)) for segment in range(2)]
    ways = []
    for space in spaces:
        for recipe in (space.recipe(0), space.recipe(0, "draft")):
            parents = tuple(np.zeros((recipe.frames, *recipe.size[::-1], 3), np.uint8) for _ in recipe.parents)
            shown, paint = vace_canvas(recipe, Inputs(parents, guide_frames(recipe, lambda _: file)))
            assert shown.shape == (recipe.frames, *recipe.size[::-1], 3)
            assert recipe.rate == 16
            ways.append(flow_of(shown[paint[:, 0, 0] == 255]).mean(axis=(1, 2)))
    assert [recipe.size for recipe in (spaces[0].recipe(0), spaces[0].recipe(0, "draft"))] == [(96, 64), (48, 32)]
    right, down = np.array([1, 0]), np.array([0, 1])
    for way in ways[:2]:  # 4 s at 16 a second, then what is left of the segment
        assert (way[:64] @ right > 0.5).all()
        assert (way[66:] @ down > 0.5).all()
        assert len(way) > 66
    for way in ways[2:]:
        assert (way @ down > 0.5).all()


# ---- before anything is loaded -------------------------------------------------------------------------------------


def checked(pipeline, role, *guides_of_shots):
    """What a check says of a stage with these kinds of guides, a shot each: places and sentences.

    A role that starts from pictures gets a stage of stills before it.
    """
    guides = [[{"kind": kind, "source": f"{kind}.png"} for kind in kinds] for kinds in guides_of_shots]
    shot = {"frames": 5, "handles": 0, "prompt": {"text": "the sea"}}
    stills = {"still": {"role": "text_to_image", "model": "procedural/stills", "candidates": 2, "size": [64, 64]}}
    animate = {"role": role, "model": "tiny/model", "candidates": 1}
    batch = {
        "schema": "ancestra/v1", "batch": "tiny", "show": "ancestra", "rate": 8,
        "stages": {**stills, "animate": {**animate, "from": "still"}} if INPUTS_OF_ROLE[role] else {"animate": animate},
        "shots": [{**shot, "shot": f"shot_{n}", "guides": kinds} for n, kinds in enumerate(guides)],
    }  # fmt: skip
    cards = {"tiny/model": card_of(pipeline, "/nowhere"), "procedural/stills": load_catalog()["procedural/stills"]}
    try:
        checked_text(json.dumps(batch), "batch.yaml", cards, {}, {"quality"}, stage_faults)
    except BatchRefused as refused:
        return [(problem.path, problem.message) for problem in refused.problems]
    return []


def test_a_check_says_where_a_picture_is_wanted():
    wants = "starts from a picture all the same; give the shot a guide first_frame"
    ((path, said),) = checked("LTXImageToVideoPipeline", "text_to_video", ())
    assert path == "stages.animate.model"
    assert wants in said
    assert checked("LTXImageToVideoPipeline", "text_to_video", ("first_frame",)) == []
    ((path, said),) = checked("LTXImageToVideoPipeline", "text_to_video", ("first_frame",), (), ("first_frame",))
    assert path.startswith("shots[1]"), "the shot without one"
    assert wants in said


def test_a_check_says_which_guides_leave_one_unused():
    assert checked("WanVACEPipeline", "text_to_video", ("depth", "reference"), ("mask", "plate"), ()) == []
    ((path, said),) = checked("WanVACEPipeline", "text_to_video", ("depth",), ("depth", "edges"))
    assert path == "shots[1].guides"
    assert "animate: tiny/model cannot run: this pipeline follows one control guide" in said
    ((_, said),) = checked("AnimateDiffControlNetPipeline", "text_to_video", ())
    assert "follows control clips" in said


@pytest.mark.parametrize(
    ("pipeline", "role", "kind"),
    [
        ("LTXConditionPipeline", "image_to_video", "first_frame"),
        ("WanVACEPipeline", "image_to_video", "first_frame"),
        ("WanVACEPipeline", "first_last_frame", "last_frame"),
        ("LTXConditionPipeline", "first_last_frame", "first_frame"),
    ],
)
def test_a_check_refuses_an_end_that_the_stage_before_gives_already(pipeline, role, kind):
    ((path, said),) = checked(pipeline, role, (kind,))
    assert path == "shots[0].guides[0].kind"
    assert said == f"no stage of this shot takes a guide of kind {kind}"


def test_a_check_takes_the_end_that_nothing_else_gives():
    assert checked("LTXConditionPipeline", "image_to_video", ("last_frame",)) == []
    assert checked("WanVACEPipeline", "text_to_video", ("first_frame", "last_frame")) == []
