"""Every class of clip pipeline, tiny and with random weights, through the generator that hosts use."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ancestra_farm.batch.card import INPUTS_OF_ROLE
from ancestra_farm.models.diffusion import clip_inputs
from ancestra_farm.models.diffusion.generator import DiffusersGenerator
from ancestra_farm.models.diffusion.kinds import all_kinds
from ancestra_farm.models.diffusion.video_kinds import VIDEO_KINDS
from ancestra_farm.plan.guides import RecipeGuide
from tests.models.diffusion.clip_recipes import (
    HEIGHT,
    WIDTH,
    card_of,
    clip,
    needed_guides,
    parents_of,
    picture,
    recipe_of,
    roles_of,
)
from tests.models.diffusion.tiny import save_tiny
from tests.models.diffusion.tiny_clips import CLIPS

#: Display values: alone and in a batch, convolutions and matrices sum in another order. Measured at most 1.
TOLERANCE = 1
CASES = [(name, role) for name in CLIPS for role in roles_of(name)]


# ---- the models, each built once ------------------------------------------------------------------------------------


class GuidedGenerator(DiffusersGenerator):
    """The generator of hosts, which takes guides as frames too, without files."""

    frames_given = references_given = None

    def _guides(self, recipe):
        return super()._guides(recipe) if self.frames_given is None else self.frames_given

    def _references(self, recipe):
        return super()._references(recipe) if self.references_given is None else self.references_given


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A generator of each name, built, saved, loaded and warmed up when it is first asked for.

    Their materials are files named by digest in the folder ``models.files``.
    """
    ready = {}
    files = tmp_path_factory.mktemp("materials")

    def model(name, dtype="float32"):
        if (name, dtype) not in ready:
            folder = save_tiny(name, tmp_path_factory.mktemp("tiny") / name.replace(":", "-"))
            card = card_of(name, folder).model_copy(update={"dtype": dtype})
            ready[name, dtype] = GuidedGenerator(card, files.joinpath, tmp_path_factory.mktemp("cache"))
            ready[name, dtype].setup()
        return ready[name, dtype]

    model.files = files
    model.usual = {}
    return model


def make(model, recipes, parents=None, guides=None, references=None):
    """The candidates of one ticket."""
    model.frames_given, model.references_given = guides, references
    given = {} if not recipes else {**parents_of(recipes[0]), **(parents or {})}
    return list(model.generate(recipes, given, lambda: False))


def one(model, recipe, parents=None, guides=None, references=None):
    (made,) = make(model, [recipe], parents, guides, references)
    return made.frames


def usual(models, name, role):
    """The clip of `recipe_of(name, role)`, made once."""
    if (name, role) not in models.usual:
        models.usual[name, role] = one(models(name), recipe_of(name, role), guides=needed_guides(name, role))
    return models.usual[name, role]


def differ(a, b):
    """The mean absolute difference, in display values."""
    return float(np.abs(a.astype(np.float32) - b.astype(np.float32)).mean())


def apart(a, b):
    """The largest difference, in display values."""
    return int(np.abs(a.astype(int) - b.astype(int)).max())


# ---- every class, every role ----------------------------------------------------------------------------------------


def test_every_kind_has_a_tiny_pipeline():
    assert {name.partition(":")[0] for name in CLIPS} == {kind.pipeline for kind in VIDEO_KINDS}


@pytest.mark.parametrize(("name", "role"), CASES, ids=[f"{name}-{role}" for name, role in CASES])
def test_a_pipeline_makes_what_a_recipe_asks_for(models, name, role):
    frames = usual(models, name, role)
    assert frames.dtype == np.uint8
    assert frames.shape == (recipe_of(name, role).frames, HEIGHT, WIDTH, 3)
    assert frames.std() > 2, "noise hangs on everything; a flat picture hangs on nothing"


