"""What people order: submissions, picks, closing, pausing, cancelling. Decides whether an order can be taken.

A refused order is said in a sentence for the person who gave it, and leaves no trace. What a taken order changes is
folded in `ordered`.
"""

from collections.abc import Callable
from dataclasses import replace

from ancestra_farm.batch.schema import PRIORITIES
from ancestra_farm.plan.events import BatchSubmitted, OrderGiven, SubmissionRepeated
from ancestra_farm.plan.moments import clock
from ancestra_farm.plan.plan import Plan, PlanRefused
from ancestra_farm.scheduler import after, pauses
from ancestra_farm.scheduler.chains import (
    chains_of,
    close,
    closing,
    inputs_ready,
    selected_chains,
    waits_for_people,
)
from ancestra_farm.scheduler.ordered import (
    ENDED_FOR_GOOD,
    find,
    order_digest,
    shots_of,
    stages_of,
    submission_digest,
    taken_before,
    to_retry,
)
from ancestra_farm.scheduler.phases import Retry
from ancestra_farm.scheduler.rules import refusals
from ancestra_farm.scheduler.state import BatchState, Branch, FarmState, ShotState, StageState
from ancestra_farm.scheduler.waves import Emit
from ancestra_farm.scheduler.world import OrderRefused, Submit

#: As `weight` and `candidates` in the batch file.
MOST_WEIGHT = 1000
MOST_CANDIDATES = 10_000_000
#: Whoever means longer has mistyped the year.
LONGEST_PAUSE_S = 366 * 86_400.0
#: What `retry` may name: an outcome, or the cause of the last failed attempt.
CAUSES = ("failed", "quarantined", "lost", "exception", "out_of_memory", "deadline", "crash", "host_lost")
#: Outcomes that a person's word can change. What was skipped or not promoted would have been made, but for a stop.
RESTORABLE = frozenset({"rejected", "skipped", "not_promoted"})
_PLAIN = {
    "released": "still being made",
    "survivor": "a survivor",
    "promoted": "promoted",
    "failed": "failed (retry tries it again)",
    "quarantined": "quarantined (retry tries it again)",
    "lost": "lost (retry tries it again)",
}


def submit(state: FarmState, request: Submit, emit: Emit, now: float) -> tuple[str, bool]:
    """Take a batch in. The very same batch again is taken as a reminder, and changes nothing unless it was cancelled.

    Taken before under the same id it changes nothing, whatever others did with the batch since. Returns its name and
    whether anything changed.
    """
    try:
        plan = Plan.from_documents(request.document, request.cards)
        problems = list(plan.problems())
    except (ValueError, PlanRefused) as refused:
        raise OrderRefused(f"this is not a batch the farm can plan: {refused}") from refused
    if problems:
        raise OrderRefused("; ".join(problems))
    name = plan.batch.batch
    submitted = BatchSubmitted(
        batch=name,
        digest=plan.digest,
        document=request.document,
        cards=dict(request.cards),
        who=request.who,
        at=now,
        order_id=request.order_id,
    )
    if taken_before(state, request.order_id, submission_digest(submitted)):
        return name, False
    known = state.batches.get(name)
    if known is not None and known.show != plan.batch.show and not request.accepted:
        # Whoever may submit on one show must not revise, or end, what is of another.
        raise OrderRefused(f"there is a batch {name} of another show; give this one of {plan.batch.show} another name")
    cancelled = known is not None and any(shot.cancelled is not None for shot in known.shots.values())
    if known is not None and known.submitted.digest == plan.digest and not cancelled:
        if request.start_at is not None and (known.pause is None or known.pause.until != request.start_at):
            raise OrderRefused(f"{name} is here already, just so; `ancestra pause --until` says when it goes on")
        if request.order_id:  # or it would be taken in anew if its answer was lost and others changed it since
            emit(SubmissionRepeated(name, plan.digest, request.who, now, request.order_id))
        return name, False
    begins = None if request.start_at is None else _begins(name, request.who, request.start_at, now)
    paid = 0.0 if known is None else known.money
    if not request.accepted and (
        why := [*after.faults(plan, state.batches), *refusals(plan, state.settings, now, paid)]
    ):
        raise OrderRefused("; ".join(why))
    for branch in list(known.branches.values()) if known is not None else ():
        if branch.closed is None:
            close(branch, "superseded", emit, now)
    emit(submitted)
    if begins is not None:
        emit(begins)
    return name, True


