"""What the pure scheduler costs for each candidate: with few hosts, with many, and with a million candidates.

Hosts are played by a virtual clock, so only `Scheduler.handle` is timed: from a ticket's return to what follows from
it, deciding, recording and handing out included, in seconds of processor time. Candidates take 0.1 s each, and each
host answers for a whole ticket. Cyclic garbage is collected between the pieces that are timed, as in a controller that
never has any.

    python benchmarks/scheduler.py                     1,000 hosts and 1,000,000 candidates; 10 to 10,000 hosts
    python benchmarks/scheduler.py --candidates 50000 --flat 50000     a quick look
    python benchmarks/scheduler.py --submit 20000      how long a batch of so many shots takes to be taken in
"""

import argparse
import heapq
import json
import time
import tracemalloc
from dataclasses import dataclass, field
from typing import Any

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.load import canonical
from ancestra_farm.batch.schema import Batch
from ancestra_farm.plan.events import AttemptEnded, StitchEnded
from ancestra_farm.scheduler import Scheduler
from ancestra_farm.scheduler.world import (
    AllDone,
    Dispatch,
    HostReady,
    Instruction,
    Revoke,
    SlotsChanged,
    StartHost,
    Stitch,
    StitchReturned,
    StopHost,
    Submit,
    Ticket,
    TicketEnded,
    TicketStarted,
)

CARD = ModelCard.model_validate(
    {
        "id": "bench/stills",
        "family": "procedural",
        "roles": ["text_to_image"],
        "licence": "Apache-2.0",
        "sizes": {"multiple_of": 16, "min": 16, "max": 512, "default": [64, 64]},
        "seconds_per_candidate": 0.1,
    }
)
EACH_S = 0.1


