"""What waves and attempts make of candidates. Folding only: what is released or closed is decided elsewhere."""

from collections.abc import Iterable
from math import inf, isnan

from ancestra_farm.plan.estimate import draft_share
from ancestra_farm.plan.events import (
    AttemptEnded,
    CandidateGivenUp,
    Outcome,
    VerdictsVoided,
    WaveClosed,
    WaveReleased,
)
from ancestra_farm.plan.recipe import Rung
from ancestra_farm.scheduler.counts import FilterCost
from ancestra_farm.scheduler.ordered import GIVEN_UP
from ancestra_farm.scheduler.phases import Phase, Promoted, Stop
from ancestra_farm.scheduler.results import Result
from ancestra_farm.scheduler.state import DISOWNED, BatchState, Branch, FarmState, StageState, Survivor
from ancestra_farm.scheduler.waves import survivors_wanted

#: Failures that say something about the candidate itself, once it was alone in its ticket.
CHARGED = frozenset({"exception", "crash", "deadline", "out_of_memory"})


def phase_of(branch: Branch, position: int, rung: Rung) -> Phase | None:
    """The open phase that the position waits in. Few are open at once, and a position waits in one of them at most."""
    return next(
        (phase for phase in branch.phases.values() if phase.rung == rung and position in phase.open),
        None,
    )


def ranking_score(stage: StageState, rung: Rung) -> str:
    """The name of the score that decides at this rung."""
    spec = stage.plan.spec
    return spec.draft.by if rung == "draft" and spec.draft is not None else spec.rank


# ---- releases ------------------------------------------------------------------------------------------------------


def wave_released(state: FarmState, event: WaveReleased) -> None:
    """Positions will be tried, or tried again."""
    branch = state.branch((event.batch, event.branch))
    if branch is None:
        return
    positions: tuple[int, ...] | range = range(event.start, event.stop)
    if event.positions is not None:
        positions = event.positions
    phase = Phase(
        event.wave,
        event.rung,
        positions,
        event.filters,
        open=set(positions),
        queue=[],
        again=event.again,
        by_word=event.by_word,
    )
    elsewhere = [other.open for other in branch.phases.values() if other.rung == event.rung]
    branch.phases[event.wave, event.rung] = phase
    if event.again:
        _released_again(branch, phase)
    else:
        phase.open.difference_update(*elsewhere)  # who is being restored is not made twice
        _released(branch, phase)
    phase.queue = sorted(phase.open)


def _released(branch: Branch, phase: Phase) -> None:
    yields, wave, positions = branch.yields, phase.wave, phase.positions
    if wave >= branch.waves:  # else the promoted of a wave of drafts
        branch.waves = wave + 1
        branch.released += len(positions)
        branch.given[wave] = positions
        if yields is not None:
            yields.released(wave, map(branch.space.variant_of, positions))
    else:
        branch.promoted.pop(wave, None)
    if yields is not None:
        each = 1.0 if phase.rung == "full" else draft_share(branch.stage.plan)
        yields.costs(wave, map(branch.space.variant_of, positions), each)
    before = _open_skipped(branch, phase) if branch.rewound else 0
    _count_released(branch.stage, phase.rung, len(positions) - before)
    _reuse(branch, phase)


def _open_skipped(branch: Branch, phase: Phase) -> int:
    """Undo the skipping of what was released before; how many that were. Who was given up is given up once more."""
    results = branch.results[phase.rung]
    known = [results[position] for position in phase.positions if position in results]
    for result in known:
        if result.outcome == "skipped" or result.outcome in GIVEN_UP:
            set_outcome(branch, phase.rung, result, "released")
    return len(known)


def _count_released(stage: StageState, rung: Rung, count: int) -> None:
    if rung == "full":
        stage.counts.released += count
    else:
        stage.counts.drafts += count


def _released_again(branch: Branch, phase: Phase) -> None:
    """Forget what was known of the candidates; one whose medium is there survives by word without being made."""
    branch.waves = max(branch.waves, phase.wave + 1)
    branch.promoted.pop(phase.wave, None)
    results = branch.results[phase.rung]
    _count_released(branch.stage, phase.rung, sum(position not in results for position in phase.positions))
    if phase.by_word:
        branch.to_restore.difference_update(phase.positions)
    else:
        branch.retries = []
    for position in phase.positions:
        result = branch.result(position, phase.rung)
        if phase.by_word and result.media is not None:
            phase.open.discard(position)
            _restored(branch, result)
        else:
            _forget(branch, phase.rung, result)