def _begins(batch: str, who: str, at: float, now: float) -> OrderGiven:
    """What has a batch begin later: it is paused until then. Raises OrderRefused for a time that is past, or nobody."""
    if not who.strip():
        raise OrderRefused("a batch that begins at a time needs the name of the person who says so")
    _refuse_unless_ahead(at, now)
    return OrderGiven(batch, "pause", who, now, until=at, note="it was submitted to begin then")


def order(state: FarmState, given: OrderGiven, emit: Emit, now: float) -> bool:
    """Take an order or raise OrderRefused. False where it was taken before, under the same id: nothing changes."""
    if not given.who.strip():
        raise OrderRefused("an order needs the name of the person who gives it")
    if taken_before(state, given.order_id, order_digest(given)):
        return False
    batch = state.batches.get(given.batch)
    if batch is None:
        raise OrderRefused(f"there is no batch {given.batch!r} here; there are: {_names(state.batches)}")
    taker = _TAKERS.get(given.order)
    if taker is None:
        raise OrderRefused(f"there is no order {given.order!r}; there are: {', '.join(_TAKERS)}")
    taker(batch, given, emit, now)
    return True


def _shot(batch: BatchState, given: OrderGiven) -> ShotState:
    shot = batch.shots.get(given.shot)
    if shot is None:
        raise OrderRefused(f"batch {given.batch} has no shot {given.shot!r}; it has: {_names(batch.shots)}")
    return shot


def _stage(batch: BatchState, given: OrderGiven) -> StageState:
    shot = _shot(batch, given)
    stage = shot.stages.get(given.stage)
    if stage is None:
        raise OrderRefused(f"shot {given.shot} has no stage {given.stage!r}; it has: {_names(shot.stages)}")
    return stage


def _stage_to_choose_from(batch: BatchState, given: OrderGiven) -> StageState:
    stage = _stage(batch, given)
    if (cancelled := stage.shot.cancelled) is not None:
        raise OrderRefused(
            f"{given.shot} was cancelled by {cancelled.who} and delivers nothing more; "
            "retry, more or submitting its batch again takes it up"
        )
    if not (stage.generation and inputs_ready(stage)):
        raise OrderRefused(
            f"{given.shot}/{given.stage} has nothing to pick from yet: {stage.plan.source or 'it'} has no result so far"
        )
    return stage


def _names(names: object) -> str:
    return ", ".join(sorted(str(name) for name in names)) if isinstance(names, dict) and names else "none"


def _pick(batch: BatchState, given: OrderGiven, emit: Emit, _now: float) -> None:
    stage = _stage_to_choose_from(batch, given)
    survivors = {candidate for chain in chains_of(stage) for candidate in chain}
    if stage.plan.join in ("keys", "keyframes"):
        survivors = {candidate for branch in stage.branches.values() for candidate in branch.survivor_ids()}
    elif len(stage.plan.segments) > 1:
        ends = {chain[-1] for chain in chains_of(stage)}
        if given.candidate_id in survivors - ends:
            raise OrderRefused(f"{given.candidate_id} is the middle of a chain; pick the clip of its last segment")
        survivors = ends
    if given.candidate_id not in survivors:
        raise OrderRefused(
            f"{given.candidate_id} is not a survivor of {given.shot}/{given.stage}; only survivors are picked"
        )
    if given.who in stage.picks.get(given.candidate_id, set()):
        raise OrderRefused(f"{given.who} has picked {given.candidate_id} already")
    emit(given)


def _unpick(batch: BatchState, given: OrderGiven, emit: Emit, _now: float) -> None:
    stage = _stage(batch, given)
    if given.who not in stage.picks.get(given.candidate_id, set()):
        raise OrderRefused(f"{given.who} has not picked {given.candidate_id} in {given.shot}/{given.stage}")
    emit(given)


