"""Where spending by yield will change nothing, said before anything is made. It is no fault: nothing is refused for it.

One wording is spent as if evenly, and the first two waves always are: shares rest on waves that are decided, and one
wave runs ahead. So a show may set ``spend: by_yield`` everywhere and is told where it does not matter.
"""

from collections.abc import Callable, Iterator

from ancestra_farm.plan.plan import Plan
from ancestra_farm.plan.stages import StagePlan

#: So many waves are worth deciding between: two even ones leave four fifths of the budget to what they showed.
GOOD_WAVES = 10


def idle_by_yield(plan: Plan) -> tuple[str, ...]:
    """A sentence for each stage and reason, with the first of the shots that it is so in. Raises PlanRefused."""
    stages = [stage for shot in plan.shots for stage in shot.stages if stage.spec.spend == "by_yield"]
    return tuple(
        sentence
        for name in dict.fromkeys(stage.name for stage in stages)
        for sentence in _of_stage([stage for stage in stages if stage.name == name])
    )


def _of_stage(stages: list[StagePlan]) -> Iterator[str]:
    name = stages[0].name
    if single := _shots(stages, lambda stage: len(stage.variants) == 1):
        yield f"{name}: {single} one wording, so that by_yield has nothing to choose from"
    if few := [stage for stage in stages if len(stage.variants) > 1 and _waves(stage) in (1, 2)]:
        spec, has = few[0].spec, _shots(few, lambda _: True)
        better = max(1, spec.candidates // GOOD_WAVES)
        yield (
            f"{name}: {has} {spec.candidates:,} candidates in waves of {spec.wave:,}, and the first two waves are "
            f"always even: by_yield changes nothing (with wave: {better} it could)"
        )


def _waves(stage: StagePlan) -> int | None:
    """How many waves a stage has; None where that depends on how many inputs it gets."""
    return -(-stage.spec.candidates // stage.spec.wave) if stage.source is None else None


def _shots(stages: list[StagePlan], wanted: Callable[[StagePlan], bool]) -> str:
    """``anc_010_0010 has``, ``anc_010_0010 and 11 more shots have``; empty where no stage is as wanted."""
    names = [stage.shot for stage in stages if wanted(stage)]
    if len(names) < 2:
        return f"{names[0]} has" if names else ""
    more = f"{len(names) - 1:,} more shot" + ("s" if len(names) > 2 else "")
    return f"{names[0]} and {more} have"
