"""What follows from an attempt that ended without a verdict. Decides by cause; who ran it does not matter here."""

from dataclasses import replace
from typing import Literal

from ancestra_farm.plan.events import AttemptEnded, Cause
from ancestra_farm.scheduler.hosts import Lease
from ancestra_farm.scheduler.outcomes import phase_of
from ancestra_farm.scheduler.results import Result
from ancestra_farm.scheduler.tunables import Tunables

GivenUp = tuple[Literal["quarantined", "lost"], str]


def verdict_on(result: Result, attempt: AttemptEnded, before: Cause | None, tunables: Tunables) -> GivenUp | None:
    """Whether a candidate is tried again after this attempt (None), and if not, why not.

    ``before``: how the attempt before it failed. What does not fit into memory is tried once more in a smaller call;
    what does not fit alone, after that, never will.
    """
    if attempt.cause == before == "out_of_memory" and attempt.of == 1:
        return "quarantined", f"it does not fit into memory alone: {result.reason or 'no message'}"
    if result.strikes >= tunables.strikes:
        return "quarantined", f"{result.strikes} strikes; the last: {result.reason or 'no message'}"
    if result.losses >= tunables.losses:
        return "lost", f"lost with its host {result.losses} times"
    return None


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
