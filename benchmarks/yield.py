"""Measures what `spend: by_yield` brings: distinct survivors for each device-second, against `spend: evenly`.

    python benchmarks/yield.py [--json] [--seeds N]      both parts, about two minutes on one core

Wordings yield 0.2 %, but one that yields 4 %. Both ways drive the real scheduler over the same wordings, seeds and wave
sizes; a device-second is counted alike for every candidate, so that the ratio is that of survivors per candidate.

``model``: what becomes of a candidate is drawn from its id at the planted rate, for many seeds and several shapes.
``real``: the generator of procedural/yields draws every candidate at 64×64 and the filters judge it; survivors that
resemble earlier ones are not counted. Device-seconds are those that generating took.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ancestra_farm.batch.load import canonical
from ancestra_farm.batch.schema import Batch
from ancestra_farm.filters.cascade import Cascade
from ancestra_farm.filters.settings import DEFAULT_ORDER
from ancestra_farm.models.build import build_generator
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.plan.events import AttemptEnded, StitchEnded
from ancestra_farm.scheduler import Scheduler
from ancestra_farm.scheduler.world import (
    AllDone,
    Dispatch,
    Happening,
    HostReady,
    Instruction,
    Revoke,
    SlotsChanged,
    StartHost,
    Stitch,
    StitchReturned,
    Submit,
    Ticket,
    TicketEnded,
    TicketStarted,
)
from tests.scheduler.world import number_of

CARDS = load_catalog()
GOOD, POOR = 0.04, 0.002
LIGHTS = ("dawn", "storm", "dusk", "noon", "fog", "night", "rain", "autumn", "winter", "moonlight")


@dataclass(frozen=True, slots=True)
class Shape:
    """How many wordings, one of them good, and how many candidates in waves of how many."""

    wordings: int
    candidates: int
    wave: int

    @property
    def possible(self) -> float:
        """What knowing the good wording from the start would bring against an even split."""
        return GOOD / ((GOOD + POOR * (self.wordings - 1)) / self.wordings)


MODELLED = (Shape(2, 6000, 250), Shape(6, 3000, 100), Shape(6, 6000, 250), Shape(10, 10_000, 250))
DRAWN = Shape(6, 3000, 100)


@dataclass
class Devices:
    """Three hosts that carry a scheduler's instructions out, one ticket after another."""

    scheduler: Scheduler = field(default_factory=lambda: Scheduler(1))
    todo: list[Dispatch] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    done: bool = False
    device_s: float = 0.0

    def made(self, ticket: Ticket) -> Iterator[AttemptEnded]:
        """What becomes of the candidates of a ticket."""
        raise NotImplementedError

    def run(self, batch: Batch) -> int:
        """Work the batch off. Returns its distinct survivors."""
        cards = {name: canonical(CARDS[name]) for name in ("procedural/yields",)}
        self.tell(SlotsChanged(3, 0))
        self.tell(Submit(canonical(batch), cards, "benchmark"))
        while self.todo:
            given = self.todo.pop(0)
            ticket = given.ticket
            if ticket.ticket in self.revoked:
                self.tell(TicketEnded(given.host, ticket.ticket, ()))
                continue
            self.tell(TicketStarted(given.host, ticket.ticket))
            attempts = tuple(self.made(ticket))
            self.device_s += sum(attempt.device_s for attempt in attempts)
            self.tell(TicketEnded(given.host, ticket.ticket, attempts))
        if not self.done:
            raise RuntimeError("the scheduler has work left that it does not hand out")
        return sum(stage.survivors for shot in self.scheduler.progress() for stage in shot.stages)

    def tell(self, happening: Happening) -> None:
        """Tell the scheduler what happened and do what it says."""
        self.carry_out(self.scheduler.handle(happening, 1000.0))

    def carry_out(self, instructions: list[Instruction]) -> None:
        """Do what the scheduler says. Stitches are taken as published: they are no part of this."""
        for instruction in instructions:
            match instruction:
                case StartHost(host=host):
                    self.tell(HostReady(host, 0.5))
                case Dispatch():
                    self.todo.append(instruction)
                case Revoke(ticket=ticket):
                    self.revoked.add(ticket)
                case Stitch(job):
                    ended = StitchEnded(
                        job.batch, job.shot, job.stitch_id, job.version, ok=True, frames=job.frames, at=1000.0
                    )
                    self.tell(StitchReturned(ended))
                case AllDone():
                    self.done = True
                case _:
                    pass

    def ended(self, ticket: Ticket, position: int, candidate_id: str, *, passed: bool) -> AttemptEnded:
        """The end of one attempt that was judged."""
        return AttemptEnded(
            batch=ticket.batch,
            branch=ticket.branch,
            position=position,
            rung=ticket.rung,
            candidate_id=candidate_id,
            cause="judged",
            passed=passed,
            at=1000.0,
            media=f"media/{candidate_id}.png" if passed else None,
            device_s=0.02,
            ticket=ticket.ticket,
        )


