"""One local Ray and runs on it that go on until they are done, whoever dies: ``python -m tests.farm.persisting '{…}'``.

Takes options of `ray_cluster` as JSON, then a job on each line of its input: ``{"batch": …, "store": …}`` and whatever
else `run_batch` takes. A controller that dies is followed by the next, on the same Ray. Says ``{"ready": true}`` when
Ray is there, then for each job its summary as JSON, with how often it had to begin anew.
"""

import dataclasses
import json
import sys
from typing import Any

import ray._private.worker

from ancestra_farm.farm.cluster import ray_cluster
from ancestra_farm.farm.run import AlreadyAtWork, RunBroke, Summary, run_batch
from ancestra_farm.scheduler.tunables import Tunables
from tests.farm.processes import wait_for

#: A farm that has to begin anew so often does not get on.
TRIES = 20


def persist(batch: str | None, store: str, tunables: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    """Run and resume until it is done; its summary and ``again``: how often it broke."""
    for again in range(TRIES):
        try:
            summary = wait_for(lambda: attempt(batch, store, tunables, wanted))
        except RunBroke as broke:
            print(json.dumps({"broke": str(broke)}), flush=True)
            if ray._private.worker._global_node.dead_processes():
                raise SystemExit("a part of this Ray is gone") from broke
        else:
            return {**dataclasses.asdict(summary), "again": again}
    raise AssertionError(f"{store} was not done after {TRIES} tries")


def attempt(batch: str | None, store: str, tunables: dict[str, Any], wanted: dict[str, Any]) -> Summary | None:
    """One run; None while a dead controller is not quite gone. Submitted again, the same batch changes nothing."""
    try:
        return run_batch(batch, store, tunables=Tunables(**tunables), **wanted)
    except AlreadyAtWork:
        return None


def main(options: dict[str, Any]) -> None:
    with ray_cluster(**options):
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            job = json.loads(line)
            result = persist(job.pop("batch"), job.pop("store"), job.pop("tunables", {}), **job)
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
