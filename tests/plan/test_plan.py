from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestra_farm.plan.frames import frames_reached, source_position
from ancestra_farm.plan.plan import Plan, PlanRefused, StitchLengths
from ancestra_farm.plan.variants import variants_of

STILL = {"role": "text_to_image", "model": "test/stills", "candidates": 10}


def clips(role="image_to_video", model="test/clips", source="still", **more):
    return {"role": role, "model": model, "candidates": 6, **({"from": source} if source else {}), **more}


def shot(**fields):
    return {"shot": "s", "frames": 17, "handles": 0, "rate": 16, "prompt": {"text": "the sea"}, **fields}


@pytest.fixture(scope="session")
def plan_shot(make_plan):
    """The one shot of a batch with these stages; keywords are fields of the shot."""

    def make(stages_, deliver=None, **fields):
        plan = make_plan(stages=stages_, shots=[shot(**fields)], **({"deliver": deliver} if deliver else {}))
        return plan.shot("s")

    return make


def frames_of(stage):
    return [(segment.frames, segment.context_frames) for segment in stage.segments]


# ---- documents -------------------------------------------------------------------------------------------------------


def test_a_plan_from_the_log_is_the_plan_that_was_submitted(make_plan, cards):
    stages = {"still": STILL, "b": clips(), "a": clips(), "up": {**clips("upscale", "test/any-length", "b")}}
    axes = {"z": ["1", "2"], "a": ["3"], "m": ["4", "5", "6"]}
    plan = make_plan(stages=stages, shots=[shot(prompt={"text": "{m} {z} {a}", "axes": axes})])
    read = Plan.from_documents(plan.document, plan.card_documents)
    assert read.digest == plan.digest
    assert set(read.cards) == {"test/stills", "test/clips", "test/any-length"}
    assert [stage.name for stage in read.shots[0].stages] == ["still", "a", "b", "up"]
    for ours, theirs in zip(plan.shots[0].stages, read.shots[0].stages, strict=True):
        inputs = ((),) if ours.source is None else (("x",),)
        assert list(ours.space(0, inputs)) == list(theirs.space(0, inputs))
        assert (ours.segments, ours.consumers, ours.variants) == (theirs.segments, theirs.consumers, theirs.variants)


def test_the_digest_covers_batch_and_cards(make_batch, cards):
    batch = make_batch()
    plan = Plan.of(batch, cards)
    assert Plan.of(make_batch(seed=1), cards).digest != plan.digest
    other = {**cards, "test/stills": cards["test/stills"].model_copy(update={"dtype": "float16"})}
    assert Plan.of(batch, other).digest != plan.digest
    without_unused = {model: cards[model] for model in ("test/stills", "test/clips")}
    assert Plan.of(batch, without_unused).digest == plan.digest


def test_a_model_without_a_card_is_named(make_batch, cards):
    with pytest.raises(PlanRefused, match="no model card for test/clips"):
        Plan.of(make_batch(), {"test/stills": cards["test/stills"]})


def test_an_unknown_shot_or_stage_is_a_key_error(make_plan):
    plan = make_plan()
    with pytest.raises(KeyError):
        plan.shot("nowhere")
    with pytest.raises(KeyError):
        plan.shots[0].stage("nothing")


# ---- shots and stages ------------------------------------------------------------------------------------------------


def test_a_shot_takes_rate_and_handles_of_its_batch_unless_it_has_its_own(make_plan):
    plan = make_plan(
        rate="24000/1001", handles=12, shots=[shot(rate=None, handles=None), shot(shot="t", rate=25, handles=0)]
    )
    first, second = plan.shots
    assert (first.rate, first.handles, first.total_frames) == (Fraction(24000, 1001), 12, 41)
    assert (second.rate, second.handles, second.total_frames) == (Fraction(25), 0, 17)


def test_a_shot_may_change_and_skip_stages(plan_shot):
    planned = plan_shot(
        {"still": STILL, "animate": clips(), "more": clips()},
        skip=["more"],
        stages={"still": {"candidates": 77, "size": [128, 64]}},
    )
    assert [stage.name for stage in planned.stages] == ["still", "animate"]
    assert len(planned.stage("still").space(0, ((),))) == 77
    assert planned.stage("still").space(0, ((),))[0].size == (128, 64)


def test_a_stage_that_starts_from_a_skipped_one_is_refused_by_name(plan_shot):
    with pytest.raises(PlanRefused, match="s/animate: starts from 'still', which is no stage of this shot"):
        _ = plan_shot({"still": STILL, "animate": clips()}, skip=["still"]).stages


