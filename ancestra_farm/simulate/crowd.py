"""Many batches of a few: copies that come in one after another, in classes by lot, of films so many times as large."""

from collections.abc import Mapping, Sequence
from math import log

from ancestra_farm.batch.schema import PRIORITIES, Batch
from ancestra_farm.plan.plan import Plan
from ancestra_farm.simulate.chance import Chance
from ancestra_farm.simulate.scenario import Arrival, ScenarioRefused

#: Names of shots and batches end here.
LONGEST_NAME = 80


def crowd(
    plans: Sequence[Plan],
    *,
    seed: int = 0,
    copies: int = 1,
    scale: int = 1,
    every_s: float = 0.0,
    mix: Mapping[str, float] | None = None,
) -> tuple[Arrival, ...]:
    """Arrivals of ``copies`` of each plan, each with ``scale`` times its shots and budget.

    The first is there at once; between two arrivals lie ``every_s`` seconds on average (exponentially distributed).
    ``mix``: weights of the classes that batches are put into by lot; None: as each says. Raises ScenarioRefused.
    """
    if copies < 1 or scale < 1 or every_s < 0:
        raise ScenarioRefused("there is at least 1 copy, the scale is at least 1, and no time between them is negative")
    for name, weight in (mix or {}).items():
        if name not in PRIORITIES or weight < 0:
            raise ScenarioRefused(f"{name}={weight:g} is no part of a mix; the classes are {', '.join(PRIORITIES)}")
    if mix and not sum(mix.values()):
        raise ScenarioRefused("the mix is empty")
    chance = Chance(seed, "arrivals")
    arrivals: list[Arrival] = []
    after_s = 0.0
    for number in range(copies):
        for plan in plans:
            lots = chance.several(plan.batch.batch, number)
            batch = larger(plan.batch, scale)
            update: dict[str, object] = {}
            if number:
                update = {"batch": f"{batch.batch[: LONGEST_NAME - 8]}-{number + 1}", "seed": batch.seed + number}
            if mix:
                update["priority"] = _drawn(mix, lots[0])
            if arrivals:
                after_s += -log(1.0 - lots[1]) * every_s
            changed = batch.model_copy(update=update) if update else batch
            arrivals.append(Arrival(Plan.of(changed, plan.cards) if changed is not plan.batch else plan, after_s))
    return tuple(arrivals)


def larger(batch: Batch, scale: int) -> Batch:
    """The batch with each shot so many times, under names of their own, and its budget as many times as large."""
    if scale == 1:
        return batch
    shots = tuple(
        shot if number == 0 else shot.model_copy(update={"shot": f"{shot.shot[: LONGEST_NAME - 8]}_{number + 1}"})
        for number in range(scale)
        for shot in batch.shots
    )
    budget = batch.budget
    grown = {
        name: value * scale for name in ("candidates", "device_hours") if (value := getattr(budget, name)) is not None
    }
    return batch.model_copy(update={"shots": shots, "budget": budget.model_copy(update=grown)})


def _drawn(mix: Mapping[str, float], lot: float) -> str:
    left = lot * sum(mix.values())
    for name, weight in mix.items():
        left -= weight
        if left < 0:
            return name
    return [name for name, weight in mix.items() if weight][-1]