def _forget(branch: Branch, rung: Rung, result: Result) -> None:
    """Nothing is known of a candidate but that it is to be made."""
    set_outcome(branch, rung, result, "released")
    result.passed, result.media, result.phash, result.judged_by = False, None, None, DISOWNED
    result.strikes, result.losses, result.limit, result.cause, result.reason = 0, 0, None, None, ""
    result.given_up = None


def _restored(branch: Branch, result: Result) -> None:
    result.reason = f"restored by {branch.stage.restored.get(result.candidate_id, 'a person')}"
    set_outcome(branch, "full", result, "survivor")


def _reuse(branch: Branch, phase: Phase) -> None:
    """Take over what was judged before under the same name and by the same measure."""
    stage = branch.stage
    if stage.batch.revision == 1 and stage.generation == 1 and not branch.rewound:
        return  # nothing can have been judged before: each position of one generation is another candidate
    for position in phase.positions:
        known = stage.batch.verdict(branch, position, phase.rung)
        if known is not None and known.judged_by == stage.judged_by:
            _take_verdict(branch, phase.rung, position, known)
            phase.open.discard(position)
            stage.counts.reused += 1


def _take_verdict(branch: Branch, rung: Rung, position: int, known: Result) -> None:
    result = branch.result(position, rung)
    for name in ("passed", "rank", "phash", "media", "attempts", "reason", "judged_by"):
        setattr(result, name, getattr(known, name))
    _decide_by_verdict(branch, rung, position, result)


def _decide_by_verdict(branch: Branch, rung: Rung, position: int, result: Result) -> None:
    """Survivor or not, as far as filters and people say. A reject that a person restored is to be made for them."""
    set_outcome(branch, rung, result, "survivor" if result.passed else "rejected")
    if rung == "full" and not result.passed and result.candidate_id in branch.stage.restored:
        if result.media is not None:
            _restored(branch, result)
        else:
            branch.to_restore.add(position)


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


# ---- attempts ------------------------------------------------------------------------------------------------------


def _pay(batch: BatchState, branch: Branch | None, event: AttemptEnded) -> None:
    """What the host cost. Of a branch that was done away with, the stage of its name says which model it was."""
    if branch is not None:
        plan = branch.stage.plan
    else:
        shot, stage, *_ = event.branch.split("/")
        found = batch.shots.get(shot)
        if found is None or stage not in found.stages:
            return
        plan = found.stages[stage].plan
    batch.money += batch.settings.pay(batch.show, plan.card, event.host, event.device_s)


def attempt_ended(state: FarmState, event: AttemptEnded) -> None:
    """An attempt cost what it cost; its verdict counts while one is awaited."""
    batch = state.batches.get(event.batch)
    branch = state.branch((event.batch, event.branch))
    if batch is None:
        return
    batch.device_s += event.device_s
    _pay(batch, branch, event)
    if branch is None:
        return
    stage = branch.stage
    stage.counts.device_s += event.device_s
    phase = phase_of(branch, event.position, event.rung)
    known = branch.results[event.rung].look(event.position)
    if phase is None and (known is None or known.outcome != "skipped" or event.cause not in CHARGED):
        return  # a second verdict on one candidate never counts
    result = branch.result(event.position, event.rung)
    if result.candidate_id != event.candidate_id:
        return  # of a branch that had this key in an earlier revision
    if phase is None:
        _failed(result, event)
        return
    result.attempts += 1
    if event.cause == "judged":
        _judged(branch, phase, result, event)
    else:
        _failed(result, event)


def _failed(result: Result, event: AttemptEnded) -> None:
    if event.cause in ("aborted", "store"):
        return  # nobody's failure
    result.cause = event.cause
    if event.cause == "host_lost":
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
    if not phase.by_word:
        _decide_by_verdict(branch, event.rung, event.position, result)
    elif result.media is not None:
        _restored(branch, result)
    else:  # nothing could be written of it: no word makes a picture of that
        set_outcome(branch, event.rung, result, "rejected")
    for name, seconds in event.filter_s.items():
        cost = stage.costs.setdefault(name, FilterCost())
        cost.runs += 1
        cost.seconds += seconds
        cost.rejections += name in event.reasons


def given_up(state: FarmState, event: CandidateGivenUp) -> None:
    """No further attempt will be made."""
    branch = state.branch((event.batch, event.branch))
    if branch is None or (phase := phase_of(branch, event.position, event.rung)) is None:
        return
    result = branch.result(event.position, event.rung)
    result.reason = event.reason
    if event.outcome != "skipped":
        result.given_up = event.outcome
    phase.open.discard(event.position)
    set_outcome(branch, event.rung, result, event.outcome)