def test_stages_in_a_circle_are_refused(plan_shot):
    with pytest.raises(PlanRefused, match=r"circle: (a → b → a|b → a → b)"):
        _ = plan_shot({"a": clips(source="b"), "b": clips(source="a")}).stages


def test_joining_clips_as_if_they_were_stills_is_refused(plan_shot):
    stages = {"still": STILL, "a": clips(), "b": clips("first_last_frame", source="a", join="keyframes")}
    with pytest.raises(PlanRefused, match="first_last_frame joins stills, and a makes clips"):
        _ = plan_shot(stages).stages


def test_problems_names_every_shot_that_cannot_be_made(make_plan):
    plan = make_plan(
        stages={"clip": clips("text_to_video", "test/words-only", None)},
        shots=[shot(shot="a"), shot(shot="b", frames=500), shot(shot="c", prompt={"text": "a {hue} sea"})],
    )
    problems = list(plan.problems())
    assert len(problems) == 2
    assert problems[0].startswith("b/clip: 500 frames need")
    assert problems[1].startswith("c: ")
    assert "hue" in problems[1]


# ---- segments --------------------------------------------------------------------------------------------------------


def test_a_clip_that_fits_is_one_segment(plan_shot):
    animate = plan_shot({"still": STILL, "animate": clips()}, frames=18).stage("animate")
    assert animate.join == "single"
    assert frames_of(animate) == [(21, 0)]
    assert (animate.needed_frames, animate.trim_frames, animate.overlap_frames) == (18, 3, 0)


def test_a_long_clip_is_a_chain_whose_segments_begin_with_the_tail_before(plan_shot):
    animate = plan_shot({"still": STILL, "animate": clips()}, frames=75).stage("animate")
    assert animate.join == "chain"
    assert frames_of(animate) == [(33, 0), (29, 8), (29, 8)]
    assert [animate.space(k, (("x",),))[0].role for k in range(3)] == ["image_to_video", "extend", "extend"]
    assert animate.space(1, (("x",),))[0].context_frames == 8


def test_the_stage_says_how_many_frames_segments_share(plan_shot):
    animate = plan_shot({"still": STILL, "animate": clips(overlap_frames=3)}, frames=75).stage("animate")
    assert animate.overlap_frames == 3
    assert [context for _, context in frames_of(animate)] == [0, 3, 3]


def test_a_model_that_starts_from_a_picture_shares_one_frame(plan_shot):
    stages = {"still": STILL, "animate": clips(model="test/from-a-picture")}
    animate = plan_shot(stages, frames=60).stage("animate")
    assert [context for _, context in frames_of(animate)] == [0, 1]
    assert animate.space(1, (("x",),))[0].role == "image_to_video"
    wider = {"still": STILL, "animate": clips(model="test/from-a-picture", overlap_frames=8)}
    with pytest.raises(PlanRefused, match="segments share 1 frame, not 8"):
        _ = plan_shot(wider, frames=60).stages


def test_a_model_that_cannot_go_on_makes_no_long_clip(plan_shot):
    stages = {"clip": clips("text_to_video", "test/words-only", None)}
    assert plan_shot(stages, frames=33).stage("clip").join == "single"
    with pytest.raises(PlanRefused, match=r"s/clip: 34 frames need 2 segments, but test/words-only cannot go on"):
        _ = plan_shot(stages, frames=34).stages


def test_keyframed_segments_share_their_keys_and_the_stills_are_one_more(plan_shot):
    stages = {"still": STILL, "move": clips("first_last_frame", best=2)}
    planned = plan_shot(stages, frames=75)
    still, move = planned.stages
    assert (still.join, len(still.segments), still.makes_clips) == ("keys", 4, False)
    assert (move.join, move.overlap_frames) == ("keyframes", 1)
    assert frames_of(move) == [(29, 0), (25, 0), (25, 0)]
    seeds = {still.space(k, ((),))[0].seed for k in range(4)}
    assert len(seeds) == 4


def test_one_keyframed_segment_still_wants_two_keys(plan_shot):
    still, move = plan_shot({"still": STILL, "move": clips("first_last_frame")}, frames=17).stages
    assert (len(still.segments), len(move.segments), move.join, move.overlap_frames) == (2, 1, "keyframes", 0)


