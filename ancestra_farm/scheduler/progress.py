"""How far every shot is, and why it is not further: read from the state that the decisions rest on."""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from ancestra_farm.plan.events import OrderGiven
from ancestra_farm.scheduler.chains import inputs_ready, selected_chains, waits_for_people
from ancestra_farm.scheduler.dispatch import Dispatcher
from ancestra_farm.scheduler.state import BatchState, FarmState, ShotState, StageState
from ancestra_farm.scheduler.stitches import failed, unfinished
from ancestra_farm.scheduler.tunables import Tunables

#: ``waiting_for_people``: to be picked and closed. ``starved``: a stage ended without a survivor. ``paused`` and
#: ``cancelled``: by an order, with something left to do.
StageStatus = Literal["waiting_for_inputs", "running", "waiting_for_people", "done", "starved", "paused", "cancelled"]
ShotStatus = Literal["running", "waiting_for_people", "done", "starved", "failed", "paused", "cancelled"]


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


@dataclass(frozen=True, slots=True)
class StageProgress:
    """Counts of one stage's full candidates (``drafts``: draft candidates released).

    ``wanted``: the most it may release as far as is known; ``device_s``: device-seconds it has cost.
    """

    stage: str
    role: str
    makes_clips: bool
    state: StageStatus
    released: int
    judged: int
    survivors: int
    rejected: int
    failed: int
    skipped: int
    drafts: int
    wanted: int
    device_s: float


@dataclass(frozen=True, slots=True)
class ShotProgress:
    """One shot. ``versions``: published ones, oldest first; ``frames``: cut and handles, of each.

    ``handles``: how many of them on each side.
    """

    batch: str
    show: str
    shot: str
    state: ShotStatus
    frames: int
    stages: tuple[StageProgress, ...]
    versions: tuple[str, ...]
    handles: int = 0


def progress_of(state: FarmState, tunables: Tunables) -> tuple[ShotProgress, ...]:
    """Every shot of every batch, in the order of submission."""
    return tuple(
        ShotProgress(
            batch=batch.name,
            show=batch.plan.batch.show,
            shot=name,
            state=shot_status(shot, tunables),
            frames=shot.plan.total_frames,
            handles=shot.plan.handles,
            stages=tuple(_stage_progress(stage) for stage in shot.stages.values()),
            versions=tuple(s.planned.version for s in shot.stitches.values() if s.done),
        )
        for batch in state.batches.values()
        for name, shot in batch.shots.items()
    )


def _stage_progress(stage: StageState) -> StageProgress:
    counts = stage.counts
    roots = [branch for branch in stage.branches.values() if branch.opened.tail is None]
    wanted = sum(branch.limit for branch in roots) if roots else stage.plan.spec.candidates
    return StageProgress(
        stage=stage.plan.name,
        role=stage.plan.spec.role,
        makes_clips=stage.plan.makes_clips,
        state=stage_status(stage),
        released=counts.released,
        judged=counts.judged,
        survivors=counts.survivors,
        rejected=counts.rejected,
        failed=counts.failed,
        skipped=counts.skipped,
        drafts=counts.drafts,
        wanted=max(wanted, counts.released),
        device_s=counts.device_s,
    )


def stage_status(stage: StageState) -> StageStatus:
    """Where a stage stands."""
    if stage.shot.cancelled is not None and (stage.closed is None or stage.closed.why == "cancelled"):
        return "cancelled"
    if stage.closed is not None:
        return "done" if stage.closed.chains else "starved"
    if waits_for_people(stage):
        return "waiting_for_people"
    if stage.generation and inputs_ready(stage):
        return "paused" if stage.held else "running"
    source = stage.shot.stages[stage.plan.source] if stage.plan.source else None
    return "starved" if source is not None and stage_status(source) == "starved" else "waiting_for_inputs"


def shot_status(shot: ShotState, tunables: Tunables) -> ShotStatus:
    """Where a shot stands: done when its last stages are and every stitch is published."""
    if shot.cancelled is not None:
        return "cancelled"
    states = {stage_status(stage) for stage in shot.stages.values()}
    if "waiting_for_people" in states:
        return "waiting_for_people"
    if "running" in states or "paused" in states or unfinished(shot, tunables.stitch_tries):
        return "paused" if any(stage.held for stage in shot.stages.values()) else "running"
    if "starved" in states:
        return "starved"
    if "waiting_for_inputs" in states:
        return "running"
    wants_stitch = shot.plan.final is not None and not any(stitch.done for stitch in shot.stitches.values())
    return "failed" if wants_stitch or failed(shot, tunables.stitch_tries) else "done"