@pytest.mark.parametrize("name", [name for name in CLIPS if not all_kinds()[name.partition(":")[0]].batches])
def test_another_seed_makes_another_clip_and_the_same_one_the_same(models, name):
    role = roles_of(name)[0]
    recipe, guides = recipe_of(name, role), needed_guides(name, role)
    assert (one(models(name), recipe, guides=guides) == usual(models, name, role)).all()
    assert differ(one(models(name), replace(recipe, seed=2), guides=guides), usual(models, name, role)) > 0.5


@pytest.mark.parametrize("name", [name for name in CLIPS if all_kinds()[name.partition(":")[0]].batches])
def test_candidates_of_one_call_are_those_made_alone(models, name):
    role = roles_of(name)[0]
    guides = needed_guides(name, role)
    recipes = [recipe_of(name, role), recipe_of(name, role, seed=2, prompt="stars and dust")]
    together = make(models(name), recipes, guides=guides)
    assert together[0].generate_s == together[1].generate_s, "they shared one call"
    alone = [usual(models, name, role), one(models(name), recipes[1], guides=guides)]
    for frames, made in zip(alone, together, strict=True):
        assert apart(frames, made.frames) <= TOLERANCE
    assert differ(*alone) > 0.5


@pytest.mark.parametrize(
    "name",
    ["LTXImageToVideoPipeline", "LTXConditionPipeline", "LTX2ImageToVideoPipeline", "CogVideoXImageToVideoPipeline",
     "StableVideoDiffusionPipeline", "HunyuanVideoImageToVideoPipeline", "WanVideoToVideoPipeline",
     "AnimateDiffVideoToVideoPipeline", "CogVideoXVideoToVideoPipeline"],
)  # fmt: skip
def test_candidates_of_different_parents_share_a_call_and_keep_their_own(models, name):
    role = next(role for role in roles_of(name) if INPUTS_OF_ROLE[role])
    first = recipe_of(name, role, seed=1)
    second = replace(first, seed=2, candidate_id="2" * 32, parents=("other-0",))
    parents = {**parents_of(first), "other-0": next(iter(parents_of(first, seed=20).values()))}
    together = make(models(name), [first, second], parents)
    assert together[0].generate_s == together[1].generate_s, "they shared one call"
    assert apart(usual(models, name, role), together[0].frames) <= TOLERANCE
    assert apart(one(models(name), second, parents), together[1].frames) <= TOLERANCE


def test_wan_takes_candidates_of_one_picture_into_a_call_and_no_others(models):
    name = "WanImageToVideoPipeline"
    first = recipe_of(name, "image_to_video", seed=1)
    same = replace(first, seed=2, candidate_id="2" * 32)
    other = replace(first, seed=3, candidate_id="3" * 32, parents=("other-0",))
    parents = {**parents_of(first), "other-0": picture(20)}
    made = make(models(name), [first, same, other], parents)
    assert made[0].generate_s == made[1].generate_s != made[2].generate_s
    assert apart(one(models(name), other, parents), made[2].frames) <= TOLERANCE


# ---- words, parents and guides matter -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["WanImageToVideoPipeline:seen", "LTXConditionPipeline", "CogVideoXImageToVideoPipeline",
     "HunyuanVideoImageToVideoPipeline", "StableVideoDiffusionPipeline", "AnimateDiffVideoToVideoControlNetPipeline"],
)  # fmt: skip
def test_pictures_and_clips_fit_weights_of_half_precision(models, name):
    role = next(role for role in roles_of(name) if INPUTS_OF_ROLE[role])
    half = one(models(name, "bfloat16"), recipe_of(name, role), guides=needed_guides(name, role))
    assert half.dtype == np.uint8, "finite"
    assert half.shape == usual(models, name, role).shape
    assert half.std() > 2


WORDED = [kind.pipeline for kind in VIDEO_KINDS if kind.negative is not None]


