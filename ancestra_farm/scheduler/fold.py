"""Folding: how each event changes the state. Used live, right after a decision, and at start, over the whole log.

No decision is taken here. What an event means is fixed by the event itself, so a log always folds to the same state.
"""

from collections.abc import Callable
from math import inf, isnan
from typing import Any

from ancestra_farm.plan.estimate import draft_share
from ancestra_farm.plan.events import (
    AttemptEnded,
    BatchSubmitted,
    BranchClosed,
    BranchOpened,
    CandidateGivenUp,
    EpochTaken,
    Event,
    OrderGiven,
    Outcome,
    StageClosed,
    StitchEnded,
    StitchPlanned,
    WaveClosed,
    WaveReleased,
)
from ancestra_farm.plan.recipe import Rung
from ancestra_farm.scheduler.budget import branch_limit, tail_share
from ancestra_farm.scheduler.duplicates import HashIndex
from ancestra_farm.scheduler.ordered import fold_order
from ancestra_farm.scheduler.revision import new_batch
from ancestra_farm.scheduler.state import (
    Branch,
    Counts,
    FarmState,
    FilterCost,
    Phase,
    Promoted,
    Result,
    StageState,
    StitchState,
)
from ancestra_farm.scheduler.yields import Yields

#: Failures that say something about the candidate itself, once it was alone in its ticket.
CHARGED = frozenset({"exception", "crash", "deadline", "out_of_memory"})


def fold(state: FarmState, event: Event) -> None:
    """Change the state by one event. Events of a branch that a newer revision did away with change nothing."""
    handler = _HANDLERS.get(type(event))
    if handler is not None:
        handler(state, event)


def _epoch_taken(state: FarmState, event: EpochTaken) -> None:
    state.epoch = event.epoch


def _submitted(state: FarmState, event: BatchSubmitted) -> None:
    before = state.batches.get(event.batch)
    number = len(state.batches) if before is None else before.number
    state.batches[event.batch] = new_batch(event, number, before)


def _branch_opened(state: FarmState, event: BranchOpened) -> None:
    batch = state.batches[event.batch]
    stage = batch.shots[event.shot].stages[event.stage]
    if event.generation > stage.generation:
        for old in stage.branches.values():
            batch.branches.pop(old.key, None)
        stage.generation = event.generation
        stage.branches = {}
        stage.closed = None
        stage.counts = Counts(device_s=stage.counts.device_s)
    space = stage.plan.space(event.segment, event.inputs)
    wanted = space.to_try if event.tail is None else min(space.to_try, tail_share(stage.plan))
    sisters = sum(1 for _ in stage.segment(event.segment))
    branch = Branch(
        opened=event,
        stage=stage,
        space=space,
        wanted=wanted,
        limit=branch_limit(stage.plan, stage.cap, event.segment, sisters, wanted),
        hashes=HashIndex(stage.distinct_bits),
        yields=Yields.of(len(space.variants)) if space.by_yield and len(space.variants) > 1 else None,
    )
    stage.branches[event.branch] = branch
    batch.branches[event.branch] = branch


def _wave_released(state: FarmState, event: WaveReleased) -> None:
    branch = state.branch((event.batch, event.branch))
    if branch is None:
        return
    positions: tuple[int, ...] | range = range(event.start, event.stop)
    if event.positions is not None:
        positions = event.positions
    phase = Phase(event.wave, event.rung, positions, event.filters, open=set(positions), queue=[])
    branch.phases[event.wave, event.rung] = phase
    if event.wave >= branch.waves:  # else the promoted of a wave of drafts
        branch.waves = event.wave + 1
        if not event.again:
            branch.released += len(positions)
            if branch.yields is not None:
                branch.yields.released(event.wave, map(branch.space.variant_of, positions))
    else:
        branch.promoted.pop(event.wave, None)
    if branch.yields is not None and not event.again:
        each = 1.0 if event.rung == "full" else draft_share(branch.stage.plan)
        branch.yields.costs(event.wave, map(branch.space.variant_of, positions), each)
    counts = branch.stage.counts
    if event.rung == "full":
        counts.released += len(positions)
    else:
        counts.drafts += len(positions)
    _reuse(branch, phase)
    phase.queue = sorted(phase.open)


