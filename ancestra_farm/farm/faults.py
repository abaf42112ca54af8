"""Faults put in on purpose: a host that crashes, hangs, lies or falls silent as a profile and a seed say.

For tests and for rehearsals on a real cluster; no batch file can ask for it. Whether a candidate, a ticket or a host is
struck follows from the seed and its own id alone. Each host writes down what it is about to do, on its own disk and
flushed, before it does it: so the log of the farm can be held against what was really done to it. That journal is also
how a fault that strikes once is known to have struck, by whichever host tries the candidate next.
"""

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ancestra_farm.batch.base import Model
from ancestra_farm.batch.faults import FaultProfile
from ancestra_farm.models.protocol import Aborted, Frames, Generator, Made, OutOfMemory
from ancestra_farm.plan.recipe import Recipe
from ancestra_farm.scheduler.world import Ticket

Kind = Literal[
    "exception",
    "crash",
    "exit",
    "hang",
    "out_of_memory",
    "nan",
    "slow_hosts",
    "sick_hosts",
    "failed_starts",
    "hung_starts",
    "dropped_replies",
    "late_replies",
]
#: What a candidate does instead of being made, at most one of them each, in this order.
INSTEAD: tuple[Kind, ...] = ("crash", "exit", "hang", "out_of_memory", "exception")
#: Longer than any deadline.
FOR_EVER_S = 10.0**8
#: A candidate that slows down asks this often whether it is aborted.
STEP_S = 0.02


class Injection(Model):
    """A profile that is carried out by hosts. ``journal``: a folder on each host's machine for what was done.

    Of the profile, hosts carry out what is theirs to do: candidates, hosts and replies. Losses by the hour are rates
    of a simulated world; processes and nodes of a real one are killed from outside.
    """

    profile: FaultProfile
    seed: Annotated[int, Field(ge=0)] = 0
    journal: Annotated[str, Field(min_length=1)]

    def strikes(self, kind: Kind, name: str) -> bool:
        """Whether this kind of fault is meant for this candidate, ticket or host."""
        return chance(self.seed, kind, name) < getattr(self.profile, kind)

    def due(self, kind: Kind, name: str) -> bool:
        """Whether it is to happen now: meant, and not done already unless it happens every time."""
        return self.strikes(kind, name) and (self._always(name) or not self._entry(kind, name, 0).exists())

    def note(self, kind: Kind, name: str, **facts: Any) -> bool:  # noqa: ANN401 - written as JSON
        """Write down that it happens now; False if somebody else was first and it happens only once."""
        Path(self.journal).mkdir(parents=True, exist_ok=True)
        text = json.dumps({"kind": kind, "name": name, **facts, "at": time.time(), "pid": os.getpid()})
        nth = 0
        while True:
            try:
                with self._entry(kind, name, nth).open("x") as entry:
                    entry.write(text)
                    entry.flush()
                    os.fsync(entry.fileno())
            except FileExistsError:
                if not self._always(name):
                    return False
                nth += 1
            else:
                return True

    def _always(self, name: str) -> bool:
        return chance(self.seed, "persistent", name) < self.profile.persistent

    def _entry(self, kind: Kind, name: str, nth: int) -> Path:
        return Path(self.journal) / f"{kind}~{name}~{nth}.json"


def chance(seed: int, kind: str, name: str) -> float:
    """A number in [0, 1) that rests on nothing but its arguments."""
    digest = hashlib.sha256(f"{seed}/{kind}/{name}".encode()).digest()
    return int.from_bytes(digest[:7]) / 2**56


def journalled(folder: Path | str) -> list[dict[str, Any]]:
    """What was done, in the order of its time. An entry whose writer died in the middle was never carried out."""
    entries = []
    for path in Path(folder).glob("*.json"):
        text = path.read_text()
        if text.endswith("}"):
            entries.append(json.loads(text))
    return sorted(entries, key=lambda entry: entry["at"])