def _close(batch: BatchState, given: OrderGiven, emit: Emit, now: float) -> None:
    """Close with what the standing picks come to. Branches still open end here; a closed stage is closed anew."""
    stage = _stage_to_choose_from(batch, given)
    selected = selected_chains(stage)
    if not selected:
        raise OrderRefused(f"nothing stands picked in {given.shot}/{given.stage}; pick first, then close")
    if stage.closed is not None and stage.settled and stage.closed.selected == selected:
        raise OrderRefused(f"{given.shot}/{given.stage} is closed with these very picks already")
    emit(given)
    for branch in list(stage.branches.values()):
        if branch.closed is None:
            close(branch, "closed", emit, now)
    emit(closing(stage, chains_of(stage), selected, "picked", given.who, now))


def _refuse_unless_ahead(until: float, now: float) -> None:
    if not now < until <= now + LONGEST_PAUSE_S:
        raise OrderRefused(f"{clock(until)} is not ahead, by a year at most; it is {clock(now)}")


def _pause(batch: BatchState, given: OrderGiven, emit: Emit, now: float) -> None:
    """Pause, or go on. What is paused already may be given another end, or one at all."""
    what = f"{given.shot} of {batch.name}" if given.shot else batch.name
    if given.shot:
        shot = _shot(batch, given)
        _refuse_if_cancelled(shot)
        pause = shot.pause
    else:
        pause = batch.pause
    if given.order == "pause":
        if given.until is not None:
            _refuse_unless_ahead(given.until, now)
        if pause is not None and given.until == pause.until:
            raise OrderRefused(f"{what} is paused already, by {pause.who}{pauses.told_end(pause)}")
    elif pause is None:
        whole = batch.pause if given.shot else None
        if whole is not None:
            raise OrderRefused(f"{what} is paused with its whole batch, by {whole.who}; unpause {batch.name}")
        single = [name for name, one in batch.shots.items() if one.paused] if not given.shot else []
        some = f" as a whole; paused in it: {', '.join(single)}" if single else ""
        raise OrderRefused(f"{what} is not paused{some}")
    emit(given)


def _refuse_if_cancelled(shot: ShotState) -> None:
    if shot.cancelled is not None:
        raise OrderRefused(f"{shot.plan.name} was cancelled already, by {shot.cancelled.who}")


def _cancel(batch: BatchState, given: OrderGiven, emit: Emit, now: float) -> None:
    """End every open branch, and every open stage without a result. What is published stays."""
    if given.shot:
        _refuse_if_cancelled(_shot(batch, given))
    shots = [shot for shot in shots_of(batch, given) if shot.cancelled is None and shot.has_work]
    if not shots:
        standing = next((shot.cancelled for shot in batch.shots.values() if shot.cancelled is not None), None)
        before = f"; the rest was cancelled already, by {standing.who}" if standing is not None else ""
        what = f"{given.shot} of {batch.name}" if given.shot else batch.name
        raise OrderRefused(f"nothing of {what} is left to cancel: everything is done{before}")
    emit(given)
    for shot in shots:
        for stage in shot.stages.values():
            for branch in list(stage.branches.values()):
                if branch.closed is None:
                    close(branch, "cancelled", emit, now)
            if stage.closed is None and stage.generation:
                emit(closing(stage, (), (), "cancelled", given.who, now))


def _priority(batch: BatchState, given: OrderGiven, emit: Emit, _now: float) -> None:
    if given.shot:
        raise OrderRefused(f"shots have no class of their own: the class is that of the batch, {batch.name}")
    if not given.priority and given.weight is None:
        raise OrderRefused(f"say which class ({', '.join(PRIORITIES)}), or which weight within its class")
    if given.priority and given.priority not in PRIORITIES:
        raise OrderRefused(f"there is no class {given.priority!r}; there are: {', '.join(PRIORITIES)}")
    if given.weight is not None and not 0 < given.weight <= MOST_WEIGHT:
        raise OrderRefused(f"a weight is above 0 and at most {MOST_WEIGHT}, not {given.weight:g}")
    if given.priority in ("", batch.priority) and given.weight in (None, batch.weight):
        raise OrderRefused(f"{batch.name} is of class {batch.priority} with weight {batch.weight:g} already")
    emit(given)


