"""How many nodes there should be, and which hosts are not worth their node any more.

Nodes are not ordered from here. Hosts are asked for on slots that do not exist yet, and that is the demand which Ray's
autoscaler answers with nodes; it takes a node back once no host is on it. So what is planned is how many slots hosts
may be asked for on: in proportion to the device-seconds that wait, so that none should wait longer than the farm's
`target_wait_s`, within the caps of the node types and what batches and shows may still spend. Slots that are there are
used in any case; who gets them is decided in `slots`.

A host goes when it has had nothing to do for `idle_s`, or for as long as its model takes to load if that is longer: to
wait for as long as coming back would cost is never more than twice as dear as knowing the future (R. Karp, "On-line
Algorithms Versus Off-line Algorithms: How Much Is It Worth to Know the Future?", 1992). Where a trickle of work would
keep many hosts from ever being idle for that long, those beyond what the work asks for go. The hosts of a node go
together: as long as one is on it, all of it is paid for. Nodes that do not come are the business of `supply`.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf

from ancestra_farm.scheduler.bays import ROUNDING, Bay, whole
from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.hosts import Host
from ancestra_farm.scheduler.lines import Line, kind_of
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.prices import price_of
from ancestra_farm.scheduler.share import RANKS
from ancestra_farm.scheduler.state import BatchState, Branch, StageRef
from ancestra_farm.scheduler.supply import offers
from ancestra_farm.scheduler.warming import beginning_soon, needed_soon
from ancestra_farm.scheduler.waves import first_rung, goes_on, next_size, survivors_wanted

Work = tuple[float, int]
"""Device-seconds, and how many candidates of them there can be at once."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What one model's work of one class asks for. ``sizes``: slots of a host, by bay, the first to be filled first."""

    pool: str
    rank: int
    hosts: int
    sizes: Mapping[str, float]


def plan(fleet: Fleet, pools: Iterable[Pool], now: float) -> None:
    """Say how many slots there are to be in each bay, for the work of these pools: those that could come up at all."""
    wishes = foresee(fleet, pools, now)
    nodes = nodes_for(wishes, fleet.bays, now)
    for bay in fleet.bays.values():
        if bay.make is not None:
            bay.planned = nodes.get(bay.make.name, 0) * bay.each
    for pool in fleet.pools.values():
        own = [wish for wish in wishes if wish.pool == pool.digest]
        pool.needed = sum(wish.hosts for wish in own)
        pool.urgent = sum(wish.hosts for wish in own if wish.rank == 0)
        if pool.staying <= pool.needed:
            pool.ample_since = inf
        elif pool.ample_since == inf:
            pool.ample_since = now


def foresee(fleet: Fleet, pools: Iterable[Pool], now: float) -> list[Wish]:
    """What the work of these pools asks for, with what is not there yet: for that, note which hosts are to be warm."""
    soon, beginning = needed_soon(fleet), beginning_soon(fleet, now)
    first: dict[str, tuple[int, float]] = {}
    for ref, stage in beginning.items():
        digest, begins = stage.plan.model_digest, (stage.batch.rank, fleet.foreseen[ref])
        first[digest] = min(begins, first.get(digest, begins))
    batches = {stage.batch.name: stage.batch for stage in beginning.values()}
    if fleet.grows:  # else nobody is asked for nodes, and all that is still to come need not be counted
        batches.update((batch.name, batch) for batch in fleet.batches_at_work())
    ahead = {name: ahead_of(fleet, batch, beginning) for name, batch in batches.items()}
    wishes: list[Wish] = []
    for pool in pools:
        own = wishes_of(fleet, pool, ahead)
        pool.warm, pool.warm_rank, pool.warm_by = 0, len(RANKS), inf
        if own and pool.digest in first:
            pool.warm = sum(wish.hosts for wish in own)
            pool.warm_rank, pool.warm_by = first[pool.digest]
        elif not own and pool.digest in soon:
            pool.warm, pool.warm_rank = 1, soon[pool.digest]
            own = [Wish(pool.digest, pool.warm_rank, 1, pool.sizes)]
        wishes += own
    return wishes


