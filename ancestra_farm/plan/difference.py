"""What an edited batch keeps of an earlier one, told from ids and counts, without enumerating candidates.

The candidates of one wording differ only in their index, so that one id per wording says whether all of them are the
same as before, and the smaller of the two counts is how many are kept. Counted are full candidates; the drafts of the
same seeds go with them.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.schema import Batch
from ancestra_farm.plan.layout import SegmentPlan
from ancestra_farm.plan.plan import Plan
from ancestra_farm.plan.stages import StagePlan


class StageDifference(NamedTuple):
    """One stage of one shot: candidates that both plans have, that only the new one has, that only the old one had."""

    shot: str
    stage: str
    kept: int
    new: int
    dropped: int


def compare(old: Plan | None, new: Plan) -> tuple[StageDifference, ...]:
    """The root stages: those that start from words alone. Of a chain its first segment, since the rest has parents.

    Shots and stages in the order of the new plan, then those that only the old one has. Without ``old`` all is new.
    Raises PlanRefused where a shot of either cannot be made.
    """
    return _compare(old, new, lambda stage: stage.source is None)


def compare_downstream(old: Plan | None, new: Plan) -> tuple[StageDifference, ...]:
    """The other stages, counted for each input of a segment: what they make depends on survivors, their recipes do not.

    Candidates are ``kept`` for an input that survives again; a stage whose own words, model, parameters, size or
    lengths changed shows them as new and dropped whatever survives.
    """
    return _compare(old, new, lambda stage: stage.source is not None)


def _compare(old: Plan | None, new: Plan, wanted: Callable[[StagePlan], bool]) -> tuple[StageDifference, ...]:
    before = {} if old is None else {shot.name: shot for shot in old.shots}
    same_batch = old is not None and _settings(old) == _settings(new)
    rows: list[StageDifference] = []
    for shot in new.shots:
        earlier = before.pop(shot.name, None)
        now = {stage.name: stage for stage in shot.stages if wanted(stage)}
        if same_batch and earlier is not None and earlier.shot == shot.shot:
            rows.extend(StageDifference(shot.name, name, _total(stage), 0, 0) for name, stage in now.items())
            continue
        was = {} if earlier is None else {stage.name: stage for stage in earlier.stages if wanted(stage)}
        rows.extend(_difference(shot.name, name, was.get(name), stage) for name, stage in now.items())
        rows.extend(_difference(shot.name, name, stage, None) for name, stage in was.items() if name not in now)
    for shot in before.values():
        rows.extend(_difference(shot.name, stage.name, stage, None) for stage in filter(wanted, shot.stages))
    return tuple(rows)


def _settings(plan: Plan) -> tuple[Batch, Mapping[str, ModelCard]]:
    """All that a shot's candidates depend on besides the shot: where it is the same, an unchanged shot needs no ids."""
    return plan.batch.model_copy(update={"shots": ()}), plan.cards


def _difference(shot: str, name: str, old: StagePlan | None, new: StagePlan | None) -> StageDifference:
    had, has = _counts(old), _counts(new)
    kept = sum(min(count, had.get(first, 0)) for first, count in has.items())
    return StageDifference(shot, name, kept, sum(has.values()) - kept, sum(had.values()) - kept)


def _counted_segments(stage: StagePlan) -> tuple[SegmentPlan, ...]:
    """The segments that start from the stage's own inputs: all of them, or the first of a chain."""
    return stage.segments[:1] if stage.join == "chain" else stage.segments


def _total(stage: StagePlan) -> int:
    return stage.spec.candidates * len(_counted_segments(stage))


def _counts(stage: StagePlan | None) -> dict[str, int]:
    """How many candidates there are by the id of the first one of each wording and segment."""
    if stage is None:
        return {}
    # a stand-in where parents go: equal in both plans, like the input that the counts are for
    inputs = ((),) if stage.source is None else (("",),)
    counts: dict[str, int] = {}
    for segment in _counted_segments(stage):
        space = stage.space(segment.index, inputs)
        for place in range(min(len(space.variants), len(space))):
            counts[space.id_of(place)] = space.variant_count(place)
    return counts
