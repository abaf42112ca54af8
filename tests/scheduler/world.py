"""A world for the scheduler: it carries instructions out in an order drawn at random, with no Ray and no clock.

What becomes of a candidate rests on its id alone, as in life it rests on its recipe alone.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import yaml

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.load import canonical
from ancestra_farm.batch.schema import Batch
from ancestra_farm.plan.events import AttemptEnded, Event, OrderGiven, StitchEnded
from ancestra_farm.scheduler import Scheduler, Tunables
from ancestra_farm.scheduler.world import (
    AllDone,
    Dispatch,
    HostLost,
    HostReady,
    Instruction,
    KillHost,
    Order,
    Record,
    Revoke,
    SlotsChanged,
    StartHost,
    Stitch,
    StitchReturned,
    StopHost,
    Submit,
    Tick,
    Ticket,
    TicketEnded,
    TicketStarted,
)

SIZES = {"multiple_of": 16, "min": 16, "max": 512, "default": [64, 64]}

CARDS = {
    "test/stills": ModelCard.model_validate(
        {
            "id": "test/stills",
            "family": "procedural",
            "roles": ["text_to_image"],
            "licence": "Apache-2.0",
            "sizes": SIZES,
            "parameters": {"steps": {"type": "int", "default": 8}},
            "draft": {"steps": 3},
            "seconds_per_candidate": 0.1,
        }
    ),
    "test/clips": ModelCard.model_validate(
        {
            "id": "test/clips",
            "family": "procedural",
            "roles": ["image_to_video", "text_to_video", "first_last_frame", "extend"],
            "licence": "Apache-2.0",
            "sizes": SIZES,
            "frames": {"step": 4, "offset": 1, "min": 5, "max": 33},
            "rate": 16,
            "seconds_per_candidate": 1.0,
        }
    ),
}

STILLS = "{role: text_to_image, model: test/stills, candidates: 40, wave: 10}"
CLIPS = "{role: image_to_video, model: test/clips, from: still, best: 3, candidates: 4, wave: 4}"


def batch_of(stages: str, shots: int = 2, frames: int = 20, **fields: object) -> Batch:
    """A batch whose stages are given as a YAML mapping."""
    return Batch.model_validate(
        {
            "schema": "ancestra/v1",
            "batch": "b",
            "show": "s",
            "seed": 7,
            "stages": yaml.safe_load(stages),
            "shots": [
                {
                    "shot": f"s{n:03d}",
                    "frames": frames,
                    "prompt": {"text": ["the sea", "the sea at {t}"], "axes": {"t": ["dawn"]}},
                }
                for n in range(shots)
            ],
            **fields,
        }
    )


def submission(batch: Batch, **changes: object) -> Submit:
    """The batch as it is handed in. ``changes``: what is different about all its cards."""
    cards = {model: canonical(card.model_copy(update=changes)) for model, card in CARDS.items()}
    return Submit(canonical(batch), cards, "ann")


def number_of(text: str, salt: str = "") -> float:
    """A number in [0, 1) that rests on the text alone."""
    return int.from_bytes(hashlib.blake2b((salt + text).encode(), digest_size=8).digest(), "little") / 2**64


@dataclass
class Fate:
    """What becomes of candidates. ``hashes``: how many different pictures there are, so that some resemble others."""

    passing: float = 0.4
    hashes: int = 1_000_000
    trouble: Callable[[str, int], str | None] = lambda candidate_id, attempt: None

    def attempt(self, ticket: Ticket, position: int, host: str, now: float, number: int, of: int) -> AttemptEnded:
        """The end of one attempt."""
        candidate_id = ticket.space.id_of(position, ticket.rung)
        cause = self.trouble(candidate_id, number) or "judged"
        passed = cause == "judged" and number_of(candidate_id, "pass") < self.passing
        picture = int(number_of(candidate_id, "picture") * self.hashes)
        return AttemptEnded(
            batch=ticket.batch,
            branch=ticket.branch,
            position=position,
            rung=ticket.rung,
            candidate_id=candidate_id,
            cause=cause,
            passed=passed,
            at=now,
            reasons=() if passed or cause != "judged" else ("blur",),
            scores={"quality": number_of(candidate_id, "quality")} if cause == "judged" else {},
            filter_s={"blur": 0.001, "noise": 0.002} if cause == "judged" else {},
            phash=int.from_bytes(hashlib.blake2b(str(picture).encode(), digest_size=8).digest(), "little"),
            media=f"media/{candidate_id}.png" if self.writes(ticket, passed, cause) else None,
            device_s=0.1,
            host=host,
            ticket=ticket.ticket,
            message="" if cause == "judged" else f"planted {cause}",
            of=of,
        )

    def writes(self, ticket: Ticket, passed: bool, cause: str) -> bool:
        """Whether the host writes a medium, as farm/pipeline does."""
        return cause == "judged" and (passed or ticket.by_word or ticket.keep_rejects)


@dataclass
class World:
    """Carries a scheduler's instructions out. ``log``: what was recorded; ``attempts``: tries by candidate id."""

    seed: int = 0
    cpus: int = 3
    gpus: int = 0
    fate: Fate = field(default_factory=Fate)
    tunables: Tunables = field(default_factory=Tunables)
    crash_rate: float = 0.0
    check: bool = True
    fleet_only: bool = False
    stitch_fate: Callable[[Stitch], StitchEnded | None] = lambda stitch: None
    log: list[Event] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    dispatched: list[Ticket] = field(default_factory=list)
    epoch: int = 0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start a scheduler from the log, as after a crash of everything."""
        self.random = random.Random(self.seed)
        self.now = 1000.0
        self.epoch += 1
        self.scheduler = Scheduler(self.epoch, self.tunables)
        for event in self.log:
            self.scheduler.apply(event)
        self.hosts: dict[str, list[Ticket]] = {}
        self.todo: list[Callable[[], None]] = []
        self.done: AllDone | None = None
        self.carry_out(self.scheduler.resume(self.now))
        self.tell(SlotsChanged(self.cpus, self.gpus))

    def tell(self, happening) -> None:
        """Tell the scheduler something and carry out what it says."""
        self.now += 0.01
        if isinstance(happening, Submit | Order):
            self.done = None
        instructions = self.scheduler.handle(happening, self.now)
        self.carry_out(instructions)
        if self.check:
            self.scheduler.check_invariants(fleet_only=self.fleet_only)

    def submit(self, batch: Batch, start_at: float | None = None, **cards: object) -> None:
        self.tell(replace(submission(batch, **cards), start_at=start_at))

    def order(self, order: str, shot: str, stage: str, candidate_id: str = "", who: str = "bea") -> None:
        self.tell(Order(OrderGiven("b", order, who, self.now, shot, stage, candidate_id)))

    def carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Record(event):
                    self.log.append(event)
                case StartHost(host=host):
                    self.hosts[host] = []
                    self.todo.append(lambda host=host: self._ready(host))
                case StopHost(host=host) | KillHost(host=host):
                    self.hosts.pop(host, None)
                case Dispatch(host=host, ticket=ticket):
                    self.dispatched.append(ticket)
                    self.hosts[host].append(ticket)
                    self.todo.append(lambda host=host, ticket=ticket: self._work(host, ticket))
                case Revoke(host=host, ticket=ticket):
                    self.todo.append(lambda host=host, ticket=ticket: self._revoked(host, ticket))
                case Stitch():
                    self.todo.append(lambda stitch=instruction: self._stitched(stitch))
                case AllDone():
                    self.done = instruction

    def _ready(self, host: str) -> None:
        if host in self.hosts:
            self.tell(HostReady(host, 0.5))

    def _holds(self, host: str, ticket: str) -> Ticket | None:
        return next((held for held in self.hosts.get(host, []) if held.ticket == ticket), None)

    def _revoked(self, host: str, ticket: str) -> None:
        held = self._holds(host, ticket)
        if held is not None:
            self.hosts[host].remove(held)
            self.tell(TicketEnded(host, ticket, ()))

    def _work(self, host: str, ticket: Ticket) -> None:
        if self._holds(host, ticket.ticket) is None:
            return
        self.tell(TicketStarted(host, ticket.ticket))
        if self._holds(host, ticket.ticket) is None:
            return
        if self.random.random() < self.crash_rate:
            self.lose(host, "host_lost")
            return
        attempts = []
        for position in ticket.positions:
            candidate_id = ticket.space.id_of(position, ticket.rung)
            number = self.attempts[candidate_id] = self.attempts.get(candidate_id, 0) + 1
            trouble = self.fate.trouble(candidate_id, number)
            if trouble in ("crash", "deadline"):
                self.lose(host, trouble)
                return
            attempts.append(self.fate.attempt(ticket, position, host, self.now, number, len(ticket.positions)))
        self.hosts[host].remove(ticket)
        self.tell(TicketEnded(host, ticket.ticket, tuple(attempts)))

    def lose(self, host: str, cause: str) -> None:
        """The host goes, with all it held."""
        self.hosts.pop(host)
        self.tell(HostLost(host, cause, f"planted {cause}"))

    def _stitched(self, stitch: Stitch) -> None:
        job = stitch.job
        planned = self.stitch_fate(stitch)
        ended = StitchEnded(job.batch, job.shot, job.stitch_id, job.version, True, job.frames, self.now)
        self.tell(StitchReturned(replace(planned, at=self.now) if planned else ended))

    def run(self, steps: int = 1_000_000) -> AllDone | None:
        """Let things happen, in an order drawn at random, until nothing is left or the steps are used up."""
        for _ in range(steps):
            if not self.todo:
                break
            self.todo.pop(self.random.randrange(len(self.todo)))()
        return self.done

    def survivors(self) -> dict[tuple[str, str], list[str]]:
        """Survivors by shot and stage, in the order of branches and positions."""
        return {
            (shot.plan.name, stage.plan.name): [c for b in stage.branches.values() for c in b.survivor_ids()]
            for batch in self.scheduler.state.batches.values()
            for shot in batch.shots.values()
            for stage in shot.stages.values()
        }

    def results(self) -> dict[tuple[str, str], tuple[tuple[str, ...], ...]]:
        """The chains each closed stage ended with."""
        return {
            (shot.plan.name, stage.plan.name): stage.closed.chains
            for batch in self.scheduler.state.batches.values()
            for shot in batch.shots.values()
            for stage in shot.stages.values()
            if stage.closed
        }


def finished(batch: Batch, **fields) -> World:
    """A world in which the batch was submitted and everything done."""
    world = World(**fields)
    world.submit(batch)
    assert world.run() is not None, "\n".join(str(p) for p in world.scheduler.progress())
    return world


__all__ = ["CARDS", "CLIPS", "STILLS", "Fate", "Tick", "World", "batch_of", "finished", "number_of", "submission"]
