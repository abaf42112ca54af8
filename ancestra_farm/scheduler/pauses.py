"""Pauses that end by themselves: what a person put off until a time, a batch that is to begin at one among it.

Until then nothing of it starts. Since it is known when it goes on, its nodes and models can be there by then (see
`warming`). The end of a pause is an order like any other, given for the person who said when.
"""

from collections.abc import Iterable, Iterator

from ancestra_farm.plan.events import OrderGiven
from ancestra_farm.plan.moments import until
from ancestra_farm.scheduler.state import BatchState, ShotState, StageState


def told_end(pause: OrderGiven) -> str:
    """``, until 2027-03-01 08:00 UTC``; empty where only an order ends it."""
    return "" if pause.until is None else f", {until(pause.until)}"


def standing(batch: BatchState, shot: ShotState) -> list[OrderGiven]:
    """The pauses that stand on a shot: its batch's, and its own."""
    return [pause for pause in (batch.pause, shot.pause) if pause is not None]


def put_off(batch: BatchState, shot: ShotState) -> bool:
    """Whether a pause of a shot ends at a time, though another may stand that does not."""
    return shot.cancelled is None and any(pause.until is not None for pause in standing(batch, shot))


def goes_on_at(batch: BatchState, shot: ShotState) -> float | None:
    """When a shot that people put off goes on by itself, in seconds since the Unix epoch; None if it does not."""
    there = standing(batch, shot)
    if not there or shot.cancelled is not None:
        return None
    ends = [pause.until for pause in there if pause.until is not None]
    return max(ends) if len(ends) == len(there) else None


def due(stages: Iterable[StageState], now: float) -> Iterator[OrderGiven]:
    """The orders that end what was to be paused until now, of batches and shots of these stages, each once."""
    for pause in dict.fromkeys(pause for stage in stages for pause in standing(stage.batch, stage.shot)):
        if pause.until is not None and pause.until <= now:
            yield OrderGiven(pause.batch, "unpause", pause.who, now, shot=pause.shot, note="paused until now")