def paused_work(state: FarmState, tunables: Tunables) -> tuple[str, ...]:
    """What is left only because somebody paused it, a sentence for each batch or shot that was paused."""
    found: dict[OrderGiven, None] = {}
    for batch in state.batches.values():
        for shot in batch.shots.values():
            pause = shot.pause or batch.pause
            if pause is not None and shot_status(shot, tunables) == "paused":
                found[pause] = None
    return tuple(_told_pause(pause) for pause in found)


def _told_pause(pause: OrderGiven) -> str:
    what = f"{pause.shot} of {pause.batch}" if pause.shot else pause.batch
    return f"{what} is paused by {_told(pause)}"


def _told(given: OrderGiven) -> str:
    """Who gave an order, when, and with which note."""
    at = dt.datetime.fromtimestamp(given.at, dt.UTC)
    return f"{given.who} since {at:%Y-%m-%d %H:%M:%S} UTC" + (f" ({given.note})" if given.note else "")


def explain(batch: BatchState, shot: ShotState, dispatcher: Dispatcher, tunables: Tunables) -> tuple[str, ...]:
    """Why a shot is where it is, a sentence for each stage and stitch."""
    sentences = _standing_orders(batch, shot)
    sentences += [_explain_stage(stage, dispatcher) for stage in shot.stages.values()]
    for stitch in shot.stitches.values():
        version = stitch.planned.version
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
        elif shot.cancelled is not None:
            sentences.append(f"{version} was not published: the shot was cancelled.")
        elif shot.paused or batch.paused:
            sentences.append(f"{version} waits to be stitched until the pause ends.")
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
            f"{shot.plan.name} was cancelled by {_told(cancelled).replace(' since ', ' at ')}; what is published stays, "
            "and retry, more or submitting the batch again takes it up."
        )
    sentences += [
        f"{_told_pause(pause)}: nothing of it starts." for pause in (batch.pause, shot.pause) if pause is not None
    ]
    return sentences


def _explain_stage(stage: StageState, dispatcher: Dispatcher) -> str:
    name, counts = stage.plan.name, stage.counts
    if stage.closed is not None and stage.closed.why == "cancelled":
        return f"{name} was cancelled after {counts.released} candidates, {counts.judged} of them judged."
    if stage.closed is not None:
        by = f" by {stage.closed.by}" if stage.closed.by else ""
        result = _counted(len(stage.closed.chains), _whole(stage)) if stage.closed.chains else "no survivor"
        chosen = f", {len(stage.closed.selected)} of them picked" if stage.closed.selected else ""
        why = ", ".join(REASONS.get(reason, reason) for reason in stage.closed.why.split(", "))
        newer = stage.picks and selected_chains(stage) != stage.closed.selected
        picks = " Picks have changed since; close it again to make them count." if newer else ""
        return f"{name} is closed{by} with {result}{chosen}, after {counts.released} candidates ({why}).{picks}"
    status = stage_status(stage)
    if status == "waiting_for_people":
        todo = f"{len(stage.picks)} picked so far; close it" if stage.picks else "pick some and close it"
        return f"{name} waits for a person: {_counted(counts.survivors, 'survivor')}; {todo}."
    if status == "starved":
        return f"{name} cannot begin: {stage.plan.source} ended without a survivor."
    if status == "waiting_for_inputs":
        return f"{name} waits for {stage.plan.source}."
    if status == "cancelled":
        return f"{name} was not begun."
    if status == "paused":
        return f"{name} is paused: {counts.judged} of {counts.released} released are judged."
    pace = _why_not_faster(stage, dispatcher)
    return f"{name} is under way: {counts.judged} of {counts.released} released are judged; {pace}."


def _why_not_faster(stage: StageState, dispatcher: Dispatcher) -> str:
    model = stage.plan.card.id
    blocked = dispatcher.blocked(stage)
    if blocked is not None:
        return f"it cannot go on: {blocked}"
    pool = dispatcher.fleet.pools.get(stage.plan.model_digest)
    hosts = [] if pool is None else list(pool.hosts.values())
    if not dispatcher.fleet.known:
        return "no farm is at work on this store; `ancestra resume` goes on"
    if not hosts:
        return f"{model} has no host yet: the slots are taken by other models"
    if not any(host.ready for host in hosts):
        return f"waiting for {_counted(len(hosts), 'host')} of {model} to start"
    running = sum(lease.lot.branch.stage is stage for host in hosts for lease in host.leases)
    if running:
        return f"{_counted(running, 'ticket')} out with {_counted(len(hosts), 'host')} of {model}"
    return f"waiting in line for {_counted(len(hosts), 'host')} of {model}"


def _whole(stage: StageState) -> str:
    """What a whole result of the stage is called."""
    return "survivor" if len(stage.plan.segments) == 1 else "whole chain"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