def test_keys_are_made_from_keys_where_a_still_lies_between(plan_shot):
    better = {"role": "image_to_image", "model": "test/stills", "from": "still", "candidates": 3}
    planned = plan_shot(
        {"still": STILL, "better": better, "move": clips("first_last_frame", source="better")}, frames=40
    )
    assert [len(stage.segments) for stage in planned.stages] == [3, 3, 2]
    assert planned.stage("better").inputs_from((("k0", "k1", "k2"),), 1) == (("k1",),)


def test_an_upscale_follows_its_source_segment_by_segment(plan_shot):
    stages = {"still": STILL, "animate": clips(), "up": clips("upscale", "test/any-length", "animate", size=[192, 128])}
    animate, up = plan_shot(stages, frames=75, rate=24).stages[1:]
    assert frames_of(up) == [(frames, 0) for frames, _ in frames_of(animate)]
    assert (up.overlap_frames, up.rate, up.trim_frames) == (animate.overlap_frames, Fraction(16), animate.trim_frames)
    assert up.join == "keyframes"  # side by side
    assert up.inputs_from((("a", "b"), ("c", "d")), 1) == (("b",), ("d",))


def test_an_upscale_of_a_still_is_a_still(plan_shot):
    up = plan_shot({"still": STILL, "up": clips("upscale", "test/stills")}).stage("up")
    assert not up.makes_clips
    assert frames_of(up) == [(1, 0)]
    assert up.space(0, (("x",),))[0].rate == 1


def test_interpolation_multiplies_frames_and_overlap(plan_shot):
    stages = {"still": STILL, "animate": clips(), "between": clips("interpolate", "test/between", "animate")}
    animate, between = plan_shot(stages, frames=75).stages[1:]
    assert [frames for frames, _ in frames_of(between)] == [97, 85, 85]
    assert (between.overlap_frames, between.rate) == (22, Fraction(48))
    kept = sum(frames for frames, _ in frames_of(between)) - 2 * 22 - between.trim_frames
    assert kept == between.needed_frames
    assert frames_reached(kept, Fraction(16), Fraction(48)) == 75
    assert animate.needed_frames == 75


def test_interpolation_to_a_rate_that_is_no_multiple_is_refused(plan_shot):
    stages = {"still": STILL, "animate": clips(), "between": clips("interpolate", "test/between-25", "animate")}
    with pytest.raises(PlanRefused, match="25 frames per second, which is no whole multiple of the 16"):
        _ = plan_shot(stages).stages


def test_interpolation_to_no_rate_of_its_own_is_to_that_of_the_shot(plan_shot):
    stages = {"still": STILL, "animate": clips(), "between": clips("interpolate", "test/to-any-rate", "animate")}
    between = plan_shot(stages, frames=75, rate=24).stage("between")
    assert (between.needed_frames, between.rate, between.makes_clips) == (75, Fraction(24), True)
    readings = [segment.reading for segment in between.segments]
    assert {reading.step for reading in readings} == {Fraction(2, 3)}
    recipes = [between.space(k, (("x",),))[0] for k in range(len(readings))]
    assert [recipe.reading for recipe in recipes] == readings


def test_a_model_that_reads_no_words_makes_nothing_anew_for_others(plan_shot):
    stages = {"still": STILL, "animate": clips(), "between": clips("interpolate", "test/to-any-rate", "animate")}
    spaces = [
        plan_shot(stages, prompt={"text": text}).stage("between").space(0, (("x",),)) for text in ("a", ["b", "c"])
    ]
    assert [len(space.variants) for space in spaces] == [1, 1]
    assert spaces[0].id_of(0) == spaces[1].id_of(0)


def test_clips_at_the_rate_of_their_shot_already_are_read_frame_by_frame(plan_shot):
    stages = {"still": STILL, "animate": clips(), "between": clips("interpolate", "test/to-any-rate", "animate")}
    animate, between = plan_shot(stages, frames=75, rate=16).stages[1:]
    assert [frames for frames, _ in frames_of(between)] == [frames for frames, _ in frames_of(animate)]
    assert between.trim_frames == animate.trim_frames