def wishes_of(fleet: Fleet, pool: Pool, ahead: Mapping[str, Mapping[str, Work]]) -> list[Wish]:
    """How many hosts a pool's work asks for, by class: one at least where there is any.

    What a show may still spend, and the slots it may hold, are shared out once, to its highest class first.
    """
    target_s, bound = fleet.farm.scaling.target_wait_s, pool.bound
    work_s: dict[int, float] = {}
    left: dict[str, tuple[float, float]] = {}
    for line in sorted(pool.lines.values(), key=lambda line: line.batch.rank):
        batch = line.batch
        seconds, candidates = work_of(pool, line, ahead.get(batch.name, {}).get(pool.digest, (0.0, 0)))
        paid_s, of_show = left[batch.show] if batch.show in left else _left_of_show(fleet, pool, batch)
        cap = inf if line.cap is None else whole(line.cap / pool.slots_each)
        paid = min(seconds, paid_s)
        asked = min(paid, min(candidates, cap, of_show) * target_s)
        if asked > 0:
            left[batch.show] = paid_s - paid, of_show - _hosts_for(asked, target_s)
            work_s[batch.rank] = work_s.get(batch.rank, 0.0) + asked
    wishes = []
    for rank, seconds in work_s.items():
        hosts = _hosts_for(seconds, target_s)
        if bound is not None:
            hosts = min(hosts, bound)
            bound -= hosts
        if hosts:
            wishes.append(Wish(pool.digest, rank, hosts, pool.sizes))
    return wishes


def _hosts_for(seconds: float, target_s: float) -> int:
    return max(1, ceil(seconds / target_s - ROUNDING))


def _left_of_show(fleet: Fleet, pool: Pool, batch: BatchState) -> tuple[float, float]:
    """Device-seconds of a model that a show's money still pays for, and how many of its hosts the show may hold."""
    money, price = batch.settings.money_left(batch.show), price_of(pool.card, fleet.farm)
    paid_s = inf if money is None or price is None or price.per_hour <= 0 else money / price.per_hour * 3600
    return paid_s, inf if batch.show_cap is None else whole(batch.show_cap / pool.slots_each)


def ahead_of(fleet: Fleet, batch: BatchState, beginning: Container[StageRef] = ()) -> dict[str, Work]:
    """What the open stages of a batch will still release, by the digest of its model.

    The seconds are of all of it where a stage tries everything; where it stops at enough survivors only of the next
    wave, since nobody knows whether there is another. At once there is never more than that wave. Of stages that are
    put off only those count that are ``beginning``, with what was released of them and does not stand in line now.
    """
    found: dict[str, Work] = {}
    for branch in batch.branches.values():
        stage = branch.stage
        if branch.closed is not None or (stage.held and stage.ref not in beginning):
            continue
        pool = fleet.pools[stage.plan.model_digest]
        seconds, at_once = found.get(pool.digest, (0.0, 0))
        for phase in branch.phases.values() if stage.held else ():
            seconds += len(phase.queue) * pool.seconds_each(kind_of(branch, phase.rung))
            at_once += len(phase.queue)
        each_s = pool.seconds_each(kind_of(branch, first_rung(branch)))
        next_wave = next_size(branch) if goes_on(branch) else 0
        found[pool.digest] = (seconds + _unreleased(branch) * each_s, at_once + next_wave)
    return found


def work_of(pool: Pool, line: Line, ahead: Work) -> Work:
    """What a batch still has for a pool, released or ``ahead``, within its budget."""
    batch = line.batch
    seconds, candidates = pool.work_s(line) + ahead[0], line.queued + line.going + ahead[1]
    if batch.budget_s is not None:
        seconds = min(seconds, batch.budget_s - batch.device_s)
    return seconds, candidates


def _unreleased(branch: Branch) -> int:
    if survivors_wanted(branch) is None:
        return max(0, branch.limit - branch.released) if next_size(branch) else 0
    return next_size(branch) if goes_on(branch) else 0


def nodes_for(wishes: Sequence[Wish], bays: Mapping[str, Bay], now: float) -> dict[str, int]:
    """How many nodes of each make such hosts come to: class after class, each host in its first bay with room.

    What is urgent may take nodes of every type; the rest only those of the spot market, where a make has any and they
    come, and whatever is there already. Makes of which no node comes are left to the last.
    """
    taken = dict.fromkeys(bays, 0.0)
    for wish in sorted(wishes, key=lambda wish: wish.rank):
        left = wish.hosts
        for bay, limit in offers(wish.sizes, bays, wish.rank, now):
            each = wish.sizes[bay.name]
            number = max(0, min(left, whole((limit - taken[bay.name]) / each)))
            taken[bay.name] += number * each
            left -= number
    nodes: dict[str, int] = {}
    for name, slots in taken.items():
        bay = bays[name]
        if bay.make is not None:
            nodes[bay.make.name] = max(nodes.get(bay.make.name, 0), ceil(slots / bay.each - ROUNDING))
    return nodes


