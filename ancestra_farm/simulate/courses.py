"""What becomes of a ticket on a host: when each of its candidates is made, and what ends it before they all are."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from ancestra_farm.plan.events import AttemptEnded, Cause
from ancestra_farm.plan.plan import StagePlan
from ancestra_farm.scheduler.world import Ticket
from ancestra_farm.simulate.chance import Chance
from ancestra_farm.simulate.fates import Fate, Fates, mean_seconds
from ancestra_farm.simulate.scenario import Scenario
from ancestra_farm.simulate.shelves import SAYS

CAUSES: dict[str, Cause] = {"crash": "crash", "exit": "crash"}
#: A candidate that was broken off has a row, for what it cost, from so many seconds on: as the farm's hosts have it.
LEAST_CHARGED_S = 0.1


class Worker(Protocol):
    """The host that works a ticket off. ``sick``: its verdicts are off."""

    name: str
    sick: bool

    @property
    def factor(self) -> float:
        """Seconds of a candidate here, as a multiple."""


@dataclass(slots=True)
class Course:
    """A ticket being generated. ``made``: (second at which it is made, its attempt), in order; ``ends_s``: in all."""

    ticket: Ticket
    began: float
    made: list[tuple[float, AttemptEnded]]
    ends_s: float
    dies: str | None = None
    hangs: bool = False

    def until(self, now: float) -> tuple[AttemptEnded, ...]:
        """What there is of it when it is taken back: what was made, and what the candidate under way has cost."""
        elapsed_s = now - self.began
        done = [attempt for ends_s, attempt in self.made if ends_s <= elapsed_s]
        spent_s = elapsed_s - sum(attempt.device_s for attempt in done)
        if len(done) < len(self.made) and spent_s >= LEAST_CHARGED_S:
            done.append(_broken_off(self.made[len(done)][1], spent_s, now))
        return tuple(done)


def _broken_off(attempt: AttemptEnded, spent_s: float, now: float) -> AttemptEnded:
    return replace(
        attempt,
        cause="aborted",
        passed=False,
        at=now,
        reasons=(),
        scores={},
        filter_s={},
        phash=None,
        media=None,
        generate_s=spent_s,
        device_s=spent_s,
        message="",
    )


def unstored(attempt: AttemptEnded) -> AttemptEnded:
    """What is left of an attempt whose medium the store did not take."""
    if attempt.media is None:
        return attempt
    return replace(attempt, cause="store", passed=False, scores={}, filter_s={}, phash=None, media=None, message=SAYS)


class Courses:
    """The courses of all tickets of one controller. ``tries``: of each candidate that is in trouble, by its id.

    ``stage_of``: the plan of the stage a ticket is of.
    """

    def __init__(
        self, scenario: Scenario, fates: Fates, tries: dict[str, int], stage_of: Callable[[Ticket], StagePlan]
    ) -> None:
        self._scenario = scenario
        self._faults = scenario.faults
        self._fates = fates
        self._tries = tries
        self._stage_of = stage_of
        self._chance = Chance(scenario.seed, "hosts")
        self._seconds: dict[tuple[str, str, str, str], float] = {}

    def of(self, host: Worker, ticket: Ticket, now: float) -> Course:
        """The course of a ticket that begins now."""
        stage = self._stage_of(ticket)
        key = (ticket.batch, ticket.space.shot, stage.name, ticket.rung)
        mean = self._seconds.get(key)
        if mean is None:
            mean = self._seconds[key] = mean_seconds(stage, ticket.rung, self._scenario)
        course = Course(ticket, now, [], 0.0)
        for position in ticket.positions:
            fate = self._fates.of(ticket, position, stage, mean)
            seconds = fate.seconds * host.factor
            course.ends_s += seconds
            trouble = self._struck(fate)
            if trouble in CAUSES or trouble == "hang":
                course.ends_s -= 0.5 * seconds
                course.hangs = trouble == "hang"
                course.dies = trouble
                break
            course.made.append((course.ends_s, self._attempt(host, ticket, position, fate, trouble, seconds, course)))
        return course

    def _struck(self, fate: Fate) -> str | None:
        """The trouble a candidate is in at this try."""
        if fate.trouble is None:
            return None
        tries = self._tries[fate.candidate_id] = self._tries.get(fate.candidate_id, 0) + 1
        return fate.trouble if fate.persistent or tries == 1 else None

    def _attempt(
        self,
        host: Worker,
        ticket: Ticket,
        position: int,
        fate: Fate,
        trouble: str | None,
        seconds: float,
        course: Course,
    ) -> AttemptEnded:
        passed, reason = fate.passed, fate.reason
        if host.sick and passed and self._chance.of(host.name, fate.candidate_id) < self._faults.sick_rejects:
            passed, reason = False, "noise"
        judged = trouble is None
        keeps = passed or ticket.keep_rejects or getattr(ticket, "by_word", False)
        return AttemptEnded(
            batch=ticket.batch,
            branch=ticket.branch,
            position=position,
            rung=ticket.rung,
            candidate_id=fate.candidate_id,
            cause="judged" if judged else "exception" if trouble == "exception" else "out_of_memory",
            passed=judged and passed,
            at=course.began + course.ends_s,
            reasons=(reason,) if judged and not passed else (),
            scores={"quality": fate.score} if judged else {},
            filter_s={"exposure": 0.001, "sharpness": 0.002} if judged else {},
            phash=fate.phash if judged else None,
            media=f"media/{fate.candidate_id}" if judged and keeps else None,
            generate_s=seconds,
            device_s=seconds,
            host=host.name,
            ticket=ticket.ticket,
            message="" if judged else f"simulated {trouble}",
        )
