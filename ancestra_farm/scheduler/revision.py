"""What a submission makes of what was known: the state of a batch just taken in, or of a newer revision of one.

A revision opens everything anew and takes over verdicts, picks, published stitches and standing orders. What was
cancelled is taken up again by submitting it again.
"""

from ancestra_farm.plan.events import BatchSubmitted
from ancestra_farm.plan.plan import Plan
from ancestra_farm.scheduler.budget import budget_caps
from ancestra_farm.scheduler.settings import Settings
from ancestra_farm.scheduler.state import BatchState, ShotState, StageState, judging_digest


def new_batch(submitted: BatchSubmitted, number: int, before: BatchState | None, settings: Settings) -> BatchState:
    """The state of a batch just submitted: nothing opened yet, everything already judged under its name known."""
    if before is not None:
        for branch in list(before.branches.values()):
            before.put_away(branch)
    plan = Plan.from_documents(submitted.document, submitted.cards)
    batch = BatchState(
        number=number,
        submitted=submitted,
        plan=plan,
        revision=1 if before is None else before.revision + 1,
        known={} if before is None else before.known,
        past={} if before is None else before.past,
        device_s=0.0 if before is None else before.device_s,
        priority=plan.batch.priority,
        weight=plan.batch.weight,
        settings=settings,
        money=0.0 if before is None else before.money,
    )
    caps = budget_caps(plan)
    for index, shot_plan in enumerate(plan.shots):
        shot = ShotState(number=index, plan=shot_plan)
        depth: dict[str, int] = {}
        for stage in shot_plan.stages:
            depth[stage.name] = 0 if stage.source is None else depth[stage.source] + 1
            shot.stages[stage.name] = StageState(
                batch=batch,
                shot=shot,
                plan=stage,
                depth=depth[stage.name],
                judged_by=judging_digest(stage),
                cap=caps.get((shot_plan.name, stage.name)),
            )
        if before is not None and (old := before.shots.get(shot_plan.name)) is not None:
            _take_over(shot, old)
        batch.shots[shot_plan.name] = shot
    if before is not None:
        _stand(batch, before)
    return batch


def _take_over(shot: ShotState, old: ShotState) -> None:
    """What people and stitches came to in a shot before this revision."""
    shot.stitches = {key: stitch for key, stitch in old.stitches.items() if stitch.done}
    shot.bad_pairs = old.bad_pairs
    shot.pause = old.pause
    for name, stage in shot.stages.items():
        if name not in old.stages:
            continue
        before = old.stages[name]
        stage.picks, stage.restored, stage.more = before.picks, before.restored, before.more
        closed_by_people = before.closed is not None and before.closed.selected
        stage.carried = before.closed if closed_by_people else before.carried
        stage.same_plan = before.plan == stage.plan and (before.settled if closed_by_people else before.same_plan)


def _stand(batch: BatchState, before: BatchState) -> None:
    """Orders about the whole batch stand; a class or weight that was ordered does, until the file says another."""
    batch.pause = before.pause
    if batch.plan.batch.priority == before.plan.batch.priority:
        batch.priority = before.priority
    if batch.plan.batch.weight == before.plan.batch.weight:
        batch.weight = before.weight
