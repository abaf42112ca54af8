"""The stitch task: read the chosen clips, stitch them in a temporary folder, publish the result in the store.

Whatever fails in it is an event, so that the scheduler decides what follows. It may run twice, or on two machines at
once: a version that is complete is not made again, and `publish` fills each version once.
"""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import ray

from ancestra_farm.farm.publish import publish, published
from ancestra_farm.farm.scratch import scratch
from ancestra_farm.ledger.errors import StoreUnavailable
from ancestra_farm.ledger.points import reached
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.events import StitchEnded
from ancestra_farm.scheduler.world import StitchJob, StitchReturned

if TYPE_CHECKING:
    from ancestra_farm.stitch.stitcher import Stitched


@ray.remote(num_cpus=0, max_calls=64)
def stitch_and_publish(job: StitchJob, store_url: str) -> StitchReturned:
    """Stitch and publish ``job``; never raises for what can go wrong in a stitch."""
    return returned(job, store_url)


def returned(job: StitchJob, store_url: str) -> StitchReturned:
    """Stitch and publish ``job`` in this process: how it ended, or that the store was in trouble."""
    began = time.monotonic()
    try:
        return StitchReturned(stitched(job, Store.open(store_url), began))
    except Exception as error:  # noqa: BLE001 - whatever it was, it is this stitch's end and is told as such
        told = f"{type(error).__name__}: {error}"
        unstored = told[:500] if isinstance(error, StoreUnavailable) else ""
        return StitchReturned(failed_stitch(job, told, time.monotonic() - began), unstored)


def failed_stitch(job: StitchJob, message: str, seconds: float = 0.0) -> StitchEnded:
    """The end of a stitch that did not come about."""
    return StitchEnded(
        batch=job.batch,
        shot=job.shot,
        stitch_id=job.stitch_id,
        version=job.version,
        ok=False,
        frames=0,
        at=time.time(),
        message=message[:500],
        seconds=seconds,
    )


def stitched(job: StitchJob, store: Store, began: float) -> StitchEnded:
    """Make the version unless it is complete already; its end. Raises whatever goes wrong."""
    found = published(store, job.folder)
    if found is None:
        from ancestra_farm.stitch.stitcher import make  # noqa: PLC0415 - codecs are loaded where they are used

        with scratch("stitch-") as folder:
            made = make(job, store.read, folder)
            if not made.ok:
                return _seam_failed(job, made, time.monotonic() - began)
            facts = {
                **{name: getattr(job, name) for name in ("batch", "show", "shot", "version", "stitch_id", "chain")},
                "rate": job.rate,
                "handles": job.handles,
                "frames": made.frames,
                "seams": made.seams,
            }
            names = [(file.kind, file.name) for file in made.files]
            reached("stitch.after_version_before_publish")
            found = publish(store, job.folder, folder, names, facts)
    return StitchEnded(
        batch=job.batch,
        shot=job.shot,
        stitch_id=job.stitch_id,
        version=job.version,
        ok=True,
        frames=int(found.facts["frames"]),
        at=time.time(),
        files=found.files,
        sha256=found.sha256,
        seams=tuple(found.facts["seams"]),
        seconds=time.monotonic() - began,
    )


def _seam_failed(job: StitchJob, made: "Stitched", seconds: float) -> StitchEnded:
    pair = None if made.bad_pair is None else (job.chain[made.bad_pair], job.chain[made.bad_pair + 1])
    ended = failed_stitch(job, made.message, seconds)
    return replace(ended, seams=made.seams, bad_pair=pair)
