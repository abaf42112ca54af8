"""Training on tiny bases: every family learns, a kill costs nothing, and what is written is what was learned."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ancestra_farm.batch.look import TRAINABLE, checked_look
from ancestra_farm.models.looks.adapter import LookRefused, base_digest, read_facts, read_keys
from ancestra_farm.models.looks.dataset import load_dataset
from ancestra_farm.models.looks.denoisers import FAMILIES
from ancestra_farm.models.looks.samples import drawn, recipe_for
from ancestra_farm.models.looks.shelf import FolderShelf
from ancestra_farm.models.looks.training import CHECKPOINT, Lesson, rate_at, train, training_card
from ancestra_farm.models.protocol import Aborted
from tests.models.diffusion.recipes import card, loaded, made
from tests.models.diffusion.tiny import save_tiny
from tests.models.looks.photographs import write_look
from tests.models.looks.test_dataset import TODAY

torch.set_num_threads(1)
BASES = (
    "StableDiffusionPipeline",
    "StableDiffusionXLPipeline",
    "FluxPipeline",
    "WanPipeline",
    "WanPipeline:first_latent",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The card of a tiny base, by its name; each is saved once."""
    root = tmp_path_factory.mktemp("bases")

    def of(name):
        place = root / name.replace(":", "-")
        folder = place if place.exists() else save_tiny(name, place)
        return card(name.partition(":")[0], folder, looks=True)

    return of


def lesson_of(place, model, **changes):
    located = checked_look(write_look(place, **changes), {model.id: model})
    dataset = load_dataset(located, model.sizes.default, TODAY)
    return Lesson(located.look, model, dataset.photos, dataset.data, dataset.ledger, dataset.licences)


def trained(lesson, shelf, **how):
    return train(lesson, loaded(training_card(lesson.card)), shelf, **how)


def test_every_pipeline_that_a_look_file_may_name_can_be_trained_on():
    assert set(FAMILIES) == set(TRAINABLE)


@pytest.mark.parametrize("name", BASES)
def test_a_look_is_learned_and_changes_what_its_base_makes(name, base, tmp_path):
    model = base(name)
    lesson = lesson_of(tmp_path, model, steps=4)
    steps = []
    done = trained(lesson, FolderShelf(tmp_path / "shelf"), tell=lambda progress: steps.append(progress.step))
    assert steps == [1, 2, 3, 4]
    assert all(np.isfinite(done.losses))
    file = tmp_path / "look.safetensors"
    file.write_bytes(done.data)
    assert read_facts(file) == done.facts
    assert {key.split(".")[0] for key in read_keys(file)} == {done.facts.component}
    generator = loaded(model, lambda _digest: file)
    plain = recipe_for(model, "the sea", model.sizes.default, 3)
    (without,) = made(generator, [plain])
    (with_look,) = drawn(_As(generator, done.digest), model, ["the sea"], model.sizes.default, 0)
    (without_look,) = drawn(generator, model, ["the sea"], model.sizes.default, 0)
    assert not np.array_equal(with_look, without_look)
    assert np.array_equal(made(generator, [plain])[0], without)


class _As:
    """A generator whose every candidate has a look."""

    def __init__(self, generator, look, weight=1.0):
        self._generator, self._look, self._weight = generator, look, weight

    def generate(self, recipes, parents, aborted):
        with_look = [replace(recipe, look=self._look, look_weight=self._weight) for recipe in recipes]
        return self._generator.generate(with_look, parents, aborted)


def test_the_samples_at_the_end_are_what_a_host_makes_with_the_file(base, tmp_path):
    model = base("StableDiffusionXLPipeline")
    lesson = lesson_of(tmp_path, model)
    shelf = FolderShelf(tmp_path / "shelf")
    done = trained(lesson, shelf)
    file = tmp_path / "look.safetensors"
    file.write_bytes(done.data)
    generator = loaded(model, lambda _digest: file)
    (host,) = drawn(_As(generator, done.digest), model, lesson.prompts, lesson.size, lesson.look.seed)
    sample = _png(shelf.read(done.samples[-1]))
    assert np.abs(host.astype(int) - sample.astype(int)).max() <= 1
    assert not np.array_equal(sample, _png(shelf.read("samples/base-0.png")))


