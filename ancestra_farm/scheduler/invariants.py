"""What must be true of a scheduler after every event. Checked in tests and in simulation, never on the farm's time."""

from collections import Counter
from collections.abc import Iterator, Sequence, Set

from ancestra_farm.scheduler.bays import ROUNDING
from ancestra_farm.scheduler.dispatch import Dispatcher
from ancestra_farm.scheduler.duplicates import HashIndex
from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.hosts import Host, Lease
from ancestra_farm.scheduler.lines import Line
from ancestra_farm.scheduler.phases import Phase
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.state import BatchState, Branch, FarmState, StageState

#: Survivors of a branch that are compared each with each; of more, a film of thousands would take minutes.
ALL_PAIRS = 64


def broken_invariants(state: FarmState, dispatcher: Dispatcher, *, fleet_only: bool = False) -> Iterator[str]:
    """A sentence for everything that is not as it must be. ``fleet_only``: of hosts and tickets, which costs less."""
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
    if fleet_only:
        return
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
    yield from _bays(fleet)
    yield from _purse(fleet)
    if set(fleet.starting) != {host.name for host in fleet.hosts.values() if not host.ready}:
        yield "the hosts that come up are not those counted so"
    for pool in fleet.pools.values():
        if pool.leaving != sum(host.stopping for host in pool.hosts.values()):
            yield f"{pool.model} counts {pool.leaving} hosts as leaving"
        for held, room in enumerate(pool.room):
            names = [host.name for host in room.hosts()]
            with_room = {host.name for host in pool.hosts.values() if host.has_room and len(host.leases) == held}
            if set(names) != with_room or len(names) != room.size:
                yield f"{pool.model}: {sorted(names)} are not the hosts with {held} tickets and room"
        for name, line in pool.lines.items():
            yield from _line(pool, name, line)
        yield from _urgency(fleet, pool)
    for batch in {name for pool in fleet.pools.values() for name in pool.lines}:
        yield from _cap(fleet, batch)


def _purse(fleet: Fleet) -> Iterator[str]:
    """What tickets that are out will cost is counted for the shows that pay for them, and the batches they are of."""
    money: dict[str, list[float]] = {}
    hours: dict[str, list[float]] = {}
    for _, lease in fleet.leases():
        money.setdefault(lease.show, []).append(lease.cost)
        hours.setdefault(lease.ticket.batch, []).append(lease.expected_s)
    for tabs, out in ((fleet.purse.tabs, money), (fleet.purse.hours, hours)):
        counted = {name: tab.tickets for name, tab in tabs.items()}
        if counted != {name: len(costs) for name, costs in out.items()}:
            yield f"tickets are counted as out for {counted}, {out} are"
        for name, costs in out.items():
            if name in tabs and abs(tabs[name].cost - sum(costs)) > ROUNDING * max(1.0, sum(costs)):
                yield f"{tabs[name].cost} are counted as bound for {name}, {sum(costs)} are"


def _bays(fleet: Fleet) -> Iterator[str]:
    for bay in fleet.bays.values():
        there = [host for host in fleet.hosts.values() if host.bay == bay.name and not host.departing]
        held = sum(host.slots for host in there)
        staying = sum(host.slots for host in there if not host.stopping)
        if fleet.known and staying > bay.all + ROUNDING:
            yield f"hosts hold {staying} slots of {bay.name}, which has {bay.all}"
        if abs(held - bay.used) > ROUNDING:
            yield f"{bay.used} slots of {bay.name} are counted as held, {held} are"
        if bay.make is not None and bay.all > max(bay.most, bay.slots):
            yield f"{bay.name} is to have {bay.all} slots, and may have {bay.most}"
    for pool in fleet.pools.values():
        standing = Counter(host.bay for host in pool.hosts.values() if not host.stopping)
        if pool.standing != standing:
            yield f"{pool.model}: {pool.standing} hosts are counted as staying, {standing} are"


