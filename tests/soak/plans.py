"""What a soak does to a farm: batches, kills and faults, all from one seed.

A round is one start of Ray and some runs on it, each a batch in a store of its own. What kills itself at named points
is set for a whole round, since processes read it when they start; kills from outside and faults are set for each run.
"""

import random
from dataclasses import dataclass
from typing import Any, Literal

from ancestra_farm.ledger.points import POINTS
from tests.farm.batches import batch_document, with_clips

Who = Literal["host", "controller", "driver", "raylet", "gcs", "everything"]

#: What a process is called on its command line; the driver is `tests.farm.persisting`.
TITLES: dict[Who, str] = {
    "host": "ray::Host",
    "controller": "ray::Controller",
    "driver": "tests.farm.persisting",
    "raylet": "raylet/raylet",
    "gcs": "gcs_server",
    "everything": "",
}
#: Kills after which this Ray goes on; the others end it, and with it the round's last run goes on under the next.
SURVIVABLE: tuple[Who, ...] = ("host", "controller")
RUNS_EACH = 5
POINTS_EACH = 8
#: Points come early in short runs, or not at all.
LATEST_PASS = 12
WAITS = {"delay_s": 0.03}
#: What hosts do wrong, in runs that have such hosts; once each, so that survivors stay the same.
RATES = {
    "exception": 0.03,
    "crash": 0.02,
    "exit": 0.02,
    "hang": 0.01,
    "out_of_memory": 0.03,
    "slow_hosts": 0.2,
    "failed_starts": 0.1,
    "dropped_replies": 0.02,
    "persistent": 0.0,
}
#: Tickets are cut small, so that there is much to interrupt; a deadline is far over what a busy machine needs.
TUNABLES = {"ticket_s": 0.4, "deadline_floor_s": 10.0, "deadline_factor": 1.0}


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill -9 for ``who`` once so many candidates are judged."""

    who: Who
    judged: int


@dataclass(frozen=True, slots=True)
class Run:
    """A batch of one of `DOCUMENTS`, and what is done to it. ``faults``: a profile, None: hosts do nothing wrong."""

    document: str
    kills: tuple[Kill, ...]
    faults: dict[str, float] | None
    seed: int


@dataclass(frozen=True, slots=True)
class Round:
    """One start of Ray. ``points``: where processes kill themselves, as in the environment."""

    number: int
    points: tuple[str, ...]
    runs: tuple[Run, ...]


def documents() -> dict[str, dict[str, Any]]:
    """The batches, by name: some seconds of work each."""
    stills = batch_document(2, candidates=16, wave=8, parameters=WAITS)
    draft = {"promote": 0.5, "parameters": {"delay_s": 0.01}}
    return {
        "stills": stills,
        "clips": with_clips(batch_document(2, candidates=12, wave=6, parameters=WAITS), parameters=WAITS),
        "enough": batch_document(2, candidates=48, wave=8, keep=6, parameters=WAITS),
        "drafts": batch_document(candidates=24, wave=12, parameters=WAITS, draft=draft),
    }


DOCUMENTS = ("stills", "clips", "enough", "drafts")


def round_of(seed: int, number: int) -> Round:
    """The same round for the same seed and number, always."""
    chance = random.Random(f"{seed}/{number}")
    names = chance.sample(sorted(POINTS), min(POINTS_EACH, len(POINTS)))
    points = tuple(f"{name}:{chance.randint(1, LATEST_PASS)}" for name in names)
    runs = tuple(_run(chance, last=n == RUNS_EACH - 1) for n in range(RUNS_EACH))
    return Round(number, points, runs)


def _run(chance: random.Random, *, last: bool) -> Run:
    kills = [Kill(chance.choice(SURVIVABLE), chance.randint(1, 12)) for _ in range(chance.choice((0, 0, 1, 1, 2)))]
    if last:
        ending = [who for who in TITLES if who not in SURVIVABLE]
        kills.append(Kill(chance.choice(ending), chance.randint(2, 12)))
    faults = dict(RATES) if chance.random() < 0.4 else None
    ordered = tuple(sorted(kills, key=lambda kill: kill.judged))
    return Run(chance.choice(DOCUMENTS), ordered, faults, chance.randrange(2**31))
