import numpy as np
import pytest

from tests.models.recipes import frames_of, recipe, steps

SEA, WOMB, PETALS = "the ocean, flying forward", "spiral descent into the womb", "light opening like petals"
FILM = pytest.mark.parametrize("prompt", [SEA, WOMB, PETALS, "cells drifting", "stars, push in"])


@pytest.fixture(scope="module")
def still():
    return frames_of(recipe(seed=3))


def animated(still, seed=5, prompt=SEA, frames=33, **more):
    return frames_of(
        recipe(seed=seed, role="image_to_video", prompt=prompt, frames=frames, parents=("s",), **more), {"s": still}
    )


@FILM
def test_a_clip_from_a_picture_begins_with_it_bit_for_bit_and_moves(prompt):
    still = frames_of(recipe(seed=3, prompt=prompt))
    clip = animated(still, prompt=prompt)
    assert clip.shape == (33, *still.shape[1:])
    assert np.array_equal(clip[0], still[0])
    moved = steps(clip)
    assert moved.min() > 0.1
    # No frame stands out: the step into the second frame is like all the others.
    assert moved.max() < 3 * np.median(moved)


def test_a_parent_of_another_size_is_fitted(still):
    clip = animated(still, size=(64, 64), frames=5)
    assert clip.shape == (5, 64, 64, 3)


def test_a_parent_with_float_frames_counts_as_its_display_values(still):
    assert np.array_equal(animated(still.astype(np.float32) / 255.0, frames=5), animated(still, frames=5))


def test_seeds_move_a_picture_differently(still):
    assert not np.array_equal(animated(still, seed=5)[-1], animated(still, seed=6)[-1])


@FILM
@pytest.mark.parametrize("context", [1, 4, 9])
def test_a_chained_segment_repeats_its_context_and_goes_on_at_the_same_speed(prompt, context):
    first = animated(frames_of(recipe(seed=3, prompt=prompt)), prompt=prompt)
    again = recipe(seed=9, role="image_to_video", prompt=prompt, frames=33, parents=("c",), context=context)
    second = frames_of(again, {"c": first})
    assert len(second) == 33
    assert np.array_equal(second[:context], first[-context:])
    moved = steps(np.concatenate([first, second[context:]]))
    joint = len(first) - 1
    before, after = np.median(moved[joint - 8 : joint]), np.median(moved[joint : joint + 8])
    assert 0.5 < after / before < 2.0
    assert moved[joint] < 2.0 * max(before, after)


def test_extend_and_text_to_video_go_on_from_a_clip():
    first = frames_of(recipe(seed=3, role="text_to_video", frames=17, prompt=SEA))
    assert steps(first).min() > 0.1
    for role in ("extend", "text_to_video"):
        more = frames_of(recipe(seed=4, role=role, frames=17, prompt=SEA, parents=("c",), context=5), {"c": first})
        assert np.array_equal(more[:5], first[-5:])
        assert steps(more[4:]).min() > 0.1


def test_a_context_longer_than_the_parent_is_refused(still):
    with pytest.raises(ValueError, match="a context of 4 frames needs a parent of as many; this one has 1"):
        animated(still, context=4)


@FILM
def test_a_clip_between_two_pictures_begins_and_ends_on_them(prompt):
    first, last = (frames_of(recipe(seed=seed, prompt=prompt)) for seed in (3, 8))
    wanted = recipe(seed=5, role="first_last_frame", prompt=prompt, frames=33, parents=("a", "b"))
    clip = frames_of(wanted, {"a": first, "b": last})
    assert np.array_equal(clip[0], first[0])
    assert np.array_equal(clip[-1], last[0])
    whole = np.abs(first.astype(np.float32) - last).mean()
    assert steps(clip).max() < 0.5 * whole


def test_a_first_last_frame_needs_two_pictures(still):
    with pytest.raises(ValueError, match="two pictures"):
        frames_of(recipe(role="first_last_frame", frames=5, parents=("a",)), {"a": still})


def test_image_to_video_without_a_picture_is_refused():
    with pytest.raises(ValueError, match="starts from a parent"):
        frames_of(recipe(role="image_to_video", frames=5))


@FILM
def test_a_clip_from_words_moves_without_jumps(prompt):
    moved = steps(frames_of(recipe(seed=2, role="text_to_video", frames=17, prompt=prompt)))
    assert moved.min() > 0.1
    assert moved.max() < 3 * np.median(moved)


def test_more_motion_moves_more(still):
    slow, fast = (steps(animated(still, prompt=WOMB, motion=motion)).mean() for motion in (0.25, 3.0))
    assert fast > slow