class Modelled(Devices):
    """A candidate survives where a number that rests on its id alone is below its wording's yield."""

    def made(self, ticket: Ticket) -> Iterator[AttemptEnded]:
        """See `Devices.made`."""
        for position in ticket.positions:
            recipe = ticket.space.recipe(position, ticket.rung)
            planted = GOOD if LIGHTS[0] in recipe.prompt else POOR
            survives = number_of(recipe.candidate_id, "survives") < planted
            yield self.ended(ticket, position, recipe.candidate_id, passed=survives)


class Drawn(Devices):
    """Every candidate is drawn and judged."""

    generator = build_generator(CARDS["procedural/yields"])
    judge = staticmethod(Cascade(DEFAULT_ORDER, {}, 0.0).judge)

    def made(self, ticket: Ticket) -> Iterator[AttemptEnded]:
        """See `Devices.made`."""
        recipes = [ticket.space.recipe(position, ticket.rung) for position in ticket.positions]
        made = self.generator.generate(recipes, {}, lambda: False)
        for position, one in zip(ticket.positions, made, strict=True):
            found = self.judge(one.recipe.candidate_id, one.frames)
            ended = self.ended(ticket, position, one.recipe.candidate_id, passed=found.passed)
            yield replace(
                ended, phash=found.phash, scores=dict(found.scores), reasons=found.reasons, device_s=one.generate_s
            )


def batch_of(shape: Shape, spend: str, seed: int) -> Batch:
    """One shot with so many wordings."""
    lights = LIGHTS[: shape.wordings]
    yields = ", ".join(f"{light}={GOOD if light == LIGHTS[0] else POOR}" for light in lights)
    stage = {
        "role": "text_to_image",
        "model": "procedural/yields",
        "candidates": shape.candidates,
        "wave": shape.wave,
        "size": [64, 64],
        "spend": spend,
        "parameters": {"yields": yields},
    }
    prompt = {"text": "the ocean from a helicopter, {light}", "axes": {"light": lights}}
    return Batch.model_validate(
        {
            "schema": "ancestra/v1",
            "batch": "yield",
            "show": "benchmark",
            "seed": seed,
            "stages": {"still": stage},
            "shots": [{"shot": "s0010", "frames": 24, "prompt": prompt}],
        }
    )


def measured(devices: type[Devices], shape: Shape, seeds: range) -> dict[str, Any]:
    """Every seed both ways, and the ratio of survivors per device-second."""
    runs = []
    for seed in seeds:
        row: dict[str, Any] = {"seed": seed}
        for spend in ("evenly", "by_yield"):
            farm = devices()
            row[spend] = farm.run(batch_of(shape, spend, seed))
            row[f"{spend}_device_s"] = round(farm.device_s, 3)
        per_s = {spend: row[spend] / row[f"{spend}_device_s"] for spend in ("evenly", "by_yield")}
        row["ratio"] = round(per_s["by_yield"] / max(per_s["evenly"], 1e-9), 3)
        runs.append(row)
    evenly, by_yield = (sum(run[spend] for run in runs) for spend in ("evenly", "by_yield"))
    seconds = [sum(run[f"{spend}_device_s"] for run in runs) for spend in ("evenly", "by_yield")]
    return {
        "wordings": shape.wordings,
        "candidates": shape.candidates,
        "wave": shape.wave,
        "possible": round(shape.possible, 2),
        "ratio": round((by_yield / seconds[1]) / (evenly / seconds[0]), 2),
        "ratio_median": round(statistics.median(run["ratio"] for run in runs), 2),
        "ratio_least": min(run["ratio"] for run in runs),
        "runs": runs,
    }


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="everything, every seed")
    parser.add_argument("--seeds", type=int, default=10, help="so many seeds of the model of outcomes; a third drawn")
    chosen = parser.parse_args()
    began = time.perf_counter()
    model = [measured(Modelled, shape, range(chosen.seeds)) for shape in MODELLED]
    Drawn.generator.setup()
    real = measured(Drawn, DRAWN, range(100, 100 + max(1, chosen.seeds // 3)))
    result: dict[str, Any] = {
        "model": model,
        "real": [real],
        "numpy": np.__version__,
        "seconds": round(time.perf_counter() - began),
    }
    if chosen.json:
        print(json.dumps(result, indent=1))
        return
    print("survivors per device-second, by yield against evenly; per seed: evenly → by yield (ratio)")
    for name in ("model", "real"):
        for row in result[name]:
            shape = f"{row['wordings']} wordings, {row['candidates']:,} candidates in waves of {row['wave']}"
            best = f"{row['ratio']} of {row['possible']} possible"
            spread = f"median {row['ratio_median']}, least {row['ratio_least']}"
            print(f"{name}: {shape}: {best}, {spread}")
            print("   " + ", ".join(f"{run['evenly']} → {run['by_yield']} ({run['ratio']:.2f})" for run in row["runs"]))


if __name__ == "__main__":
    main()
