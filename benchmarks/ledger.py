"""What the ledger costs: writing commits, folding them, and starting from a log of a given length.

``python benchmarks/ledger.py [--json] [--outcomes 10000,100000] [--rows 250] [--folder DIR]``

Writing is compared, in turns, with a bare loop that writes the same rows with pyarrow, as durably: a temporary file,
fsync, rename, fsync of the folder. Starting is measured in processes of their own, each with its peak memory: from a
log of single commits, from packs, and from a snapshot. A log is that of one batch of shots with 5,000 candidates each,
waves of 100, one in 25 a survivor; an attempt carries six scores and six filter times.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ancestra_farm.api.standing import Standing, standing_of
from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.schema import Batch
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.packs import Packer, last_number
from ancestra_farm.ledger.snapshot import forget_snapshots, write_snapshot
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import Tail
from ancestra_farm.plan.events import (
    AttemptEnded,
    BatchSubmitted,
    BranchClosed,
    BranchOpened,
    Event,
    StageClosed,
    WaveClosed,
    WaveReleased,
)
from ancestra_farm.plan.plan import Plan
from ancestra_farm.scheduler import Scheduler
from ancestra_farm.telemetry.metrics import Metrics

PER_SHOT = 5_000
WAVE = 100
SURVIVES = 25
CARD = ModelCard.model_validate(
    {
        "id": "bench/stills",
        "family": "procedural",
        "roles": ["text_to_image"],
        "licence": "Apache-2.0",
        "sizes": {"multiple_of": 8, "min": 8, "max": 1024, "default": [64, 64]},
    }
)
FILTERS = ("nan", "black", "clipped", "noise", "banding", "blur")


def plan_of(outcomes: int) -> Plan:
    """Shots enough for so many candidates."""
    shots = -(-outcomes // PER_SHOT)
    each = min(outcomes, PER_SHOT)
    document = {
        "schema": "ancestra/v1",
        "batch": "bench",
        "show": "bench",
        "rate": 24,
        "stages": {
            "still": {
                "role": "text_to_image",
                "model": CARD.id,
                "candidates": each,
                "wave": WAVE,
                "keep": "all",
                "distinct_bits": -1,
            }
        },
        "shots": [{"shot": f"s{n:04d}", "frames": 24, "prompt": {"text": "the sea"}} for n in range(shots)],
    }
    return Plan.of(Batch.model_validate(document), {CARD.id: CARD})


def attempt(plan: Plan, branch: str, position: int, candidate_id: str, now: float) -> AttemptEnded:
    """The end of one attempt, with everything in it that a host says."""
    survives = position % SURVIVES == 0
    digest = hashlib.blake2b(candidate_id.encode(), digest_size=32).hexdigest()
    medium = f"media/{digest[:2]}/{digest}"
    number = int(digest[:8], 16) / 2**32
    return AttemptEnded(
        batch=plan.batch.batch,
        branch=branch,
        position=position,
        rung="full",
        candidate_id=candidate_id,
        cause="judged",
        passed=survives,
        at=now,
        reasons=() if survives else ("blur",),
        scores={name: number * n for n, name in enumerate(FILTERS, 1)},
        filter_s=dict.fromkeys(FILTERS, number / 1e3),
        phash=int(digest[:16], 16),
        media=f"{medium}.png" if survives else None,
        thumbnail=f"{medium}.jpg#xywh={position % 16 * 64},0,64,64",
        generate_s=number,
        judge_s=number / 10,
        device_s=number,
        host="host-0001",
        ticket=f"1-{position // 50}",
    )


def events_of(plan: Plan) -> Iterator[Event]:
    """What happens to the whole batch, shot after shot."""
    now, name = 1.7e9, plan.batch.batch
    yield BatchSubmitted(name, plan.digest, plan.document, dict(plan.card_documents), "ann", now)
    for shot in plan.shots:
        branch = f"{shot.name}/still/0"
        yield BranchOpened(name, branch, shot.name, "still", 0, 1, ((),), None, now)
        space = shot.stage("still").space(0, ((),))
        chains: list[tuple[str, ...]] = []
        for wave, start in enumerate(range(0, len(space), WAVE)):
            stop = min(start + WAVE, len(space))
            yield WaveReleased(name, branch, wave, "full", start, stop, FILTERS, now)
            ids = [space.id_of(position) for position in range(start, stop)]
            for position, candidate_id in zip(range(start, stop), ids, strict=True):
                now += 0.001
                yield attempt(plan, branch, position, candidate_id, now)
            kept = tuple(position for position in range(start, stop) if position % SURVIVES == 0)
            chains += [(ids[position - start],) for position in kept]
            yield WaveClosed(name, branch, wave, "full", kept, {}, (), (), now)
        yield BranchClosed(name, branch, "tried_all", (), now)
        yield StageClosed(name, shot.name, "still", 1, tuple(chains), (), "tried_all", "", now)


def cut(events: Iterator[Event], rows: int) -> Iterator[list[Event]]:
    """Commits of so many events."""
    some: list[Event] = []
    for event in events:
        some.append(event)
        if len(some) == rows:
            yield some
            some = []
    if some:
        yield some


# ---- writing ---------------------------------------------------------------------------------------------------------


def writing(folder: Path, rows: int, commits: int = 40, rounds: int = 5) -> dict[str, Any]:
    """Commits and rows per second, of the log and of a bare loop, in turns."""
    plan = plan_of(rows * commits * rounds)
    batches = list(cut((event for event in events_of(plan) if isinstance(event, AttemptEnded)), rows))
    writer = Writer.begin(Store.open(str(folder / "written"), create=True), "bench", "bench")
    bare = folder / "bare"
    bare.mkdir()
    seconds: dict[str, list[float]] = {"log": [], "bare": []}
    for turn in range(rounds):
        some = [batches[(turn * commits + n) % len(batches)] for n in range(commits)]
        as_rows = [[_row(event) for event in events] for events in some]
        seconds["log"].append(_timed(lambda some=some: [writer.commit(events) for events in some]))
        seconds["bare"].append(
            _timed(lambda rows=as_rows, turn=turn: [_write_bare(bare, turn * 1000 + n, r) for n, r in enumerate(rows)])
        )
    log_s, bare_s = statistics.median(seconds["log"]), statistics.median(seconds["bare"])
    return {
        "rows_per_commit": rows,
        "log_commits_per_s": commits / log_s,
        "log_rows_per_s": commits * rows / log_s,
        "bare_commits_per_s": commits / bare_s,
        "bare_rows_per_s": commits * rows / bare_s,
        "log_over_bare": bare_s / log_s,
        "raw_s": seconds,
    }


def _row(event: Event) -> dict[str, Any]:
    row = dataclasses.asdict(event)  # type: ignore[arg-type] # every event is a dataclass
    return {**row, "scores": list(row["scores"].items()), "filter_s": list(row["filter_s"].items())}


_NUMBERS = pa.map_(pa.string(), pa.float64())


def _write_bare(folder: Path, number: int, rows: list[dict[str, Any]]) -> None:
    """The same rows as a Parquet file of typed columns, durable on return."""
    schema = pa.schema(
        [
            (name, _NUMBERS if name in ("scores", "filter_s") else pa.uint64() if name == "phash" else kind)
            for name, kind in _kinds(rows[0])
        ]
    )
    table = pa.Table.from_pylist(rows, schema)
    temporary, target = folder / f".{number}", folder / f"{number:08d}.parquet"
    pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    descriptor = os.open(temporary, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    temporary.rename(target)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(descriptor)
    os.close(descriptor)


def _kinds(row: dict[str, Any]) -> Iterator[tuple[str, pa.DataType]]:
    plain = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), tuple: pa.list_(pa.string())}
    for name, value in row.items():
        yield name, plain.get(type(value), pa.string())


def _timed(do: Any) -> float:
    before = time.perf_counter()
    do()
    return time.perf_counter() - before


# ---- starting --------------------------------------------------------------------------------------------------------


def starting(folder: Path, outcomes: int, rows: int) -> dict[str, Any]:
    """How long a log of so many outcomes takes to start from, in each of the ways."""
    url = str(folder / f"log-{outcomes}")
    store = Store.open(url, create=True)
    writer = Writer.begin(store, "bench", "bench")
    written_s = _timed(lambda: [writer.commit(some) for some in cut(events_of(plan_of(outcomes)), rows)])
    found: dict[str, Any] = {"outcomes": outcomes, "commits": writer.number, "write_s": written_s}
    found["from_commits"] = _apart(url)
    found["pack_s"] = _timed(lambda: Packer(store).run(last_number(store)))
    files = [store.local_path(path) for path in store.list("log")]
    found["log_files"] = len(files)
    found["log_bytes"] = sum(path.stat().st_size for path in files if path is not None)
    found |= _apart(url, "keep")
    found["from_snapshot"] = _apart(url)
    found["folded_events_per_s"] = found["from_packs"]["events"] / found["from_packs"]["seconds"]
    forget_snapshots(store)
    return found


def _apart(url: str, what: str = "start") -> dict[str, Any]:
    """In a process of its own, which says what it found."""
    done = subprocess.run(
        [sys.executable, __file__, f"--{what}", url], check=True, capture_output=True, text=True, env=os.environ
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def start(url: str) -> dict[str, Any]:
    """As a controller does: newest snapshot, commits after it; then everything is queued again."""
    return _started(Store.open(url))[2]


def _started(store: Store) -> tuple[Standing, Tail, dict[str, Any]]:
    idle_kib = _memory_kib("VmRSS")
    before = time.perf_counter()
    standing = Standing(Scheduler(), Metrics())
    events = 0
    tail = standing.begin(store)
    for commit in tail.poll():
        standing.fold(commit)
        events += len(commit.events)
    standing.scheduler.resume(2e9)
    found = {
        "seconds": time.perf_counter() - before,
        "events": events,
        "began_at": standing.began_at,
        "mib": (_memory_kib("VmHWM") - idle_kib) / 1024,
        "mib_kept": (_memory_kib("VmRSS") - idle_kib) / 1024,
    }
    return standing, tail, found


def _memory_kib(which: str) -> int:
    """Of this process: ``VmRSS`` now, ``VmHWM`` at most so far (proc(5))."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{which}:")).split()[1])


