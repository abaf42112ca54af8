"""What the farm costs over doing the same work without one: the farm, Ray Data, and a bare loop, in one run.

Ray Data comes in two ways: each actor does all the work of a block (``ray_data``, which it is fastest with), and a pool
that generates feeding a pool that judges (``ray_data_pools``), as a model on a device and filters beside it would be.

The work is next to nothing on purpose: pictures that take milliseconds would hide what is around them. All three
generate the same 64x64 procedural stills (pieces of one picture; ``--scenes``: a scene each), judge them with the same
filters, write the same media through the same store, and keep the same rows in Parquet files with page checksums,
flushed to the disk at least every `FLUSH_S` seconds of work. Numerical libraries have one thread everywhere. Each
system runs in a process of its own, the systems in turn, several times over; figures are medians, and every single run
is reported with them.

    python benchmarks/overhead.py [--candidates N] [--runs N] [--json]
"""

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
os.environ.update(dict.fromkeys(ONE_THREAD, "1"))

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402 - threads are settled before numerical libraries are loaded
import pyarrow.parquet as pq  # noqa: E402

from ancestra_farm.batch.schema import Batch  # noqa: E402
from ancestra_farm.farm.judging import cascade_of  # noqa: E402
from ancestra_farm.filters.protocol import Judgement  # noqa: E402
from ancestra_farm.ledger.store import Store  # noqa: E402
from ancestra_farm.models.build import build_generator  # noqa: E402
from ancestra_farm.models.catalog import load_catalog  # noqa: E402
from ancestra_farm.models.protocol import Made  # noqa: E402
from ancestra_farm.plan.events import AttemptEnded  # noqa: E402
from ancestra_farm.plan.plan import Plan  # noqa: E402
from ancestra_farm.plan.recipe import Recipe  # noqa: E402
from ancestra_farm.scheduler.world import Ticket  # noqa: E402
from ancestra_farm.stitch.codec import encode_frames  # noqa: E402
from ancestra_farm.stitch.thumbnails import SHEET_SUFFIX, thumbnail, thumbnail_sheet  # noqa: E402

SYSTEMS = ("farm", "ray_data", "ray_data_pools", "bare_loop")
#: Seconds of work that a crash may cost any of them: as long as a ticket of the farm.
FLUSH_S = 2.0
#: Candidates that share a thumbnail sheet where there are no tickets: about as many as a ticket of two seconds holds.
SHEET = 512
#: Rows in a block of Ray Data; the best of these is the one that is compared with.
BLOCKS = (256, 512, 1024, 2048)
CPUS = os.cpu_count() or 1


def the_batch(candidates: int, model: str) -> dict[str, Any]:
    """The batch of the benchmark, as a document."""
    return {
        "schema": "ancestra/v1",
        "batch": "overhead",
        "show": "benchmarks",
        "seed": 7,
        "size": [64, 64],
        "stages": {
            "still": {
                "role": "text_to_image",
                "model": model,
                "candidates": candidates,
                "wave": 4096,
                "distinct_bits": -1,
                "parameters": {"fault_rate": 0.95},
            }
        },
        "shots": [
            {
                "shot": "sea",
                "frames": 24,
                "prompt": {
                    "text": ["the ocean seen from a helicopter", "stars and dust", "light breaking like petals"]
                },
            }
        ],
    }


