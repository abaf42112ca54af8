import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.models.embedded.words import (
    HEIGHTS,
    LIGHTS,
    MOTIONS,
    SUBJECTS,
    TINTS,
    TOKENS,
    Facts,
    caption_of,
    facts_of,
    lights_of,
    motions_of,
    some_facts,
    vocabulary,
    words_of,
)

FACTS = st.builds(
    Facts,
    subject=st.sampled_from(SUBJECTS),
    light=st.none() | st.sampled_from(LIGHTS),
    height=st.none() | st.sampled_from(HEIGHTS),
    tint=st.none() | st.sampled_from(TINTS),
    motion=st.none() | st.sampled_from(MOTIONS),
)


@given(FACTS, st.integers(0, 2**32))
def test_a_caption_says_its_facts_and_no_others(facts, seed):
    assert facts_of(caption_of(facts, np.random.default_rng(seed))) == facts


@given(FACTS, st.integers(0, 2**32))
def test_every_word_of_a_caption_is_in_the_vocabulary_and_it_is_not_cut(facts, seed):
    words = words_of(caption_of(facts, np.random.default_rng(seed)))
    assert set(words) <= set(vocabulary())
    assert len(words) < TOKENS


def test_no_word_means_two_things():
    said = [facts_of(word) for word in vocabulary()]
    meanings = [sum(fact is not None for fact in (f.subject, f.light, f.height, f.tint, f.motion)) for f in said]
    assert max(meanings) == 1
    assert len(vocabulary()) == len(set(vocabulary())) <= 250


def test_poetic_words_mean_what_plain_ones_do():
    assert facts_of("sunrise over the swells, golden, climbing") == Facts("sea", "dawn", None, "amber", "rise")
    assert facts_of("the womb, through vessels, swirling") == Facts("tissue", None, None, None, "spiral")


def test_the_word_said_most_is_the_subject():
    assert facts_of("a flower like the sea, petals of light").subject == "petals"


def test_facts_of_renders_go_together():
    for seed in range(300):
        facts = some_facts(np.random.default_rng(seed))
        assert facts.light in lights_of(facts.subject)
        assert facts.motion in motions_of(facts.subject)
