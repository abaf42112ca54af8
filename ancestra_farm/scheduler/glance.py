"""What a wrangler looks at first: slots, queues by class, and how batches stand with shots, work to go and budgets.

Read from the state that the decisions rest on; nothing is decided here.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ancestra_farm.batch.farm_settings import FarmSettings, Market
from ancestra_farm.batch.schema import Priority
from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.progress import ShotProgress, ShotStatus, StageProgress
from ancestra_farm.scheduler.state import BatchState, FarmState

#: Shots that need nothing and nobody any more.
OVER = frozenset({"done", "cancelled"})
#: Kinds of slots, and whether they are of GPUs.
DEVICES = (("cpu", False), ("gpu", True))
#: Stages that spend nothing more unless somebody orders it.
_ENDED = frozenset({"done", "starved", "cancelled", "waiting_for_people"})


@dataclass(frozen=True, slots=True)
class BatchGlance:
    """One batch. ``shots``: how many stand where. ``budgets_left``: part of each budget that is left, 0 to 1.

    ``to_go_s``: device-seconds that it may still spend at most, as far as is known. Stages that are not begun count
    with what they may try for one input, so that this can grow while sources end with several.
    """

    batch: str
    show: str
    priority: Priority
    shots: Mapping[ShotStatus, int]
    to_go_s: float
    budgets_left: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Glance:
    """The farm. ``slots``: (there are, held by hosts) by device, ``cpu`` or ``gpu``; none while nobody is at work.

    ``queues``: candidates that wait to be handed out, by (model, class). ``batches``: those with something left to do.
    ``spent``: what each show has paid for its attempts so far, in ``currency``. ``nodes``: how many are up, by (node
    type, market), and ``nodes_least`` how many are kept even without work; only types that farm.yaml names.
    ``planned``: slots there are to be for the work that waits, by device; none where nodes do not come and go.
    """

    slots: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    queues: Mapping[tuple[str, Priority], int] = field(default_factory=dict)
    batches: tuple[BatchGlance, ...] = ()
    spent: Mapping[str, float] = field(default_factory=dict)
    currency: str = ""
    nodes: Mapping[tuple[str, Market], int] = field(default_factory=dict)
    nodes_least: Mapping[tuple[str, Market], int] = field(default_factory=dict)
    planned: Mapping[str, float] = field(default_factory=dict)


def glance_at(state: FarmState, fleet: Fleet, progress: Iterable[ShotProgress]) -> Glance:
    """How things stand. ``progress``: of every shot, as `progress_of` tells it."""
    shots: dict[str, list[ShotProgress]] = {}
    for shot in progress:
        shots.setdefault(shot.batch, []).append(shot)
    return Glance(
        slots={device: fleet.kind_of_slots(on_gpu=on_gpu) for device, on_gpu in DEVICES if fleet.known},
        queues=_queues(fleet),
        batches=tuple(
            _batch(state.batches[name], own)
            for name, own in shots.items()
            if any(shot.state not in OVER for shot in own)
        ),
        spent=dict(state.settings.spent),
        currency=state.settings.farm.currency,
        nodes=_nodes(fleet, state.settings.farm),
        nodes_least={(name, kind.market): kind.min_nodes for name, kind in state.settings.farm.node_types.items()},
        planned={
            device: sum(bay.planned for bay in fleet.bays.values() if bay.on_gpu == on_gpu)
            for device, on_gpu in DEVICES
            if fleet.grows and fleet.known
        },
    )


def _nodes(fleet: Fleet, farm: FarmSettings) -> dict[tuple[str, Market], int]:
    there_are = Counter(node_type for _, node_type in fleet.told.nodes)
    return {(name, kind.market): there_are[name] for name, kind in farm.node_types.items() if fleet.known}


def _queues(fleet: Fleet) -> dict[tuple[str, Priority], int]:
    waiting: Counter[tuple[str, Priority]] = Counter()
    for pool in fleet.pools.values():
        for line in pool.lines.values():  # those with nothing left, too: nought is an answer
            waiting[pool.model, line.batch.priority] += line.queued
    return dict(waiting)


def _batch(batch: BatchState, shots: list[ShotProgress]) -> BatchGlance:
    to_go_s = sum(_to_go_s(batch, shot, stage) for shot in shots if shot.state not in OVER for stage in shot.stages)
    if batch.budget_s is not None:
        to_go_s = min(to_go_s, max(0.0, batch.budget_s - batch.device_s))
    return BatchGlance(
        batch=batch.name,
        show=batch.plan.batch.show,
        priority=batch.priority,
        shots=Counter(shot.state for shot in shots),
        to_go_s=to_go_s,
        budgets_left=_budgets_left(batch, shots),
    )


def _to_go_s(batch: BatchState, shot: ShotProgress, stage: StageProgress) -> float:
    """Device-seconds that a stage may still spend. A position with a draft counts once, promoted or not."""
    if stage.state in _ENDED:
        return 0.0
    tried = max(stage.judged + stage.failed + stage.skipped, stage.drafts)
    card = batch.shots[shot.shot].stages[stage.stage].plan.card
    each_s = stage.device_s / tried if tried and stage.device_s else card.seconds_per_candidate
    return max(0, stage.wanted - tried) * each_s


def _budgets_left(batch: BatchState, shots: list[ShotProgress]) -> dict[str, float]:
    left: dict[str, float] = {}
    if batch.budget_s is not None:
        left["device_hours"] = max(0.0, 1 - batch.device_s / batch.budget_s)
    candidates = batch.plan.batch.budget.candidates
    if candidates is not None:
        released = sum(stage.released + stage.drafts for shot in shots for stage in shot.stages)
        left["candidates"] = max(0.0, 1 - released / candidates)
    money_left = batch.settings.money_left(batch.show)
    if money_left is not None:
        left["money"] = money_left / (batch.settings.cap(batch.show).max_money or money_left or 1.0)
    return left
