import pickle
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.plan.recipe import candidate_id_of, seed_of

STILL = {"role": "text_to_image", "model": "test/stills"}
TWO_WORDINGS = {"text": "the {time} sea", "axes": {"time": ["dawn", "dusk"]}}


def shot(**fields):
    return {"shot": "s", "frames": 17, "handles": 0, "rate": 16, "prompt": TWO_WORDINGS, **fields}


@pytest.fixture(scope="session")
def make_space(make_plan):
    def make(candidates=10, inputs=((),), prompt=TWO_WORDINGS, **stage):
        plan = make_plan(stages={"still": {**STILL, "candidates": candidates, **stage}}, shots=[shot(prompt=prompt)])
        return plan.shot("s").stage("still").space(0, inputs)

    return make


def test_ten_million_candidates_cost_no_memory(make_space):
    tracemalloc.start()
    space = make_space(10_000_000)
    assert len(space) == 10_000_000
    assert space[9_999_999].index == 4_999_999
    space.id_of(5_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_hundred_thousand_shots_are_planned_when_asked_for(make_batch, cards):
    from ancestra_farm.plan.plan import Plan

    shots = [shot(shot=f"s{n:06}") for n in range(100_000)]
    plan = Plan.of(make_batch(stages={"still": {**STILL, "candidates": 10_000}}, shots=shots), cards)
    assert len(plan.shots) == 100_000
    assert plan.shot("s099999").stage("still").space(0, ((),))[3].shot == "s099999"
    assert sum("stages" in vars(planned) for planned in plan.shots) == 1


def test_positions_run_through_inputs_then_wordings_then_indices(make_space):
    space = make_space(candidates=5, inputs=(("a",), ("b",), ("c",)))
    seen = [(recipe.index, recipe.prompt, recipe.parents) for recipe in space]
    wordings = ["the dawn sea", "the dusk sea"]
    expected = [(row // 2, wordings[row % 2], (parent,)) for row in range(5) for parent in "abc"]
    assert seen == expected
    assert [space.variant_count(0), space.variant_count(1)] == [3, 2]


@settings(max_examples=60)
@given(
    candidates=st.integers(1, 40),
    inputs=st.lists(st.text("abcdef0", min_size=1, max_size=4), unique=True, max_size=5),
    draft=st.booleans(),
)
def test_every_position_has_its_own_recipe_and_the_fast_id_is_the_slow_one(make_space, candidates, inputs, draft):
    changes = {"draft": {"promote": 0.5, "size": [48, 32]}} if draft else {}
    space = make_space(candidates, tuple((parent,) for parent in inputs), **changes)
    ids = set()
    for n in range(len(space)):
        for rung in ("draft", "full") if draft else ("full",):
            recipe = space.recipe(n, rung)
            assert recipe.candidate_id == space.id_of(n, rung) == candidate_id_of(recipe)
            assert recipe.seed == seed_of(0, "s", "still", segment=0, variant=recipe.variant, index=recipe.index)
            assert 0 <= recipe.seed < 2**63
            ids.add(recipe.candidate_id)
    assert len(ids) == candidates * len(inputs) * (1 + draft)


def test_a_space_without_inputs_is_empty(make_space):
    space = make_space(candidates=5, inputs=())
    assert len(space) == 0
    assert list(space) == []
    with pytest.raises(IndexError):
        space.id_of(0)


@pytest.mark.parametrize("position", [10, -11, 10**9])
def test_a_position_outside_says_so(make_space, position):
    with pytest.raises(IndexError, match="outside a space of 10 candidates"):
        make_space(candidates=10)[position]


def test_negative_positions_count_from_the_end(make_space):
    space = make_space(candidates=10)
    assert space[-1] == space[9]


def test_a_rung_that_the_stage_has_not_is_an_error(make_space):
    with pytest.raises(KeyError):
        make_space().recipe(0, "draft")


def test_a_space_travels_in_a_few_hundred_bytes_and_is_the_same_there(make_space):
    space = make_space(10_000_000)
    space[5]
    travelled = pickle.dumps(space)
    assert len(travelled) < 2000
    there = pickle.loads(travelled)
    assert there == space
    assert hash(there) == hash(space)
    assert there[123_456] == space[123_456]


def test_a_recipe_can_be_changed_by_nobody_for_others(make_space):
    space = make_space()
    space[0].parameters["steps"] = 99
    assert space[0].parameters["steps"] == 20


def test_a_draft_has_the_seed_of_its_full_one_and_an_id_parameters_and_size_of_its_own(make_space):
    space = make_space(draft={"promote": 0.5, "size": [48, 32], "parameters": {"strength": 0.5}})
    draft, full = space.recipe(3, "draft"), space.recipe(3)
    assert draft.seed == full.seed
    assert draft.candidate_id != full.candidate_id
    assert (draft.size, full.size) == ((48, 32), (96, 64))
    assert draft.parameters == {"steps": 4, "strength": 0.5}
    assert full.parameters == {"steps": 20, "strength": 1.0}


def test_giving_a_stage_drafts_re_makes_no_full_candidate(make_space):
    with_drafts = make_space(draft={"promote": 0.5})
    assert with_drafts.id_of(3) == make_space().id_of(3)


def test_drafts_stay_cheap_when_a_stage_asks_for_dear_finals(make_space):
    space = make_space(parameters={"steps": 30}, draft={"promote": 0.5})
    assert space.recipe(0, "full").parameters["steps"] == 30
    assert space.recipe(0, "draft").parameters["steps"] == 4  # what the card says of drafts
    space = make_space(parameters={"steps": 30}, draft={"promote": 0.5, "parameters": {"steps": 6}})
    assert space.recipe(0, "draft").parameters["steps"] == 6
