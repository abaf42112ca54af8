"""What scaling costs and how long it takes: the scheduler with nodes that come and go, in virtual time.

Run: ``python -m benchmarks.scaling``. A batch arrives at a farm with no nodes at all; a node takes two minutes to boot
and a model 60 seconds to load, as images of ours on a cloud and a model of 14 billion parameters on local NVMe do. For
each target wait: nodes, time to the first candidate and to the last, hosts' idle seconds per hour, and what is paid for
beyond the seconds in which candidates were made.
"""

import sys

from ancestra_farm.plan.events import AttemptEnded
from tests.scheduler.elastic import ElasticWorld, farm_of, node_type
from tests.scheduler.world import batch_of

SECONDS_EACH = 10.0
BOOT_S, LOAD_S, EMPTY_S = 120.0, 60.0, 120.0
STAGE = "{role: text_to_image, model: test/stills, candidates: %d, wave: %d}"


def rehearse(candidates: int, target_wait_s: float, idle_s: float) -> tuple[str, ...]:
    """One batch on an empty farm of at most 64 GPUs; a row of the table."""
    farm = farm_of(
        scaling={"target_wait_s": target_wait_s, "idle_s": idle_s},
        gpu=node_type(max_nodes=64, price_per_hour=3.6, market="spot"),
    )
    world = ElasticWorld(
        farm=farm, boot_s=BOOT_S, empty_s=EMPTY_S, load_s=LOAD_S, seconds={"test/stills": SECONDS_EACH}, check=False
    )
    began = world.now
    batch = batch_of(f"{{still: {STAGE % (candidates, candidates)}}}", shots=1)
    world.submit(batch, gpus=1, vram_gib=16.0, seconds_per_candidate=SECONDS_EACH)
    if world.run_for(100_000) is None:
        raise SystemExit("the batch did not end within a day")
    ends = [event.at for event in world.log if isinstance(event, AttemptEnded)]
    while world.nodes or world.booting:
        world.go_on(30)
    billed_s = sum(node_s for node_s, _ in world.billed().values())
    busy_s = sum(world.busy_s.values())
    loading_s = LOAD_S * world.made
    idle_s_per_hour = 3600 * (billed_s - busy_s - loading_s) / billed_s
    return (
        f"{candidates * SECONDS_EACH / 3600:.1f} h", f"{target_wait_s:g} s", f"{idle_s:g} s", str(world.seen["gpu"]),
        f"{min(ends) - began:.0f} s", f"{(max(ends) - began) / 60:.0f} min", f"{idle_s_per_hour:.0f} s",
        f"{billed_s / busy_s:.2f}",
    )  # fmt: skip


HEAD = ("work", "target wait", "idle limit", "nodes", "first", "last", "idle per GPU-hour", "paid ÷ used")


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