@pytest.mark.parametrize("name", WORDED)
def test_words_matter_and_so_do_those_of_the_negative_prompt(models, name):
    role = roles_of(name)[0]
    guides = needed_guides(name, role)
    for changed in (recipe_of(name, role, prompt="stars"), recipe_of(name, role, negative="petals of light")):
        assert differ(usual(models, name, role), one(models(name), changed, guides=guides)) > 0.02


@pytest.mark.parametrize(
    "name", ["WanPipeline", "LTXPipeline", "CogVideoXPipeline", "HunyuanVideoPipeline", "AnimateDiffPipeline"]
)
def test_a_negative_prompt_is_not_encoded_without_guidance(models, name):
    recipe = recipe_of(name, "text_to_video", guidance=1.0)
    assert (one(models(name), recipe) == one(models(name), replace(recipe, negative="petals of light"))).all()


PARENTED = [(name, role) for name, role in CASES if INPUTS_OF_ROLE[role]]


@pytest.mark.parametrize(("name", "role"), PARENTED, ids=[f"{name}-{role}" for name, role in PARENTED])
def test_another_parent_makes_another_clip(models, name, role):
    recipe, guides = recipe_of(name, role), needed_guides(name, role)
    for parent in recipe.parents:
        changed = {parent: 255 - parents_of(recipe)[parent]}
        assert differ(usual(models, name, role), one(models(name), recipe, changed, guides=guides)) > 0.05, parent


@pytest.mark.parametrize(
    ("name", "role"),
    [("WanImageToVideoPipeline", "image_to_video"), ("LTXConditionPipeline", "text_to_video"),
     ("LTXConditionPipeline", "image_to_video"), ("WanVACEPipeline", "text_to_video")],
)  # fmt: skip
def test_a_guide_says_how_a_clip_ends(models, name, role):
    recipe, free = recipe_of(name, role), usual(models, name, role)
    ends = [one(models(name), recipe, guides={"last_frame": picture(seed)}) for seed in (31, 32)]
    assert differ(free, ends[0]) > 0.05
    assert differ(*ends) > 0.05


@pytest.mark.parametrize(
    ("name", "kind"),
    [*(("WanVACEPipeline", kind) for kind in clip_inputs.CONTROL), ("AnimateDiffControlNetPipeline", "edges")],
)
def test_a_control_clip_is_followed(models, name, kind):
    recipe = recipe_of(name, "text_to_video")
    frames = [one(models(name), recipe, guides={kind: clip(seed, recipe.frames)}) for seed in (41, 42)]
    assert differ(*frames) > 0.05


def test_control_and_clip_both_count_where_a_pipeline_takes_both(models):
    name = "AnimateDiffVideoToVideoControlNetPipeline"
    recipe = recipe_of(name, "video_to_video")
    frames = [one(models(name), recipe, guides={"depth": clip(seed, recipe.frames)}) for seed in (41, 42)]
    assert differ(*frames) > 0.05


def test_guides_are_read_from_their_files(models):
    recipe = recipe_of("WanVACEPipeline", "text_to_video")
    guides, entries = {"depth": clip(41, 1), "first_frame": picture(3)}, []
    for kind, frames in guides.items():
        digest = f"sha256:{len(entries):064x}"
        Image.fromarray(frames[0]).save(models.files / digest, format="PNG")
        entries.append(RecipeGuide(kind, kind, "", digest, f"{kind}.png").text)
    model = models("WanVACEPipeline")
    assert (one(model, replace(recipe, guides=tuple(entries))) == one(model, recipe, guides=guides)).all()


def test_references_count_and_take_no_frame_of_the_clip(models):
    recipe = recipe_of("WanVACEPipeline", "text_to_video")
    model = models("WanVACEPipeline")
    free = usual(models, "WanVACEPipeline", "text_to_video")
    pair = one(model, recipe, references=(picture(51), picture(52)))
    single = one(model, recipe, references=(picture(51),))
    tall = one(model, recipe, references=(np.repeat(picture(51), 3, axis=1),))
    assert free.shape == pair.shape == single.shape == tall.shape
    assert differ(free, single) > 0.05
    assert differ(single, pair) > 0.05
    assert differ(single, tall) > 0.05


