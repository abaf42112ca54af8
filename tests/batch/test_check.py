import copy
import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.batch import BatchRefused, ModelCard, checked_text
from ancestra_farm.batch.check import check_batch
from ancestra_farm.batch.document import read_file, read_text
from ancestra_farm.batch.load import locate_batch
from ancestra_farm.batch.schema import Batch
from ancestra_farm.plan.plan import Plan
from tests.batch.catalogue import CARDS, FILTERS, SCORES
from tests.batch.test_jobs import FILES

STILL = {"role": "text_to_image", "model": "procedural/stills", "candidates": 100}
ANIMATE = {"role": "image_to_video", "model": "procedural/clips", "from": "still", "best": 2, "candidates": 4}
SHOT = {"shot": "a", "frames": 24, "prompt": {"text": "the sea"}}


def batch(**parts):
    return {"schema": "ancestra/v1", "batch": "b", "show": "s", "stages": {"still": STILL}, "shots": [SHOT], **parts}


def problems(value, cards=CARDS):
    """Each problem as ``path: message``."""
    document = read_text(json.dumps(value), "a.yaml")
    located = locate_batch(document)
    return [f"{one.path}: {one.message}" for one in [*located.problems, *check_batch(located, cards, FILTERS, SCORES)]]


def card(**changes):
    plain = CARDS["procedural/clips"].model_dump(by_alias=True)
    return ModelCard.model_validate({**plain, "id": "test/clips", **changes})


# ---- what one shot changes ------------------------------------------------------------------------------------------


def test_a_shots_change_is_blamed_where_it_is_written():
    shot = {**SHOT, "stages": {"still": {"keep": 500, "parameters": {"strength": 2}, "filters": {"blurr": False}}}}

    assert problems(batch(shots=[shot])) == [
        "shots[0].stages.still.parameters.strength: 2 is too large; the most is 1",
        "shots[0].stages.still.filters.blurr: there is no filter 'blurr'",
        "shots[0].stages.still.keep: keep 500 can never be reached with 100 candidates",
    ]


def test_a_fault_of_the_batch_is_said_once_however_many_shots_change_the_stage():
    still = {**STILL, "parameters": {"speed": 1}}
    shots = [{**SHOT, "shot": name, "stages": {"still": {"parameters": {"strength": 0.1}}}} for name in "abc"]

    assert problems(batch(stages={"still": still}, shots=shots)) == [
        "stages.still.parameters.speed: procedural/stills has no parameter 'speed'"
    ]


def test_a_shot_changes_parameters_and_filters_name_by_name():
    still = {**STILL, "parameters": {"strength": 0.2, "fault_rate": 0.1}, "filters": {"blur": False}}
    shot = {**SHOT, "stages": {"still": {"parameters": {"strength": 0.9}, "filters": {"black": False}}}}
    read = Batch.model_validate(batch(stages={"still": still}, shots=[shot]))

    merged = read.stage_of(read.shots[0], "still")

    assert merged.parameters == {"strength": 0.9, "fault_rate": 0.1}
    assert merged.filters == {"blur": False, "black": False}


def test_a_shot_with_another_model_starts_from_that_models_own_parameters():
    still = {**STILL, "parameters": {"strength": 0.2}}
    shot = {**SHOT, "stages": {"still": {"model": "other/stills"}}}
    read = Batch.model_validate(batch(stages={"still": still}, shots=[shot]))

    assert read.stage_of(read.shots[0], "still").parameters == {}


def test_a_shot_cannot_change_what_is_not_there_or_what_it_skips():
    shot = {**SHOT, "skip": ["animate", "upscal"], "stages": {"animate": {"best": 1}, "stil": {"keep": 3}}}

    assert problems(batch(stages={"still": STILL, "animate": ANIMATE}, shots=[shot])) == [
        "shots[0].skip[1]: there is no stage 'upscal'",
        "shots[0].stages.animate: the shot skips animate, and changes it too",
        "shots[0].stages.stil: there is no stage 'stil'",
    ]


