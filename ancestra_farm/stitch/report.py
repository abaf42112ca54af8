"""What a stitch decided and measured, as JSON: for people who ask why a join is where it is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ancestra_farm.stitch.conform import FIRST_FRAME, StitchInput
from ancestra_farm.stitch.encode import even_size
from ancestra_farm.stitch.look import Look
from ancestra_farm.stitch.retime import Retimed
from ancestra_farm.stitch.seams import Seam


def stitch_report(
    job: StitchInput, look: Look, done: Retimed | None, files: Sequence[Mapping[str, object]], message: str
) -> str:
    """The report, with sorted keys and no times, so that it is the same on every run.

    ``done``: what retiming counted, None where nothing was encoded. ``message``: why not, or empty.
    """
    layout = look.layout
    report: dict[str, Any] = {
        "ancestra_stitch": 1,
        **{name: getattr(job, name) for name in ("batch", "show", "shot", "version", "stitch_id", "chain", "media")},
        "ok": not message,
        "message": message,
        "rate": str(layout.rate),
        "model_rate": str(layout.model_rate),
        "frames": layout.frames,
        "handles": job.handles,
        "first_frame_number": FIRST_FRAME,
        "cut_first_frame_number": FIRST_FRAME + job.handles,
        "size": look.size,
        "movie_size": even_size(look.size),
        "held_still": layout.held,
        "segment_frames": layout.lengths,
        "overlap_frames": layout.overlap,
        "joined_frames": layout.joined_frames,
        "trimmed_frames": layout.trimmed_frames,
        "joins": [asdict(join) for join in look.joins],
        "colour": [asdict(colour) for colour in look.maps[1:]],
        "seams": [_seam(seam) for seam in look.seams],
        "retiming": None if done is None else _retiming(done),
        "files": list(files),
    }
    return json.dumps(report, indent=1, sort_keys=True) + "\n"


def _seam(seam: Seam) -> dict[str, Any]:
    numbers = {"values": seam.values, "usual": seam.usual, "z": seam.z, "severity": seam.severity}
    rounded = {name: {key: round(value, 4) for key, value in part.items()} for name, part in numbers.items()}
    return {**rounded, "pairs": seam.pairs, "failed": seam.failed}


def _retiming(done: Retimed) -> dict[str, Any]:
    return {
        "frames_passed": done.exact,
        "frames_drawn": done.drawn,
        "flow_trust_mean": round(float(np.mean(done.trust)), 4) if done.trust else None,
        "flow_trust_least": round(min(done.trust), 4) if done.trust else None,
    }
