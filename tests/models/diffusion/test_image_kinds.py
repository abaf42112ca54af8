"""Every class of pipeline that makes stills, in each of its roles: words, guidance, parents, and sharing a call."""

import numpy as np
import pytest
import torch

from ancestra_farm.models.diffusion.image_kinds import IMAGE_KINDS
from ancestra_farm.models.diffusion.pixels import clips_of, fitted, pictures, shown, stills_of
from tests.models.diffusion.recipes import PARAMETERS, STRENGTH, TOLERANCE, apart, card, loaded, made, picture, recipe
from tests.models.diffusion.tiny import TINY_SIZE, save_tiny

torch.set_num_threads(1)
KINDS = {kind.pipeline: kind for kind in IMAGE_KINDS}
ROLES = [(kind.pipeline, role) for kind in IMAGE_KINDS for role in kind.roles]
#: The argument that brings a negative prompt in, where it is not guidance_scale.
TRUE_GUIDANCE = {"type": "float", "default": 3.0, "min": 0, "max": 20, "argument": "true_cfg_scale"}
PARENTS = {"dark": picture(1) // 3, "light": picture(2)}


def parameters_of(kind):
    named = dict(PARAMETERS)
    if kind.pipeline.startswith("QwenImage"):
        named.pop("guidance")  # of models that are distilled for it; this one is not
    if kind.negative is not None and kind.negative[0] == "true_cfg_scale":
        named["true_guidance"] = TRUE_GUIDANCE
    return {**named, **(STRENGTH if kind.pipeline.endswith("Img2ImgPipeline") else {})}


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    """A generator of each class, loaded when it is first asked for."""
    root, found = tmp_path_factory.mktemp("tiny"), {}

    def of(name):
        if name not in found:
            model = card(
                name, save_tiny(name, root / name), parameters=parameters_of(KINDS[name]), runtime={"batch": 4}
            )
            found[name] = loaded(model)
        return found[name]

    return of


def candidate(generator, role, seed=1, parent="dark", **changes):
    # The upscaler makes four times a side that its VAE can halve; klein sees no reference below 64 pixels.
    size = (64, 64) if role == "upscale" or "Klein" in str(generator.card.pipeline) else TINY_SIZE
    parents = () if role == "text_to_image" else (parent,)
    return recipe(generator.card, seed=seed, role=role, parents=parents, size=size, **changes)


@pytest.mark.parametrize(("name", "role"), ROLES)
def test_it_makes_stills_of_the_size_that_is_asked_for_alone_as_together(generators, name, role):
    generator = generators(name)
    prompts = ("the sea at dusk", "cells above the stars in light")
    wanted = [candidate(generator, role, n, prompt=prompts[n % 2]) for n in range(3)]
    together = made(generator, wanted, PARENTS)
    for one, frames in zip(wanted, together, strict=True):
        assert frames.dtype == np.uint8
        assert frames.shape == (1, *one.size[::-1], 3)
        assert apart(frames, made(generator, [one], PARENTS)[0]) <= TOLERANCE
    assert apart(together[0], together[2]) > TOLERANCE


@pytest.mark.parametrize(("name", "role"), ROLES)
def test_its_words_count(generators, name, role):
    generator = generators(name)
    (one,), (other,) = (made(generator, [candidate(generator, role, prompt=p)], PARENTS) for p in ("the sea", "cells"))
    assert apart(one, other) > TOLERANCE


@pytest.mark.parametrize(("name", "role"), ROLES)
def test_a_negative_prompt_counts_exactly_where_its_kind_says_so(generators, name, role):
    generator, negative = generators(name), KINDS[name].negative
    off = {} if negative is None else {"true_guidance" if negative[0] == "true_cfg_scale" else "guidance": negative[1]}

    def of(words, **parameters):
        return made(generator, [candidate(generator, role, negative=words, parameters=parameters)], PARENTS)[0]

    np.testing.assert_array_equal(of("", **off), of("petals of dust", **off))
    if negative is not None:
        assert apart(of(""), of("petals of dust")) > TOLERANCE


@pytest.mark.parametrize(("name", "role"), [(name, role) for name, role in ROLES if role != "text_to_image"])
def test_its_parent_counts_and_each_candidate_has_its_own(generators, name, role):
    generator = generators(name)
    dark, light = (candidate(generator, role, parent=parent) for parent in PARENTS)
    together = made(generator, [dark, light], PARENTS)
    assert apart(*together) > TOLERANCE
    for one, frames in zip((dark, light), together, strict=True):
        assert apart(frames, made(generator, [one], PARENTS)[0]) <= TOLERANCE


@pytest.mark.parametrize("name", ["StableDiffusionImg2ImgPipeline", "FluxImg2ImgPipeline"])
def test_strength_says_how_far_from_its_parent_it_goes(generators, name):
    generator = generators(name)
    near, far = (
        made(generator, [candidate(generator, "image_to_image", parameters={"strength": strength})], PARENTS)[0]
        for strength in (0.4, 1.0)
    )
    assert apart(near, far) > TOLERANCE


def test_a_parent_of_another_size_is_scaled_and_cut_to_the_middle(generators):
    generator = generators("StableDiffusionImg2ImgPipeline")
    wide = {"dark": np.concatenate([picture(9), PARENTS["dark"], picture(9)], axis=2)}
    tall = {"dark": np.concatenate([picture(9), PARENTS["dark"], picture(9)], axis=1)}
    one = candidate(generator, "image_to_image")
    (plain,) = made(generator, [one], PARENTS)
    for parents in (wide, tall):
        np.testing.assert_array_equal(made(generator, [one], parents)[0], plain)


def test_references_are_seen_beside_the_words(generators):
    kind, pipeline = KINDS["Flux2KleinPipeline"], generators("Flux2KleinPipeline").resident.pipeline
    from ancestra_farm.models.diffusion.kinds import Inputs

    wanted = candidate(generators("Flux2KleinPipeline"), "text_to_image")
    tall = np.repeat(picture(2), 3, axis=1)
    seen = [kind.arguments(pipeline, wanted, Inputs(references=given)) for given in ((), (picture(1), tall))]
    merged = [kind.merge([one, one])["image"] for one in seen]
    assert merged[0] is None
    assert [one.size for one in merged[1]] == [TINY_SIZE, (TINY_SIZE[0], 3 * TINY_SIZE[1])]


@pytest.mark.parametrize(("name", "role"), [("FluxImg2ImgPipeline", "image_to_image")])
def test_a_candidate_without_its_parent_is_said(generators, name, role):
    generator = generators(name)
    with pytest.raises(ValueError, match="image_to_image starts from a picture; this recipe names none"):
        made(generator, [recipe(generator.card, role=role)])


def test_an_upscale_that_is_not_four_times_one_is_said(generators):
    generator = generators("StableDiffusionUpscalePipeline")
    with pytest.raises(ValueError, match="four times as large"):
        made(generator, [recipe(generator.card, role="upscale", parents=("dark",), size=(62, 64))], PARENTS)


# ---- pixels ---------------------------------------------------------------------------------------------------------


def test_what_a_pipeline_returns_becomes_frames():
    pixels = torch.tensor([0.0, 0.5, 1.0, 1.4, -0.3, 0.999]).reshape(2, 1, 1, 3).expand(2, 3, 4, 3)
    one, other = stills_of(pixels)
    assert one.shape == (1, 4, 3, 3)
    np.testing.assert_array_equal(one[0, 0, :, 0], [0, 128, 255])
    np.testing.assert_array_equal(other[0, 0, :, 0], [255, 0, 255])
    assert clips_of(pixels[:, None].expand(2, 5, 3, 4, 3))[1].shape == (5, 4, 3, 3)


def test_half_precision_is_rounded_like_any_other():
    levels = torch.arange(256).reshape(1, 1, 16, 16).expand(1, 3, 16, 16) / 255
    for dtype in (torch.float32, torch.float16):
        np.testing.assert_array_equal(stills_of(levels.to(dtype))[0][0, ..., 0].ravel(), np.arange(256))


def test_frames_become_pictures():
    broken = np.full((1, 2, 2, 3), np.nan, np.float32)
    assert shown(broken).max() == 0
    np.testing.assert_array_equal(shown(np.array([0.0, 0.5, 2.0], np.float32)), [0, 128, 255])
    (one,) = pictures(picture(3))
    np.testing.assert_array_equal(np.asarray(one), picture(3)[0])


@pytest.mark.parametrize("size", [(32, 32), (64, 32), (32, 64), (16, 48), (7, 5)])
def test_frames_are_fitted_without_being_distorted(size):
    given = picture(4, (40, 24), frames=2)
    assert fitted(given, size).shape == (2, size[1], size[0], 3)
    assert fitted(given, (40, 24)) is given
