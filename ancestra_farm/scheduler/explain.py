"""Why a shot is where it is, in sentences for people: read from the state that the decisions rest on."""

import datetime as dt
from collections.abc import Collection

from ancestra_farm.batch.numbers import counted
from ancestra_farm.plan.events import OrderGiven, StageClosed
from ancestra_farm.scheduler import after, supply
from ancestra_farm.scheduler.chains import selected_chains
from ancestra_farm.scheduler.dispatch import Dispatcher
from ancestra_farm.scheduler.fleet import Fleet
from ancestra_farm.scheduler.pauses import standing, told_end
from ancestra_farm.scheduler.pools import Pool
from ancestra_farm.scheduler.progress import shot_status, stage_status
from ancestra_farm.scheduler.state import BatchState, FarmState, ShotState, StageState
from ancestra_farm.scheduler.tunables import Tunables

#: Why a stage ended, for people.
REASONS: dict[str, str] = {
    "tried_all": "everything was tried",
    "kept_enough": "enough survived",
    "budget": "the budget allowed no more",
    "closed": "a person closed it",
    "superseded": "newer picks took its place",
    "picked": "people picked",
    "cancelled": "a person cancelled it",
}


def paused_work(state: FarmState, tunables: Tunables) -> tuple[str, ...]:
    """What is left only because somebody paused it, or its show has no money left: a sentence for each of these."""
    found: dict[OrderGiven, None] = {}
    for batch in state.batches.values():
        for shot in batch.shots.values():
            pause = shot.pause or batch.pause
            if pause is not None and shot_status(shot, tunables) == "paused":
                found[pause] = None
    broke = {
        batch.show: batch
        for batch in state.batches.values()
        if batch.broke and any(shot_status(shot, tunables) == "paused" for shot in batch.shots.values())
    }
    return tuple(_told_pause(pause) for pause in found) + tuple(map(_told_broke, broke.values()))


def following(state: FarmState) -> tuple[str, ...]:
    """What is left only because it waits for picks of others, a sentence for each shot."""
    return tuple(
        f"{name} of {batch.name} waits for the picks of {waits} (after)"
        for batch in state.batches.values()
        if batch.plan.follows
        for name, shot in batch.shots.items()
        if shot.cancelled is None
        and any(not stage.generation and stage.plan.source is None for stage in shot.stages.values())
        and (waits := after.told(batch, shot))
    )


def _told_broke(batch: BatchState) -> str:
    """Why a show spends nothing more."""
    settings = batch.settings
    why = settings.short.get(batch.show)
    return (
        f"{batch.show} has spent {settings.spent.get(batch.show, 0.0):,.2f} of the "
        f"{settings.cap(batch.show).max_money:,.2f} {settings.farm.currency} it may (max_money of show_caps)"
        + (f", and {why}" if why else "")
    )


def _told_pause(pause: OrderGiven) -> str:
    what = f"{pause.shot} of {pause.batch}" if pause.shot else pause.batch
    return f"{what} is paused by {_told(pause)}{told_end(pause)}"


def _told(given: OrderGiven, when: str = "since") -> str:
    """Who gave an order, when, and with which note."""
    at = dt.datetime.fromtimestamp(given.at, dt.UTC)
    return f"{given.who} {when} {at:%Y-%m-%d %H:%M:%S} UTC" + (f" ({given.note})" if given.note else "")


