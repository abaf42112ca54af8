"""How a wave is shared out between the wordings of a stage that is spent by yield.

Each wording gets candidates in proportion to the probability that it is the best one, given what has survived of it so
far: randomized probability matching, with that probability worked out instead of drawn (S. L. Scott, "A modern Bayesian
look at the multi-armed bandit", Applied Stochastic Models in Business and Industry 26, 2010, section 3). It suits a
farm because it gives shares of a whole wave where an upper confidence bound names one wording, and because nothing in
it is random: the same survivors give the same shares on every machine that computes floating point alike.

Best means most distinct survivors for a device-second. A wording's survivors are taken as a Poisson process in what it
has cost, with an unknown rate; before anything is known of it, the rate is exponential with the mean of all wordings
together, the distribution that assumes nothing but that mean. So its posterior is a Gamma distribution with shape
1 + survivors. Duplicates are no survivors, so a wording that has shown all it has falls back.

Cost is counted in full candidates, a draft as its share of one, never in measured seconds: with those, a slow host
would change which candidates are tried. Within one stage and rung every wording costs the same to generate.

It decides how many of each wording come next. Which waves it may know, when a wave comes and which stop, is decided in
`waves`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, sqrt

#: Points at which densities are evaluated. With shapes up to `Exploration.memory` the narrowest is some ten steps wide.
GRID = 256


@dataclass(frozen=True, slots=True)
class Exploration:
    """How much is spent on wordings that look poor. Raises ValueError for what could not work."""

    #: This fraction of the budget goes evenly over all wordings, for ever, whatever they have shown. A tenth costs at
    #: most a tenth of the survivors, and of 10,000 candidates under ten wordings each still gets 100, with which one
    #: that yields 4 % stays hidden in one case of 60.
    floor: float = 0.1
    #: A wording is judged on its last so many survivors: older ones count less and less. At 64 the rate is known to an
    #: eighth, which no even split could use better, and a wording that has nothing new left is seen through after as
    #: many candidates as these survivors took, not as many as it ever had.
    memory: float = 64.0

    def __post_init__(self) -> None:
        if not 0 < self.floor <= 1:
            raise ValueError(f"floor is a fraction above 0, not {self.floor}")
        if not 1 <= self.memory <= 1000:
            raise ValueError(f"memory is 1 to 1,000 survivors, not {self.memory}")


DEFAULTS = Exploration()


@dataclass(frozen=True, slots=True)
class Shown:
    """What a wording has shown: distinct survivors, and what all its candidates cost, in full candidates."""

    survivors: float
    cost: float


def share_out(
    size: int, taken: Sequence[int], shown: Sequence[Shown], exploration: Exploration = DEFAULTS
) -> tuple[int, ...]:
    """How many of the next ``size`` candidates each wording gets; they add up to ``size``.

    ``taken``: candidates each wording was given so far, decided or not. ``shown``: of those that are decided. After any
    wave the wording at place v of V has been given at least floor((floor · total + V − 1 − v) / V) in all.
    """
    floors = _floors(int(exploration.floor * (sum(taken) + size)), len(taken))
    counts = [max(0, least - had) for least, had in zip(floors, taken, strict=True)]
    left = size - sum(counts)
    wished = [
        max(0.0, chance * size - count) for chance, count in zip(chances_of_being_best(shown), counts, strict=True)
    ]
    total = sum(wished)
    parts = [wish * left / total if total > 0 else left / len(taken) for wish in wished]
    return tuple(count + whole for count, whole in zip(counts, _rounded(parts, left, taken), strict=True))


def _floors(total: int, wordings: int) -> list[int]:
    """``total`` in nearly equal parts, the larger ones first: each grows as the total does, and never falls."""
    return [(total + wordings - 1 - place) // wordings for place in range(wordings)]


def _rounded(parts: Sequence[float], total: int, taken: Sequence[int]) -> list[int]:
    """Whole numbers that add up to ``total``, by largest remainders; of equal ones first who was given least.

    Remainders are compared to nine digits: what differs less differs by rounding errors only.
    """
    whole = [min(int(part + 1e-9), total) for part in parts]
    order = sorted(range(len(parts)), key=lambda v: (-round(parts[v] - whole[v], 9), taken[v], v))
    over = total - sum(whole)
    for place in range(over):
        whole[order[place % len(order)]] += 1
    return whole


def chances_of_being_best(shown: Sequence[Shown]) -> tuple[float, ...]:
    """For each wording the probability that its rate is the highest of all; they add up to 1.

    The integral of one density times the other distributions, by the midpoint rule. Wordings that have shown the same
    are worked out once, so that many unseen ones cost nothing.
    """
    mean = (sum(one.survivors for one in shown) + 1.0) / (sum(one.cost for one in shown) + 1.0)
    kinds = list(dict.fromkeys(shown))
    times = [0] * len(kinds)
    place = {kind: number for number, kind in enumerate(kinds)}
    for one in shown:
        times[place[one]] += 1
    gammas = [(1.0 + kind.survivors, 1.0 / mean + kind.cost) for kind in kinds]
    step = max((shape + 4.0 * sqrt(shape) + 4.0) / rate for shape, rate in gammas) / GRID
    at = [(number + 0.5) * step for number in range(GRID)]
    masses = [_masses(shape, rate, at, step) for shape, rate in gammas]
    below = [_logs_below(mass) for mass in masses]
    all_below = [sum(map(lambda count, logs: count * logs, times, column)) for column in zip(*below, strict=True)]
    raw = [
        sum(
            mass * exp(everyone - own)
            for mass, everyone, own in zip(masses[number], all_below, below[number], strict=True)
        )
        for number in range(len(kinds))
    ]
    total = sum(count * chance for count, chance in zip(times, raw, strict=True))
    if total <= 0:
        return tuple(1.0 / len(shown) for _ in shown)
    return tuple(raw[place[one]] / total for one in shown)


def _masses(shape: float, rate: float, at: Sequence[float], step: float) -> list[float]:
    """Probability of a Gamma distribution in each cell of the grid."""
    constant = shape * log(rate) - lgamma(shape) + log(step)
    return [exp(constant + (shape - 1.0) * log(x) - rate * x) for x in at]


def _logs_below(masses: Sequence[float]) -> list[float]:
    """Logarithm of the probability to lie below the middle of each cell.

    Summed from above, where the grid is fine for every distribution: the low ones may be narrower than a cell.
    """
    logs = [0.0] * len(masses)
    above = 0.0
    for cell in range(len(masses) - 1, -1, -1):
        logs[cell] = log(max(1.0 - above - masses[cell] / 2, 1e-300))
        above += masses[cell]
    return logs