def still_rests_on(branch: Branch, phase: Phase, positions: Iterable[int]) -> tuple[int, ...]:
    """Those positions of an undecided phase whose outcome rests on it: not who is, or is being, restored since."""
    since = [p.positions for p in branch.phases.values() if p.by_word and p.rung == phase.rung and p.wave > phase.wave]
    return tuple(
        position
        for position in positions
        if not (phase.rung == "full" and position in branch.by_word) and not any(position in one for one in since)
    )


def verdicts_voided(state: FarmState, event: VerdictsVoided) -> None:
    """Candidates of undecided waves are to be judged once more."""
    branch = state.branch((event.batch, event.branch))
    if branch is None:
        return
    for phase in branch.phases.values():
        if phase.rung != event.rung:
            continue
        mine = sorted(set(event.positions).intersection(phase.positions))
        for position in still_rests_on(branch, phase, mine):
            result = branch.result(position, event.rung)
            _forget(branch, event.rung, result)
            branch.to_restore.discard(position)
            phase.open.add(position)


# ---- closings ------------------------------------------------------------------------------------------------------


def wave_closed(state: FarmState, event: WaveClosed) -> None:
    """The decision over a whole wave."""
    branch = state.branch((event.batch, event.branch))
    if branch is None:
        return
    phase = branch.phases.pop((event.wave, event.rung))
    phase.open.clear()
    phase.queue.clear()
    for position in event.skipped:
        set_outcome(branch, event.rung, branch.result(position, event.rung), "skipped")
    for position, original in event.duplicates.items():
        result = branch.result(position, event.rung)
        result.reason = f"duplicate of {original}"
        set_outcome(branch, event.rung, result, "rejected")
    if event.rung == "draft":
        _drafts_decided(branch, phase, event.promoted)
    if event.rung == "full" or not event.promoted:
        _decided(branch, event)
    branch.results[event.rung].settle(phase.positions)


def _drafts_decided(branch: Branch, phase: Phase, chosen: tuple[int, ...]) -> None:
    promoted = set(chosen)
    for position in phase.positions:
        result = branch.result(position, "draft")
        if result.outcome == "survivor":
            result.outcome = "promoted" if position in promoted else "not_promoted"
    if chosen:
        branch.promoted[phase.wave] = Promoted(chosen, phase.filters, phase.again)


def _decided(branch: Branch, event: WaveClosed) -> None:
    """Nothing of the wave is left to decide."""
    ahead = branch.survivors and event.survivors and event.survivors[0] < branch.survivors[-1]
    branch.survivors.extend(event.survivors)
    if ahead:  # tried again, or spent by yield; two that were restored may have ended in any order
        branch.survivors.sort()
    for position in event.survivors:
        survivor = branch.results["full"][position]
        branch.stage.batch.known[survivor.candidate_id] = Survivor(survivor.media)
        if survivor.candidate_id in branch.stage.restored:
            branch.by_word.add(position)
        else:
            branch.hashes.add(survivor.phash, survivor.candidate_id)
    given = branch.given.pop(event.wave, ())
    if event.skipped:
        branch.released -= len(given)
        branch.rewound |= bool(given)
        if branch.yields is not None:
            branch.yields.taken_back(event.wave, _wordings(branch, given))
    else:
        branch.tried += len(given)
        if branch.yields is not None:
            branch.yields.closed(event.wave, _wordings(branch, event.survivors))
    branch.decided.add(event.wave)
    while branch.waves_closed in branch.decided:
        branch.decided.discard(branch.waves_closed)
        branch.waves_closed += 1
    if given and not event.skipped and _keeps_enough(branch):
        stop_here(branch, Stop(branch.tried, branch.waves, "kept_enough"))
    _note_enough_chains(branch.stage)


def _keeps_enough(branch: Branch) -> bool:
    wanted = survivors_wanted(branch)
    return branch.stop is None and wanted is not None and branch.earned >= wanted


def stop_here(branch: Branch, stop: Stop) -> None:
    """The branch wants nothing beyond what is decided; only what is ordered goes on from there."""
    branch.stop = stop
    if branch.yields is not None:
        for wave, positions in branch.given.items():
            branch.yields.taken_back(wave, _wordings(branch, positions))
        branch.yields.stopped()


def _wordings(branch: Branch, positions: Iterable[int]) -> list[int]:
    return [branch.space.variant_of(position) for position in positions]


def _note_enough_chains(stage: StageState) -> None:
    keep, segments = stage.plan.spec.keep, len(stage.plan.segments)
    if stage.plan.join != "chain" or keep == "all" or stage.enough is not None:
        return
    if sum(branch.earned for branch in stage.segment(segments - 1)) >= keep:
        stage.enough = tuple(sum(1 for _ in stage.segment(segment)) for segment in range(segments))
