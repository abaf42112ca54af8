"""What people order: submissions, picks, closing a stage. Decides whether an order can be taken; nothing else.

A refused order is said in a sentence for the person who gave it, and leaves no trace.
"""

from ancestra_farm.plan.events import BatchSubmitted, OrderGiven
from ancestra_farm.plan.plan import Plan, PlanRefused
from ancestra_farm.scheduler.chains import chains_of, close, closing, inputs_ready, selected_chains
from ancestra_farm.scheduler.state import FarmState, StageState
from ancestra_farm.scheduler.waves import Emit
from ancestra_farm.scheduler.world import OrderRefused, Submit


def submit(state: FarmState, request: Submit, emit: Emit, now: float) -> tuple[str, bool]:
    """Take a batch in. The very same batch again is taken as a reminder and changes nothing.

    Returns its name and whether anything changed.
    """
    try:
        plan = Plan.from_documents(request.document, request.cards)
        problems = list(plan.problems())
    except (ValueError, PlanRefused) as refused:
        raise OrderRefused(f"this is not a batch the farm can plan: {refused}") from refused
    if problems:
        raise OrderRefused("; ".join(problems))
    name = plan.batch.batch
    known = state.batches.get(name)
    if known is not None and known.submitted.digest == plan.digest:
        return name, False
    for branch in list(known.branches.values()) if known is not None else ():
        if branch.closed is None:
            close(branch, "superseded", emit, now)
    emit(
        BatchSubmitted(
            batch=name,
            digest=plan.digest,
            document=request.document,
            cards=dict(request.cards),
            who=request.who,
            at=now,
        )
    )
    return name, True


def order(state: FarmState, given: OrderGiven, emit: Emit, now: float) -> None:
    """Take an order or raise OrderRefused."""
    if not given.who.strip():
        raise OrderRefused("an order needs the name of the person who gives it")
    stage = _stage(state, given)
    if given.order != "unpick" and not (stage.generation and inputs_ready(stage)):
        raise OrderRefused(
            f"{given.shot}/{given.stage} has nothing to pick from yet: {stage.plan.source or 'it'} has no result so far"
        )
    if given.order == "close":
        _close(stage, given, emit, now)
    elif given.order == "pick":
        _pick(stage, given, emit)
    else:
        _unpick(stage, given, emit)


def _stage(state: FarmState, given: OrderGiven) -> StageState:
    batch = state.batches.get(given.batch)
    if batch is None:
        raise OrderRefused(f"there is no batch {given.batch!r} here; there are: {_names(state.batches)}")
    shot = batch.shots.get(given.shot)
    if shot is None:
        raise OrderRefused(f"batch {given.batch} has no shot {given.shot!r}; it has: {_names(batch.shots)}")
    stage = shot.stages.get(given.stage)
    if stage is None:
        raise OrderRefused(f"shot {given.shot} has no stage {given.stage!r}; it has: {_names(shot.stages)}")
    return stage


def _names(names: object) -> str:
    return ", ".join(sorted(str(name) for name in names)) if isinstance(names, dict) and names else "none"


def _pick(stage: StageState, given: OrderGiven, emit: Emit) -> None:
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


def _unpick(stage: StageState, given: OrderGiven, emit: Emit) -> None:
    if given.who not in stage.picks.get(given.candidate_id, set()):
        raise OrderRefused(f"{given.who} has not picked {given.candidate_id} in {given.shot}/{given.stage}")
    emit(given)


def _close(stage: StageState, given: OrderGiven, emit: Emit, now: float) -> None:
    """Close with what the standing picks come to. Branches still open end here; a closed stage is closed anew."""
    selected = selected_chains(stage)
    if not selected:
        raise OrderRefused(f"nothing stands picked in {given.shot}/{given.stage}; pick first, then close")
    if stage.closed is not None and stage.closed.selected == selected:
        raise OrderRefused(f"{given.shot}/{given.stage} is closed with these very picks already")
    emit(given)
    for branch in list(stage.branches.values()):
        if branch.closed is None:
            close(branch, "closed", emit, now)
    emit(closing(stage, chains_of(stage), selected, "picked", given.who, now))
