"""The training loop: steps within a budget, a state on disk to go on from, gradients averaged over processes.

Every step draws from a seed of its own (run, stage, step, process), so that a run that was killed and goes on from its
state makes the steps it would have made. What depends on time, the fall of the rate within a budget of minutes, does
not repeat; a budget of steps does.
"""

import os
import signal
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ancestra_farm.models.embedded.optimise import Average, Optimiser, clipped, rate_share

#: Seconds between states, and steps between points of the loss curve.
_SAVE_S, _POINT_STEPS = 60.0, 20
#: A step is counted as so many seconds at most: in a longer one the process was stopped for a while.
_LONGEST_STEP_S = 30.0


class Stage(Protocol):
    """One stage of training."""

    name: str
    rates: tuple[float, float]
    decay: float

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """What it trains."""

    def loss(self, step: int, rng: np.random.Generator) -> Tensor:
        """The loss of one batch, drawn with ``rng`` and torch's own generator, both seeded for this step."""


@dataclass(frozen=True, slots=True)
class Budget:
    """When a stage is done: after so many steps or so many minutes of training, whichever comes first."""

    steps: int | None = None
    minutes: float | None = None

    def progress(self, step: int, seconds: float) -> float:
        """How much of it is used, in [0, 1]. Raises ValueError where it names neither steps nor minutes."""
        if self.steps is None and self.minutes is None:
            raise ValueError("a budget names steps or minutes")
        by_steps = step / self.steps if self.steps else 0.0
        by_time = seconds / (self.minutes * 60) if self.minutes else 0.0
        return min(max(by_steps, by_time), 1.0)


@dataclass
class History:
    """How a stage went. ``curve``: rows of step, seconds so far and mean loss since the row before."""

    step: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Crew:
    """The processes of a run: one alone, or several that gloo joins (``torchrun`` sets their environment).

    ``half``: products in bfloat16, weights and sums in float32; faster where the processor has AMX.
    """

    rank: int = 0
    size: int = 1
    half: bool = False

    @classmethod
    def joined(cls, *, half: bool = False) -> "Crew":
        """The crew of this process, joined if the environment names one."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size > 1:
            distributed.init_process_group("gloo")
        return cls(int(os.environ.get("RANK", "0")), size, half)

    def averaged(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Give every process the mean gradient, in one message."""
        if self.size == 1:
            return
        for parameter in parameters.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters.values() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.size
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def agreed(self, value: float) -> float:
        """The first process's value: all must slow down and stop at the same step."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(shared, 0)
        return float(shared[0])

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            distributed.barrier()


class Interrupted(Exception):
    """The process was asked to stop; the state is on disk and the stage goes on from it."""


def train(
    stage: Stage, path: Path, budget: Budget, *, seed: int, crew: Crew | None = None, say: Callable[[str], None] = print
) -> tuple[History, dict[str, Tensor]]:
    """Train a stage until its budget is used, from the state at ``path`` if there is one.

    The history, and the averaged parameters by name. Raises `Interrupted` after SIGTERM or SIGINT, the state written.
    """
    crew = crew or Crew()
    parameters = stage.parameters()
    optimiser = Optimiser(parameters, *stage.rates)
    average = Average(parameters, stage.decay)
    history = _restored(path, parameters, optimiser, average)
    since: list[float] = []
    saved, last = time.monotonic(), time.monotonic()
    with _stops() as stopped:
        while (progress := crew.agreed(budget.progress(history.step, history.seconds))) < 1.0:
            if crew.agreed(float(stopped())):
                _save(path, history, parameters, optimiser, average, crew)
                raise Interrupted(f"{stage.name} stopped at step {history.step}; it goes on from {path}")
            since.append(_step(stage, optimiser, history.step, progress, seed, crew))
            average.follow(parameters, history.step)
            history.step += 1
            now = time.monotonic()
            history.seconds, last = history.seconds + min(now - last, _LONGEST_STEP_S), now
            if history.step % _POINT_STEPS == 0:
                history.curve.append((history.step, round(history.seconds, 1), round(float(np.mean(since)), 5)))
                since = []
                say(f"{stage.name} step {history.step}: loss {history.curve[-1][2]:.4f}, {history.seconds:.0f} s")
            if now - saved > _SAVE_S:
                _save(path, history, parameters, optimiser, average, crew)
                saved = now
    _save(path, history, parameters, optimiser, average, crew)
    return history, average.values


@contextmanager
def holding(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> Iterator[None]:
    """Within this, the parameters are ``values``: the average, to measure it."""
    before = {name: p.detach().clone() for name, p in parameters.items()}
    _set(parameters, values)
    try:
        yield
    finally:
        _set(parameters, before)


@torch.no_grad()
def _set(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(values[name])


def _step(stage: Stage, optimiser: Optimiser, step: int, progress: float, seed: int, crew: Crew) -> float:
    numbers = np.random.SeedSequence([seed, zlib.crc32(stage.name.encode()), step, crew.rank])
    torch.manual_seed(int(numbers.generate_state(1)[0]))
    # Of a few dozen tokens the plain products are twice as fast on a CPU as the fused attention, whose backward pass in
    # bfloat16 alone takes half of a step.
    with sdpa_kernel(SDPBackend.MATH):
        with torch.autocast("cpu", torch.bfloat16, enabled=crew.half):
            loss = stage.loss(step, np.random.default_rng(numbers))
        loss.backward()
    crew.averaged(optimiser.parameters)
    clipped(optimiser.parameters.values())
    optimiser.step(rate_share(step, progress))
    return float(loss.detach())


def _save(
    path: Path,
    history: History,
    parameters: Mapping[str, nn.Parameter],
    optimiser: Optimiser,
    average: Average,
    crew: Crew,
) -> None:
    if crew.rank == 0:
        state: dict[str, Any] = {
            "step": history.step,
            "seconds": history.seconds,
            "curve": history.curve,
            "parameters": {name: p.detach() for name, p in parameters.items()},
            "average": average.values,
            "optimiser": optimiser.state(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)
    crew.wait()


def _restored(path: Path, parameters: Mapping[str, nn.Parameter], optimiser: Optimiser, average: Average) -> History:
    if not path.is_file():
        return History()
    state = torch.load(path, weights_only=True)
    _set(parameters, state["parameters"])
    average.restore(state["average"])
    optimiser.restore(state["optimiser"])
    return History(state["step"], state["seconds"], [tuple(row) for row in state["curve"]])


@contextmanager
def _stops() -> Iterator[Callable[[], bool]]:
    """Whether the process was asked to stop; in a thread of a test, never."""
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, ask) for number in numbers]
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