def explain(
    batch: BatchState,
    shot: ShotState,
    dispatcher: Dispatcher,
    tunables: Tunables,
    shows: Collection[str] | None = None,
) -> tuple[str, ...]:
    """Why a shot is where it is, a sentence for each stage and stitch. ``shows``: whose batches it may name."""
    sentences = _standing_orders(batch, shot)
    sentences += [_explain_stage(stage, dispatcher, shows) for stage in shot.stages.values()]
    for stitch in shot.stitches.values():
        version = stitch.planned.version
        key = (batch.name, shot.plan.name, stitch.planned.stitch_id)
        if stitch.done:
            sentences.append(f"{version} is published, {stitch.frames} frames.")
        elif stitch.bad_pair is not None:
            left, right = stitch.bad_pair
            taken = (
                "people picked it, so nothing takes its place"
                if stitch.planned.picked
                else "the next chain takes its place"
            )
            sentences.append(f"{version} was not published: the seam from {left} to {right} failed; {taken}.")
        elif stitch.failures >= tunables.stitch_tries:
            sentences.append(f"{version} was given up after {stitch.failures} tries: {stitch.message}")
        elif stitch.dropped:
            sentences.append(f"{version} was not published: other picks took its place first.")
        elif shot.cancelled is not None:
            sentences.append(f"{version} was not published: the shot was cancelled.")
        elif shot.paused or batch.paused:
            sentences.append(f"{version} waits to be stitched until the pause ends.")
        elif (why := dispatcher.store_waits.told_stitch((*key, version))) is not None:
            sentences.append(f"{version} waits to be stitched again, since the store failed it: {why}")
        else:
            sentences.append(f"{version} is being stitched.")
    if batch.spent_out:
        sentences.append(f"The batch's budget of {batch.plan.batch.budget.device_hours} device-hours is spent.")
    return tuple(sentences)


def _standing_orders(batch: BatchState, shot: ShotState) -> list[str]:
    """What people ordered about the shot or its batch that still stands."""
    sentences = []
    if (cancelled := shot.cancelled) is not None:
        sentences.append(
            f"{shot.plan.name} was cancelled by {_told(cancelled, 'at')}; what is published stays, and retry, more or "
            "submitting the batch again takes it up."
        )
    sentences += [f"{_told_pause(pause)}: nothing of it starts." for pause in standing(batch, shot)]
    if batch.broke and shot.has_work:
        sentences.append(f"{_told_broke(batch)}: nothing of it starts until there is more, by the farm's settings.")
    return sentences


def _explain_stage(stage: StageState, dispatcher: Dispatcher, shows: Collection[str] | None) -> str:
    name, counts = stage.plan.name, stage.counts
    if stage.closed is not None and not stage.reopened:
        return _explain_closed(stage, stage.closed)
    so_far = f"{counts.judged} of {counts.released} released are judged"
    match stage_status(stage):
        case "waiting_for_people":
            todo = f"{len(stage.picks)} picked so far; close it" if stage.picks else "pick some and close it"
            said = f"{name} waits for a person: {counted(counts.survivors, 'survivor')}; {todo}."
        case "starved":
            said = f"{name} cannot begin: {stage.plan.source} ended without a survivor."
        case "waiting_for_inputs" if stage.plan.source is None:
            said = f"{name} waits for the picks of {after.told(stage.batch, stage.shot)} (after)."
        case "waiting_for_inputs":
            said = f"{name} waits for {stage.plan.source}."
        case "cancelled":
            said = f"{name} was not begun."
        case "paused":
            said = f"{name} is paused: {so_far}."
        case _:
            why = _why_not_faster(stage, dispatcher, shows)
            said = f"{name} is under way: {so_far}; {why}{_dry(stage, dispatcher)}."
    again = " It was closed before; that result holds until it is closed anew." if stage.reopened else ""
    return said + again + _extras(stage)


def _explain_closed(stage: StageState, closed: StageClosed) -> str:
    name, counts = stage.plan.name, stage.counts
    if closed.why == "cancelled":
        return f"{name} was cancelled after {counts.released} candidates, {counts.judged} of them judged."
    by = f" by {closed.by}" if closed.by else ""
    result = counted(len(closed.chains), _whole(stage)) if closed.chains else "no survivor"
    chosen = f", {len(closed.selected)} of them picked" if closed.selected else ""
    why = ", ".join(REASONS.get(reason, reason) for reason in closed.why.split(", "))
    picks = ""
    if closed.selected and not stage.picks:
        picks = " All picks have been taken back since, which changes nothing until it is closed again with others."
    elif stage.picks and selected_chains(stage) != closed.selected:
        picks = " Picks have changed since; close it again to make them count."
    said = f"{name} is closed{by} with {result}{chosen}, after {counts.released} candidates ({why}).{picks}"
    return said + _extras(stage)