def test_a_shot_that_skips_everything_is_refused():
    shot = {**SHOT, "skip": ["still", "animate"]}

    assert problems(batch(stages={"still": STILL, "animate": ANIMATE}, shots=[shot])) == [
        "shots[0].skip: the shot skips every stage"
    ]


# ---- counts, budget, names ------------------------------------------------------------------------------------------


def test_keep_counts_over_all_inputs():
    keeps = {**ANIMATE, "keep": 8}

    assert problems(batch(stages={"still": STILL, "animate": keeps})) == []
    assert problems(batch(stages={"still": STILL, "animate": {**keeps, "keep": 9}})) == [
        "stages.animate.keep: keep 9 can never be reached with 4 candidates of each of at most 2 inputs"
    ]


def test_a_budget_suffices_that_covers_the_earliest_stop():
    stages = {"still": {**STILL, "keep": 10}}

    assert problems(batch(stages=stages, budget={"candidates": 10})) == []
    assert problems(batch(stages=stages, budget={"candidates": 9})) == [
        "budget.candidates: the budget of 9 candidates is smaller than what the shots ask for, at least 10"
    ]


def test_names_that_only_differ_in_case_are_refused():
    assert problems(batch(shots=[SHOT, {**SHOT, "shot": "A"}])) == [
        "shots[1].shot: 'A' differs from 'a' only in upper and lower case"
    ]


def test_best_needs_inputs():
    assert problems(batch(stages={"still": {**STILL, "best": 3}})) == [
        "stages.still.best: best chooses among inputs, and this stage has none"
    ]


# ---- cards ----------------------------------------------------------------------------------------------------------


def test_an_upscale_of_stills_makes_stills():
    both = card(id="test/upscale", roles=("upscale",))
    upscale = {"role": "upscale", "model": "test/upscale", "from": "still", "candidates": 1}
    stages = {"still": STILL, "upscale": upscale, "animate": {**ANIMATE, "from": "upscale"}}

    assert problems(batch(stages=stages), {**CARDS, "test/upscale": both}) == []


def test_a_guide_that_a_stage_takes_is_good():
    guided = card(guides=("depth",))
    stages = {"still": STILL, "animate": {**ANIMATE, "model": "test/clips"}}
    shot = {**SHOT, "guides": [{"kind": "depth", "source": "depth/a.exr"}]}

    assert problems(batch(stages=stages, shots=[shot]), {**CARDS, "test/clips": guided}) == []


def test_a_draft_is_cheaper_by_the_card_by_parameters_or_by_size():
    def with_draft(**draft):
        return problems(batch(stages={"still": {**STILL, "draft": {"promote": 0.5, **draft}}}))

    assert with_draft(size=[128, 64]) == []
    assert with_draft(parameters={"strength": 0.1}) == []
    assert with_draft(parameters={"strenght": 0.1}) == [
        "stages.still.draft.parameters.strenght: procedural/stills has no parameter 'strenght'"
    ]
    assert with_draft(size=[128, 100])[0].startswith("stages.still.draft.size: 128 × 100 is no size of")


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_the_nearest_sizes_are_good_ones_and_a_good_one_is_nearest_to_itself(width, height):
    grid = CARDS["procedural/stills"].sizes

    near = grid.nearest(width, height)

    assert near
    assert all(grid.accepts(*size) for size in near)
    assert not grid.accepts(width, height) or near == ((width, height),)


def test_a_look_weight_means_nothing_without_a_look():
    assert problems(batch(stages={"still": {**STILL, "look_weight": 0.5}})) == [
        "stages.still.look_weight: look_weight without a look"
    ]