def _more(batch: BatchState, given: OrderGiven, emit: Emit, _now: float) -> None:
    """So many more candidates (for each input) of a stage: of the one that waits for people, or else of the first."""
    shot = _shot(batch, given)
    _refuse_if_spent(batch)
    if given.stage:
        stage = _stage(batch, given)
    else:
        waiting = (stage for stage in shot.stages.values() if waits_for_people(stage))
        stage = next(waiting, next(iter(shot.stages.values())))
    most = MOST_CANDIDATES - stage.plan.spec.candidates - stage.extra
    if not 1 <= given.candidates <= most:
        raise OrderRefused(f"say how many more candidates: 1 to {most:,}, not {given.candidates:,}")
    emit(replace(given, stage=stage.plan.name))


def _retry(batch: BatchState, given: OrderGiven, emit: Emit, _now: float) -> None:
    """Try again what failed for a cause, or what a filter rejected. Where nothing did, the order is refused."""
    if given.shot and given.stage:
        _stage(batch, given)
    elif given.shot:
        _shot(batch, given)
    shots = shots_of(batch, given)
    if given.stage and not any(given.stage in shot.stages for shot in shots):
        raise OrderRefused(f"no shot of {batch.name} has a stage {given.stage!r}")
    if given.cause and given.filter:
        raise OrderRefused("say which cause, or which filter: not both")
    if given.cause and given.cause not in CAUSES:
        raise OrderRefused(f"nothing fails for {given.cause!r}; say one of {', '.join(CAUSES)}")
    _refuse_if_spent(batch)
    if not any(shot.cancelled is not None or _retried(shot, given) for shot in shots):
        what = f"was rejected by {given.filter}" if given.filter else f"failed ({given.cause or 'for any cause'})"
        raise OrderRefused(f"nothing of {'/'.join(filter(None, (given.shot or batch.name, given.stage)))} {what}")
    emit(given)


def _retried(shot: ShotState, given: OrderGiven) -> bool:
    """Whether something is to be tried again, now or when what is under way has ended."""
    wanted = (Retry(given.cause, given.filter),)
    return any(
        any(to_retry(branch, wanted).values())
        for stage in stages_of(shot, given)
        for branch in stage.branches.values()
        if branch.closed is None or branch.closed.why not in ENDED_FOR_GOOD
    )


def _restore(batch: BatchState, given: OrderGiven, emit: Emit, _now: float) -> None:
    """A reject survives by a person's word. It is made again, unless its medium was kept."""
    stage = _stage_to_choose_from(batch, given)
    found = find(stage, given.candidate_id)
    if found is None:
        raise OrderRefused(f"{given.candidate_id} is not among the candidates of {given.shot}/{given.stage}")
    branch, position = found
    if branch.closed is not None and branch.closed.why in ENDED_FOR_GOOD:
        raise OrderRefused(f"{given.shot}/{given.stage} is about to begin a new round; restore from that")
    result = branch.results["full"].get(position) or branch.results["draft"][position]
    who = stage.restored.get(branch.space.id_of(position, "full"))
    if who is not None and (
        position in branch.by_word or position in branch.to_restore or _being_made(branch, position)
    ):
        raise OrderRefused(f"{given.candidate_id} is restored already, by {who}")
    if result.outcome not in RESTORABLE:
        raise OrderRefused(f"{given.candidate_id} is {_PLAIN[result.outcome]}; only rejects are restored")
    if result.media is None:
        _refuse_if_spent(batch)
    emit(given)


def _being_made(branch: Branch, position: int) -> bool:
    return any(phase.by_word and position in phase.open for phase in branch.phases.values())


def _refuse_if_spent(batch: BatchState) -> None:
    if batch.spent_out:
        hours = batch.plan.batch.budget.device_hours
        raise OrderRefused(f"the budget of {batch.name}, {hours} device-hours, is spent; submit it with a larger one")


_TAKERS: dict[str, Callable[[BatchState, OrderGiven, Emit, float], None]] = {
    "pick": _pick,
    "unpick": _unpick,
    "close": _close,
    "pause": _pause,
    "unpause": _pause,
    "cancel": _cancel,
    "priority": _priority,
    "more": _more,
    "retry": _retry,
    "restore": _restore,
}
