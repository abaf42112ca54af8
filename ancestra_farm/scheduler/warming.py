"""Which models will be needed soon, so that their hosts have loaded when the work begins.

A node takes minutes to come and a large model another one to load. So hosts are asked for that much ahead of work that
is known to begin: of a batch that is to begin at a time, or to go on at one, as many as its work keeps busy. And where
what is under way will be done in less than that, one host of each model that what follows it needs and that has no host
and no work yet: of the next stages, and of shots that come ``after`` these. More come with the work: how much there
will be, only the survivors say. What waits for people to pick is not foreseen, nor what follows a stage that is
paused or waits behind a higher class.

Waves are released late, so that what is released says little of how long a stage takes: what is still to be tried
counts too. Where a stage stops at enough survivors, that is what they take at the yield so far.
"""

from collections.abc import Iterator
from math import ceil, inf
from typing import TypeGuard

from ancestra_farm.scheduler.after import awaited_stages, followers
from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.lines import kind_of
from ancestra_farm.scheduler.pauses import goes_on_at
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.state import BatchState, Branch, StageRef, StageState
from ancestra_farm.scheduler.waves import first_rung, next_size, survivors_wanted

#: Seconds that a node is thought to take to come: clouds take one to three minutes to boot one with a GPU.
NODE_S = 120.0
#: Where nodes do not come and go: until a host is asked for, and its process is there.
MACHINES_S = 10.0


def beginning_soon(fleet: Fleet, now: float) -> dict[StageRef, StageState]:
    """Stages that are put off until so soon that hosts for them have to be asked for now.

    What was so stays so until its time comes, or another is said: the first load may show that later would have done.
    """
    found: dict[StageRef, StageState] = {}
    foreseen: dict[StageRef, float] = {}
    for ref, stage in fleet.put_off.items():
        at = goes_on_at(stage.batch, stage.shot)
        if at is None or stage.batch.broke:
            continue
        if fleet.foreseen.get(ref) == at or at - now <= _lead_s(fleet, fleet.pools[stage.plan.model_digest]):
            found[ref], foreseen[ref] = stage, at
    fleet.foreseen = foreseen
    return found


def needed_soon(fleet: Fleet) -> dict[str, int]:
    """Models that have nothing to do yet and soon will, with the rank of the class that they will be needed for."""
    found: dict[str, int] = {}
    for batch in fleet.batches_at_work():
        for stage, sources in _next_stages(batch):
            pool, rank = fleet.pools[stage.plan.model_digest], stage.batch.rank
            if pool.busy or stage.held or found.get(pool.digest, inf) <= rank:
                continue
            if all(_goes_on(source, fleet) and _left_s(fleet, source) <= _lead_s(fleet, pool) for source in sources):
                found[pool.digest] = rank
    return found


def _lead_s(fleet: Fleet, pool: Pool) -> float:
    """How long before its work begins a host has to be asked for."""
    return pool.load_s + (NODE_S if fleet.grows else MACHINES_S)


def _next_stages(batch: BatchState) -> Iterator[tuple[StageState, Iterator[StageState | None]]]:
    """Stages that wait for others of a batch, each with all it waits for: within its shot, or what this comes after."""
    for shot in batch.shots.values():
        for stage in shot.stages.values():
            if stage.plan.source is not None and not stage.branches:
                yield stage, iter((shot.stages[stage.plan.source],))
    asked: set[tuple[object, ...]] = set()
    for name, follower in followers(batch.batches, batch.name):
        other = batch.batches[name]
        shot = other.shots[follower]
        for stage in shot.stages.values():
            if stage.plan.source is None and not stage.generation and not stage.held:
                # Shots of one batch that come after the same are asked for once: each has all of that to look through.
                question = (name, stage.plan.model_digest, shot.plan.after, follower if other is batch else "")
                if question not in asked:
                    asked.add(question)
                    yield stage, awaited_stages(other, shot)


def _goes_on(stage: StageState | None, fleet: Fleet) -> TypeGuard[StageState]:
    """Whether a stage is under way and ends by itself.

    Not one that is paused, nor one that waits while its pool serves a higher class: nobody knows for how long.
    """
    if stage is None or not stage.branches or stage.closed is not None or stage.held:
        return False
    return stage.plan.spec.select != "close" and fleet.pools[stage.plan.model_digest].rank >= stage.batch.rank


def _left_s(fleet: Fleet, stage: StageState) -> float:
    """About how long its pool still takes for a stage, if it does nothing else; inf where it has no host."""
    pool = fleet.pools[stage.plan.model_digest]
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