def _extras(stage: StageState) -> str:
    """What people ordered beyond the file."""
    more = f" {stage.extra:,} more candidates were ordered." if stage.extra else ""
    people = sorted(set(stage.restored.values()))
    return f"{more} {len(stage.restored)} restored by {', '.join(people)}." if people else more


def _why_not_faster(stage: StageState, dispatcher: Dispatcher, shows: Collection[str] | None) -> str:
    model = stage.plan.card.id
    blocked = dispatcher.blocked(stage)
    if blocked is not None:
        return f"it cannot go on: {blocked}"
    pool = dispatcher.fleet.pools.get(stage.plan.model_digest)
    hosts = [] if pool is None else list(pool.hosts.values())
    if not dispatcher.fleet.known:
        return "no farm is at work on this store; `ancestra resume`, or on a cluster `ancestra up`, goes on"
    unstored = dispatcher.store_waits.told(hosts)
    running = sum(lease.lot.branch.stage is stage for host in hosts for lease in host.leases)
    if unstored is None and running and any(host.ready for host in hosts):
        return f"{counted(running, 'ticket')} out with {counted(len(hosts), 'host')} of {model}"
    behind = unstored or (None if pool is None else _who_is_first(stage.batch, pool, dispatcher.fleet, shows))
    if behind is None and not hosts:
        behind = f"{model} has no host yet: the slots are taken by other models"
    if behind is not None:
        return behind
    if dispatcher.fleet.grows and all(host.node is None for host in hosts):
        bays = [bay for name, bay in dispatcher.fleet.bays.items() if any(host.bay == name for host in hosts)]
        types = [name for bay in bays for name in bay.types]
        return f"waiting for a node of type {' or '.join(types)} for {counted(len(hosts), 'host')} of {model}"
    what = "waiting in line for" if any(host.ready for host in hosts) else "waiting for the start of"
    return f"{what} {counted(len(hosts), 'host')} of {model}"


def _dry(stage: StageState, dispatcher: Dispatcher) -> str:
    """Which nodes do not come that would do, to be added to a sentence; empty where all come."""
    pool = dispatcher.fleet.pools.get(stage.plan.model_digest)
    if pool is None or not pool.sizes:
        return ""
    return "".join(f"; {said}" for said in supply.told(dispatcher.fleet, dispatcher.now, pool.sizes))


def _who_is_first(batch: BatchState, pool: Pool, fleet: Fleet, shows: Collection[str] | None) -> str | None:
    """Why a batch gets nothing of a pool though it could run there: a cap on it or its show, or higher classes."""
    line = pool.lines.get(batch.name)
    if line is not None and line.cap is not None and fleet.at_cap(line, pool):
        return f"{batch.name} holds {fleet.held_by(batch.name):g} of the {line.cap} slots it may hold (max_slots)"
    if line is not None and fleet.at_show_cap(line, pool):
        held = fleet.held_by_show(batch.show)
        return f"all batches of {batch.show} hold {held:g} of the {batch.show_cap} slots they may hold (show_caps)"
    if line is not None and fleet.purse.out_of_hours(pool, line):
        hours = batch.plan.batch.budget.device_hours
        return f"what {batch.name} has left of its {hours:g} device-hours may all go to what runs"
    if line is not None and fleet.purse.out_of_reach(pool, line):
        left = batch.settings.money_left(batch.show) or 0.0
        currency = batch.settings.farm.currency
        return f"the {left:,.2f} {currency} that {batch.show} has left may all go to what runs (max_money of show_caps)"
    rank = batch.rank
    rivals = [
        other.batch
        for rival in fleet.pools.values()
        if rival.sizes.keys() & pool.sizes.keys()
        for other in rival.lines.values()
        if other.busy and other.rank < rank
    ]
    if not rivals:
        return None
    first = min(rivals, key=lambda rival: rival.rank)
    name = first.name if shows is None or first.show in shows else "a batch of another show"
    return f"{name} is served first: its class {first.priority} comes before {batch.priority}"


def _whole(stage: StageState) -> str:
    """What a whole result of the stage is called."""
    return "survivor" if len(stage.plan.segments) == 1 else "whole chain"