def _line(pool: Pool, name: str, line: Line) -> Iterator[str]:
    """What is kept in step must be what is counted."""
    what = f"{pool.model}, {name}"
    leases = [(h, lease) for h in pool.hosts.values() for lease in h.leases if lease.lot.line is line]
    waiting, running = Counter[str](), Counter[str]()
    for lot in line.lots:
        waiting[lot.kind] += len(lot.phase.queue)
    for _, lease in leases:
        running[lease.lot.kind] += len(lease.ticket.positions)
    if (waiting, running) != (line.waiting, line.running):
        yield f"{what}: {line.waiting} and {line.running} are counted, {waiting} wait and {running} run"
    if (line.queued, line.going) != (waiting.total(), running.total()):
        yield f"{what}: sums are {line.queued} and {line.going}"
    if line.busy != line.account.active:
        yield f"{what}: its account is {'' if line.account.active else 'not '}active"
    yield from _membership(pool, name, line)
    yield from _tickets(what, line, leases)


def _membership(pool: Pool, name: str, line: Line) -> Iterator[str]:
    what = f"{pool.model}, {name}"
    if [lot.place for lot in line.lots] != sorted(lot.place for lot in line.lots):
        yield f"{what}: lots are out of line"
    if any(not lot.phase.queue or lot.branch.stage.held for lot in line.lots):
        yield f"{what}: a lot stands in line that is empty or paused"
    if bool(line.lots) != (pool.waiting.get(name) is line) or bool(line.ready) != (pool.hungry.get(name) is line):
        yield f"{what}: it is not among the lines that it is one of"


def _tickets(what: str, line: Line, leases: list[tuple[Host, Lease]]) -> Iterator[str]:
    unstarted = {lease.ticket.ticket for _, lease in leases if lease.started_at is None and not lease.revoked}
    if set(line.unstarted) != unstarted:
        yield f"{what}: unstarted are {sorted(unstarted)}, not {sorted(line.unstarted)}"
    behind = {lease.ticket.ticket for host, lease in leases if host.leases[0] is not lease} & unstarted
    if set(line.behind) != behind:
        yield f"{what}: behind others wait {sorted(behind)}, not {sorted(line.behind)}"
    if line.coming != sum(lease.coming for _, lease in leases):
        yield f"{what}: {line.coming} tickets are counted as on their way back"
    if line.holders != Counter(host.name for host, _ in leases):
        yield f"{what}: its holders are not {line.holders}"
    if set(line.mine) != {host.name for host, _ in leases if host.has_room}:
        yield f"{what}: its holders with room are not {sorted(line.mine)}"


def _urgency(fleet: Fleet, pool: Pool) -> Iterator[str]:
    """Nothing of a lower class may be about to start where a higher one waits that could run there."""
    for line in pool.waiting.values():
        if fleet.kept_out(line, pool):
            continue
        lower = [other for other in pool.lines.values() if other.rank > line.rank and other.behind]
        if lower:
            yield f"{pool.model}: {lower[0].batch.name} could start before {line.batch.name} of a higher class"
    for host in pool.hosts.values():
        for lease in host.leases:
            if lease.started_at is None and not lease.revoked and lease.lot.branch.stage.held:
                yield f"{host.name} could start a ticket of {lease.ticket.branch}, which is paused"


def _cap(fleet: Fleet, batch: str) -> Iterator[str]:
    state = next(pool.lines[batch].batch for pool in fleet.pools.values() if batch in pool.lines)
    cap = state.plan.batch.max_slots
    if cap is not None and fleet.held_by(batch) > cap:
        yield f"{batch} holds {fleet.held_by(batch)} slots of at most {cap}"


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
    hashes = [h for p in branch.survivors if p not in branch.by_word and (h := full[p].phash) is not None]
    if bits >= 0 and _two_alike(hashes, bits):
        yield f"{branch.key}: two survivors are near-duplicates"


def _two_alike(hashes: Sequence[int], bits: int) -> bool:
    """Whether two are within ``bits``: of many, only those are compared that share a slice."""
    if len(hashes) <= ALL_PAIRS:
        return any((a ^ b).bit_count() <= bits for i, a in enumerate(hashes) for b in hashes[:i])
    index = HashIndex(bits)
    for phash in hashes:
        if index.nearest(phash) is not None:
            return True
        index.add(phash, "it")
    return False


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
