import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.plan.difference import compare, compare_downstream

STILL = {"role": "text_to_image", "model": "test/stills", "candidates": 1000}
ANIMATE = {"role": "image_to_video", "model": "test/clips", "from": "still", "candidates": 6}


def shot(name="a", text="the sea", **fields):
    return {"shot": name, "frames": 17, "handles": 0, "rate": 16, "prompt": {"text": text}, **fields}


@pytest.fixture(scope="session")
def make(make_plan):
    def make(*shots, still=None, animate=None, **fields):
        stages = {"still": {**STILL, **(still or {})}, "animate": {**ANIMATE, **(animate or {})}}
        return make_plan(stages=stages, shots=list(shots) or [shot()], **fields)

    return make


def test_without_an_earlier_batch_all_is_new(make):
    assert compare(None, make(shot("a"), shot("b"))) == (("a", "still", 0, 1000, 0), ("b", "still", 0, 1000, 0))
    assert compare_downstream(None, make()) == (("a", "animate", 0, 6, 0),)


def test_the_same_batch_again_re_makes_nothing(make):
    assert compare(make(), make()) == (("a", "still", 1000, 0, 0),)
    assert compare_downstream(make(), make()) == (("a", "animate", 6, 0, 0),)


def test_adding_candidates_re_makes_nothing(make):
    assert compare(make(), make(still={"candidates": 1500})) == (("a", "still", 1000, 500, 0),)
    assert compare(make(still={"candidates": 1500}), make()) == (("a", "still", 1000, 0, 500),)


def test_adding_a_wording_re_makes_nothing_of_the_first(make):
    two = make(shot(text=["the sea", "the sky"]), still={"candidates": 2000})
    assert compare(make(), two) == (("a", "still", 1000, 1000, 0),)


def test_a_wording_in_the_same_number_of_candidates_takes_its_share(make):
    assert compare(make(), make(shot(text=["the sky", "the sea"]))) == (("a", "still", 500, 500, 500),)


def test_adding_and_removing_shots_touches_no_other(make):
    assert compare(make(shot("a"), shot("b")), make(shot("c"), shot("a"))) == (
        ("c", "still", 0, 1000, 0),
        ("a", "still", 1000, 0, 0),
        ("b", "still", 0, 0, 1000),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"size": [128, 64]},
        {"still": {"model": "test/other-stills"}},
        {"still": {"parameters": {"steps": 9}}},
    ],
    ids=str,
)
def test_changing_seed_size_model_or_parameters_re_makes_the_stage(make, change):
    assert compare(make(), make(**change)) == (("a", "still", 0, 1000, 1000),)


def test_changing_the_words_re_makes_the_shot(make):
    assert compare(make(), make(shot(text="the land"))) == (("a", "still", 0, 1000, 1000),)
    assert compare_downstream(make(), make(shot(text="the land"))) == (("a", "animate", 0, 6, 6),)


def test_what_follows_is_kept_unless_its_own_recipe_changed(make):
    assert compare_downstream(make(), make(still={"parameters": {"steps": 9}})) == (("a", "animate", 6, 0, 0),)
    longer = make(shot(frames=25))
    assert compare_downstream(make(), longer) == (("a", "animate", 0, 6, 6),)
    assert compare(make(), longer) == (("a", "still", 1000, 0, 0),)


def test_a_skipped_stage_drops_what_it_had(make):
    assert compare_downstream(make(), make(shot(skip=["animate"]))) == (("a", "animate", 0, 0, 6),)


def test_a_keyframed_shot_made_longer_keeps_the_keys_it_had(make_plan):
    def keyed(frames):
        move = {"role": "first_last_frame", "model": "test/clips", "from": "still", "candidates": 6}
        return make_plan(stages={"still": STILL, "move": move}, shots=[shot(frames=frames)])

    assert compare(keyed(33), keyed(40)) == (("a", "still", 2000, 1000, 0),)


def test_ten_million_candidates_are_compared_by_their_counts(make):
    old, new = make(still={"candidates": 9_000_000}), make(still={"candidates": 10_000_000})
    assert compare(old, new) == (("a", "still", 9_000_000, 1_000_000, 0),)


def test_unchanged_shots_are_counted_alike_whether_or_not_another_shot_changed(make):
    old = make(shot("a"), shot("b", frames=75))
    assert compare(old, make(shot("a", frames=18), shot("b", frames=75))) == compare(old, old)
    everything_else_new = make(shot("a"), shot("b", frames=75), handles=3, owner="somebody")
    assert compare(old, everything_else_new) == compare(old, old)
    assert compare_downstream(old, everything_else_new) == compare_downstream(old, old)


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6),
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6),
    st.integers(1, 30),
    st.integers(1, 30),
)
def test_the_counts_are_those_of_the_sets_of_ids(make, old_words, new_words, old_count, new_count):
    old = make(shot(text=old_words), still={"candidates": old_count})
    new = make(shot(text=new_words), still={"candidates": new_count})

    def ids(plan):
        space = plan.shots[0].stage("still").space(0, ((),))
        return {space.id_of(n) for n in range(len(space))}

    had, has = ids(old), ids(new)
    assert compare(old, new) == (("a", "still", len(had & has), len(has - had), len(had - has)),)
