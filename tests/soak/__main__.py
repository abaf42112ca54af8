"""Soak: seeded random kills and faults on small batches until a count is reached: ``python -m tests.soak --runs 200``.

Each run ends in a line of JSON in ``--out``; what is in there already is not done again. A store that is not as it must
be is kept, and the seed and round that made it so are printed.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ancestra_farm.farm.faults import journalled
from ancestra_farm.ledger.points import KILL_AT, KILL_ONCE
from ancestra_farm.ledger.store import Store
from tests.farm.batches import write_batch
from tests.farm.logs import attempts_of, survivors_of
from tests.farm.processes import Persisting
from tests.farm.soundness import faults_of
from tests.farm.threads import ThreadFarm, submission
from tests.soak.plans import RUNS_EACH, TITLES, TUNABLES, Kill, Round, Run, documents, round_of

#: A run that is not done by then hangs.
PATIENCE_S = 400.0
#: A farm whose Ray was killed begins anew at most so often.
BEGINNINGS = 6
LOOK_S = 0.05


class Soak:
    """Works off rounds in ``folder``; ``out`` gets a line for each run."""

    def __init__(self, seed: int, folder: Path, out: Path) -> None:
        self.seed = seed
        self.folder = folder
        self.out = out
        self.documents = documents()
        self.batches: dict[str, str] = {}
        self.survivors: dict[str, dict[str, list[str]]] = {}
        for name, document in self.documents.items():
            here = folder / name
            here.mkdir(parents=True)
            store = Store.open(str(here / "undisturbed"), create=True)
            assert ThreadFarm(store).loop.run([submission(here, document)]).how == "done"
            self.batches[name] = str(write_batch(here, document))
            self.survivors[name] = survivors_of(store.url)

    def round(self, number: int) -> None:
        """All runs of a round; the Ray that is killed in the last one is followed by another."""
        planned = round_of(self.seed, number)
        here = self.folder / f"round-{number}"
        (here / "killed").mkdir(parents=True)
        environment = {KILL_AT: ",".join(planned.points), KILL_ONCE: str(here / "killed")}
        farm = Persisting(here, environment, cpus=2)
        try:
            for nth, run in enumerate(planned.runs):
                farm, line = self.run(farm, here, environment, planned, nth, run)
                if nth == len(planned.runs) - 1:
                    line["wrong"] += left_behind(farm, leave=True)
                with self.out.open("a") as out:
                    out.write(json.dumps(line) + "\n")
                print(told(line), flush=True)
        finally:
            farm.run.close()
        if not any(json.loads(text)["wrong"] for text in self.out.read_text().splitlines()[-RUNS_EACH:]):
            shutil.rmtree(here, ignore_errors=True)

    def run(
        self, farm: Persisting, here: Path, environment: dict[str, str], planned: Round, nth: int, run: Run
    ) -> tuple[Persisting, dict[str, Any]]:
        """One batch to its end; the farm that ended it, and what there is to say."""
        began = time.monotonic()
        url, journal = str(here / f"store-{nth}"), here / f"journal-{nth}"
        before = {path.name for path in (here / "killed").iterdir()}
        faults = ""
        if run.faults is not None:
            faults = json.dumps({"profile": run.faults, "seed": run.seed, "journal": str(journal)})
        job = {"batch": self.batches[run.document], "store": url, "tunables": TUNABLES, "faults": faults}
        wrong: list[str] = []
        killed: list[str] = []
        waiting = list(run.kills)
        result = None
        for _ in range(BEGINNINGS):
            farm.give(**job)
            result = self.attend(farm, url, waiting, killed, began)
            if result is not None or time.monotonic() - began > PATIENCE_S:
                break
            wrong += left_behind(farm)
            farm.run.close()
            farm = Persisting(here, environment, cpus=2)
        if result is None:
            wrong.append(f"did not end within {PATIENCE_S:.0f} s or {BEGINNINGS} beginnings; {farm.run.log} says more")
        elif result["how"] != "done":
            wrong.append(f"ended as {result['how']}: {result['message']}")
        wrong += faults_of(url, self.survivors[run.document]) if Path(url).exists() else ["there is no store"]
        return farm, {
            "seed": self.seed,
            "round": planned.number,
            "run": nth,
            "document": run.document,
            "killed": killed,
            "points": sorted(
                {path.name.split(":")[0] for path in (here / "killed").iterdir() if path.name not in before}
            ),
            "faults": dict(Counter(entry["kind"] for entry in journalled(journal))),
            "seconds": round(time.monotonic() - began, 1),
            "wrong": wrong,
        }

    def attend(
        self, farm: Persisting, url: str, waiting: list[Kill], killed: list[str], began: float
    ) -> dict[str, Any] | None:
        """Watch a farm until it has done its job, or is dead, and kill what is due; its summary, None: it is dead."""
        given = farm.given
        while farm.alive and time.monotonic() - began <= PATIENCE_S:
            if len(farm.said("how")) == given:
                return farm.said("how")[-1]
            if waiting and len(attempts_of(url, "judged")) >= waiting[0].judged:
                who = waiting.pop(0).who
                pids = farm.run.pids(TITLES[who])
                for pid in pids if who == "everything" else pids[:1]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                killed += [who] if pids else []
            time.sleep(LOOK_S)
        return None


def left_behind(farm: Persisting, *, leave: bool = False) -> list[str]:
    """What a farm that is dead, or that is told to leave, does not take with it."""
    if leave:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            farm.leave()
    return [] if farm.gone() else [f"left behind: {', '.join(line for _, line in farm.run.processes())}"]


def told(line: dict[str, Any]) -> str:
    """A run as a line for people."""
    done = ", ".join([*line["killed"], *line["points"], *(f"{n} {kind}" for kind, n in line["faults"].items())])
    ends = "; ".join(line["wrong"]) or "sound"
    return (
        f"round {line['round']} run {line['run']} {line['document']}: {done or 'nothing'}: {ends} ({line['seconds']} s)"
    )


def table(lines: list[dict[str, Any]]) -> str:
    """What was done, and what came of it, in Markdown."""
    wrong = [line for line in lines if line["wrong"]]
    rows = [("runs", len(lines)), ("stores not as they must be", len(wrong))]
    for key, title in (("killed", "kill -9 of a {}"), ("points", "killed itself at {}")):
        counted = Counter(name for line in lines for name in line[key])
        rows += [(title.format(name), count) for name, count in sorted(counted.items())]
    faults = sum((Counter(line["faults"]) for line in lines), Counter())
    rows += [(f"fault put in: {kind}", count) for kind, count in sorted(faults.items())]
    rows += [("seconds", round(sum(line["seconds"] for line in lines)))]
    text = "\n".join(["| | |", "|---|---|", *(f"| {name} | {count} |" for name, count in rows)])
    again = [
        f"seed {line['seed']} round {line['round']} run {line['run']}: {'; '.join(line['wrong'])}" for line in wrong
    ]
    return "\n".join([text, *again])


def main() -> int:
    """Work off rounds until there are enough runs; 1 if anything was wrong."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=200)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--round", type=int, help="only this round, to see a failure again")
    options.add_argument("--minutes", type=float, default=1e9, help="begin no further round after that")
    options.add_argument("--out", type=Path, default=Path("out/soak.jsonl"))
    given = options.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.touch()
    until = time.monotonic() + 60 * given.minutes
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    soak = Soak(given.seed, folder, given.out)
    whole = Counter((line["seed"], line["round"]) for line in lines_of(given.out))
    done = {key for key, count in whole.items() if count == RUNS_EACH}
    kept = [line for line in lines_of(given.out) if (line["seed"], line["round"]) in done]  # not half a round
    given.out.write_text("".join(json.dumps(line) + "\n" for line in kept))
    rounds = [given.round] if given.round is not None else range(-(-given.runs // RUNS_EACH))
    for number in rounds:
        if time.monotonic() < until and (given.round is not None or (given.seed, number) not in done):
            soak.round(number)
    lines = [line for line in lines_of(given.out) if line["seed"] == given.seed]
    print(table(lines))
    if any(line["wrong"] for line in lines):
        print(f"what is left of it: {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def lines_of(out: Path) -> list[dict[str, Any]]:
    """Every run so far."""
    return [json.loads(text) for text in out.read_text().splitlines()]


if __name__ == "__main__":
    sys.exit(main())
