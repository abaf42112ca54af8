"""Segments: chains with a beam of tails, and segments joined at keyframes."""

from itertools import pairwise

from ancestra_farm.plan.events import BranchOpened, StitchEnded
from tests.scheduler.world import STILLS, Fate, World, batch_of, finished, number_of

CHAIN = (
    "{role: text_to_video, model: test/clips, candidates: 30, wave: 5, keep: 1, overlap_frames: 5, distinct_bits: -1}"
)


def chained(frames=60, **stage):
    text = CHAIN.replace("keep: 1", ", ".join(f"{k}: {v}" for k, v in {"keep": 1, **stage}.items()))
    return batch_of(f"{{animate: {text}}}", shots=1, frames=frames)


def stage_of(world, name="animate"):
    return world.scheduler.state.batches["b"].shots["s000"].stages[name]


def test_every_chain_has_one_survivor_for_each_segment_and_each_follows_from_the_one_before():
    world = finished(chained(keep="all"), fate=Fate(passing=0.3))
    stage = stage_of(world)
    assert len(stage.plan.segments) >= 2
    assert stage.closed.chains
    opened = {e.tail: e for e in world.log if isinstance(e, BranchOpened) and e.tail}
    for chain in stage.closed.chains:
        assert len(chain) == len(stage.plan.segments)
        for tail in chain[:-1]:
            assert opened[tail].inputs == ((tail,),)


def test_a_segment_without_survivors_falls_back_to_the_next_tail():
    batch = chained()
    open_end = finished(batch, fate=Fate(passing=0.5))
    first_tail = next(e.tail for e in open_end.log if isinstance(e, BranchOpened) and e.tail)

    class DeadEnd(Fate):
        def attempt(self, ticket, position, *args):
            attempt = super().attempt(ticket, position, *args)
            if any(first_tail in parents for parents in ticket.space.inputs):
                return type(attempt)(
                    **{**{f: getattr(attempt, f) for f in attempt.__slots__}, "passed": False, "media": None}
                )
            return attempt

    world = finished(batch, fate=DeadEnd(passing=0.5))
    tails = [e.tail for e in world.log if isinstance(e, BranchOpened) and e.tail]
    assert tails[0] == first_tail
    assert len(tails) >= 2
    assert all(first_tail not in chain for chain in stage_of(world).closed.chains)
    assert stage_of(world).closed.chains


def test_each_tail_gets_its_share_of_the_candidates():
    world = finished(chained(keep="all"), fate=Fate(passing=0.5))
    for branch in stage_of(world).branches.values():
        if branch.opened.tail is not None:
            assert branch.released == 10  # 30 candidates over a beam of 3


def test_keep_counts_whole_chains():
    world = finished(chained(keep=2), fate=Fate(passing=0.6))
    assert len(stage_of(world).closed.chains) >= 2
    last = len(stage_of(world).plan.segments) - 1
    assert all(branch.closed.why in ("kept_enough", "tried_all") for branch in stage_of(world).segment(last))


def test_a_stage_whose_tails_all_fail_ends_without_survivors():
    class OnlyFirst(Fate):
        def attempt(self, ticket, position, *args):
            attempt = super().attempt(ticket, position, *args)
            if ticket.space.segment:
                return type(attempt)(
                    **{**{f: getattr(attempt, f) for f in attempt.__slots__}, "passed": False, "media": None}
                )
            return attempt

    world = finished(chained(), fate=OnlyFirst(passing=0.5))
    assert stage_of(world).closed.chains == ()
    assert stage_of(world).closed.why == "no survivors"
    (shot,) = world.scheduler.progress()
    assert shot.state == "starved"


def test_segments_joined_at_keyframes_start_and_end_on_neighbouring_keys():
    keys = "{role: first_last_frame, model: test/clips, from: still, best: 2, candidates: 6, wave: 4, join: keyframes}"
    world = finished(batch_of(f"{{still: {STILLS}, animate: {keys}}}", shots=1, frames=60), fate=Fate(passing=0.6))
    keys_result, clips = stage_of(world, "still").closed, stage_of(world).closed
    segments = len(stage_of(world).plan.segments)
    assert segments >= 2
    assert all(len(chain) == segments + 1 for chain in keys_result.chains)
    assert clips.chains
    parents = {}
    for ticket in world.dispatched:
        for position in ticket.positions:
            recipe = ticket.space.recipe(position, ticket.rung)
            parents[recipe.candidate_id] = recipe.parents
    for chain in clips.chains:
        firsts_and_lasts = [parents[candidate] for candidate in chain]
        for left, right in pairwise(firsts_and_lasts):
            assert left[1] == right[0]
        assert (*(p[0] for p in firsts_and_lasts), firsts_and_lasts[-1][1]) in keys_result.chains


def test_a_seam_that_fails_rejects_the_pair_and_the_next_best_chain_takes_its_place():
    bad = []

    def fate(stitch):
        job = stitch.job
        if not bad:
            bad.append((job.chain[0], job.chain[1]))
        if bad[0] in zip(job.chain, job.chain[1:], strict=False):
            return StitchEnded(
                job.batch,
                job.shot,
                job.stitch_id,
                job.version,
                False,
                0,
                0.0,
                bad_pair=bad[0],
                message="the seam jumps",
            )
        return None

    world = World(fate=Fate(passing=0.6), stitch_fate=fate)
    world.submit(chained(keep="all"))
    assert world.run()
    shot = world.scheduler.state.batches["b"].shots["s000"]
    published = [s for s in shot.stitches.values() if s.done]
    assert len(published) == 1
    assert bad[0] not in zip(published[0].planned.chain, published[0].planned.chain[1:], strict=False)
    assert any("seam" in sentence for sentence in world.scheduler.explain("b", "s000"))
    assert all(number_of(c, "pass") < 0.6 for c in bad[0])  # the clips themselves stay survivors
