"""Which chains of a shot become clips, under which version. Decides what is stitched, not how."""

from collections.abc import Mapping
from itertools import pairwise

from ancestra_farm.plan.events import StitchPlanned
from ancestra_farm.plan.plan import StitchLengths
from ancestra_farm.plan.recipe import digest_of
from ancestra_farm.scheduler.state import ShotState, StitchState
from ancestra_farm.scheduler.waves import Emit
from ancestra_farm.scheduler.world import StitchJob

Chain = tuple[str, ...]


def plan_stitches(shot: ShotState, versions: Mapping[tuple[str, str], int], emit: Emit, now: float) -> bool:
    """Plan what is missing: every selected chain as the next v###, else the best chains as auto-….

    A chain with a pair whose seam failed is passed over, and the next best takes its place; a chain that people picked
    is theirs to change, so nothing takes its place. ``versions``: how many numbers each (show, shot) of the store has
    had. True if something changed.
    """
    final = shot.plan.final
    if final is None or shot.cancelled is not None:
        return False
    stage = shot.stages[final.name]
    if stage.closed is None:
        return False
    lengths = shot.plan.lengths
    if lengths is None:
        raise AssertionError("a shot with a delivered stage has lengths")
    picked = bool(stage.closed.selected)
    chains = (
        stage.closed.selected if picked else _unpicked(shot, stage.closed.chains, stage.batch.plan.batch.deliver.best)
    )
    changed = False
    for chain in chains:
        stitch_id = stitch_id_of(shot, lengths, chain, stage.batch.plan.batch.deliver.model_dump_json())
        if any(
            s.planned.stitch_id == stitch_id and s.planned.picked == picked and not s.dropped
            for s in shot.stitches.values()
        ):
            continue
        number = versions.get((stage.batch.plan.batch.show, shot.plan.name), 0) + 1
        version = f"v{number:03d}" if picked else f"auto-{stitch_id[:8]}"
        emit(
            StitchPlanned(
                batch=stage.batch.name,
                shot=shot.plan.name,
                generation=stage.generation,
                stitch_id=stitch_id,
                version=version,
                chain=chain,
                picked=picked,
                at=now,
            )
        )
        changed = True
    return changed


def _unpicked(shot: ShotState, chains: tuple[Chain, ...], best: int) -> list[Chain]:
    good = [chain for chain in chains if not any(pair in shot.bad_pairs for pair in pairwise(chain))]
    return good[:best]


def stitch_id_of(shot: ShotState, lengths: StitchLengths, chain: Chain, settings: str) -> str:
    """32 hex digits over the ordered inputs and everything that shapes the result."""
    return digest_of("stitch", shot.plan.name, chain, lengths, settings).hex()


def unfinished(shot: ShotState, tries: int) -> list[StitchState]:
    """Planned stitches that should still be made; none of a shot that was cancelled."""
    if shot.cancelled is not None:
        return []
    stitches = shot.stitches.values()
    return [s for s in stitches if not s.done and not s.dropped and s.bad_pair is None and s.failures < tries]


def failed(shot: ShotState, tries: int) -> list[StitchState]:
    """Stitches of the result as it stands that will not be made: given up, or picked with a seam that failed."""
    closed = None if shot.plan.final is None else shot.stages[shot.plan.final.name].closed
    if closed is None:
        return []
    wanted, picked = set(closed.selected or closed.chains), bool(closed.selected)
    return [
        s
        for s in shot.stitches.values()
        if not s.done
        and not s.dropped
        and s.planned.picked == picked
        and s.planned.chain in wanted
        and (s.failures >= tries or (s.bad_pair is not None and picked))
    ]


def job_of(shot: ShotState, stitch: StitchState) -> StitchJob:
    """The job for a stitch task. Raises AssertionError if a part has no medium: survivors always have one."""
    lengths, final = shot.plan.lengths, shot.plan.final
    if lengths is None or final is None:
        raise AssertionError("only shots with a delivered stage are stitched")
    batch = shot.stages[final.name].batch
    planned, deliver, request = stitch.planned, batch.plan.batch.deliver, batch.plan.batch
    media = []
    for candidate_id in planned.chain:
        known = batch.known.get(candidate_id)
        if known is None or known.media is None:
            raise AssertionError(f"survivor {candidate_id} has no medium")
        media.append(known.media)
    return StitchJob(
        batch=batch.name,
        show=request.show,
        shot=planned.shot,
        generation=planned.generation,
        stitch_id=planned.stitch_id,
        version=planned.version,
        chain=planned.chain,
        media=tuple(media),
        model_rate=str(lengths.model_rate),
        rate=str(lengths.rate),
        segment_frames=lengths.segment_frames,
        overlap_frames=lengths.overlap_frames,
        frames=lengths.frames,
        handles=lengths.handles,
        blend_frames=deliver.blend_frames,
        mp4=deliver.mp4,
        master=deliver.master,
        folder=delivery_folder(request.show, planned.shot, planned.version),
    )


def delivery_folder(show: str, shot: str, version: str) -> str:
    """Where a version of a shot is published, in the store."""
    return f"deliveries/{show}/{shot}/{version}"
