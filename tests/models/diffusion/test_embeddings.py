"""What embeddings are kept by. The encoder here counts, and reads what a test says."""

from dataclasses import dataclass, field
from fractions import Fraction

import pytest
import torch

from ancestra_farm.models.diffusion.embeddings import Embeddings
from ancestra_farm.plan.recipe import Recipe


@dataclass
class Kind:
    """Encodes a prompt as its length, and reads the parameters ``read`` where ``guided`` is above 1."""

    read: tuple[str, ...] = ()
    encoded: list[str] = field(default_factory=list)

    def encode(self, _pipeline, recipe):
        self.encoded.append(recipe.prompt)
        if recipe.parameters.get("guidance", 1) > 1:
            for name in self.read:
                recipe.parameters.get(name)
        return {"prompt_embeds": torch.full((1, 256), float(len(recipe.prompt))), "negative_prompt_embeds": None}


def recipe(prompt="the sea", negative="", **parameters):
    return Recipe(
        candidate_id="0", seed=0, shot="", stage="", segment=0, variant="", index=0, rung="full", role="text_to_image",
        prompt=prompt, negative=negative, model="", model_digest="", look=None, look_weight=1.0, guides=(),
        parameters=parameters, size=(8, 8), frames=1, rate=Fraction(1), context_frames=0, parents=(),
    )  # fmt: skip


def test_a_wording_is_encoded_once():
    kind = Kind()
    embeddings = Embeddings(None, kind)
    first = embeddings.of(recipe("the sea"))
    assert embeddings.of(recipe("the sea", steps=4)) is first
    assert embeddings.of(recipe("the sea", steps=40)) is first
    assert kind.encoded == ["the sea"]
    assert embeddings.computed == 1


@pytest.mark.parametrize("other", [{"prompt": "cells"}, {"negative": "dust"}, {"guidance": 3.0}])
def test_other_words_and_parameters_that_are_read_are_encoded_anew(other):
    embeddings = Embeddings(None, Kind())
    embeddings.of(recipe(guidance=1.0))
    embeddings.of(recipe(**{"guidance": 1.0, **other}))
    assert embeddings.computed == 2


def test_a_parameter_that_is_read_in_a_branch_alone_is_not_forgotten():
    embeddings = Embeddings(None, Kind(read=("skip",)))
    for skip in (1, 2, 1, 2):
        embeddings.of(recipe(guidance=1.0, skip=skip))
    assert embeddings.computed == 1
    for skip in (1, 2, 1, 2):
        embeddings.of(recipe(guidance=2.0, skip=skip))
    assert embeddings.computed == 3


def test_a_parameter_that_a_recipe_leaves_out_is_not_the_same_as_any_value():
    embeddings = Embeddings(None, Kind())
    embeddings.of(recipe())
    embeddings.of(recipe(guidance=1.0))
    embeddings.of(recipe())
    assert embeddings.computed == 2


def test_what_was_used_longest_ago_goes_first():
    kind = Kind()
    embeddings = Embeddings(None, kind, kept=2)
    for prompt in ("a", "b", "a", "c", "a", "b"):
        embeddings.of(recipe(prompt))
    assert kind.encoded == ["a", "b", "c", "b"]


def test_they_take_no_more_than_their_share_of_memory_and_one_is_always_kept():
    kind = Kind()
    embeddings = Embeddings(None, kind, kept_bytes=2 * 1024)
    for prompt in ("a", "b", "c", "c", "a"):
        embeddings.of(recipe(prompt))
    assert kind.encoded == ["a", "b", "c", "a"]
    small = Embeddings(None, kind, kept_bytes=1)
    assert small.of(recipe("d")) is small.of(recipe("d"))