def where(fleet: Fleet, bay: Bay, pool: Pool, now: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """On which node types a host is to come up, and on which instead where one is there that has room.

    Spot first. Others for what is urgent, while no spot node comes, and while there are such nodes anyway. Nodes are
    brought for the first of the two only, as long as it takes. So what may have others brought wishes for all in one,
    and which of them comes first is said by the priority that they have in the manifest.
    """
    if bay.make is None:
        return (), ()
    spot, others = bay.spot, tuple(name for name in bay.types if name not in bay.spot)
    if not spot or not others:
        return bay.make.types, ()
    if pool.rank_ahead == 0 or now < bay.supply.scarce_until:
        return spot + others, ()
    there = any(node_type in others for _, node_type in fleet.told.nodes)
    return spot, others if there else ()


def idle_for_too_long(fleet: Fleet, now: float) -> Iterator[Host]:
    """Hosts that are to go: all those of a node, or none, since one that stays has the whole node paid for.

    Nodes whose hosts all have nothing to do go first, the dearest of them first, then those left for longest. Where
    pools have had more hosts than they need for long, nodes follow on which some are at work, if as many elsewhere have
    nothing to do: they end what they run. Nodes that stay anyway keep their hosts, and work its hosts.
    """
    beyond, ample = _beyond(fleet, now)
    if not any(beyond.values()):
        return
    types = {node: node_type for node, node_type in fleet.told.nodes if node not in fleet.told.closed}
    spare = _spare_nodes(fleet, types)
    for node, hosts in _emptied_first(fleet, types):
        node_type = types.get(node, "")
        counts = Counter(host.pool.digest for host in hosts)
        if spare.get(node_type, 1) < 1 or any(count > beyond[digest] for digest, count in counts.items()):
            continue
        if not all(_can_go(host, fleet, now, ample=host.pool.digest in ample) for host in hosts):
            continue
        for digest, count in counts.items():
            beyond[digest] -= count
        if node_type in spare:
            spare[node_type] -= 1
        yield from hosts


def _patience_s(fleet: Fleet, pool: Pool) -> float:
    return max(fleet.farm.scaling.idle_s, pool.load_s)


def _can_go(host: Host, fleet: Fleet, now: float, *, ample: bool) -> bool:
    if ample:  # what waits in a host would be asked for again on the slot it leaves
        return host.ready and len(host.leases) < 2
    return host.ready and host.idle and now - host.idle_since >= _patience_s(fleet, host.pool)


def _beyond(fleet: Fleet, now: float) -> tuple[dict[str, int], set[str]]:
    """How many hosts each pool could do without now, and which pools could for long.

    None while work waits for them, and never so many that fewer are left than are at work. What waits for its cap, or
    for its show's money, waits for no host.
    """
    at_work = Counter(host.pool.digest for host in fleet.hosts.values() if not (host.idle or host.stopping))
    beyond = {
        pool.digest: 0 if _waited_for(fleet, pool) else max(0, pool.staying - max(pool.needed, at_work[pool.digest]))
        for pool in fleet.pools.values()
    }
    ample = {pool.digest for pool in fleet.pools.values() if now - pool.ample_since >= _patience_s(fleet, pool)}
    return beyond, ample


def _waited_for(fleet: Fleet, pool: Pool) -> bool:
    return any(not fleet.kept_out(line, pool) for line in pool.waiting.values())


def _spare_nodes(fleet: Fleet, types: Mapping[str, str]) -> dict[str, int]:
    """How many nodes of each type are still to become empty, until only those are left that stay without work."""
    in_use = {host.node for host in fleet.hosts.values() if not host.stopping}
    there, empty = Counter(types.values()), Counter(types[node] for node in types.keys() - in_use)
    return {name: there[name] - empty[name] - kind.min_nodes for name, kind in fleet.farm.node_types.items()}


def _emptied_first(fleet: Fleet, types: Mapping[str, str]) -> list[tuple[str, list[Host]]]:
    """The nodes with hosts that stay, and these hosts, in the order in which nodes are to become empty."""
    nodes: dict[str, list[Host]] = {}
    for host in fleet.hosts.values():
        if not host.stopping:
            nodes.setdefault(host.node or f"none yet: {host.name}", []).append(host)

    def last(node: str) -> tuple[bool, float, float]:
        kind = fleet.farm.node_types.get(types.get(node, ""))
        price = 0.0 if kind is None else kind.price_per_hour
        return any(not host.idle for host in nodes[node]), -price, max(host.idle_since for host in nodes[node])

    return [(node, nodes[node]) for node in sorted(nodes, key=last)]
