"""What must be true of a scheduler after every event. Checked in tests and in simulation, never on the farm's time."""

from collections.abc import Iterator, Set

from ancestra_farm.scheduler.dispatch import Dispatcher
from ancestra_farm.scheduler.state import BatchState, Branch, FarmState, Phase, StageState


def broken_invariants(state: FarmState, dispatcher: Dispatcher) -> Iterator[str]:
    """A sentence for everything that is not as it must be."""
    leased: dict[int, dict[int, str]] = {}
    for host, lease in dispatcher.fleet.leases():
        mine = leased.setdefault(id(lease.lot.phase), {})
        for position in lease.ticket.positions:
            if position in mine:
                yield f"{lease.ticket.branch}[{position}] is leased to both {mine[position]} and {host.name}"
            mine[position] = host.name
        if len(host.leases) > 2:
            yield f"{host.name} holds {len(host.leases)} tickets"
    yield from _fleet(dispatcher)
    for batch in state.batches.values():
        for branch in batch.branches.values():
            yield from _branch(branch)
            for phase in branch.phases.values():
                yield from _phase(branch, phase, leased.get(id(phase), {}).keys())
        for shot in batch.shots.values():
            for stage in shot.stages.values():
                yield from _stage(stage)
            versions = [stitch.planned.version for stitch in shot.stitches.values()]
            if len(set(versions)) != len(versions):
                yield f"{shot.plan.name} has given a version twice: {versions}"
        yield from _budget(batch)


def _fleet(dispatcher: Dispatcher) -> Iterator[str]:
    fleet = dispatcher.fleet
    for on_gpu, slots in ((False, fleet.cpu_slots), (True, fleet.gpu_slots)):
        held = sum(host.pool.slots_each for host in fleet.hosts.values() if host.pool.on_gpu == on_gpu)
        if fleet.known and held > slots:
            yield f"hosts hold {held} {'GPU' if on_gpu else 'CPU'} slots of {slots}"
    for pool in fleet.pools.values():
        waiting = sum(len(lot.phase.queue) for lot in pool.line)
        running = sum(len(lease.ticket.positions) for host in pool.hosts.values() for lease in host.leases)
        if (waiting, running) != (pool.queued, sum(pool.running.values())):
            yield f"{pool.model} counts {pool.queued} waiting and {pool.running} running of {waiting} and {running}"
        if [lot.order for lot in pool.line] != sorted(lot.order for lot in pool.line):
            yield f"{pool.model}: lots are out of line"
        if set(pool.room) != {host.name for host in pool.hosts.values() if host.has_room}:
            yield f"{pool.model}: {sorted(pool.room)} are not the hosts with room"


def _phase(branch: Branch, phase: Phase, leased: Set[int]) -> Iterator[str]:
    queued = set(phase.queue)
    if len(queued) != len(phase.queue) or phase.queue != sorted(phase.queue):
        yield f"{branch.key}: the queue is not in index order without repeats"
    if not queued <= phase.open:
        yield f"{branch.key}: ended candidates wait in the queue"
    if queued & leased:
        yield f"{branch.key}: {sorted(queued & leased)[:3]} are both leased and queued"
    if lost := phase.open - queued - leased:
        yield f"{branch.key}: {sorted(lost)[:3]} are neither queued nor leased nor ended"
    for position in phase.open:
        result = branch.results[phase.rung].get(position)
        if result is not None and result.ended:
            yield f"{branch.key}[{position}] has ended as {result.outcome} and is open"


def _branch(branch: Branch) -> Iterator[str]:
    if branch.released > branch.limit:
        yield f"{branch.key}: {branch.released} released of at most {branch.limit}"
    if branch.closed is not None and branch.phases:
        yield f"{branch.key} is closed with open waves"
    full = branch.results["full"]
    if [p for p in branch.survivors if full[p].outcome != "survivor" or full[p].media is None]:
        yield f"{branch.key}: a survivor is not one, or has no medium"
    bits = branch.stage.distinct_bits
    hashes = [full[p].phash for p in branch.survivors if p not in branch.by_word]
    if bits >= 0 and any(
        a is not None and b is not None and (a ^ b).bit_count() <= bits
        for i, a in enumerate(hashes)
        for b in hashes[:i]
    ):
        yield f"{branch.key}: two survivors are near-duplicates"


def _stage(stage: StageState) -> Iterator[str]:
    if stage.closed is None:
        return
    if not stage.reopened and any(branch.closed is None for branch in stage.branches.values()):
        yield f"{stage.ref} is closed with open branches"
    length = len(stage.plan.segments)
    if any(len(chain) != length for chain in stage.closed.chains + stage.closed.selected):
        yield f"{stage.ref}: a chain is not {length} segments long"


def _budget(batch: BatchState) -> Iterator[str]:
    budget = batch.plan.batch.budget.candidates
    if budget is None:
        return
    stages = [stage for shot in batch.shots.values() for stage in shot.stages.values()]
    released = sum(stage.counts.released + stage.counts.drafts for stage in stages if _as_budgeted(stage))
    if released > budget:
        yield f"{batch.name}: {released} candidates released of a budget of {budget}"


def _as_budgeted(stage: StageState) -> bool:
    """Neither made anew for later picks nor enlarged by order."""
    return stage.generation == 1 and not stage.extra and not stage.restored