def batch_of(candidates: int, shots: int, name: str = "bench", **fields: Any) -> Submit:
    """A batch of so many candidates in all, over so many shots, in waves of at most 4,096."""
    each = max(1, candidates // shots)
    batch = Batch.model_validate(
        {
            "schema": "ancestra/v1",
            "batch": name,
            "show": "bench",
            "seed": 1,
            "stages": {
                "still": {
                    "role": "text_to_image",
                    "model": CARD.id,
                    "candidates": each,
                    "wave": min(each, 4096),
                    "distinct_bits": -1,
                }
            },
            "shots": [{"shot": f"s{n:06d}", "frames": 24, "prompt": {"text": "the sea"}} for n in range(shots)],
            **fields,
        }
    )
    return Submit(canonical(batch), {CARD.id: canonical(CARD)}, "bench")


@dataclass
class Run:
    """One run, and what it cost. ``handled_s``: seconds in the scheduler after the hosts were up."""

    hosts: int
    now: float = 0.0
    handled_s: float = 0.0
    calls: int = 0
    candidates: int = 0
    tickets: int = 0
    done: bool = False
    agenda: list[tuple[float, int, Any]] = field(default_factory=list)
    free_at: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(1)
        self._sent = 0

    def handle(self, happening: Any) -> None:
        """Time one happening and carry out what it leads to."""
        before = time.thread_time()
        out = self.scheduler.handle(happening, self.now)
        self.handled_s += time.thread_time() - before
        self.calls += 1
        self._carry_out(out)

    def _later(self, at: float, happening: Any) -> None:
        self._sent += 1
        heapq.heappush(self.agenda, (at, self._sent, happening))

    def _carry_out(self, out: list[Instruction]) -> None:
        for instruction in out:
            match instruction:
                case StartHost(host=host):
                    self._later(self.now + 1.0, HostReady(host, 1.0))
                case Dispatch(host=host, ticket=ticket):
                    begins = max(self.now, self.free_at.get(host, 0.0))
                    ends = begins + EACH_S * len(ticket.positions)
                    self.free_at[host] = ends
                    self._later(begins, TicketStarted(host, ticket.ticket))
                    self._later(ends, (host, ticket))
                case Stitch(job=job):
                    ended = StitchEnded(
                        job.batch, job.shot, job.stitch_id, job.version, ok=True, frames=job.frames, at=self.now
                    )
                    self._later(self.now, StitchReturned(ended))
                case AllDone():
                    self.done = True
                case Revoke() | StopHost() | _:
                    pass

    def until_done(self) -> None:
        """Play everything."""
        while self.agenda and not self.done:
            self.now, _, what = heapq.heappop(self.agenda)
            if isinstance(what, tuple):
                host, ticket = what
                rows = tuple(_row(ticket, position, host, self.now) for position in ticket.positions)
                self.candidates += len(rows)
                self.tickets += 1
                what = TicketEnded(host, ticket.ticket, rows)
            self.handle(what)


def _row(ticket: Ticket, position: int, host: str, now: float) -> AttemptEnded:
    passed = position % 5 == 0
    candidate_id = ticket.space.id_of(position, ticket.rung)
    return AttemptEnded(
        batch=ticket.batch,
        branch=ticket.branch,
        position=position,
        rung=ticket.rung,
        candidate_id=candidate_id,
        cause="judged",
        passed=passed,
        at=now,
        reasons=() if passed else ("blur",),
        scores={"quality": 0.5},
        filter_s={"blur": 0.001},
        phash=position,
        media=f"media/{candidate_id}.png" if passed else None,
        device_s=EACH_S,
        host=host,
        ticket=ticket.ticket,
    )


def measure(hosts: int, candidates: int, shots: int) -> dict[str, float]:
    """Microseconds a candidate, and a call, once the hosts are up."""
    run = Run(hosts)
    run.handle(batch_of(candidates, shots))
    run.handle(SlotsChanged(hosts, 0))
    while run.agenda and isinstance(run.agenda[0][2], HostReady):
        run.now, _, happening = heapq.heappop(run.agenda)
        run.handle(happening)
    run.handled_s, run.calls = 0.0, 0
    run.until_done()
    return {
        "hosts": hosts,
        "candidates": run.candidates,
        "tickets": run.tickets,
        "us_per_candidate": round(run.handled_s / run.candidates * 1e6, 2),
        "us_per_call": round(run.handled_s / run.calls * 1e6, 2),
    }


def bytes_per_candidate(candidates: int) -> float:
    """What the state holds for each candidate when a batch is done."""
    tracemalloc.start()
    run = Run(100)
    run.handle(batch_of(candidates, 4))
    run.handle(SlotsChanged(100, 0))
    before, _ = tracemalloc.get_traced_memory()
    run.until_done()
    run.agenda.clear()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return round((after - before) / candidates, 1)


def submission(shots: int) -> dict[str, float]:
    """Seconds until a batch of so many shots is taken in and its first tickets are out."""
    run = Run(10)
    run.handle(SlotsChanged(10, 0))
    request = batch_of(shots * 100, shots)
    run.handled_s = 0.0
    run.handle(request)
    return {"shots": shots, "seconds": round(run.handled_s, 2)}


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1_000_000, help="of the large run with --hosts hosts")
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--shots", type=int, default=100)
    parser.add_argument("--flat", type=int, default=200_000, help="candidates of each run from 10 to 10,000 hosts")
    parser.add_argument("--memory", type=int, default=40_000, help="candidates of the run whose memory is measured")
    parser.add_argument("--submit", type=int, default=0, help="shots of a batch that is only taken in")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    if asked.submit:
        found["submit"] = submission(asked.submit)
    if asked.flat:
        found["flat"] = [measure(hosts, asked.flat, asked.shots) for hosts in (10, 100, 1000, 10_000)]
        each = [row["us_per_candidate"] for row in found["flat"]]
        found["worst_over_best"] = round(max(each) / min(each), 2)
    if asked.memory:
        found["bytes_per_candidate"] = bytes_per_candidate(asked.memory)
    if asked.candidates:
        found["large"] = measure(asked.hosts, asked.candidates, asked.shots)
    print(json.dumps(found, indent=None if asked.json else 2))


if __name__ == "__main__":
    main()