def keep(url: str) -> dict[str, Any]:
    """Start, then take a snapshot and write it."""
    store = Store.open(url)
    standing, tail, found = _started(store)
    before = time.perf_counter()
    snapshot = standing.snapshot(tail.mark)
    taken = time.perf_counter()
    size = write_snapshot(store, snapshot)
    keep_s = time.perf_counter() - taken
    return {"from_packs": found, "take_s": taken - before, "keep_s": keep_s, "snapshot_bytes": size}


def reading(url: str) -> dict[str, Any]:
    """As a command does that reads."""
    before = time.perf_counter()
    standing_of(Store.open(url))
    return {"seconds": time.perf_counter() - before}


def told(found: dict[str, Any]) -> str:
    """The figures as lines."""
    w = found["writing"]
    first = (
        f"writing, {w['rows_per_commit']} rows a commit: log {w['log_commits_per_s']:.0f} commits/s, "
        f"{w['log_rows_per_s']:,.0f} rows/s; bare pyarrow {w['bare_commits_per_s']:.0f} commits/s, "
        f"{w['bare_rows_per_s']:,.0f} rows/s: {w['log_over_bare']:.2f} times bare"
    )
    return "\n".join([first, *map(_line, found["starting"])])


def _line(one: dict[str, Any]) -> str:
    return (
        f"{one['outcomes']:,} outcomes in {one['commits']:,} commits: from commits {_said(one['from_commits'])}, "
        f"from packs {_said(one['from_packs'])}, from a snapshot {_said(one['from_snapshot'])}; "
        f"{one['folded_events_per_s']:,.0f} events/s folded; packed in {one['pack_s']:.1f} s to {one['log_files']} "
        f"files, {one['log_bytes'] / 2**20:.0f} MiB; snapshot taken in {one['take_s']:.3f} s, written in "
        f"{one['keep_s']:.2f} s, {one['snapshot_bytes'] / 2**20:.1f} MiB"
    )


def _said(one: dict[str, Any]) -> str:
    return f"{one['seconds']:.2f} s ({one['mib_kept']:.0f} MiB, {one['mib']:.0f} at most)"


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--outcomes", default="10000,100000")
    parser.add_argument("--rows", type=int, default=250, help="rows in a commit")
    parser.add_argument("--folder", help="where stores are made; a temporary folder by default")
    for part in (start, keep, reading):
        parser.add_argument(f"--{part.__name__}", help=argparse.SUPPRESS)
    given = parser.parse_args()
    for part in (start, keep, reading):
        if (url := getattr(given, part.__name__)) is not None:
            print(json.dumps(part(url)))
            return
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        found = {
            "writing": writing(folder, given.rows),
            "starting": [starting(folder, int(size), given.rows) for size in given.outcomes.split(",")],
        }
    print(json.dumps(found) if given.json else told(found))


if __name__ == "__main__":
    main()