def _png(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_training_that_was_stopped_comes_to_the_same_file(base, tmp_path):
    stop_after = 3
    model = base("StableDiffusionPipeline")
    lesson = lesson_of(tmp_path, model)
    whole = trained(lesson, FolderShelf(tmp_path / "whole"))
    shelf = FolderShelf(tmp_path / "cut")
    done = []
    with pytest.raises(Aborted, match=f"stopped after {stop_after} of 6 steps"):
        trained(lesson, shelf, tell=done.append, stopped=lambda: len(done) == stop_after)
    again = []
    resumed = trained(lesson, shelf, tell=again.append)
    assert [one.step for one in again] == list(range(stop_after + 1, 7))
    assert again[0].resumed == stop_after
    assert resumed.data == whole.data
    assert resumed.losses == whole.losses


class _Killed(Exception):
    pass


def test_a_training_that_was_killed_goes_on_from_its_last_checkpoint(base, tmp_path):
    model = base("StableDiffusionPipeline")
    lesson = lesson_of(tmp_path, model)
    whole = trained(lesson, FolderShelf(tmp_path / "whole"))
    shelf = FolderShelf(tmp_path / "cut")

    def kill(progress):
        if progress.step == 5:
            raise _Killed

    with pytest.raises(_Killed):
        trained(lesson, shelf, tell=kill)
    again = []
    assert trained(lesson, shelf, tell=again.append).data == whole.data
    assert [one.step for one in again] == [5, 6]
    assert trained(lesson, shelf).data == whole.data, "one that is finished is written again, not trained again"


def test_a_checkpoint_of_another_lesson_or_of_nothing_is_passed_over(base, tmp_path):
    model = base("StableDiffusionPipeline")
    shelf = FolderShelf(tmp_path / "shelf")
    trained(lesson_of(tmp_path, model, steps=2), shelf)
    again = []
    trained(lesson_of(tmp_path, model, steps=2, seed=5), shelf, tell=again.append)
    assert [one.step for one in again] == [1, 2]
    shelf.write(CHECKPOINT, b"half a file")
    again.clear()
    trained(lesson_of(tmp_path, model, steps=2, seed=5), shelf, tell=again.append)
    assert [one.step for one in again] == [1, 2]


def test_the_file_says_what_it_was_made_of_and_is_the_same_each_time(base, tmp_path):
    model = base("StableDiffusionPipeline")
    lesson = lesson_of(tmp_path, model, steps=2, alpha=1)
    one = trained(lesson, FolderShelf(tmp_path / "one"))
    other = trained(lesson, FolderShelf(tmp_path / "other"))
    assert one.data == other.data
    facts = one.facts
    assert (facts.base, facts.data, facts.ledger) == (base_digest(model), lesson.data, lesson.ledger)
    assert facts.assets == tuple(sorted(photo.digest for photo in lesson.photos))
    assert facts.licences == ("CC0-1.0",)
    header = json.loads(one.data[8 : 8 + int.from_bytes(one.data[:8], "little")])
    assert list(header["__metadata__"]) == ["ancestra_look"]


def test_more_steps_learn_the_photographs_better(base, tmp_path):
    lesson = lesson_of(tmp_path, base("StableDiffusionPipeline"), steps=40, batch=4, rank=8, learning_rate=0.02)
    losses = trained(lesson, FolderShelf(tmp_path / "shelf")).losses
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


def test_a_layer_that_is_not_there_is_refused_by_name(base, tmp_path):
    lesson = lesson_of(tmp_path, base("StableDiffusionPipeline"), targets=["to_q", "no_such_layer"])
    with pytest.raises(LookRefused, match="UNet2DConditionModel has no layer named 'no_such_layer'"):
        trained(lesson, FolderShelf(tmp_path / "shelf"))


def test_a_training_that_runs_away_ends_with_what_would_help(base, tmp_path):
    lesson = lesson_of(tmp_path, base("StableDiffusionPipeline"))
    generator = loaded(training_card(lesson.card))

    def spoil(_progress):
        generator.resident.pipeline.unet.conv_out.bias.data.fill_(float("nan"))

    with pytest.raises(LookRefused, match=r"ember: the loss is not a number after 1 steps; lower the learning rate"):
        train(lesson, generator, FolderShelf(tmp_path / "shelf"), tell=spoil)


def test_the_learning_rate_rises_and_falls():
    rates = [rate_at(step, 100) for step in range(100)]
    assert rates.index(max(rates)) in range(3, 6)
    assert rates[0] < 0.25 < max(rates) <= 1.0
    assert 0 < rates[-1] < 0.01
    assert rate_at(0, 1) == 1.0
