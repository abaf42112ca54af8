"""What a host costs over a loop written by hand: pictures per second, in one process, in turns, on one device.

The model is Stable Diffusion XL in architecture, with random weights that this script draws: `tiny` and `small` for
CPUs, `sdxl` as large as the real one. The loop is what a person writes with diffusers who wants no farm: embeddings
once for each wording, calls of `--batch` candidates with a random generator each, every picture judged by the same
filters, drawn small, encoded and written to a store as the host does it. Both write every picture, and whether they
wrote the same ones is counted. The host is `farm/pipeline.Pipeline` with `DiffusersGenerator`, two tickets at a time;
rows end in memory on both sides. Pairs of runs alternate in order; figures are medians over the pairs, and every run
is kept.

Two further figures: what a job costs on a host that has the model loaded against one that loads it for each job, and
what changing the look of a loaded model costs against loading the model with the other look.

    python benchmarks/generate.py [--size tiny|small|sdxl] [--device auto|cpu|cuda] [--json]
"""

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")

import cv2
import torch
from hand_loop import Loop, Setting, card_of, space_of, ticket_of
from random_model import save_look, save_model

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.farm.pipeline import Pipeline
from ancestra_farm.ledger.store import Store
from ancestra_farm.models.diffusion.generator import DiffusersGenerator
from ancestra_farm.models.diffusion.looks import Looks
from ancestra_farm.plan.space import Space

#: Jobs of a run that compares a resident host with one that loads for each job.
JOBS = 3
#: Changes of look that are measured; the first of each look loads its file.
SWAPS = 8
#: By size: pixels, steps, batch, pictures of a ticket, pictures of a run.
USUAL = {"tiny": (64, 4, 4, 16, 64), "small": (128, 6, 4, 8, 16), "sdxl": (1024, 20, 4, 16, 64)}


class Host:
    """The farm's host without the actor around it."""

    def __init__(self, card: ModelCard, looks: dict[str, Path]) -> None:
        self._card, self._looks = card, looks
        self.generator = DiffusersGenerator(card, lambda digest: self._looks[digest])

    def load(self) -> None:
        """Load the model and warm up, as `setup` of a host does."""
        self.generator.setup()

    def make(self, setting: Setting, space: Space, folder: Path) -> float:
        """Seconds for every picture of the space, from the first ticket to the last reply."""
        pipeline = Pipeline("benchmark", self._card.id, self.generator, Store.open(str(folder), create=True))
        # the pipeline closes the generator at its end; it is wanted again
        close, self.generator.close = self.generator.close, lambda: None  # type: ignore[method-assign]
        starts = range(0, len(space), setting.ticket)
        tickets = [
            ticket_of(space, range(start, min(start + setting.ticket, len(space))), f"t{start}") for start in starts
        ]
        began = time.perf_counter()
        with ThreadPoolExecutor(2) as hands:
            replies = list(hands.map(pipeline.work, tickets))
        took = time.perf_counter() - began
        pipeline.close()
        self.generator.close = close  # type: ignore[method-assign]
        rows = [row for reply in replies for row in reply.attempts]
        failed = [row.message for row in rows if row.cause != "judged"]
        if failed or len(rows) != len(space):
            raise SystemExit(f"the host ended {len(rows)} of {len(space)} candidates; {failed[:1]}")
        return took


def compare(setting: Setting, host: Host, loop: Loop, space: Space, folder: Path, runs: int) -> dict[str, Any]:
    """Host and loop in turns, each pair in the other order than the one before; medians of rates and of ratios.

    ``processor_ratio``: the loop's processor seconds over the host's, which other processes of the machine move less.
    """
    found: list[dict[str, float]] = []
    systems: dict[str, Callable[[Path], float]] = {
        "host": lambda place: host.make(setting, space, place),
        "loop": lambda place: loop.make(space, place),
    }
    for number in range(-1, runs):  # the first pair warms caches and is not counted
        run: dict[str, float] = {}
        for system in systems if number % 2 else reversed(systems):
            before = time.process_time()
            run[f"{system}_per_s"] = len(space) / systems[system](folder / f"{system}-{number}")
            run[f"{system}_processor_s"] = time.process_time() - before
        run["ratio"] = run["host_per_s"] / run["loop_per_s"]
        run["processor_ratio"] = run["loop_processor_s"] / run["host_processor_s"]
        of_host, of_loop = (_media(folder / f"{system}-{number}") for system in systems)
        run["same_media"] = len(of_host & of_loop) / max(len(of_host | of_loop), 1)
        if number >= 0:
            found.append(run)
            print(f"run {number + 1}  host {run['host_per_s']:.3g}/s  loop {run['loop_per_s']:.3g}/s", file=sys.stderr)
    middle = {key: statistics.median(run[key] for run in found) for key in found[0]}
    return {"host_over_loop": middle.pop("ratio"), **middle, "runs": found}


def _media(store: Path) -> set[str]:
    """The names of all media in a store, which are digests of what they hold; without thumbnail sheets."""
    return {path.name for path in (store / "media").rglob("*.png")}


