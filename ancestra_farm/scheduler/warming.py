"""Which models will be needed soon: the next stages of what is under way, so that one host has loaded when they begin.

A node takes minutes to come and a large model another one to load. Where a stage will be done in less than that, and
the stage behind it needs a model that has no host and no work yet, one host of it is asked for. More come with the
work: how much there will be, only the survivors say. What waits for people to pick is not foreseen.

Waves are released late, so that what is released says little of how long a stage takes: what is still to be tried
counts too. Where a stage stops at enough survivors, that is what they take at the yield so far.
"""

from collections.abc import Iterator
from math import ceil, inf

from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.lines import kind_of
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.state import BatchState, Branch, StageState
from ancestra_farm.scheduler.waves import first_rung, next_size, survivors_wanted

#: Seconds that a node is thought to take to come: clouds take one to three minutes to boot one with a GPU.
NODE_S = 120.0


def needed_soon(fleet: Fleet) -> dict[str, int]:
    """Models that have nothing to do yet and soon will, with the rank of the class that they will be needed for."""
    found: dict[str, int] = {}
    for batch in fleet.batches_at_work():
        for model, source in _next_models(batch):
            pool = fleet.pools.get(model)
            if pool is None or pool.busy or found.get(model, inf) <= batch.rank:
                continue
            if _left_s(fleet.pools[source.plan.model_digest], source) <= pool.load_s + NODE_S:
                found[model] = batch.rank
    return found


def _next_models(batch: BatchState) -> Iterator[tuple[str, StageState]]:
    """(digest of the model of a stage that waits for another, the other), of a batch."""
    for shot in batch.shots.values():
        for stage in shot.stages.values():
            source = None if stage.plan.source is None else shot.stages[stage.plan.source]
            if source is not None and not stage.held and not stage.branches and _ends_by_itself(source):
                yield stage.plan.model_digest, source


def _ends_by_itself(stage: StageState) -> bool:
    return bool(stage.branches) and stage.closed is None and stage.plan.spec.select != "close"


def _left_s(pool: Pool, stage: StageState) -> float:
    """About how long a pool still takes for a stage, if it does nothing else; inf where it has no host."""
    hosts = sum(host.ready for host in pool.hosts.values())
    work_s = 0.0
    for branch in stage.branches.values():
        work_s += sum(
            len(phase.open) * pool.seconds_each(kind_of(branch, phase.rung)) for phase in branch.phases.values()
        )
        work_s += _to_come(branch) * pool.seconds_each(kind_of(branch, first_rung(branch)))
    return work_s / hosts if hosts else inf


def _to_come(branch: Branch) -> int:
    """About how many candidates a branch will still release."""
    left = max(0, branch.limit - branch.released) if next_size(branch) else 0
    wanted = survivors_wanted(branch)
    if wanted is None or not branch.earned:
        return left
    tries = ceil((wanted - branch.earned) * branch.tried / branch.earned)
    return max(0, min(left, tries - (branch.released - branch.tried)))
