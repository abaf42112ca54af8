"""What a story came to: use of the slots, waiting, cost and waste, as plain values for a table, JSON and a picture."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ancestra_farm.batch.schema import PRIORITIES
from ancestra_farm.simulate.clock import BEGIN_S
from ancestra_farm.simulate.farm import VirtualFarm
from ancestra_farm.simulate.meters import STATES

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Slot-hours of one model's hosts, and what they did as parts of them; ``all`` has the empty slots too."""

    pool: str
    slot_hours: float
    busy: float
    loading: float
    starved: float
    idle: float
    empty: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds from the submission of a batch until ``what`` of each of its shots, over a class. p100: the longest."""

    priority: str
    what: str
    shots: int
    p50: float
    p90: float
    p99: float
    p100: float


@dataclass(frozen=True, slots=True)
class StageResult:
    """All shots' candidates of one stage, drafts apart."""

    stage: str
    released: int
    survivors: int
    drafts: int
    failed: int
    skipped: int
    device_hours: float


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of the picture: seconds from the start, and values at them."""

    name: str
    seconds: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """One story in numbers. ``ended``: False where it was broken off at the limit. Hours are device slots' hours.

    ``up_hours``: slots that were there, which is what is paid for; ``cost``: their price, None without one.
    ``wasted_hours`` by cause: generation that nothing came of (``skipped``: judged, and past a stop).
    """

    seed: int
    hosts: int
    batches: int
    shots: int
    ended: bool
    stuck: tuple[str, ...]
    waiting_for_people: int
    makespan_s: float
    released: int
    judged: int
    survivors: int
    delivered: int
    up_hours: float
    busy_hours: float
    cost: float | None
    cost_per_survivor: float | None
    currency: str
    use: tuple[PoolUse, ...]
    waits: tuple[Wait, ...]
    stages: tuple[StageResult, ...]
    wasted_hours: Mapping[str, float]
    tickets: int
    revoked: int
    retries: Mapping[str, int]
    given_up: Mapping[str, int]
    model_loads: int
    hosts_stopped: int
    hosts_killed: int
    node_losses: int
    restarts: int
    orders: Mapping[str, int]
    refused: int
    happenings: int
    wall_s: float
    slots_over_time: tuple[Curve, ...] = ()
    queue_over_time: tuple[Curve, ...] = ()
    survivors_over_time: tuple[Curve, ...] = ()
    first_survivors: tuple[Curve, ...] = ()

    @property
    def candidates_per_s(self) -> float:
        """Candidates judged in a second of wall-clock time."""
        return self.judged / self.wall_s if self.wall_s else 0.0


def report_of(farm: VirtualFarm, wall_s: float) -> Report:
    """The report of a story that is over."""
    scenario, tally, state = farm.scenario, farm.tally, farm.scheduler.state
    stages = tuple(_stages(farm))
    survivors = sum(stage.survivors for stage in stages)
    up_hours = farm.meters.up_s * farm.machines.kinds_used / 3600
    price = scenario.price_per_device_hour
    wasted_s = {**tally.wasted_s, "skipped": farm.book.skipped_s}
    costliest_first = sorted(wasted_s, key=lambda cause: -wasted_s[cause])
    wasted = {cause: wasted_s[cause] / 3600 for cause in costliest_first if wasted_s[cause]}
    cost = None if price is None else price * up_hours
    return Report(
        seed=scenario.seed,
        hosts=scenario.hosts,
        batches=len(state.batches),
        shots=sum(len(batch.shots) for batch in state.batches.values()),
        ended=farm.ended,
        stuck=farm.done.stuck if farm.done else (),
        waiting_for_people=len(farm.done.waiting_for_people) if farm.done else 0,
        makespan_s=(farm.ended_at if farm.ended else farm.clock.now) - BEGIN_S,
        released=tally.released,
        judged=tally.judged,
        survivors=survivors,
        delivered=len(tally.delivered),
        up_hours=up_hours,
        busy_hours=sum(pool.spent["busy"] for pool in farm.meters.pools.values()) / 3600,
        cost=cost,
        cost_per_survivor=cost / survivors if cost is not None and survivors else None,
        currency=scenario.currency,
        use=tuple(_use(farm)),
        waits=tuple(_waits(farm)),
        stages=stages,
        wasted_hours=wasted,
        tickets=tally.started,
        revoked=tally.revoked,
        retries=dict(tally.retries.most_common()),
        given_up=dict(tally.given_up),
        model_loads=tally.loads,
        hosts_stopped=tally.stopped,
        hosts_killed=tally.killed,
        node_losses=farm.weather.node_losses,
        restarts=tally.restarts,
        orders=dict(tally.orders),
        refused=tally.refused,
        happenings=tally.happenings,
        wall_s=wall_s,
        slots_over_time=tuple(_slots(farm)),
        queue_over_time=tuple(_queue(farm)),
        survivors_over_time=tuple(_survivors(farm)),
        first_survivors=tuple(_first_survivors(farm)),
    )


def _use(farm: VirtualFarm) -> Iterable[PoolUse]:
    meters = farm.meters
    for model, pool in meters.pools.items():
        yield _use_of(model, pool.spent)
    whole = {state: sum(pool.spent[state] for pool in meters.pools.values()) for state in STATES}
    up_s = meters.up_s * farm.machines.kinds_used
    whole["empty"] = max(0.0, up_s - sum(whole[state] for state in STATES if state != "empty"))
    yield _use_of("all", whole)


def _use_of(name: str, spent: Mapping[str, float]) -> PoolUse:
    total = sum(spent.values())
    parts = {state: spent[state] / total if total else 0.0 for state in STATES}
    return PoolUse(name, total / 3600, **parts)


def _waits(farm: VirtualFarm) -> Iterable[Wait]:
    tally = farm.tally
    for what, moments in (("first ticket", tally.first_start), ("first survivor", tally.first_survivor)):
        for priority in PRIORITIES:
            waits = sorted(
                moment - tally.submitted[batch]
                for (batch, _), moment in moments.items()
                if batch in tally.submitted and _class_of(farm, batch) == priority
            )
            if waits:
                yield Wait(priority, what, len(waits), *(percentile(waits, p) for p in (*PERCENTILES, 100)))


def _class_of(farm: VirtualFarm, batch: str) -> str:
    """The class a batch was submitted in."""
    found = farm.scheduler.state.batches.get(batch)
    return "" if found is None else found.plan.batch.priority


def percentile(values: list[float], p: int) -> float:
    """The smallest of the sorted values that ``p`` of a hundred do not exceed."""
    return values[max(0, -(-len(values) * p // 100) - 1)]


def _stages(farm: VirtualFarm) -> Iterable[StageResult]:
    sums: dict[str, Counter[str]] = {}
    hours: dict[str, float] = {}
    for batch in farm.scheduler.state.batches.values():
        for shot in batch.shots.values():
            for name, stage in shot.stages.items():
                counts = sums.setdefault(name, Counter())
                for field in ("released", "survivors", "drafts", "failed", "skipped"):
                    counts[field] += getattr(stage.counts, field)
                hours[name] = hours.get(name, 0.0) + stage.counts.device_s / 3600
    for name, counts in sums.items():
        yield StageResult(
            name,
            released=counts["released"],
            survivors=counts["survivors"],
            drafts=counts["drafts"],
            failed=counts["failed"],
            skipped=counts["skipped"],
            device_hours=hours[name],
        )


# ---- curves --------------------------------------------------------------------------------------------------------


def _slots(farm: VirtualFarm) -> Iterable[Curve]:
    meters = farm.meters
    bins = [one for one in meters.bins if one.seconds > 0]
    seconds = tuple(number * meters.width_s for number in range(len(bins)))
    for state in STATES:
        yield Curve(state, seconds, tuple(one.spent[state] / one.seconds for one in bins))


def _queue(farm: VirtualFarm) -> Iterable[Curve]:
    meters = farm.meters
    bins = [one for one in meters.bins if one.seconds > 0]
    seconds = tuple((number + 1) * meters.width_s for number in range(len(bins)))
    for priority in PRIORITIES:
        values = tuple(float(one.waiting.get(priority, 0)) for one in bins)
        if any(values):
            yield Curve(priority, seconds, values)


def _survivors(farm: VirtualFarm) -> Iterable[Curve]:
    """Survivors of each shot's first stages so far; of many shots by batch, and of many batches by class."""
    firsts = {
        stage.ref
        for batch in farm.scheduler.state.batches.values()
        for shot in batch.shots.values()
        for stage in shot.stages.values()
        if stage.plan.source is None
    }
    found = [entry for entry in farm.tally.survivors if (entry[1], entry[2], entry[3]) in firsts]
    for keys in ("shot", "batch", "class"):
        names = {"shot": lambda e: e[2], "batch": lambda e: e[1], "class": lambda e: _class_of(farm, e[1])}[keys]
        if keys == "shot" and len(farm.scheduler.state.batches) > 1:
            continue
        lines: dict[str, tuple[list[float], list[float]]] = {}
        for entry in found:
            seconds, values = lines.setdefault(names(entry), ([0.0], [0.0]))
            seconds.append(entry[0] - BEGIN_S)
            values.append(values[-1] + entry[4])
        if len(lines) <= 10 or keys == "class":
            for name, (seconds, values) in sorted(lines.items()):
                yield Curve(name, tuple(seconds), tuple(values))
            return


def _first_survivors(farm: VirtualFarm) -> Iterable[Curve]:
    """For each class: the part of its shots that has a survivor, by seconds since their submission."""
    tally = farm.tally
    for priority in PRIORITIES:
        of_class = [name for name in tally.submitted if _class_of(farm, name) == priority]
        shots = sum(len(farm.scheduler.state.batches[name].shots) for name in of_class)
        waits = sorted(
            moment - tally.submitted[batch] for (batch, _), moment in tally.first_survivor.items() if batch in of_class
        )
        if waits:
            yield Curve(priority, (0.0, *waits), (0.0, *((n + 1) / shots for n in range(len(waits)))))
