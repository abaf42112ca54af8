import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.models.procedural.words import SUBJECTS, direction_of


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [
        ("the ocean seen from a helicopter at dawn", "ocean"),
        ("the descent through layers of tissue into the womb", "tissue"),
        ("light breaking like petals", "petals"),
        ("translucent membranes dividing, a nucleus in each cell", "cells"),
        ("dust between the stars", "stars"),
        ("Dawn light on a wine-dark sea, waves to the horizon", "ocean"),
    ],
)
def test_the_films_images_are_recognised(prompt, subject):
    assert direction_of(prompt).subject == subject


def test_words_say_light_tint_height_energy_and_motion():
    said = direction_of("a calm crimson sea at dusk, low over the water, drifting left and pushing forward")
    assert (said.light, said.height, said.energy) == ("dusk", -1.0, 0.1)
    assert said.tint == (350, 0.9)
    assert "push_in" in said.moves
    assert "drift_left" in said.moves
    assert "drift_right" not in said.moves


def test_a_storm_at_dusk_is_lit_by_the_dusk():
    said = direction_of("a stormy sea at dusk")
    assert (said.light, said.energy) == ("dusk", 1.0)


def test_poetic_synonyms_and_pairs_of_words_count():
    assert direction_of("sea at first light").light == "dawn"
    assert direction_of("sea in the gloaming").light == "dusk"
    assert direction_of("a wine-dark sea").tint == (330, 0.7)


def test_what_the_words_leave_open_stays_open():
    said = direction_of("ocean")
    assert (said.light, said.tint, said.height, said.energy) == (None, None, None, None)


@given(st.text(max_size=200))
def test_any_prompt_has_a_direction_and_always_the_same(prompt):
    said = direction_of(prompt)
    assert said.subject in SUBJECTS
    assert said.moves
    assert direction_of.__wrapped__(prompt) == said