class FaultyGenerator:
    """A generator that does to its candidates what ``injection`` says, and otherwise what ``inner`` does."""

    def __init__(self, inner: Generator, injection: Injection, host: str) -> None:
        self._inner = inner
        self._injection = injection
        self._host = host
        self._slow = injection.strikes("slow_hosts", host)
        self._sick = injection.strikes("sick_hosts", host)

    def setup(self) -> None:
        """Load, unless this host is meant not to come up."""
        injection = self._injection
        if injection.due("failed_starts", self._host) and injection.note("failed_starts", self._host, host=self._host):
            raise RuntimeError(f"{self._host} does not come up, on purpose")
        if injection.due("hung_starts", self._host) and injection.note("hung_starts", self._host, host=self._host):
            time.sleep(FOR_EVER_S)
        self._inner.setup()
        if self._slow:
            injection.note("slow_hosts", self._host, host=self._host)

    def generate(
        self, recipes: Sequence[Recipe], parents: dict[str, Frames], aborted: Callable[[], bool]
    ) -> Iterator[Made]:
        """See `Generator.generate`; a fault strikes at the candidate it is meant for, after those before it."""
        made_all = self._inner.generate(recipes, parents, aborted)
        for recipe in recipes:
            if aborted():
                raise Aborted(recipe.candidate_id)
            self._strike(recipe.candidate_id, alone=len(recipes) == 1)
            yield self._spoiled(self._slowed(next(made_all), aborted))

    def close(self) -> None:
        """Free the device."""
        self._inner.close()

    def _strike(self, candidate: str, *, alone: bool) -> None:
        kind = next((kind for kind in INSTEAD if self._injection.due(kind, candidate)), None)
        if kind == "out_of_memory" and not alone:
            # What does not fit among others is settled between host and device and leaves no row: so it is not counted
            # until it does not fit alone either.
            raise OutOfMemory("not among others, on purpose")
        if kind is None or not self._injection.note(kind, candidate, host=self._host):
            return
        match kind:
            case "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                sys.exit(70)
            case "hang":
                time.sleep(FOR_EVER_S)
            case "out_of_memory":
                raise OutOfMemory("not even alone, on purpose")
            case _:
                raise RuntimeError("on purpose")

    def _slowed(self, made: Made, aborted: Callable[[], bool]) -> Made:
        if not self._slow:
            return made
        until = time.monotonic() + (self._injection.profile.slow_factor - 1) * made.generate_s
        while (left := until - time.monotonic()) > 0:
            if aborted():
                raise Aborted(made.recipe.candidate_id)
            time.sleep(min(left, STEP_S))
        return replace(made, generate_s=made.generate_s * self._injection.profile.slow_factor)

    def _spoiled(self, made: Made) -> Made:
        injection, candidate = self._injection, made.recipe.candidate_id
        if injection.due("nan", candidate) and injection.note("nan", candidate, host=self._host):
            return replace(made, frames=np.full(made.frames.shape, np.nan, np.float32))
        if self._sick and chance(injection.seed, "sick_rejects", candidate) < injection.profile.sick_rejects:
            injection.note("sick_hosts", f"{self._host}~{candidate}", host=self._host, candidate=candidate)
            return replace(made, frames=np.zeros_like(made.frames))
        return made


def hold_reply(injection: Injection, ticket: Ticket, host: str) -> None:
    """Keep back the reply of a ticket whose work is done: for ever, or until it is late, if it is meant so."""
    # By the candidate that heads it: tickets are cut by measured seconds, and their names say nothing that recurs.
    head = ticket.space.id_of(ticket.positions[0], ticket.rung)
    kinds: tuple[tuple[Kind, float], ...] = (
        ("dropped_replies", FOR_EVER_S),
        ("late_replies", injection.profile.late_s),
    )
    for kind, wait_s in kinds:
        if injection.due(kind, head) and injection.note(kind, head, host=host, ticket=ticket.ticket):
            time.sleep(wait_s)
            return
