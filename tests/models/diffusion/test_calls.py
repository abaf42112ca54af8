"""Arguments of several candidates as one call's, and how large calls may be."""

import pytest
import torch

from ancestra_farm.models.diffusion.calls import NotTogether, argument, merged, shape_of, takes
from ancestra_farm.models.diffusion.memory import CallSizes, is_out_of_memory
from ancestra_farm.models.diffusion.pixels import pictures
from tests.models.diffusion.recipes import card, picture, recipe


def words(length, value=1.0):
    return torch.full((1, length, 4), value)


def test_tensors_are_joined_lists_follow_one_another_and_the_rest_is_shared():
    each = [{"embeds": words(3, n), "image": pictures(picture(n)), "width": 64, "mask": None} for n in (1, 2)]
    call = merged(each)
    assert call["embeds"].shape == (2, 3, 4)
    assert call["embeds"][:, 0, 0].tolist() == [1, 2]
    assert call["image"] == [*pictures(picture(1)), *pictures(picture(2))]
    assert (call["width"], call["mask"]) == (64, None)
    assert merged(each[:1]) == each[0]


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"width": 64}, {"width": 32}, "width differs"),
        ({"embeds": words(3)}, {"embeds": words(4)}, "embeds has different shapes"),
        ({"width": 64}, {"width": 64, "height": 64}, "arguments differ: \\['height'\\]"),
    ],
)
def test_what_cannot_be_one_call_is_said_and_has_another_shape(one, other, said):
    with pytest.raises(NotTogether, match=said):
        merged([one, other])
    assert shape_of(one) != shape_of(other)


def test_lists_may_have_entries_of_any_length_but_pictures_of_one_size():
    assert shape_of({"embeds": [words(3)]}) == shape_of({"embeds": [words(9)]})
    small, large = (pictures(picture(1, size)) for size in ((16, 16), (32, 16)))
    assert shape_of({"image": small}) != shape_of({"image": large})
    assert shape_of({"image": small}) == shape_of({"image": pictures(picture(2, (16, 16)))})


def test_pictures_in_a_tuple_are_one_value_of_the_call():
    same = [{"image": tuple(pictures(picture(1)))} for _ in range(2)]
    assert shape_of(same[0]) == shape_of(same[1])
    assert merged(same)["image"] == same[0]["image"]
    other = {"image": tuple(pictures(picture(2)))}
    assert shape_of(other) != shape_of(same[0])


class Pipeline:
    def __call__(self, prompt=None, guidance_scale=7.5, *, generator=None, sigmas=None):
        pass


def test_an_argument_is_the_recipes_or_the_pipelines_own():
    model = card("StableDiffusionXLPipeline", "/models/xl")
    plain = recipe(model)
    assert argument(Pipeline(), plain, "guidance_scale") == 7.5
    assert takes(Pipeline.__call__) >= {"prompt", "generator"}
    with pytest.raises(KeyError):
        argument(Pipeline(), plain, "strength")


def test_calls_are_halved_for_the_shape_that_did_not_fit_and_never_below_one():
    model = card("StableDiffusionXLPipeline", "/models/xl")
    sizes, plain, large = CallSizes(6), recipe(model), recipe(model, size=(128, 128))
    for candidates, left in ((6, 3), (3, 1), (1, 1)):
        sizes.ran_out(plain, candidates)
        assert sizes.of(plain) == left
    assert sizes.of(large) == 6


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(error, memory):
    assert is_out_of_memory(error) is memory
