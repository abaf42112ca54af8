"""How a budget in candidates is shared out: over stages when a batch comes in, over branches when they are opened.

Shared out in advance, never by who asks first, so that which shot or segment goes short does not depend on which host
was quicker. A budget in device-hours ends a batch wherever it happens to be: how far it reaches is decided in
`releases` and `purse`, and here only what becomes of whom it does not reach.
"""

from math import ceil

from ancestra_farm.plan.events import Outcome
from ancestra_farm.plan.plan import Plan, ShotPlan
from ancestra_farm.plan.recipe import Rung
from ancestra_farm.plan.stages import StagePlan
from ancestra_farm.scheduler.state import Branch


def budget_caps(plan: Plan) -> dict[tuple[str, str], int]:
    """The candidates, drafts among them, that each (shot, stage) may release, in proportion to what it could want.

    Together they are at most the budget; each gets at least one, as far as it reaches. Empty: no budget, or it covers
    everything.
    """
    budget = plan.batch.budget.candidates
    if budget is None:
        return {}
    wanted = {(shot.name, stage.name): most_candidates(shot, stage) for shot in plan.shots for stage in shot.stages}
    total = sum(wanted.values())
    if total <= budget:
        return {}
    if budget < len(wanted):
        return {key: int(place < budget) for place, key in enumerate(wanted)}
    rest, over = budget - len(wanted), total - len(wanted)
    return {key: 1 + (count - 1) * rest // over for key, count in wanted.items()}


def most_candidates(shot: ShotPlan, stage: StagePlan) -> int:
    """The most candidates a stage can release: all segments, all tails, drafts and promoted fulls."""
    root = _cost(stage, stage.spec.candidates * _most_inputs(shot, stage))
    if stage.join != "chain":
        return root * len(stage.segments)
    return root + (len(stage.segments) - 1) * stage.spec.beam * _cost(stage, tail_share(stage))


def _most_inputs(shot: ShotPlan, stage: StagePlan) -> int:
    if stage.source is None:
        return 1
    chains = _most_chains(shot, shot.stage(stage.source))
    return chains if stage.spec.best is None else min(stage.spec.best, chains)


def _most_chains(shot: ShotPlan, stage: StagePlan) -> int:
    """The most chains a stage can end with. Stopping at ``keep`` looks at whole waves, so there may be more."""
    spec = stage.spec
    chained = stage.join == "chain"
    made = spec.beam * tail_share(stage) if chained else spec.candidates * _most_inputs(shot, stage)
    return made if spec.keep == "all" else min(made, spec.keep + spec.wave - 1)


def tail_share(stage: StagePlan) -> int:
    """How many positions a branch may try that goes on from a tail: the candidates, shared by a beam of tails."""
    return -(-stage.spec.candidates // stage.spec.beam)


def branch_limit(stage: StagePlan, cap: int | None, segment: int, sisters: int, wanted: int) -> int:
    """How many of the ``wanted`` positions a branch may try within its part of the stage's ``cap``.

    Segments have equal parts, and so have the tails that a segment of a chain goes on from. ``sisters``: branches of
    the segment that were opened before.
    """
    if cap is None:
        return wanted
    part = _part(cap, len(stage.segments), segment)
    if segment > 0 and stage.join == "chain":
        part = _part(part, stage.spec.beam, sisters)
    if _cost(stage, wanted) <= part:
        return wanted
    if stage.spec.draft is None:
        return part
    size, promote = stage.spec.wave, stage.spec.draft.promote
    waves, rest = divmod(part, size + promoted(size, promote))
    alone = max((n for n in range(size) if n + promoted(n, promote) <= rest), default=0)
    return waves * size + alone


def _part(whole: int, parts: int, number: int) -> int:
    """The ``number``-th of so many nearly equal parts, which add up to the whole."""
    return whole * (number + 1) // parts - whole * number // parts


def _cost(stage: StagePlan, positions: int) -> int:
    """Candidates that so many positions of one branch come to: with drafts, those promoted count again."""
    if stage.spec.draft is None:
        return positions
    waves, rest = divmod(positions, stage.spec.wave)
    promote = stage.spec.draft.promote
    return positions + waves * promoted(stage.spec.wave, promote) + promoted(rest, promote)


def promoted(drafts: int, promote: float) -> int:
    """How many of a wave of drafts are made in full at most: rounded up, so that any passing draft promotes one.

    The rounding before it undoes that 0.07 * 100 is a little more than 7.
    """
    return ceil(round(promote * drafts, 9))


def beyond_hours(branch: Branch) -> list[tuple[int, Rung, str]]:
    """What waits of a branch whose batch has spent its device-hours, with why it is not made.

    What runs ends, and its wave is then decided over what was judged of it. What people restored is made all the same.
    """
    batch = branch.stage.batch
    if not batch.spent_out:
        return []
    reason = f"the {batch.plan.batch.budget.device_hours:g} device-hours of {batch.name} are spent"
    phases = [phase for phase in branch.phases.values() if not phase.by_word]
    return [(position, phase.rung, reason) for phase in phases for position in phase.queue]


def cut_short(branch: Branch) -> bool:
    """Whether candidates of a branch were released and not made, for its batch's device-hours."""
    skipped: frozenset[Outcome] = frozenset({"skipped"})
    return branch.stage.batch.spent_out and any(
        True for results in branch.results.values() for _ in results.having(skipped, lambda _reason: True)
    )
