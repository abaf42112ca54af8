"""Folding: how each event changes the state. Used live, right after a decision, and at start, over the whole log.

No decision is taken here. What an event means is fixed by the event itself, so a log always folds to the same state.
"""

from collections.abc import Callable
from typing import Any

from ancestra_farm.plan.events import (
    AttemptEnded,
    BatchSubmitted,
    BranchClosed,
    BranchOpened,
    CandidateGivenUp,
    EpochTaken,
    Event,
    MediaCollected,
    OrderGiven,
    StageClosed,
    StitchEnded,
    StitchPlanned,
    SubmissionRepeated,
    VerdictsVoided,
    WaveClosed,
    WaveReleased,
)
from ancestra_farm.plan.farm_events import HostNoted, NodeOrdered, NodesPaid, NoticeDelivered, SettingsGiven, TokenNoted
from ancestra_farm.scheduler.budget import branch_limit, tail_share
from ancestra_farm.scheduler.counts import Counts
from ancestra_farm.scheduler.duplicates import HashIndex
from ancestra_farm.scheduler.notices import taken_as_told
from ancestra_farm.scheduler.ordered import extend, fold_node_order, fold_order, remember, submission_digest
from ancestra_farm.scheduler.outcomes import (
    attempt_ended,
    given_up,
    stop_here,
    verdicts_voided,
    wave_closed,
    wave_released,
)
from ancestra_farm.scheduler.phases import Stop
from ancestra_farm.scheduler.revision import new_batch
from ancestra_farm.scheduler.settings import settings_digest
from ancestra_farm.scheduler.state import Branch, FarmState, NodesTold, StageState, StitchState
from ancestra_farm.scheduler.yields import Yields


def fold(state: FarmState, event: Event) -> None:
    """Change the state by one event. Events of a branch that a newer revision did away with change nothing."""
    handler = _HANDLERS.get(type(event))
    if handler is not None:
        handler(state, event)


def _epoch_taken(state: FarmState, event: EpochTaken) -> None:
    state.epoch = event.epoch
    state.settings.standing.clear()


def _submitted(state: FarmState, event: BatchSubmitted) -> None:
    if event.order_id:
        remember(state, event.order_id, submission_digest(event))
    before = state.batches.get(event.batch)
    number = len(state.batches) if before is None else before.number
    batch = state.batches[event.batch] = new_batch(event, number, before, state.settings)
    batch.batches = state.batches


def _repeated(state: FarmState, event: SubmissionRepeated) -> None:
    remember(state, event.order_id, submission_digest(event))


def _branch_opened(state: FarmState, event: BranchOpened) -> None:
    batch = state.batches[event.batch]
    stage = batch.shots[event.shot].stages[event.stage]
    if event.generation > stage.generation:
        _begin_round(stage, event.generation)
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
    if event.tail is None and stage.extra:
        extend(branch, stage.extra)


def _begin_round(stage: StageState, generation: int) -> None:
    """Whatever an earlier round came to is done with; people's orders about the stage stand."""
    for old in stage.branches.values():
        stage.batch.put_away(old)
    stage.generation = generation
    stage.branches = {}
    stage.closed, stage.reopened, stage.stale, stage.enough = None, False, False, None
    stage.counts = Counts(device_s=stage.counts.device_s)


def _branch_closed(state: FarmState, event: BranchClosed) -> None:
    branch = state.branch((event.batch, event.branch))
    if branch is None:
        return
    branch.closed = event
    branch.retries = []
    if event.why == "closed" and branch.stop is None:
        stop_here(branch, Stop(branch.tried, branch.waves, "closed"))


def _stage_closed(state: FarmState, event: StageClosed) -> None:
    shot = state.batches[event.batch].shots[event.shot]
    stage = shot.stages[event.stage]
    if event.why != "cancelled":
        stage.carried = None
    stage.closed, stage.reopened = event, False
    if event.selected and shot.plan.final is not None and shot.plan.final.name == event.stage:
        for stitch in shot.stitches.values():
            stitch.dropped |= stitch.planned.picked and stitch.planned.chain not in event.selected


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
    stitch.message, stitch.at = event.message, event.at
    stitch.frames = event.frames
    if event.ok:
        stitch.done = True
    elif event.bad_pair is not None:
        stitch.bad_pair = event.bad_pair
        shot.bad_pairs.add(event.bad_pair)
    else:
        stitch.failures += 1


def _settings_given(state: FarmState, event: SettingsGiven) -> None:
    if event.order:
        remember(state, event.order, settings_digest(event))
    before = state.settings.shows.get(event.name) if event.kind == "show" else None
    state.settings.take(event)
    if event.kind == "show":
        state.told.update(taken_as_told(state, event.name, () if before is None else before.notify))


def _host_noted(state: FarmState, event: HostNoted) -> None:
    """On which type of node a host stands; a host that ended may still be paid for."""
    if event.what == "ready" and event.node_type:
        state.settings.standing[event.host] = event.node_type


def _nodes_paid(state: FarmState, event: NodesPaid) -> None:
    """Which nodes are up, and until when they are paid for: whoever comes next goes on from there."""
    before = state.paid.pop(event.node_type, None)
    ids = event.ids if event.ids is not None else () if before is None else before.ids
    if ids and event.nodes:
        state.paid[event.node_type] = NodesTold(ids, event.at)


def _notice_delivered(state: FarmState, event: NoticeDelivered) -> None:
    state.told.add(event.key)


def _token_noted(state: FarmState, event: TokenNoted) -> None:
    state.tokens.pop(event.token_id, None)
    if event.what in ("issued", "changed"):
        state.tokens[event.token_id] = event


def _media_collected(state: FarmState, event: MediaCollected) -> None:
    """Whoever is restored later is made again."""
    batch = state.batches.get(event.batch)
    if batch is None:
        return
    gone = set(event.candidate_ids)
    known = [results for branch in batch.branches.values() for results in branch.results.values()]
    known += [results for past in batch.past.values() for one in past for results in one.results.values()]
    for results in known:
        for position in [position for position, result in results.items() if result.candidate_id in gone]:
            results[position].media = None


_HANDLERS: dict[type, Callable[[FarmState, Any], None]] = {
    EpochTaken: _epoch_taken,
    BatchSubmitted: _submitted,
    SubmissionRepeated: _repeated,
    BranchOpened: _branch_opened,
    WaveReleased: wave_released,
    AttemptEnded: attempt_ended,
    CandidateGivenUp: given_up,
    VerdictsVoided: verdicts_voided,
    WaveClosed: wave_closed,
    BranchClosed: _branch_closed,
    StageClosed: _stage_closed,
    OrderGiven: fold_order,
    NodeOrdered: fold_node_order,
    StitchPlanned: _stitch_planned,
    StitchEnded: _stitch_ended,
    MediaCollected: _media_collected,
    SettingsGiven: _settings_given,
    NodesPaid: _nodes_paid,
    NoticeDelivered: _notice_delivered,
    TokenNoted: _token_noted,
    HostNoted: _host_noted,
}
