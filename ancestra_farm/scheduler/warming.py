"""Which models will be needed soon: the next stages of what is under way, so that one host has loaded when they begin.

A node takes minutes to come and a large model another one to load. Where a stage will be done in less than that, and
the stage behind it needs a model that has no host and no work yet, one host of it is asked for. More come with the
work: how much there will be, only the survivors say. What waits for people to pick is not foreseen.
"""

from collections.abc import Iterator

from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.state import BatchState, StageState

#: Seconds that a node is thought to take to come: clouds take one to three minutes to boot one with a GPU.
NODE_S = 120.0


def needed_soon(fleet: Fleet) -> dict[str, int]:
    """Models that have nothing to do yet and soon will, with the rank of the class that they will be needed for."""
    batches = {line.batch.name: line.batch for pool in fleet.pools.values() for line in pool.lines.values()}
    found: dict[str, int] = {}
    for batch in batches.values():
        left_s: dict[str, float] = {}
        for model, source in _next_models(batch):
            pool = fleet.pools.get(model)
            if pool is None or pool.busy:
                continue
            if source not in left_s:
                left_s[source] = _left_s(fleet.pools[source], batch)
            if left_s[source] <= pool.load_s + NODE_S:
                found[model] = min(found.get(model, batch.rank), batch.rank)
    return found


def _next_models(batch: BatchState) -> Iterator[tuple[str, str]]:
    """(digest of the model of a stage that waits for another, digest of the model that makes the other), of a batch."""
    for shot in batch.shots.values():
        for stage in shot.stages.values():
            source = None if stage.plan.source is None else shot.stages[stage.plan.source]
            if source is not None and not stage.held and not stage.branches and _ends_by_itself(source):
                yield stage.plan.model_digest, source.plan.model_digest


def _ends_by_itself(stage: StageState) -> bool:
    return bool(stage.branches) and stage.closed is None and stage.plan.spec.select != "close"


def _left_s(pool: Pool, batch: BatchState) -> float:
    """About how long a pool still takes for what is released of a batch."""
    line = pool.lines.get(batch.name)
    hosts = sum(host.ready for host in pool.hosts.values())
    return float("inf") if line is None or not hosts or not line.busy else pool.work_s(line) / hosts