def residency(setting: Setting, host: Host, loop: Loop, space: Space, folder: Path) -> dict[str, Any]:
    """Seconds of a job on a host that has the model, and of one that loads it first; weights are in the page cache."""
    resident, loading = [], []
    for number in range(JOBS):
        resident.append(host.make(setting, space, folder / f"resident-{number}"))
        began = time.perf_counter()
        loop.load()
        loaded = time.perf_counter() - began
        loading.append({"load_s": loaded, "work_s": loop.make(space, folder / f"loading-{number}")})
    each = [job["load_s"] + job["work_s"] for job in loading]
    return {
        "pictures_a_job": len(space),
        "resident_job_s": statistics.median(resident),
        "load_per_job_s": statistics.median(each),
        "load_s": statistics.median(job["load_s"] for job in loading),
        "times": statistics.median(each) / statistics.median(resident),
        "runs": {"resident_s": resident, "loading": loading},
    }


def look_swaps(setting: Setting, host: Host, looks: dict[str, Path]) -> dict[str, Any]:
    """Seconds to change the look of a loaded model: to a new one, to one that is held, and by loading it all anew."""
    swapped = Looks(host.generator.resident.pipeline, lambda digest: looks[digest])
    first, held = [], []
    for number in range(SWAPS):
        digest = list(looks)[number % len(looks)]
        known = digest in swapped.loaded
        took = _timed(lambda digest=digest: swapped.use(digest, 1.0), setting)
        (held if known else first).append(took)
    swapped.use(None, 0.0)
    reloads = []
    for digest in looks:

        def reload(digest: str = digest) -> None:
            host.generator.close()
            host.load()
            Looks(host.generator.resident.pipeline, lambda wanted: looks[wanted]).use(digest, 1.0)

        reloads.append(_timed(reload, setting))
    medians = {"first_s": statistics.median(first), "swap_s": statistics.median(held)}
    reload_s = statistics.median(reloads)
    return {
        **medians,
        "reload_s": reload_s,
        "reload_over_swap": reload_s / medians["swap_s"],
        "reload_over_first": reload_s / medians["first_s"],
        "runs": {"first_s": first, "swap_s": held, "reload_s": reloads},
    }


def _timed(what: Callable[[], None], setting: Setting) -> float:
    began = time.perf_counter()
    what()
    if setting.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def machine(setting: Setting, threads: int) -> dict[str, Any]:
    """Where it was measured, and how busy that was."""
    import diffusers

    name = torch.cuda.get_device_name() if setting.device == "cuda" else f"{os.cpu_count()} CPU cores"
    return {
        "device": name,
        "threads": threads,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "load_average": os.getloadavg()[0],
        "python_threads_at_start": threading.active_count(),
    }


def setting_of(given: argparse.Namespace) -> Setting:
    """The command line as a setting."""
    device = given.device if given.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    pixels, steps, batch, ticket, pictures = USUAL[given.size]
    return Setting(
        size=given.size,
        device=device,
        dtype=given.dtype or ("float16" if device == "cuda" else "float32"),
        pixels=given.pixels or pixels,
        steps=given.steps or steps,
        batch=given.batch or batch,
        ticket=given.ticket or ticket,
        pictures=given.pictures or pictures,
    )


def measured(setting: Setting, parts: list[str], runs: int, folder: Path) -> dict[str, Any]:
    """Everything that was asked for."""
    model = folder / "model"
    result: dict[str, Any] = {"weights": save_model(setting.size, setting.device, setting.dtype, setting.pixels, model)}
    looks: dict[str, Path] = {}
    if "looks" in parts:
        for seed in (1, 2):
            path = save_look(setting.dtype, model, folder / f"look-{seed}", seed)
            looks[f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"] = path
    card = card_of(setting, model)
    host, loop, space = Host(card, looks), Loop(setting, model), space_of(card, setting.pictures)
    host.load()
    loop.load()
    if "host" in parts:
        result["host_against_loop"] = compare(setting, host, loop, space, folder, runs)
    if "residency" in parts:
        result["resident_against_load_per_job"] = residency(setting, host, loop, space, folder)
    if "looks" in parts:
        result["look_swap_against_reload"] = look_swaps(setting, host, looks)
    return result


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=sorted(USUAL), default="tiny")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), help="float16 on a GPU, else float32")
    parser.add_argument("--pixels", type=int, help="width and height")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int, help="candidates in one call")
    parser.add_argument("--ticket", type=int, help="candidates in a ticket")
    parser.add_argument("--pictures", type=int, help="candidates of a run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--parts", default="host,residency,looks")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(1)
    setting = setting_of(given)
    with tempfile.TemporaryDirectory(prefix="generate-") as folder:
        found = {"setting": setting.__dict__, "machine": machine(setting, given.threads)}
        found |= measured(setting, given.parts.split(","), given.runs, Path(folder))
    if given.json:
        print(json.dumps(found, indent=1))
        return
    for part, figures in found.items():
        if not isinstance(figures, dict):
            print(f"{part}: {figures:,}")
            continue
        shown = {key: value for key, value in figures.items() if key != "runs"}
        said = ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in shown.items()
        )
        print(f"{part}: {said}")


if __name__ == "__main__":
    main()
