import subprocess
import sys

import numpy as np
import pytest

from ancestra_farm.models.build import build_generator
from ancestra_farm.models.protocol import Aborted, OutOfMemory
from tests.models.recipes import CARDS, SMALL, frames_of, recipe

PROMPTS = {
    "ocean": "the ocean from a helicopter",
    "tissue": "descent through tissue into the womb",
    "petals": "light breaking like petals",
    "cells": "membranes and cells",
    "stars": "stars and dust",
}


@pytest.fixture
def stills():
    return build_generator(CARDS["procedural/stills"])


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_a_picture_comes_from_its_recipe_alone_bit_for_bit(prompt):
    wanted = recipe(seed=7, prompt=prompt)
    assert np.array_equal(frames_of(wanted), frames_of(wanted))


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("size", [(64, 64), (256, 144), (512, 512)])
def test_every_subject_is_made_at_every_size(prompt, size):
    frames = frames_of(recipe(seed=11, prompt=prompt, size=size))
    assert frames.shape == (1, size[1], size[0], 3)
    assert frames.dtype == np.uint8
    assert frames.std() > 5


def test_neighbours_never_change_a_picture(stills):
    wanted = [recipe(seed=seed, prompt=prompt) for seed, prompt in enumerate([*PROMPTS.values(), *PROMPTS.values()])]
    forward = {made.recipe.seed: made.frames for made in stills.generate(wanted, {}, lambda: False)}
    backward = {made.recipe.seed: made.frames for made in stills.generate(wanted[::-1], {}, lambda: False)}
    for one in wanted:
        assert np.array_equal(forward[one.seed], backward[one.seed])
        assert np.array_equal(forward[one.seed], frames_of(one))


def test_another_process_makes_the_same_picture():
    code = (
        "import hashlib; from tests.models.recipes import *\n"
        "print(hashlib.sha256(frames_of(recipe(seed=5, prompt='cells and stars at sea')).tobytes()).hexdigest())"
    )
    digests = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in "ab"
    }
    assert len(digests) == 1


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_seeds_give_different_pictures(prompt):
    pictures = [frames_of(recipe(seed=seed, prompt=prompt))[0].astype(np.float32) for seed in range(8)]
    apart = [np.abs(a - b).mean() for at, a in enumerate(pictures) for b in pictures[:at]]
    assert min(apart) > 4


def test_words_change_the_light_of_the_same_seed():
    night, day = (frames_of(recipe(seed=3, prompt=f"the ocean at {light}")) for light in ("night", "noon"))
    assert day.mean() > night.mean() + 30
    red, blue = (frames_of(recipe(seed=3, prompt=f"{tint} cells")).mean(axis=(0, 1, 2)) for tint in ("crimson", "blue"))
    assert red[0] - red[2] > blue[0] - blue[2] + 20


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_clean_pictures_are_neither_black_nor_burnt_out(prompt):
    for seed in range(24):
        picture = frames_of(recipe(seed=seed, prompt=prompt, size=(64, 64)))
        luma = picture.mean(axis=3)
        assert np.quantile(luma, 0.99) > 60
        assert (picture.min(axis=3) >= 254).mean() < 0.15


def test_a_still_restyled_from_its_parent_keeps_its_shapes():
    parent = frames_of(recipe(seed=1, prompt="light breaking like petals"))
    child = recipe(
        seed=2, role="image_to_image", prompt="crimson light breaking like petals", parents=("p",), strength=0.4
    )
    made, stranger = frames_of(child, {"p": parent}), frames_of(recipe(seed=2, prompt=child.prompt))

    def likeness(a, b):
        return np.corrcoef(a.mean(axis=3).ravel(), b.mean(axis=3).ravel())[0, 1]

    assert likeness(made, parent) > likeness(made, stranger)
    untouched = recipe(seed=2, role="image_to_image", parents=("p",), strength=0.0)
    assert np.array_equal(frames_of(untouched, {"p": parent}), parent)


def test_a_role_the_card_lacks_is_refused():
    with pytest.raises(ValueError, match="procedural/stills has no role upscale"):
        frames_of(recipe(role="upscale"))


def test_a_missing_parent_is_named():
    with pytest.raises(ValueError, match="needs frames of abc"):
        frames_of(recipe(role="image_to_image", parents=("abc",)))


def until_it_raises(stream, made):
    """Takes candidates one by one, noting the seeds of those that came before an exception."""
    for one in stream:
        made.append(one.recipe.seed)


def test_an_abort_keeps_what_was_made_before(stills):
    made = []
    with pytest.raises(Aborted):
        until_it_raises(stills.generate([recipe(seed=s) for s in range(4)], {}, lambda: len(made) == 2), made)
    assert made == [0, 1]


def test_an_abort_ends_a_waiting_candidate(stills):
    asked = iter([False, False, True])
    with pytest.raises(Aborted):
        next(iter(stills.generate([recipe(delay_s=3000.0)], {}, lambda: next(asked))))


def test_an_abort_ends_a_clip_between_frames():
    asked = iter([False, False, False, True])
    clips = build_generator(CARDS["procedural/clips"])
    with pytest.raises(Aborted):
        next(iter(clips.generate([recipe(role="text_to_video", frames=81)], {}, lambda: next(asked))))


def test_an_exception_is_that_of_the_candidate_after_the_last_one_made(stills):
    made = []
    with pytest.raises(RuntimeError, match="seed 3 fails on purpose"):
        until_it_raises(stills.generate([recipe(seed=s, fail_modulo=3) for s in (1, 2, 3, 4)], {}, lambda: False), made)
    assert made == [1, 2]


def test_a_batch_above_the_limit_is_out_of_memory(stills):
    many = [recipe(seed=seed, oom_above=2) for seed in range(3)]
    with pytest.raises(OutOfMemory, match="2 do"):
        next(iter(stills.generate(many, {}, lambda: False)))
    assert len(list(stills.generate(many[:2], {}, lambda: False))) == 2


def test_a_crash_ends_the_process_at_once():
    code = "from tests.models.recipes import *\nframes_of(recipe(seed=4, crash_modulo=2))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 70


def test_a_hang_is_never_left_by_itself():
    code = "from tests.models.recipes import *\nprint('up', flush=True)\nframes_of(recipe(seed=4, hang_modulo=2))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        process.kill()


def test_setup_and_close_need_nothing(stills):
    stills.setup()
    assert frames_of(recipe(size=SMALL)).shape == (1, 80, 128, 3)
    stills.close()