def test_an_mp4_has_even_sides():
    odd = card(sizes={"multiple_of": 1, "min": 64, "max": 512, "default": (255, 143)})
    stages = {"still": STILL, "animate": {**ANIMATE, "model": "test/clips", "size": [255, 144]}}

    found = problems(batch(stages=stages, deliver={"stage": "animate"}), {**CARDS, "test/clips": odd})

    assert found == ["stages.animate.size: 255 × 144 cannot be delivered as MP4, which takes even sizes only"]


@settings(max_examples=150, deadline=None)
@given(
    frames=st.integers(1, 400),
    handles=st.integers(0, 20),
    rate=st.sampled_from(["24", "25", "24000/1001", "60", "16"]),
    roles=st.sampled_from(
        [("text_to_video",), ("image_to_video",), ("image_to_video", "extend"), ("text_to_video", "extend")]
    ),
    longest=st.integers(5, 90),
    overlap=st.none() | st.integers(1, 50),
)
def test_a_length_is_refused_here_exactly_where_the_plan_cannot_make_it(frames, handles, rate, roles, longest, overlap):
    clips = card(roles=roles, frames={"step": 4, "offset": 1, "min": 5, "max": longest})
    cards = {**CARDS, "test/clips": clips}
    first = {"role": roles[0], "model": "test/clips", "candidates": 2}
    if roles[0] == "image_to_video":
        first["from"] = "still"
    if overlap is not None:
        first["overlap_frames"] = overlap
    value = batch(
        rate=rate, handles=handles, stages={"still": STILL, "clip": first}, shots=[{**SHOT, "frames": frames}]
    )

    found = problems(value, cards)
    planned = list(Plan.of(Batch.model_validate(value), cards).problems())

    # an overlap that can never be is refused even where this shot happens to need one segment only
    assert bool(planned) <= bool(found)
    assert bool(found) <= bool(planned) or all(one.startswith("stages.clip.overlap_frames") for one in found)


# ---- anything that can be written -----------------------------------------------------------------------------------

ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        10**30,
        "",
        "x",
        "still",
        "all",
        "{a}",
        "{",
        [],
        {},
        [[]],
        {"a": {"b": 1}},
        ["x", 1],
        [8, 8],
    ]
)


def places(value, path=()):
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_whatever_is_wrong_with_a_batch_is_said_with_its_line_and_nothing_else_happens(data):
    """Some nodes of a good job are replaced, removed or renamed at random."""
    file = data.draw(st.sampled_from(FILES))
    value = copy.deepcopy(read_file(file).value)
    for _ in range(data.draw(st.integers(1, 3))):
        *above, last = data.draw(st.sampled_from([path for path in places(value) if path]))
        holder = value
        for part in above:
            holder = holder[part]
        change = data.draw(st.sampled_from(["replace", "remove", "rename"]))
        if change == "replace":
            holder[last] = copy.deepcopy(data.draw(ODD))
        elif change == "remove":
            del holder[last]
        elif isinstance(holder, dict):
            holder[data.draw(st.sampled_from(["x", last.upper(), "from", "candidates"]))] = holder.pop(last)
        if not value:
            break
    text = yaml.safe_dump(value, sort_keys=False)

    try:
        checked, found = checked_text(text, "a.yaml", CARDS, FILTERS, SCORES), ()
    except BatchRefused as refused:
        checked, found = None, refused.problems

    assert (checked is None) == bool(found)
    assert all(problem.line is not None for problem in found)
    assert not any("nput should" in problem.message for problem in found), "pydantic's own words"
    assert len(set(found)) == len(found)
    assert checked is None or list(Plan.of(checked, CARDS).problems()) == [], "good here, and refused by the plan"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_problem_of_a_refused_job_comes_in_the_order_of_the_file(file):
    text = file.read_text(encoding="utf-8").replace("candidates:", "candidate:").replace("rate: 24", "rate: 23.98")

    with pytest.raises(BatchRefused) as refused:
        checked_text(text, "a.yaml", CARDS, FILTERS, SCORES)

    lines = [problem.line for problem in refused.value.problems]
    assert lines == sorted(lines)
