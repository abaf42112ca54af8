"""What scaling costs and how long it takes: the scheduler with nodes that come and go, in virtual time.

Run: ``python -m benchmarks.scaling``. A batch arrives at a farm with no nodes at all; a node takes two minutes to boot
and a model 60 seconds to load, as images of ours on a cloud and a model of 14 billion parameters on local NVMe do. For
each target wait: nodes, time to the first candidate and to the last, hosts' idle seconds per hour, and what is paid for
beyond the seconds in which candidates were made. Last, how long after its start the first candidate is there of a batch
that was submitted to begin half an hour later.
"""

import sys

from ancestra_farm.plan.events import AttemptEnded
from tests.scheduler.elastic import ElasticWorld, farm_of, node_type
from tests.scheduler.world import batch_of

SECONDS_EACH = 10.0
BOOT_S, LOAD_S, EMPTY_S = 120.0, 60.0, 120.0
AHEAD_S = 1800.0
STAGE = "{role: text_to_image, model: test/stills, candidates: %d, wave: %d}"


def rehearse(candidates: int, target_wait_s: float, idle_s: float) -> tuple[str, ...]:
    """One batch on an empty farm of at most 64 GPUs; a row of the table."""
    world, first_s, last_s = run(candidates, target_wait_s, idle_s, 0.0)
    while world.nodes or world.booting:
        world.go_on(30)
    billed_s = sum(node_s for node_s, _ in world.billed().values())
    busy_s = sum(world.busy_s.values())
    loading_s = LOAD_S * world.made
    idle_s_per_hour = 3600 * (billed_s - busy_s - loading_s) / billed_s
    _, known_s, _ = run(candidates, target_wait_s, idle_s, AHEAD_S)
    return (
        f"{candidates * SECONDS_EACH / 3600:.1f} h", f"{target_wait_s:g} s", f"{idle_s:g} s", str(world.seen["gpu"]),
        f"{first_s:.0f} s", f"{last_s / 60:.0f} min", f"{idle_s_per_hour:.0f} s", f"{billed_s / busy_s:.2f}",
        f"{known_s:.0f} s",
    )  # fmt: skip


def run(candidates: int, target_wait_s: float, idle_s: float, ahead_s: float) -> tuple[ElasticWorld, float, float]:
    """A batch that begins so long after it is submitted: the world at its end, its first and its last candidate."""
    farm = farm_of(
        scaling={"target_wait_s": target_wait_s, "idle_s": idle_s},
        gpu=node_type(max_nodes=64, price_per_hour=3.6, market="spot"),
    )
    world = ElasticWorld(
        farm=farm, boot_s=BOOT_S, empty_s=EMPTY_S, load_s=LOAD_S, seconds={"test/stills": SECONDS_EACH}, check=False
    )
    began = world.now + ahead_s
    batch = batch_of(f"{{still: {STAGE % (candidates, candidates)}}}", shots=1)
    card = {"gpus": 1, "vram_gib": 16.0, "seconds_per_candidate": SECONDS_EACH}
    world.submit(batch, start_at=began if ahead_s else None, **card)
    if world.run_for(100_000) is None:
        raise SystemExit("the batch did not end within a day")
    ends = [event.at - began for event in world.log if isinstance(event, AttemptEnded)]
    return world, min(ends), max(ends)


HEAD = (
    "work",
    "target wait",
    "idle limit",
    "nodes",
    "first",
    "last",
    "idle per GPU-hour",
    "paid ÷ used",
    "first, known ahead",
)


def main() -> None:
    """Print the table."""
    rows = [
        rehearse(candidates, target, idle)
        for candidates in (360, 3600)
        for target, idle in ((300.0, 300.0), (600.0, 300.0), (600.0, 900.0), (1800.0, 300.0))
    ]
    for row in (HEAD, ("---",) * len(HEAD), *rows):
        sys.stdout.write(f"| {' | '.join(row)} |\n")


if __name__ == "__main__":
    main()
