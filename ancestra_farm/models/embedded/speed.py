"""How fast the embedded model is: some processes of one thread each, as the farm's hosts are, all at work at once.

``python -m ancestra_farm.models.embedded.speed --weights FOLDER`` prints one JSON object. Loading and a first call are
not counted. Run it on a quiet machine: it measures whatever else the machine does too.
"""

import argparse
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import torch
from diffusers import WanImageToVideoPipeline

from ancestra_farm.models.embedded import measure, renders
from ancestra_farm.models.embedded.footage import HELD_OUT, facts_at

_PROMPT = "the sea at dawn, drifting left"
_begin: Barrier | None = None


def speeds(folder: Path, processes: int = 2, stills: int = 128, clips: int = 0) -> dict[str, float | int]:
    """Seconds a thousand stills and seconds a clip from a still (17 frames), over all the processes together.

    ``stills``, ``clips``: how many each process makes; no clips, no figure of them. A figure is the time of the slowest
    process over what all have made.
    """
    context = multiprocessing.get_context("spawn")
    begin = context.Barrier(processes)
    found: dict[str, float | int] = {"processes": processes, "threads": 1}
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_ready, initargs=(begin,)) as pool:
        taken = max(pool.map(_stills_s, [folder] * processes, [stills] * processes))
        found["seconds_per_thousand_stills"] = round(taken * 1000 / (stills * processes), 2)
        if clips:
            taken = max(pool.map(_clips_s, [folder] * processes, [clips] * processes))
            found["seconds_per_clip"] = round(taken / (clips * processes), 3)
    return found


def _ready(begin: Barrier) -> None:
    global _begin  # noqa: PLW0603 - a barrier reaches a process of a pool only as it begins
    _begin = begin
    torch.set_num_threads(1)


def _stills_s(folder: Path, count: int) -> float:
    pipeline = measure.pipeline_of(folder)
    measure.made(pipeline, [_PROMPT] * 16, range(16))
    _together()
    started = time.perf_counter()
    measure.made(pipeline, [_PROMPT] * count, range(count))
    return time.perf_counter() - started


def _clips_s(folder: Path, count: int) -> float:
    pipeline = measure.pipeline_of(folder, WanImageToVideoPipeline)
    still = renders.still(facts_at(HELD_OUT), HELD_OUT)
    measure.animated(pipeline, still[None], [_PROMPT], renders.CLIP_FRAMES)
    _together()
    started = time.perf_counter()
    measure.animated(pipeline, still[None].repeat(count, axis=0), [_PROMPT] * count, renders.CLIP_FRAMES)
    return time.perf_counter() - started


def _together() -> None:
    assert _begin is not None
    _begin.wait(timeout=300)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--stills", type=int, default=128, help="of each process")
    parser.add_argument("--clips", type=int, default=0, help="of each process; 0 for none")
    told = parser.parse_args()
    print(json.dumps(speeds(told.weights, told.processes, told.stills, told.clips)))


if __name__ == "__main__":
    main()