def _reuse(branch: Branch, phase: Phase) -> None:
    """Take over what was judged before under the same name and by the same measure."""
    stage = branch.stage
    if stage.batch.revision == 1 and stage.generation == 1:
        return  # nothing can have been judged before: each position of one generation is another candidate
    for position in phase.positions:
        candidate_id = branch.space.id_of(position, phase.rung)
        known = stage.batch.known.get(candidate_id)
        if known is not None and known.judged_by == stage.judged_by:
            _take_verdict(branch, phase.rung, position, known)
            phase.open.discard(position)
            stage.counts.reused += 1


def _take_verdict(branch: Branch, rung: Rung, position: int, known: Result) -> None:
    result = branch.result(position, rung)
    for name in ("passed", "rank", "phash", "media", "attempts", "reason", "judged_by"):
        setattr(result, name, getattr(known, name))
    set_outcome(branch, rung, result, "survivor" if result.passed else "rejected")


def set_outcome(branch: Branch, rung: Rung, result: Result, outcome: Outcome) -> None:
    """Change a result's outcome and keep the stage's counts (of full candidates) in step."""
    if rung == "full":
        _count(branch.stage, result.outcome, -1)
        _count(branch.stage, outcome, +1)
    result.outcome = outcome


def _count(stage: StageState, outcome: Outcome, by: int) -> None:
    counts = stage.counts
    if outcome == "survivor":
        counts.survivors += by
        counts.judged += by
    elif outcome == "rejected":
        counts.rejected += by
        counts.judged += by
    elif outcome in ("quarantined", "lost", "failed"):
        counts.failed += by
    elif outcome == "skipped":
        counts.skipped += by