class Work:
    """The work itself, candidate by candidate, without a farm: what the bare loop and Ray Data's actors do."""

    def __init__(self, candidates: int, model: str, store: Store) -> None:
        catalog = load_catalog(None)
        plan = Plan.of(Batch.model_validate(the_batch(candidates, model)), catalog)
        self._stage = plan.shots[0].stages[0]
        self._space = self._stage.space(0, ((),))
        self._store = store
        self._generator = build_generator(catalog[model])
        self._generator.setup()
        self._judge = cascade_of(self._ticket())

    def recipe(self, position: int) -> Recipe:
        """The recipe at a position."""
        return self._space.recipe(position)

    def _ticket(self) -> Ticket:
        return Ticket(
            "", 0, "overhead", "", "full", (), self._space, (), {}, 0.05, keep_rejects=False, parents={}, deadline_s=0.0
        )

    def rows(self, start: int, stop: int) -> list[AttemptEnded]:
        """Make, judge and write candidates ``start`` to ``stop``; a row each."""
        return self.judged(start, self.made(start, stop))

    def made(self, start: int, stop: int) -> Iterator[Made]:
        """Make candidates ``start`` to ``stop``."""
        return self._generator.generate([self.recipe(n) for n in range(start, stop)], {}, lambda: False)

    def judged(self, start: int, made_all: Iterable[Made]) -> list[AttemptEnded]:
        """Judge and write candidates that follow one another from ``start`` on; a row each."""
        rows, pictures = [], []
        for position, made in enumerate(made_all, start):
            before = time.monotonic()
            verdict = self._judge(made.recipe.candidate_id, made.frames)
            judge_s = time.monotonic() - before
            pictures.append(thumbnail(made.frames))
            media = None
            if verdict.passed:
                media = self._store.put_media(*encode_frames(made.frames, made.recipe.rate))
            rows.append(_row(position, made.recipe.candidate_id, verdict, media, made.generate_s, judge_s))
        sheet, places = thumbnail_sheet(pictures)
        path = self._store.put_media(sheet, SHEET_SUFFIX)
        return [
            dataclasses.replace(row, thumbnail=f"{path}#xywh={','.join(map(str, place))}")
            for row, place in zip(rows, places, strict=True)
        ]


def _row(
    position: int, candidate_id: str, verdict: Judgement, media: str | None, generate_s: float, judge_s: float
) -> AttemptEnded:
    return AttemptEnded(
        batch="overhead",
        branch="sea/still/0",
        position=position,
        rung="full",
        candidate_id=candidate_id,
        cause="judged",
        passed=verdict.passed,
        at=time.time(),
        reasons=verdict.reasons,
        scores=dict(verdict.scores),
        filter_s=dict(verdict.filter_s),
        judged_in_full=verdict.in_full,
        phash=verdict.phash,
        media=media,
        generate_s=generate_s,
        judge_s=judge_s,
        device_s=generate_s,
    )


def table_of(rows: list[AttemptEnded]) -> pa.Table:
    """Rows as Arrow columns."""
    columns: dict[str, pa.Array] = {}
    for field in dataclasses.fields(AttemptEnded):
        values = [getattr(row, field.name) for row in rows]
        if field.name in {"scores", "filter_s"}:
            columns[field.name] = pa.array([list(v.items()) for v in values], pa.map_(pa.string(), pa.float64()))
        elif field.name == "phash":
            columns[field.name] = pa.array(values, pa.uint64())
        elif field.name == "reasons":
            columns[field.name] = pa.array([list(v) for v in values], pa.list_(pa.string()))
        elif field.name in {"media", "thumbnail"}:
            columns[field.name] = pa.array(values, pa.string())
        else:
            columns[field.name] = pa.array(values)
    return pa.table(columns)


# ---- the three systems ---------------------------------------------------------------------------------------------


def bare_loop(candidates: int, model: str, folder: Path) -> Iterator[tuple[str, float]]:
    """One process, one loop."""
    store = Store.open(str(folder), create=True)
    work = Work(candidates, model, store)
    yield "ready", time.time()
    out, part, waiting, flushed = folder / "rows", 0, [], time.monotonic()
    out.mkdir()
    for start in range(0, candidates, SHEET):
        waiting += work.rows(start, min(start + SHEET, candidates))
        if time.monotonic() - flushed >= FLUSH_S or start + SHEET >= candidates:
            write_durably(table_of(waiting), out / f"part-{part:06d}.parquet")
            if part == 0:
                yield "first", time.time()
            part, waiting, flushed = part + 1, [], time.monotonic()
    yield "done", time.time()


def write_durably(table: pa.Table, path: Path) -> None:
    """Write a Parquet file that survives the machine's end once this returns."""
    with path.open("wb") as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)
        file.flush()
        os.fsync(file.fileno())


