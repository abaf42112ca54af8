"""A batch that somebody else's controller runs: submitted to it, and watched until nothing of it is left to do."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import typer

from ancestra_farm.batch.numbers import counted
from ancestra_farm.cli.display import display
from ancestra_farm.cli.summary import shell_word

if TYPE_CHECKING:
    from ancestra_farm.api.client import Client
    from ancestra_farm.api.wire import Status
    from ancestra_farm.scheduler.progress import ShotProgress

#: Seconds between two looks; the controller takes a new picture twice a second.
LOOK_S = 0.5
#: States in which a controller still has something to do about a shot.
GOING = frozenset({"running"})


@dataclass(frozen=True, slots=True)
class Followed:
    """How it ended, as `ancestra_farm.farm.run.Summary` says it of a run of one's own. ``seconds``: watched.

    ``at_work``: the farm is there still, whether or not somebody watches.
    """

    how: Literal["done", "failed", "waiting", "timed_out", "interrupted"]
    waiting: tuple[tuple[str, str, str], ...]
    message: str
    seconds: float
    at_work: bool = True


class Rate:
    """Judged candidates per second, from one look to the next, over `WINDOW_S`."""

    WINDOW_S = 30.0

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def of(self, shots: "Sequence[ShotProgress]", at: float) -> float:
        """The rate up to this look at ``shots``, taken ``at`` Unix seconds."""
        judged = sum(stage.judged for shot in shots for stage in shot.stages)
        self._seen.append((at, judged))
        while len(self._seen) > 2 and self._seen[1][0] < at - self.WINDOW_S:
            self._seen.pop(0)
        (began, before) = self._seen[0]
        return max(judged - before, 0) / (at - began) if at > began else 0.0


def hosts_note(hosts: Mapping[str, tuple[int, int]]) -> str:
    """``2 hosts, 1 starting`` of (ready, starting) by model; empty while there are none."""
    ready = sum(counts[0] for counts in hosts.values())
    starting = sum(counts[1] for counts in hosts.values())
    parts = [counted(ready, "host")] if ready else []
    return ", ".join(parts + ([f"{starting} starting"] if starting else []))


def note_of(status: "Status") -> str:
    """`hosts_note` of a status."""
    return hosts_note({one.model: (one.ready, one.starting) for one in status.hosts})


def follow(client: "Client", batch: str, through: int, timeout_s: float | None) -> Followed:
    """Watch a batch until nothing of it is left to do for now. ``through``: the commit that it was submitted in.

    Ctrl-C stops watching, not the farm. Raises EndpointGone where the controller ended before the batch did.
    """
    began = time.monotonic()
    rate = Rate()

    def ended(how: Literal["timed_out", "interrupted"]) -> Followed:
        store, name = shell_word(client.store.url), shell_word(batch)
        typer.echo(
            f"No longer watching; {client.presence} goes on with {batch}.\n"
            f"to watch again: ancestra watch --store {store} --batch {name}\n"
            f"to end the batch: ancestra cancel --store {store} --batch {name}\n"
            f"to end the farm: ancestra stop --store {store}",
            err=True,
        )
        return Followed(how, (), "the farm goes on", time.monotonic() - began)

    with display() as shown:
        try:
            while True:
                status = client.status()
                shots = [one for one in status.shots if one.batch == batch]
                if status.commit >= through:
                    shown.show(shots, rate.of(shots, status.at), note_of(status))
                    if (found := _end(status, shots, lambda: time.monotonic() - began)) is not None:
                        return found
                if timeout_s is not None and time.monotonic() - began >= timeout_s:
                    return ended("timed_out")
                time.sleep(LOOK_S)
        except KeyboardInterrupt:
            return ended("interrupted")


def _end(status: "Status", shots: "Sequence[ShotProgress]", seconds: Callable[[], float]) -> Followed | None:
    """How a batch stands once nothing of it goes on; None while something does."""
    going = [shot for shot in shots if goes_on(shot)]
    if going and not status.idle:
        return None
    if going:
        return Followed("failed", (), "; ".join(status.stuck) or "nothing goes on", seconds())
    return ending_of(shots, seconds())


def goes_on(shot: "ShotProgress") -> bool:
    """Whether a controller has something to do about a shot, now or at a time that it is put off until."""
    return shot.state in GOING or shot.goes_on_at is not None


def ending_of(shots: "Sequence[ShotProgress]", seconds: float) -> Followed:
    """How shots that are left alone have ended."""
    unmade = [shot.shot for shot in shots if shot.state in {"failed", "starved"}]
    paused = [shot.shot for shot in shots if shot.state == "paused"]
    waiting = tuple(
        (shot.batch, shot.shot, stage.stage)
        for shot in shots
        for stage in shot.stages
        if stage.state == "waiting_for_people"
    )
    if unmade:
        return Followed(
            "failed", waiting, f"not delivered: {', '.join(unmade)} (`ancestra explain SHOT` says why)", seconds
        )
    if waiting:
        return Followed("waiting", waiting, "to be picked and closed; the farm goes on then", seconds)
    if paused:
        return Followed("waiting", (), f"paused: {', '.join(paused)} (ancestra unpause)", seconds)
    return Followed("done", (), "", seconds)
