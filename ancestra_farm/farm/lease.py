"""One ticket in the works at a host: what has come of each of its candidates so far, and its reply when all is in.

It decides nothing about candidates. The generating thread announces how many it has handed over; judging and writing
threads bring results; the reply waits for the last of them.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ancestra_farm.filters.protocol import Flow, Judgement
from ancestra_farm.models.protocol import Frames, Made
from ancestra_farm.plan.events import AttemptEnded, Cause
from ancestra_farm.plan.recipe import Recipe
from ancestra_farm.scheduler.world import Ticket


class Judge(Protocol):
    """What judges the candidates of a ticket."""

    def __call__(self, candidate_id: str, frames: Frames, guide: Flow | None = None, /) -> Judgement:
        """Judge one candidate. ``guide``: how it is to move, if anything says so."""


Thumbnail = NDArray[np.uint8]
#: A reason or message in a row is for reading, not for dumping tensors into the log.
MESSAGE_LENGTH = 500


class Lease:
    """A ticket being worked off by ``host``. ``judge``: its cascade, set before generation. ``at``: Unix seconds.

    ``unstored``: the store failed one of its candidates.
    """

    def __init__(self, ticket: Ticket, host: str, at: Callable[[], float]) -> None:
        self.ticket = ticket
        self.judge: Judge | None = None
        self.unstored = False
        self._host = host
        self._at = at
        self._changed = threading.Condition()
        self._state: Literal["waiting", "started", "over"] = "waiting"
        self._began = False
        self._answer: bool | None = None
        self._expected = 0
        self._attempts: dict[int, AttemptEnded] = {}
        self._thumbnails: dict[int, Thumbnail] = {}
        self._spent_s: dict[int, float] = {}

    def recipes(self) -> list[tuple[int, Recipe]]:
        """(position, recipe) of each candidate, in ticket order."""
        ticket = self.ticket
        return [(position, ticket.space.recipe(position, ticket.rung)) for position in ticket.positions]

    def start(self) -> None:
        """Generation begins."""
        self._enter("started")

    def over(self) -> None:
        """The ticket is on its way back, or was taken back before it started."""
        self._enter("over")

    def answer(self, begin: bool) -> None:  # noqa: FBT001 - the one thing it says
        """Whoever sent the ticket knows that its generation begins, or wants it back. The first answer stands."""
        with self._changed:
            if self._answer is None:
                self._answer = begin
                self._changed.notify_all()

    def wait_answered(self) -> bool:
        """Until there is an answer: whether to begin."""
        with self._changed:
            self._changed.wait_for(lambda: self._answer is not None)
            return bool(self._answer)

    def wait_started(self, patience_s: float) -> bool | None:
        """True once generation has begun, False if the ticket is over without, None after ``patience_s`` of neither."""
        with self._changed:
            self._changed.wait_for(lambda: self._began or self._state != "waiting", patience_s)
            if self._began:
                return True
            return None if self._state == "waiting" else False

    def _enter(self, state: Literal["started", "over"]) -> None:
        with self._changed:
            self._state = state
            self._began = self._began or state == "started"
            self._changed.notify_all()

    def expect(self, spent_s: Mapping[int, float]) -> None:
        """Candidates are on their way, and took so many device seconds, by position; the reply waits for them."""
        with self._changed:
            self._expected += len(spent_s)
            self._spent_s.update(spent_s)

    def show(self, position: int, thumbnail: Thumbnail) -> None:
        """Keep a candidate's small picture, uint8 [h, w, 3]. Before it is finished, and by one thread."""
        self._thumbnails[position] = thumbnail

    def judged(self, position: int, made: Made, judgement: Judgement, judge_s: float) -> AttemptEnded:
        """The row of a judged candidate, without its media yet."""
        return AttemptEnded(
            batch=self.ticket.batch,
            branch=self.ticket.branch,
            position=position,
            rung=self.ticket.rung,
            candidate_id=made.recipe.candidate_id,
            cause="judged",
            passed=judgement.passed,
            at=self._at(),
            reasons=tuple(judgement.reasons),
            scores=dict(judgement.scores),
            filter_s=dict(judgement.filter_s),
            judged_in_full=judgement.in_full,
            phash=judgement.phash,
            generate_s=made.generate_s,
            judge_s=judge_s,
            host=self._host,
            ticket=self.ticket.ticket,
            message=judgement.message[:MESSAGE_LENGTH],
        )

    def fail(self, position: int, recipe: Recipe, cause: Cause, message: str) -> None:
        """An expected candidate ended without a verdict."""
        self.unstored |= cause == "store"
        row = AttemptEnded(
            batch=self.ticket.batch,
            branch=self.ticket.branch,
            position=position,
            rung=self.ticket.rung,
            candidate_id=recipe.candidate_id,
            cause=cause,
            passed=False,
            at=self._at(),
            generate_s=self._spent_s.get(position, 0.0),
            host=self._host,
            ticket=self.ticket.ticket,
            message=message[:MESSAGE_LENGTH],
        )
        self.finish(row)

    def finish(self, *rows: AttemptEnded) -> None:
        """Expected candidates are done with: their rows, media and all."""
        with self._changed:
            self._attempts.update((row.position, row) for row in rows)
            if len(self._attempts) == self._expected:
                self._changed.notify_all()

    def wait(self) -> None:
        """Until every expected candidate is finished. Nothing more is expected once generation has ended."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._attempts) == self._expected)

    def thumbnails(self) -> tuple[list[int], list[Thumbnail]]:
        """Positions that have a small picture and the pictures, in ticket order."""
        positions = [position for position in self.ticket.positions if position in self._thumbnails]
        return positions, [self._thumbnails[position] for position in positions]

    def reply(self, device_s: float, thumbnails: dict[int, str]) -> tuple[AttemptEnded, ...]:
        """The rows in ticket order.

        ``device_s``: seconds the device was held for the whole ticket, shared out in proportion to what each candidate
        took, so that rows add up to what the ticket cost. ``thumbnails``: store path by position.
        """
        positions = [position for position in self.ticket.positions if position in self._attempts]
        shares = _shares([self._spent_s[position] for position in positions], device_s)
        return tuple(
            replace(self._attempts[position], device_s=share, thumbnail=thumbnails.get(position))
            for position, share in zip(positions, shares, strict=True)
        )


def _shares(weights: Sequence[float], whole: float) -> list[float]:
    total = sum(weights)
    if total <= 0:
        return [whole / len(weights)] * len(weights) if weights else []
    return [whole * weight / total for weight in weights]