def farm(candidates: int, model: str, folder: Path) -> Iterator[tuple[str, float]]:
    """The farm as `ancestra run` has it."""
    import yaml

    from ancestra_farm.farm.run import run_batch
    from ancestra_farm.ledger.tail import read_commits

    file = folder.parent / "overhead.yaml"
    file.write_text(yaml.safe_dump(the_batch(candidates, model)))
    summary = run_batch(file, str(folder), cpus=CPUS)
    if summary.how != "done":
        raise SystemExit(f"the run ended as {summary.how}: {summary.message}")
    ready, rows = None, []
    for commit in read_commits(Store.open(str(folder))):
        for event in commit.events:
            name = type(event).__name__
            if name == "HostNoted" and event.what == "ready" and ready is None:
                ready = event.at
            if name == "AttemptEnded" and (not rows or rows[-1] != commit.at):
                rows.append(commit.at)
    if ready is None:
        raise SystemExit("no host ever came up")
    yield "ready", ready
    yield "first", rows[0]
    yield "done", commit.at


def ray_data(candidates: int, model: str, folder: Path, block: int, *, pools: bool) -> Iterator[tuple[str, float]]:
    """Ray Data over blocks of numbers, writing Parquet: a pool of actors, or with ``pools`` one for each step."""
    import pyarrow.fs
    import ray
    from durable import Durable

    class Actor:
        def __init__(self) -> None:
            self._work = Work(candidates, model, Store.open(str(folder)))
            (folder / f"ready-{os.getpid()}").write_text(repr(time.time()))

        def __call__(self, numbers: pa.Table) -> pa.Table:
            ids = numbers["id"].to_pylist()
            tables = [
                table_of(self._work.rows(ids[at], ids[min(at + SHEET, len(ids)) - 1] + 1))
                for at in range(0, len(ids), SHEET)
            ]
            return pa.concat_tables(tables)

    class Maker(Actor):
        def __call__(self, numbers: pa.Table) -> pa.Table:
            ids = numbers["id"].to_pylist()
            made = list(self._work.made(ids[0], ids[-1] + 1))
            frames = pa.array([one.frames.tobytes() for one in made], pa.binary())
            seconds = pa.array([one.generate_s for one in made])
            return pa.table({"id": numbers["id"], "frames": frames, "generate_s": seconds})

    class Judge(Actor):
        def __call__(self, made: pa.Table) -> pa.Table:
            ids, tables = made["id"].to_pylist(), []
            for at in range(0, len(ids), SHEET):
                part = made.slice(at, SHEET).to_pydict()
                recipes = [self._work.recipe(n) for n in part["id"]]
                frames = [np.frombuffer(data, np.uint8).reshape(1, 64, 64, 3) for data in part["frames"]]
                given = map(Made, recipes, frames, part["generate_s"])
                tables.append(table_of(self._work.judged(part["id"][0], given)))
            return pa.concat_tables(tables)

    Store.open(str(folder), create=True)
    out = folder / "rows"
    out.mkdir()
    # The write tasks need CPUs of their own, or they wait for the actors that hold them all: twice as many are stated
    # as there are, which leaves the sharing to the operating system.
    ray.init(address="local", num_cpus=2 * CPUS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    numbers = ray.data.range(candidates, override_num_blocks=-(-candidates // block))
    made, steps = numbers, (Maker, Judge) if pools else (Actor,)
    for step in steps:
        pool = ray.data.ActorPoolStrategy(size=max(1, CPUS // len(steps)))
        made = made.map_batches(step, batch_size=block, batch_format="pyarrow", compute=pool, num_cpus=1)
    made.write_parquet(
        str(out),
        filesystem=pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(Durable())),
        compression="zstd",
        write_page_checksum=True,
    )
    done = time.time()
    parts = sorted(out.glob("**/*.parquet"), key=lambda path: path.stat().st_mtime)
    rows = sum(pq.read_metadata(path).num_rows for path in parts)
    if rows != candidates:
        raise SystemExit(f"Ray Data wrote {rows} rows of {candidates}")
    yield "ready", min(float(path.read_text()) for path in folder.glob("ready-*"))
    yield "first", parts[0].stat().st_mtime
    yield "done", done


# ---- measuring -----------------------------------------------------------------------------------------------------


def measured(system: str, candidates: int, model: str, block: int) -> dict[str, float]:
    """One run in a fresh process and a fresh folder. Seconds from the start of the process."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        command = [sys.executable, __file__, "--one", system, "--candidates", str(candidates), "--model", model]
        began = time.time()
        environment = os.environ | {"RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
        answer = subprocess.run(
            [*command, "--block", str(block), "--folder", folder],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=environment,
        )
        moments = json.loads(answer.stdout.splitlines()[-1])
    seconds = {name: moment - began for name, moment in moments.items()}
    return {
        "per_s": candidates / (seconds["done"] - seconds["ready"]),
        "per_s_with_start_up": candidates / seconds["done"],
        "start_up_s": seconds["ready"],
        "first_result_s": seconds["first"],
        "total_s": seconds["done"],
    }


def one(system: str, candidates: int, model: str, block: int, folder: Path) -> None:
    """Run one system here and print when what happened, as JSON."""
    store = folder / "store"
    moments: dict[str, Callable[[], Iterator[tuple[str, float]]]] = {
        "farm": lambda: farm(candidates, model, store),
        "ray_data": lambda: ray_data(candidates, model, store, block, pools=False),
        "ray_data_pools": lambda: ray_data(candidates, model, store, block, pools=True),
        "bare_loop": lambda: bare_loop(candidates, model, store),
    }
    found = dict(moments[system]())
    print(json.dumps(found), flush=True)
    shutil.rmtree(store, ignore_errors=True)


def best_block(candidates: int, model: str) -> tuple[int, dict[int, float]]:
    """The block size with which Ray Data is fastest, on a tenth of the work, and what each came to."""
    some = max(candidates // 10, 2 * CPUS * max(BLOCKS))
    rates = {block: measured("ray_data", min(some, candidates), model, block)["per_s"] for block in BLOCKS}
    return max(rates, key=lambda block: rates[block]), rates


def summary(runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Medians, and what they come to in ratios."""
    middle = {
        system: {key: statistics.median(run[key] for run in found) for key in found[0]}
        for system, found in runs.items()
    }
    result: dict[str, Any] = {f"{system}_per_s": middle[system]["per_s"] for system in middle}
    for key in ("start_up_s", "first_result_s", "per_s_with_start_up"):
        result[key] = {system: middle[system][key] for system in middle}
    if set(SYSTEMS) <= set(middle):
        farm_per_s = middle["farm"]["per_s"]
        result["over_bare_loop"] = farm_per_s / middle["bare_loop"]["per_s"]
        result["over_ray_data"] = farm_per_s / middle["ray_data"]["per_s"]
        result["over_ray_data_pools"] = farm_per_s / middle["ray_data_pools"]["per_s"]
        with_start_up = result["per_s_with_start_up"]
        result["over_ray_data_with_start_up"] = with_start_up["farm"] / with_start_up["ray_data"]
        # Processor time per candidate that is not the work itself, if all processors were busy all the time.
        result["farm_overhead_us"] = 1e6 * (CPUS / farm_per_s - 1 / middle["bare_loop"]["per_s"])
    return result


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--block", type=int, default=0, help="rows of a block of Ray Data; 0: the best of several")
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--model", default="procedural/load", help=argparse.SUPPRESS)
    parser.add_argument("--scenes", action="store_const", const="procedural/stills", dest="model")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one, given.candidates, given.model, given.block, given.folder)
        return
    systems = given.systems.split(",")
    block, blocks = (
        (given.block, {}) if given.block or "ray_data" not in systems else best_block(given.candidates, given.model)
    )
    runs: dict[str, list[dict[str, float]]] = {system: [] for system in systems}
    for number in range(given.runs):
        for system in systems:
            run = measured(system, given.candidates, given.model, block)
            runs[system].append(run)
            print(f"run {number + 1} {system:9s} {run['per_s']:8.0f}/s  {run['total_s']:6.1f} s", file=sys.stderr)
    result = summary(runs) | {
        "model": given.model,
        "candidates": given.candidates,
        "cpus": CPUS,
        "ray_data_block": block,
    }
    result |= {"ray_data_blocks_per_s": blocks, "runs": runs}
    if given.json:
        print(json.dumps(result, indent=1))
        return
    for key, value in result.items():
        if key != "runs":
            print(f"{key:28s} {value:.4g}" if isinstance(value, float) else f"{key:28s} {value}")


if __name__ == "__main__":
    main()
