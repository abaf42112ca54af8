"""What a batch may cost: candidates, device-hours and money for each shot and stage, from the cards' first guesses.

These are upper bounds where fewer survivors, an early stop or a budget can end a stage sooner; `at_most` says so.
Measured seconds replace the guesses while the farm runs; nothing here is used to decide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from ancestra_farm.batch.schema import Budget
from ancestra_farm.plan.plan import Plan, ShotPlan
from ancestra_farm.plan.stages import StagePlan

#: Names that model families give to the number of denoising steps; a draft's cost goes with it.
STEP_PARAMETERS = ("steps", "num_inference_steps")


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """One stage of one shot. ``full`` candidates and ``drafts`` before them; ``device_s``: seconds on its device.

    ``at_most``: fewer will do where it stops early, has fewer inputs or promotes fewer drafts.
    """

    shot: str
    stage: str
    model: str
    drafts: int
    full: int
    device_s: float
    at_most: bool

    @property
    def candidates(self) -> int:
        """What counts against the budget: drafts and full ones."""
        return self.drafts + self.full


@dataclass(frozen=True, slots=True)
class Estimate:
    """A whole batch, shot by shot and stage by stage."""

    stages: tuple[StageEstimate, ...]
    budget: Budget

    @property
    def candidates(self) -> int:
        """Drafts and full candidates of all stages."""
        return sum(stage.candidates for stage in self.stages)

    @property
    def device_hours(self) -> float:
        """Hours on devices, of all stages together."""
        return sum(stage.device_s for stage in self.stages) / 3600

    @property
    def at_most(self) -> bool:
        """Whether any part of it is an upper bound."""
        return self.budget_ends_it is not None or any(stage.at_most for stage in self.stages)

    @property
    def cost(self) -> float | None:
        """In the budget's currency; None where it names no price. What the budget forbids is not spent."""
        price = self.budget.price_per_device_hour
        if price is None:
            return None
        limit = self.budget.device_hours
        return price * (self.device_hours if limit is None else min(limit, self.device_hours))

    def cost_at(self, prices: Mapping[str, float]) -> float | None:
        """What it may cost at most. ``prices``: of an hour on the host of each model; None where one is missing.

        What the budget forbids is not spent; which stages it will end is not known, so the dearest are counted first.
        """
        if any(stage.model not in prices for stage in self.stages):
            return None
        costs = [(stage, stage.device_s / 3600 * prices[stage.model]) for stage in self.stages]
        hours, candidates = self.budget.device_hours, self.budget.candidates
        bounds = [sum(cost for _, cost in costs)]
        if hours is not None:
            bounds.append(_dearest([(stage.device_s / 3600, cost) for stage, cost in costs], hours))
        if candidates is not None:
            bounds.append(_dearest([(stage.candidates, cost) for stage, cost in costs], candidates))
        return min(bounds)

    @property
    def budget_ends_it(self) -> str | None:
        """A sentence when the whole does not fit the budget, None when it does."""
        budget = self.budget
        if budget.candidates is not None and self.candidates > budget.candidates:
            return f"the budget ends after {budget.candidates:,} of {self.candidates:,} candidates"
        if budget.device_hours is not None and self.device_hours > budget.device_hours:
            return f"the budget ends after {budget.device_hours:g} of {self.device_hours:.3g} device-hours"
        return None


def _dearest(parts: Sequence[tuple[float, float]], most: float) -> float:
    """The most that ``most`` of an amount can cost. ``parts``: (amount, its cost); any part of one can be taken."""
    cost, left = 0.0, most
    for amount, of_all in sorted(parts, key=lambda part: -part[1] / part[0] if part[0] else 0.0):
        if amount > left:
            return cost + of_all * left / amount
        cost, left = cost + of_all, left - amount
    return cost


def estimate(plan: Plan) -> Estimate:
    """Every stage of every shot. Raises PlanRefused where a shot cannot be made."""
    return Estimate(tuple(row for shot in plan.shots for row in estimate_shot(shot)), plan.batch.budget)


def estimate_shot(shot: ShotPlan) -> tuple[StageEstimate, ...]:
    """The stages of one shot. Each starts from as many inputs as the one before it can give."""
    rows = []
    results: dict[str, int] = {}
    for stage in shot.stages:
        inputs = 1 if stage.source is None else min(results[stage.source], stage.spec.best or results[stage.source])
        branches = _branches(stage, inputs)
        tried = sum(count * positions for count, positions in branches)
        drafts, full = 0, tried
        if stage.spec.draft is not None:
            promoted = sum(count * _promoted(stage, positions) for count, positions in branches)
            drafts, full = tried, promoted
        seconds = stage.card.seconds_per_candidate
        last_count, last_positions = branches[-1]
        survivors = min(full, last_count * last_positions)
        keep = stage.spec.keep
        results[stage.name] = survivors if keep == "all" else min(keep, survivors)
        rows.append(
            StageEstimate(
                shot=shot.name,
                stage=stage.name,
                model=stage.card.id,
                drafts=drafts,
                full=full,
                device_s=seconds * (full + drafts * draft_share(stage)),
                at_most=keep != "all" or drafts > 0 or stage.source is not None or stage.join == "chain",
            )
        )
    return tuple(rows)


def draft_share(stage: StagePlan) -> float:
    """What a draft costs of a full candidate: in proportion to steps (where the card has them) and pixels."""
    by_rung = {settings.rung: settings for settings in stage.rung_settings}
    full = by_rung["full"]
    draft = by_rung.get("draft", full)
    share = (draft.size[0] * draft.size[1]) / (full.size[0] * full.size[1])
    full_values, draft_values = dict(full.parameters), dict(draft.parameters)
    for name in STEP_PARAMETERS:
        of_full, of_draft = full_values.get(name), draft_values.get(name)
        if isinstance(of_full, int | float) and isinstance(of_draft, int | float) and of_full > 0:
            return share * of_draft / of_full
    return share


def _branches(stage: StagePlan, inputs: int) -> list[tuple[int, int]]:
    """(how many branches, positions in each) for each segment, at most.

    Of a chain the first segment tries all; every later one goes on from up to ``beam`` tails, each with its share.
    """
    tried = stage.spec.candidates * inputs
    if stage.join != "chain":
        return [(1, tried)] * len(stage.segments)
    beam = stage.spec.beam
    share = ceil(stage.spec.candidates / beam)
    return [(1, tried)] + [(min(beam, tried), share)] * (len(stage.segments) - 1)


def _promoted(stage: StagePlan, positions: int) -> int:
    """How many of so many drafts are made in full when every draft passes: the top fraction of each wave."""
    draft, wave = stage.spec.draft, stage.spec.wave
    if draft is None:
        return positions
    whole, rest = divmod(positions, wave)
    return whole * ceil(draft.promote * wave) + ceil(draft.promote * rest)
