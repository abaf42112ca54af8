"""What follows from an attempt that ended without a verdict. Decides by cause; who ran it does not matter here."""

from dataclasses import replace
from typing import Literal

from ancestra_farm.plan.events import AttemptEnded, Cause
from ancestra_farm.plan.recipe import Rung
from ancestra_farm.scheduler.hosts import Lease
from ancestra_farm.scheduler.outcomes import CHARGED, phase_of
from ancestra_farm.scheduler.results import Result
from ancestra_farm.scheduler.state import Branch
from ancestra_farm.scheduler.tunables import Tunables

GivenUp = tuple[Literal["quarantined", "lost", "failed"], str]


def verdict_on(result: Result, attempt: AttemptEnded, before: Cause | None, tunables: Tunables) -> GivenUp | None:
    """Whether a candidate is tried again after this attempt (None), and if not, why not.

    ``before``: how the attempt before it failed. What does not fit into memory is tried once more in a smaller call;
    what does not fit alone, after that, never will.
    """
    if attempt.cause == before == "out_of_memory" and attempt.of == 1:
        return "quarantined", f"it does not fit into memory alone: {result.reason or 'no message'}"
    if result.strikes >= tunables.strikes:
        return _struck_out(result)
    if result.losses >= tunables.losses:
        return "lost", f"lost with its host {result.losses} times"
    return None


def _struck_out(result: Result) -> GivenUp:
    return "quarantined", f"{result.strikes} strikes; the last: {result.reason or 'no message'}"


def given_up_before(branch: Branch, tunables: Tunables) -> list[tuple[int, Rung, GivenUp]]:
    """Who of a branch's open waves was given up, or had strikes enough for it, before it was skipped.

    They are not tried once more when they are released again: else a candidate had more tries where its wave was ahead
    of a stop than where it was not, and whether it was rests on pace.
    """
    if not branch.rewound:
        return []
    found: list[tuple[int, Rung, GivenUp]] = []
    for phase in branch.phases.values():
        for position in sorted(phase.open):
            known = branch.results[phase.rung].look(position)
            if known is not None and known.given_up is not None:
                found.append((position, phase.rung, (known.given_up, known.reason)))
            elif known is not None and known.strikes >= tunables.strikes:
                found.append((position, phase.rung, _struck_out(known)))
    return found


def still_counts(branch: Branch, attempt: AttemptEnded) -> bool:
    """Whether an attempt that comes back after its wave was closed says something about its candidate all the same.

    A failure does while the candidate may yet be tried; a verdict is made anew when it is wanted.
    """
    known = branch.results[attempt.rung].look(attempt.position)
    return attempt.cause in CHARGED and known is not None and known.outcome in ("skipped", "released")


def disbelieved(attempt: AttemptEnded) -> AttemptEnded:
    """The record of an attempt that does not count: what it cost, not what it showed."""
    return replace(attempt, cause="aborted", passed=False, reasons=(), scores={}, media=None)


def excused(attempt: AttemptEnded) -> AttemptEnded:
    """The record of an attempt on a machine that goes away: a verdict counts, a failure is taken for the machine's."""
    return attempt if attempt.cause == "judged" else disbelieved(attempt)


def taken_back(lease: Lease, cause: Cause, message: str, host: str, now: float) -> list[AttemptEnded]:
    """The attempts to record for a ticket whose host went away while it was generating.

    Each unfinished candidate gets one, with ``of``: how many shared the fate, and its part of the time that the device
    was held. A crash of many charges nobody but halves their next ticket, until the guilty one ran alone.
    """
    ticket, branch = lease.ticket, lease.lot.branch
    took = 0.0 if lease.started_at is None else max(0.0, now - lease.started_at)
    unfinished = [p for p in ticket.positions if phase_of(branch, p, ticket.rung) is not None]
    return [
        AttemptEnded(
            batch=ticket.batch,
            branch=ticket.branch,
            position=position,
            rung=ticket.rung,
            candidate_id=branch.result(position, ticket.rung).candidate_id,
            cause=cause,
            passed=False,
            at=now,
            device_s=took / len(unfinished),
            host=host,
            ticket=ticket.ticket,
            message=message,
            of=len(unfinished),
        )
        for position in unfinished
    ]
