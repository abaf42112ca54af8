"""How far every shot is: read from the state that the decisions rest on."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ancestra_farm.scheduler.chains import inputs_ready, waits_for_people
from ancestra_farm.scheduler.pauses import goes_on_at
from ancestra_farm.scheduler.state import BatchState, FarmState, ShotState, StageState
from ancestra_farm.scheduler.stitches import failed, unfinished
from ancestra_farm.scheduler.tunables import Tunables

#: ``waiting_for_people``: to be picked and closed. ``starved``: a stage ended without a survivor. ``paused`` and
#: ``cancelled``: by an order, with something left to do.
StageStatus = Literal["waiting_for_inputs", "running", "waiting_for_people", "done", "starved", "paused", "cancelled"]
ShotStatus = Literal["running", "waiting_for_people", "done", "starved", "failed", "paused", "cancelled"]


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

    ``handles``: how many of them on each side. ``goes_on_at``: when what is left of it goes on by itself where people
    put it off, in seconds since the Unix epoch; None: when it is ordered to, or nothing is left.
    """

    batch: str
    show: str
    shot: str
    state: ShotStatus
    frames: int
    stages: tuple[StageProgress, ...]
    versions: tuple[str, ...]
    handles: int = 0
    goes_on_at: float | None = None


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
            goes_on_at=left_until(batch, shot, tunables),
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
    if stage.closed is not None and stage.settled:
        return "done" if stage.closed.chains else "starved"
    if waits_for_people(stage):
        return "waiting_for_people"
    if stage.generation and inputs_ready(stage):
        return "paused" if stage.held else "running"
    source = stage.shot.stages[stage.plan.source] if stage.plan.source else None
    return "starved" if source is not None and stage_status(source) == "starved" else "waiting_for_inputs"


def left_until(batch: BatchState, shot: ShotState, tunables: Tunables) -> float | None:
    """When what is left of a shot that people put off goes on by itself, Unix seconds; None: not so, or nothing is."""
    left = any(stage_status(stage) == "paused" for stage in shot.stages.values())
    return goes_on_at(batch, shot) if left or unfinished(shot, tunables.stitch_tries) else None


def any_left(put_off: Iterable[StageState], tunables: Tunables) -> bool:
    """Whether something is left to do of stages that people put off until a time."""
    return any(left_until(stage.batch, stage.shot, tunables) is not None for stage in put_off)


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
