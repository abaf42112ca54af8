"""What becomes of a candidate: how long it takes, whether it passes, what it looks like, and what goes wrong with it.

All of it rests on the candidate alone, as in life it rests on its recipe alone; hosts only make it slower, or judge it
wrongly. A draft and its final share a latent quality, so that good drafts mostly become good finals.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from math import erf, exp, sqrt
from typing import Literal

from ancestra_farm.plan.estimate import draft_share
from ancestra_farm.plan.plan import StagePlan
from ancestra_farm.plan.recipe import Rung
from ancestra_farm.scheduler.world import Ticket
from ancestra_farm.simulate.chance import Chance, lognormal, normal
from ancestra_farm.simulate.scenario import Scenario

Trouble = Literal["exception", "crash", "exit", "hang", "out_of_memory"]
TROUBLES: tuple[Trouble, ...] = ("exception", "crash", "exit", "hang", "out_of_memory")

#: Pictures that candidates may look like, for each stage of a shot.
MOTIFS = 16
#: What a draft passes with where no yield of drafts is given: filters for finals reject little of a rough look.
DRAFT_YIELD = 0.8
#: A wording's yield never leaves these bounds.
LEAST_YIELD, MOST_YIELD = 1e-6, 1.0


@dataclass(frozen=True, slots=True)
class Fate:
    """One candidate's. ``seconds``: on a device of factor 1. ``persistent``: trouble at every try, else once."""

    candidate_id: str
    seconds: float
    passed: bool
    reason: str
    score: float
    phash: int
    trouble: Trouble | None
    persistent: bool


class Fates:
    """The fates of all candidates of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._chance = Chance(scenario.seed, "candidates")
        self._latent = Chance(scenario.seed, "qualities")
        self._wordings = Chance(scenario.seed, "wordings")
        self._any_trouble = any(getattr(scenario.faults, trouble) for trouble in TROUBLES)

    def of(self, ticket: Ticket, position: int, stage: StagePlan, seconds: float) -> Fate:
        """The fate of one candidate of a ticket. ``seconds``: what one of its kind takes on average."""
        space, rung = ticket.space, ticket.rung
        full_id = space.id_of(position, "full")
        candidate_id = full_id if rung == "full" else space.id_of(position, rung)
        numbers = self._chance.several(candidate_id)
        quality = self._quality(full_id, rung, numbers[0], numbers[1])
        variant = space.place(position)[1].id
        nan = numbers[2] < self._scenario.faults.nan
        return Fate(
            candidate_id=candidate_id,
            seconds=seconds * lognormal(numbers[3], numbers[4], self._scenario.spread),
            passed=not nan and quality >= 1.0 - self.yield_of(stage, rung, variant),
            reason="broken" if nan else "sharpness" if numbers[5] < 0.7 else "exposure",
            score=float("nan") if nan else quality,
            phash=self._picture(full_id, space.shot, space.stage, numbers[6]),
            trouble=self._trouble(numbers[7]),
            persistent=numbers[5] < self._scenario.faults.persistent,
        )

    def _quality(self, full_id: str, rung: Rung, first: float, second: float) -> float:
        latent = self._latent.several(full_id)
        value = normal(latent[0], latent[1])
        if rung == "draft":
            known = self._scenario.draft_correlation
            value = known * value + sqrt(1.0 - known * known) * normal(first, second)
        return 0.5 * (1.0 + erf(value / sqrt(2.0)))

    def yield_of(self, stage: StagePlan, rung: Rung, variant: str) -> float:
        """Which part of a wording's candidates passes."""
        return self._yield(stage.shot, stage.name, _planted(stage), rung, variant)

    @lru_cache(maxsize=65_536)  # noqa: B019 - lives and dies with its scenario
    def _yield(self, shot: str, stage: str, planted: float | None, rung: Rung, variant: str) -> float:
        scenario = self._scenario
        if rung == "draft":
            return scenario.yields.get(f"{stage}/draft", max(DRAFT_YIELD, scenario.yields.get(stage, 0.0)))
        share = scenario.yields.get(stage, scenario.default_yield if planted is None else planted)
        if not scenario.wordings or not share:
            return share
        first, second, *_ = self._wordings.several(shot, stage, variant)
        factor = exp(scenario.wordings * normal(first, second) - scenario.wordings**2 / 2)
        return min(MOST_YIELD, max(LEAST_YIELD, share * factor))

    def _picture(self, full_id: str, shot: str, stage: str, number: float) -> int:
        """A 64-bit hash: of the candidate's own picture, or of one of a few that others show too."""
        alike = self._scenario.alike
        name = f"{shot}/{stage}/{int(number / alike * MOTIFS)}" if number < alike else full_id
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")

    def _trouble(self, number: float) -> Trouble | None:
        if self._any_trouble:
            for trouble in TROUBLES:
                number -= getattr(self._scenario.faults, trouble)
                if number < 0:
                    return trouble
        return None


def _planted(stage: StagePlan) -> float | None:
    """The yield that the stage's own parameters say, where its model plants faults."""
    planted = dict(stage.rung_settings[-1].parameters).get("fault_rate")
    return 1.0 - planted if isinstance(planted, int | float) else None


def mean_seconds(stage: StagePlan, rung: Rung, scenario: Scenario) -> float:
    """Device-seconds of one candidate on average, on a device of factor 1."""
    full = scenario.seconds.get(stage.card.id, stage.card.seconds_per_candidate)
    return full * draft_share(stage) if rung == "draft" else full
