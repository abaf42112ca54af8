"""The shot as an OpenTimelineIO timeline: one clip, its cut as source range, its files as media references.

All files of a delivery hold the same frames, so all references share one time that starts at 0 with the head handle;
the cut is ``[handles, handles + cut)`` of it. Frame numbers in names (1001, …) are the image sequence's own and stand
in the metadata for the others. OTIO keeps rates as floats, so the exact rate stands in the metadata too.
"""

from fractions import Fraction
from typing import Final

import opentimelineio as otio

from ancestra_farm.stitch.conform import FIRST_FRAME

_NAMESPACE: Final = "ancestra"


def shot_timeline(
    *,
    show: str,
    shot: str,
    version: str,
    stitch_id: str,
    chain: tuple[str, ...],
    frames: int,
    handles: int,
    rate: Fraction,
    movie: str | None,
    master: str | None,
    stills: str | None,
) -> str:
    """The timeline as OTIO JSON.

    ``frames`` counts cut and both handles. ``movie`` and ``master`` are file names next to the timeline, ``stills`` the
    folder of ``<shot>.1001.png`` …; None where there is none. The master is the active reference where there is one.
    """
    available = _range(0, frames, rate)
    references: dict[str, otio.core.MediaReference] = {}
    for key, name in (("mp4", movie), ("master", master)):
        if name:
            references[key] = otio.schema.ExternalReference(target_url=name, available_range=available)
    if stills:
        references["master"] = otio.schema.ImageSequenceReference(
            target_url_base=stills + "/",
            name_prefix=f"{shot}.",
            name_suffix=".png",
            start_frame=FIRST_FRAME,
            frame_step=1,
            rate=float(rate),
            frame_zero_padding=4,
            available_range=available,
        )
    if not references:
        references["missing"] = otio.schema.MissingReference(available_range=available)
    clip = otio.schema.Clip(name=shot, source_range=_range(handles, frames - 2 * handles, rate))
    active = next(key for key in ("master", "mp4", "missing") if key in references)
    clip.set_media_references(references, active)
    clip.metadata[_NAMESPACE] = {
        "show": show,
        "shot": shot,
        "version": version,
        "stitch_id": stitch_id,
        "chain": list(chain),
        "rate": str(rate),
        "handles": handles,
        "first_frame_number": FIRST_FRAME,
        "cut_first_frame_number": FIRST_FRAME + handles,
        "cut_last_frame_number": FIRST_FRAME + frames - handles - 1,
    }
    track = otio.schema.Track(name="V1", kind=otio.schema.TrackKind.Video, children=[clip])
    timeline = otio.schema.Timeline(name=f"{shot}_{version}", tracks=[track])
    return str(timeline.to_json_string(indent=2))


def _range(start: int, duration: int, rate: Fraction) -> otio.opentime.TimeRange:
    per_second = float(rate)
    return otio.opentime.TimeRange(
        otio.opentime.RationalTime(start, per_second), otio.opentime.RationalTime(duration, per_second)
    )