@settings(max_examples=100, deadline=None)
@given(
    frames=st.integers(2, 900),
    rate=st.sampled_from([Fraction(24), Fraction(25), Fraction(24000, 1001), Fraction(48), Fraction(12), Fraction(16)]),
    role=st.sampled_from(["image_to_video", "first_last_frame"]),
    overlap=st.none() | st.integers(2, 16),
)
def test_interpolated_segments_show_every_moment_of_the_film_once_where_it_is(plan_shot, frames, rate, role, overlap):
    move = clips(role, **({"overlap_frames": overlap} if overlap and role == "image_to_video" else {}))
    stages = {"still": STILL, "move": move, "then": clips("interpolate", "test/to-any-rate", "move")}
    move, then = plan_shot(stages, frames=frames, handles=0, rate=str(rate)).stages[1:]
    start = source_start = 0  # of this segment, in frames of the film and of its source
    for segment, source in zip(then.segments, move.segments, strict=True):
        for n in (0, segment.frames - 1):
            position = segment.reading.position(n)
            assert 0 <= position <= source.frames - 1
            assert source_start + position == (start + n) * move.rate / rate
        start += segment.frames - then.overlap_frames
        source_start += source.frames - move.overlap_frames
    assert start + then.overlap_frames - then.trim_frames == frames


def test_an_upscale_is_as_large_as_it_says_or_as_its_card_says_or_twice_its_source(plan_shot):
    def sizes(stages):
        return [stage.size for stage in plan_shot(stages).stages[1:]]

    up, four = clips("upscale", "test/any-length", "animate"), clips("upscale", "test/four-times", "still")
    stages = {"still": STILL, "animate": clips(size=[128, 80])}
    assert sizes({**stages, "up": up}) == [(128, 80), (256, 160)]
    assert sizes({**stages, "up": {**up, "size": [192, 120]}}) == [(128, 80), (192, 120)]
    assert sizes({"still": STILL, "up": four}) == [(384, 256)]


def test_an_interpolation_keeps_the_size_of_its_clips_through_any_stages(make_plan):
    up = clips("upscale", "test/any-length", "animate", size=[192, 128])
    stages = {"still": STILL, "animate": clips(), "up": up, "then": clips("interpolate", "test/to-any-rate", "up")}
    plan = make_plan(stages=stages, shots=[shot(rate=24)], size=[96, 64])
    assert [stage.size for stage in plan.shot("s").stages] == [(96, 64), (96, 64), (192, 128), (192, 128)]


def test_an_extension_begins_with_the_end_of_its_parents_last_clip(plan_shot):
    stages = {"still": STILL, "animate": clips(), "on": clips("extend", source="animate", best=1)}
    on = plan_shot(stages, frames=17).stage("on")
    assert frames_of(on) == [(17, 8)]
    assert on.inputs_from((("a", "b"), ("c", "d")), 0) == (("b",),)


RATES = st.sampled_from([Fraction(24), Fraction(25), Fraction(30), Fraction(24000, 1001), Fraction(16)])


@settings(max_examples=150, deadline=None)
@given(
    frames=st.integers(1, 2000),
    handles=st.integers(0, 24),
    rate=RATES,
    role=st.sampled_from(["image_to_video", "first_last_frame"]),
    then=st.sampled_from([None, "upscale", "interpolate"]),
    overlap=st.none() | st.integers(1, 16),
)
def test_every_delivery_is_exactly_cut_and_handles(plan_shot, frames, handles, rate, role, then, overlap):
    stages = {"still": STILL, "move": clips(role, **({"overlap_frames": overlap} if overlap else {}))}
    if then:
        stages["then"] = clips(then, "test/any-length" if then == "upscale" else "test/between", "move")
    planned = plan_shot(stages, frames=frames, handles=handles, rate=str(rate))
    lengths = planned.lengths
    assert (lengths.frames, lengths.rate, lengths.handles) == (frames + 2 * handles, rate, handles)
    final = planned.final
    assert all(final.card.frames.accepts(length) for length in lengths.segment_frames)
    joined = sum(lengths.segment_frames) - (len(lengths.segment_frames) - 1) * lengths.overlap_frames
    assert joined - final.trim_frames == final.needed_frames
    assert frames_reached(final.needed_frames, rate, lengths.model_rate) >= lengths.frames
    assert frames_reached(final.needed_frames - 1, rate, lengths.model_rate) < lengths.frames or joined == 1


# ---- inputs ----------------------------------------------------------------------------------------------------------


def test_a_stage_without_source_has_one_input_of_nothing(plan_shot):
    still = plan_shot({"still": STILL}).stage("still")
    assert still.inputs_from(()) == ((),)


def test_stills_become_inputs_best_first_and_no_more_than_best(plan_shot):
    animate = plan_shot({"still": STILL, "animate": clips(best=2)}).stage("animate")
    assert animate.inputs_from((("a",), ("b",), ("c",))) == (("a",), ("b",))
    assert animate.inputs_from(()) == ()