def test_a_mask_says_what_is_repainted_of_a_clip(models):
    recipe = recipe_of("WanVACEPipeline", "video_to_video")
    model = models("WanVACEPipeline")
    masks = [np.zeros((1, HEIGHT, WIDTH, 3), np.uint8) for _ in range(2)]
    masks[0][:, :, : WIDTH // 2] = masks[1][:, :, WIDTH // 2 :] = 255
    whole, left, right = (
        one(model, recipe, guides=guides) for guides in (None, {"mask": masks[0]}, {"mask": masks[1]})
    )
    assert min(differ(whole, left), differ(left, right), differ(whole, right)) > 0.05


def test_a_first_frame_that_is_a_latent_of_its_own_is_kept_whatever_the_seed(models):
    name = "WanImageToVideoPipeline:first_latent"
    recipe = recipe_of(name, "image_to_video")
    made = [one(models(name), replace(recipe, seed=seed)) for seed in (1, 2)]
    assert (made[0][0] == made[1][0]).all()
    assert differ(made[0][1:], made[1][1:]) > 0.5


@pytest.mark.parametrize("context", [1, 3, 9])
def test_extending_goes_on_from_as_many_frames_as_neighbours_share(models, context):
    name = "LTXConditionPipeline"
    recipe = recipe_of(name, "extend", frames=17, context=context)
    parent = clip(7, 17)
    frames = one(models(name), recipe, {"parent-0": parent})
    earlier = parent.copy()
    earlier[:-context] = 0
    assert (one(models(name), recipe, {"parent-0": earlier}) == frames).all(), "what lies before is not looked at"
    for changed in {17 - context, 16}:
        other = parent.copy()
        other[changed] = 255 - other[changed]
        assert differ(frames, one(models(name), recipe, {"parent-0": other})) > 0.02, changed


# ---- what cannot be meant is said -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "role", "frames", "words"),
    [
        ("WanPipeline", "text_to_video", 6, "4k.1 frames, and 6"),
        ("LTXPipeline", "text_to_video", 12, "8k.1 frames, and 12"),
        ("CogVideoXPipeline", "text_to_video", 13, "8k.1 frames, and 13"),
        ("HunyuanVideoPipeline", "text_to_video", 7, "4k.1 frames, and 7"),
    ],
)
def test_a_length_that_a_pipeline_would_round_is_an_error(models, name, role, frames, words):
    with pytest.raises(ValueError, match=words):
        one(models(name), recipe_of(name, role, frames=frames))


def test_a_pipeline_that_starts_from_a_picture_says_so(models):
    with pytest.raises(ValueError, match="guide first_frame"):
        one(models("WanImageToVideoPipeline"), recipe_of("WanImageToVideoPipeline", "text_to_video"))


@pytest.mark.parametrize(
    ("variant", "words"), [("first_latent", "keep the first frame only"), ("seen", "see the first frame only")]
)
def test_a_last_frame_that_weights_cannot_see_is_an_error(models, variant, words):
    name = f"WanImageToVideoPipeline:{variant}"
    with pytest.raises(ValueError, match=words):
        one(models(name), recipe_of(name, "image_to_video"), guides={"last_frame": picture(1)})


def test_a_clip_is_never_stretched_to_a_recipe(models):
    recipe = recipe_of("WanVideoToVideoPipeline", "video_to_video")
    with pytest.raises(ValueError, match="a clip of 9 frames cannot be made into one of 5"):
        one(models("WanVideoToVideoPipeline"), recipe, {"parent-0": clip(1, 9)})


def test_control_clips_are_as_many_as_control_nets(models):
    recipe = recipe_of("AnimateDiffControlNetPipeline", "text_to_video")
    with pytest.raises(ValueError, match="follows 1 control clips, one for each ControlNet; 0 are given"):
        one(models("AnimateDiffControlNetPipeline"), recipe)