def _attempt_ended(state: FarmState, event: AttemptEnded) -> None:
    batch = state.batches.get(event.batch)
    branch = state.branch((event.batch, event.branch))
    if batch is None:
        return
    batch.device_s += event.device_s
    if branch is None:
        return
    stage = branch.stage
    stage.counts.device_s += event.device_s
    phase = phase_of(branch, event.position, event.rung)
    if phase is None:
        return  # a second verdict on one candidate never counts
    result = branch.result(event.position, event.rung)
    if result.candidate_id != event.candidate_id:
        return  # of a branch that had this key in an earlier revision
    result.attempts += 1
    if event.cause == "judged":
        _judged(branch, phase, result, event)
    elif event.cause == "host_lost":
        result.losses += 1
    elif event.cause in CHARGED:
        result.reason = event.message
        result.limit = max(1, event.of // 2)
        if event.cause == "exception" or event.of == 1:
            result.strikes += 1


def _judged(branch: Branch, phase: Phase, result: Result, event: AttemptEnded) -> None:
    stage = branch.stage
    result.passed = event.passed
    rank = event.scores.get(ranking_score(stage, event.rung), 0.0)
    result.rank = -inf if isnan(rank) else rank  # NaN has no place in an order
    result.phash = event.phash
    result.media = event.media
    result.reason = ", ".join(event.reasons)
    result.judged_by = stage.judged_by
    phase.open.discard(event.position)
    set_outcome(branch, event.rung, result, "survivor" if event.passed else "rejected")
    stage.batch.known[result.candidate_id] = result
    for name, seconds in event.filter_s.items():
        cost = stage.costs.setdefault(name, FilterCost())
        cost.runs += 1
        cost.seconds += seconds
        cost.rejections += name in event.reasons


def ranking_score(stage: StageState, rung: Rung) -> str:
    """The name of the score that decides at this rung."""
    spec = stage.plan.spec
    return spec.draft.by if rung == "draft" and spec.draft is not None else spec.rank


def phase_of(branch: Branch, position: int, rung: Rung) -> Phase | None:
    """The open phase that the position waits in. Few are open at once, and a position waits in one of them at most."""
    return next(
        (phase for phase in branch.phases.values() if phase.rung == rung and position in phase.open),
        None,
    )


def _given_up(state: FarmState, event: CandidateGivenUp) -> None:
    branch = state.branch((event.batch, event.branch))
    if branch is None or (phase := phase_of(branch, event.position, event.rung)) is None:
        return
    result = branch.result(event.position, event.rung)
    result.reason = event.reason
    phase.open.discard(event.position)
    set_outcome(branch, event.rung, result, event.outcome)


def _wave_closed(state: FarmState, event: WaveClosed) -> None:
    branch = state.branch((event.batch, event.branch))
    if branch is None:
        return
    phase = branch.phases.pop((event.wave, event.rung))
    phase.open.clear()
    phase.queue.clear()
    if event.skipped and branch.yields is not None:
        branch.yields.skipped(event.wave)
    for position in event.skipped:
        set_outcome(branch, event.rung, branch.result(position, event.rung), "skipped")
    for position, original in event.duplicates.items():
        result = branch.result(position, event.rung)
        result.reason = f"duplicate of {original}"
        set_outcome(branch, event.rung, result, "rejected")
    if event.rung == "draft":
        promoted = set(event.promoted)
        for position in phase.positions:
            result = branch.result(position, "draft")
            if result.outcome == "survivor":
                result.outcome = "promoted" if position in promoted else "not_promoted"
        if event.promoted:
            branch.promoted[event.wave] = Promoted(event.promoted, phase.filters)
    if event.rung == "full" or not event.promoted:
        branch.survivors.extend(event.survivors)
        if branch.yields is not None:
            branch.yields.closed(event.wave, map(branch.space.variant_of, event.survivors))
        for position in event.survivors:
            survivor = branch.results["full"][position]
            branch.hashes.add(survivor.phash, survivor.candidate_id)
        branch.decided.add(event.wave)
        while branch.waves_closed in branch.decided:
            branch.decided.discard(branch.waves_closed)
            branch.waves_closed += 1


def _branch_closed(state: FarmState, event: BranchClosed) -> None:
    branch = state.branch((event.batch, event.branch))
    if branch is not None:
        branch.closed = event


def _stage_closed(state: FarmState, event: StageClosed) -> None:
    stage = state.batches[event.batch].shots[event.shot].stages[event.stage]
    stage.closed = event


def _stitch_planned(state: FarmState, event: StitchPlanned) -> None:
    batch = state.batches[event.batch]
    batch.shots[event.shot].stitches[event.stitch_id, event.version] = StitchState(event)
    if event.picked:
        key = (batch.plan.batch.show, event.shot)
        state.versions[key] = state.versions.get(key, 0) + 1


def _stitch_ended(state: FarmState, event: StitchEnded) -> None:
    shot = state.batches[event.batch].shots.get(event.shot)
    stitch = None if shot is None else shot.stitches.get((event.stitch_id, event.version))
    if shot is None or stitch is None or stitch.done:
        return
    stitch.message = event.message
    stitch.frames = event.frames
    if event.ok:
        stitch.done = True
    elif event.bad_pair is not None:
        stitch.bad_pair = event.bad_pair
        shot.bad_pairs.add(event.bad_pair)
    else:
        stitch.failures += 1


_HANDLERS: dict[type, Callable[[FarmState, Any], None]] = {
    EpochTaken: _epoch_taken,
    BatchSubmitted: _submitted,
    BranchOpened: _branch_opened,
    WaveReleased: _wave_released,
    AttemptEnded: _attempt_ended,
    CandidateGivenUp: _given_up,
    WaveClosed: _wave_closed,
    BranchClosed: _branch_closed,
    StageClosed: _stage_closed,
    OrderGiven: fold_order,
    StitchPlanned: _stitch_planned,
    StitchEnded: _stitch_ended,
}