def test_keyframed_segments_take_the_keys_around_them(plan_shot):
    move = plan_shot({"still": STILL, "move": clips("first_last_frame", best=2)}, frames=40).stage("move")
    chains = (("a0", "a1", "a2"), ("a0", "a1", "b2"), ("c0", "c1", "c2"))
    assert move.inputs_from(chains, 0) == (("a0", "a1"),)  # both chains begin with the same pair
    assert move.inputs_from(chains, 1) == (("a1", "a2"), ("a1", "b2"))
    with pytest.raises(ValueError, match="s/move: a chain of still has no part for segment 1"):
        move.inputs_from((("a0", "a1"),), 1)


# ---- what is delivered -----------------------------------------------------------------------------------------------


def test_the_last_stage_that_makes_clips_is_delivered(plan_shot):
    stages = {"still": STILL, "animate": clips(), "up": clips("upscale", "test/any-length", "animate")}
    assert plan_shot(stages).final.name == "up"
    assert plan_shot(stages, deliver={"stage": "animate"}).final.name == "animate"
    assert plan_shot(stages, deliver={"stage": "up"}, skip=["up"]).final is None
    assert plan_shot(stages, deliver={"stage": "up"}, skip=["up"]).lengths is None


def test_a_shot_of_stills_is_delivered_as_a_held_still(plan_shot):
    lengths = plan_shot({"still": STILL}, frames=48, handles=8, rate=24).lengths
    assert lengths == StitchLengths((1,), 0, Fraction(24), Fraction(24), 64, 8, True)


@pytest.mark.parametrize("frames", [1, 2, 17, 75])
def test_delivered_keys_are_spread_from_the_first_frame_to_the_last(plan_shot, frames):
    stages = {"still": STILL, "move": clips("first_last_frame")}
    planned = plan_shot(stages, deliver={"stage": "still"}, frames=frames)
    lengths, keys = planned.lengths, len(planned.stage("still").segments)
    assert lengths.stills
    assert lengths.segment_frames == (1,) * keys
    assert source_position(frames - 1, lengths.rate, lengths.model_rate) == (keys - 1 if frames > 1 else 0)


def test_a_shot_that_skips_every_stage_delivers_nothing(plan_shot):
    assert plan_shot({"still": STILL}, skip=["still"]).final is None


# ---- recipes ---------------------------------------------------------------------------------------------------------


def test_a_look_that_the_batch_does_not_have_is_refused(plan_shot):
    with pytest.raises(PlanRefused, match="s/still: the batch has no look 'film'"):
        _ = plan_shot({"still": {**STILL, "look": "film"}}).stages


def test_equal_wordings_are_one_variant_and_unused_axes_repeat_nothing(plan_shot):
    prompt = {
        "text": ["the sea", "the {time} sea", "the {hue} sea"],
        "axes": {"time": ["red", "late"], "hue": ["red", "blue"]},
    }
    variants = plan_shot({"still": STILL}, prompt=prompt).stage("still").variants
    assert [variant.prompt for variant in variants] == ["the sea", "the red sea", "the late sea", "the blue sea"]
    assert [variant.axes for variant in variants][:2] == [(), (("time", "red"),)]
    assert len({variant.id for variant in variants}) == 4


def test_too_many_wordings_are_refused_before_they_are_made(plan_shot):
    axes = {name: [str(n) for n in range(100)] for name in "abcdef"}
    planned = plan_shot({"still": STILL}, prompt={"text": "{a}{b}{c}{d}{e}{f}", "axes": axes})
    with pytest.raises(PlanRefused, match="1,000,000,000,000 wordings"):
        _ = planned.stage("still").variants


def test_asking_again_for_the_plan_of_the_same_documents_plans_nothing_again(make_plan):
    plan = make_plan()
    documents = (plan.document, dict(plan.card_documents))
    first = Plan.from_documents(*documents)
    assert Plan.from_documents(*documents) is first
    assert first.digest == plan.digest


def test_wordings_are_looked_at_for_problems_without_being_made(make_plan):
    axes = {f"a{n}": [f"{value}" for value in range(10)] for n in range(4)}
    prompt = {"text": " ".join(f"{{{axis}}}" for axis in axes), "axes": axes}
    plan = make_plan(shots=[shot(prompt=prompt)])
    made = variants_of.cache_info().misses
    assert list(plan.problems()) == []
    assert variants_of.cache_info().misses == made
