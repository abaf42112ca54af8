"""The people of a story: who picks and closes what waits for them, and who orders this and that at random.

They see what a person would see, take their time, and now and then ask for what cannot be had: then they are refused.
"""

import random
from collections.abc import Callable
from functools import partial

from ancestra_farm.batch.schema import PRIORITIES
from ancestra_farm.plan.events import OrderGiven, OrderKind
from ancestra_farm.scheduler.chains import chains_of, waits_for_people
from ancestra_farm.scheduler.state import FarmState, StageRef, StageState
from ancestra_farm.simulate.chance import Chance, exponential, lognormal
from ancestra_farm.simulate.clock import BEGIN_S, Clock
from ancestra_farm.simulate.scenario import Scenario

#: Spread of people's delays: some answer in minutes, some after lunch.
DELAY_SPREAD = 0.8
#: Chains that a person picks at most.
MOST_PICKS = 3
#: Part of the orders that come a second time, since their answer was lost.
AGAIN = 0.1
#: Until which a whole batch is put off, in seconds.
PAUSE_S = 400.0
#: Seconds between two picks.
PICK_S = 4.0

KINDS: tuple[OrderKind, ...] = (
    "pause",
    "pause",
    "priority",
    "priority",
    "more",
    "retry",
    "restore",
    "pick",
    "unpick",
    "close",
    "cancel",
)
"""What is ordered at random, the frequent ones several times."""

Give = Callable[[OrderGiven], bool]
"""Gives an order; whether it was taken."""


class People:
    """``state``: what they see; ``give``: how they order. They know nothing of hosts."""

    def __init__(self, scenario: Scenario, clock: Clock, state: Callable[[], FarmState], give: Give) -> None:
        self._scenario = scenario
        self._clock = clock
        self._state = state
        self._give = give
        self._chance = Chance(scenario.seed, "people")
        self._random = random.Random(f"{scenario.seed}/orders")  # noqa: S311 - a story, no secret
        self._asked: dict[StageRef, int] = {}
        self._orders = 0

    def begin(self) -> None:
        """Begin to order at random, if the scenario wants it."""
        if self._scenario.orders_per_hour:
            self._plan_next()

    def look_at(self, stage: StageState) -> None:
        """A stage may wait for a person now: somebody will look at it after a while."""
        if not waits_for_people(stage) or self._asked.get(stage.ref) == stage.generation:
            return
        self._asked[stage.ref] = stage.generation
        numbers = self._chance.several(*stage.ref, stage.generation)
        delay_s = self._scenario.people_s * lognormal(numbers[0], numbers[1], DELAY_SPREAD)
        wanted = 1 + int(numbers[2] * MOST_PICKS)
        self._clock.after(delay_s, lambda: self._choose(stage.ref, wanted))

    def _choose(self, ref: StageRef, wanted: int) -> None:
        stage = self._stage(ref)
        if stage is None or not waits_for_people(stage):
            self._asked.pop(ref, None)
            return
        side_by_side = stage.plan.join in ("keys", "keyframes")
        ids = [id_ for chain in chains_of(stage)[:wanted] for id_ in (chain if side_by_side else chain[-1:])]
        for number, candidate_id in enumerate(dict.fromkeys(ids)):
            picked = self._order(ref, "pick", candidate_id)
            self._clock.after(PICK_S * number, partial(self._give, picked))
        self._clock.after(PICK_S * len(ids), lambda: self._close(ref))

    def _close(self, ref: StageRef) -> None:
        self._asked.pop(ref, None)
        stage = self._stage(ref)
        if stage is not None and waits_for_people(stage) and not self._give(self._order(ref, "close")):
            self.look_at(stage)

    def _stage(self, ref: StageRef) -> StageState | None:
        batch = self._state().batches.get(ref[0])
        shot = None if batch is None else batch.shots.get(ref[1])
        return None if shot is None else shot.stages.get(ref[2])

    def _order(self, ref: StageRef, kind: OrderKind, candidate_id: str = "") -> OrderGiven:
        batch, shot, stage = ref
        self._orders += 1
        return OrderGiven(
            batch, kind, "noor", self._clock.now, shot, stage, candidate_id, order_id=f"o{self._orders:06d}"
        )

    # ---- at random -------------------------------------------------------------------------------------------------

    def _plan_next(self) -> None:
        seconds = exponential(self._random.random(), self._scenario.orders_per_hour)
        self._clock.after(seconds, self._at_random, background=True)

    def _at_random(self) -> None:
        if self._clock.now < BEGIN_S + self._scenario.orders_h * 3600:
            self._plan_next()
        batches = list(self._state().batches.values())
        if not batches:
            return
        batch = self._random.choice(batches)
        shot = self._random.choice(list(batch.shots.values()))
        stage = self._random.choice(list(shot.stages.values()))
        kind = self._random.choice(KINDS)
        given = self._made(kind, stage)
        if self._random.random() < AGAIN:
            self._clock.after(PICK_S, lambda: self._give(given))
        if self._give(given) and kind == "pause":
            again = OrderGiven(batch.name, "unpause", "noor", self._clock.now, given.shot)
            self._clock.after(
                60.0 * (0.1 + 10 * self._random.random()), lambda: self._give(_at(again, self._clock.now))
            )

    def _made(self, kind: OrderKind, stage: StageState) -> OrderGiven:
        batch, shot, name = stage.ref
        self._orders += 1
        whole = self._random.random() < 0.3
        who = self._random.choice(("noor", "lena", "tom"))
        order_id = f"r{self._orders:06d}"
        now = self._clock.now
        if kind == "priority":
            cls = self._random.choice(PRIORITIES)
            weight = self._random.choice((None, 0.5, 4.0))
            return OrderGiven(batch, kind, who, now, priority=cls, weight=weight, order_id=order_id)
        if kind in ("pause", "cancel"):
            until = now + PAUSE_S if whole and kind == "pause" else None
            return OrderGiven(batch, kind, who, now, "" if whole else shot, until=until, order_id=order_id)
        if kind == "more":
            more = self._random.randint(1, 2 * stage.plan.spec.wave)
            return OrderGiven(batch, kind, who, now, shot, name, candidates=more, order_id=order_id)
        if kind == "retry":
            what = self._random.choice(("failed", "quarantined", "lost", "exception", "crash"))
            cause, filter_ = ("", "sharpness") if whole else (what, "")
            return OrderGiven(batch, kind, who, now, shot, name, cause=cause, filter=filter_, order_id=order_id)
        return OrderGiven(batch, kind, who, now, shot, name, self._candidate(kind, stage), order_id=order_id)

    def _candidate(self, kind: OrderKind, stage: StageState) -> str:
        if kind == "close":
            return ""
        if kind == "unpick" and stage.picks:
            return self._random.choice(list(stage.picks))
        wanted = "rejected" if kind == "restore" else "survivor"
        ids = [
            result.candidate_id
            for branch in stage.branches.values()
            for result in branch.results["full"].values()
            if result.outcome == wanted
        ]
        return self._random.choice(ids) if ids else "0" * 32


def _at(given: OrderGiven, now: float) -> OrderGiven:
    return OrderGiven(given.batch, given.order, given.who, now, given.shot)
