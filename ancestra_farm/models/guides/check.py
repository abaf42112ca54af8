"""Whether a guide's file can be used: asked when a batch is checked, where its person can still put it right."""

from fractions import Fraction
from pathlib import Path

from ancestra_farm.batch.checks.materials import Fault, Length
from ancestra_farm.batch.guides import PICTURES, name_of, suffix_of
from ancestra_farm.batch.load import load_motion_path
from ancestra_farm.batch.problems import BatchRefused
from ancestra_farm.batch.schema import Guide
from ancestra_farm.models.guides.camera import camera_of
from ancestra_farm.models.guides.clips import clip_at, clip_facts
from ancestra_farm.models.guides.errors import GuideUnreadable
from ancestra_farm.models.guides.pictures import read_picture


def faults_of(guide: Guide, file: Path, length: Length) -> list[Fault]:
    """What is wrong with a guide's file: unreadable, or shorter than ``length``. Of a clip one frame is decoded."""
    name = name_of(guide.source)
    try:
        if suffix_of(name) in PICTURES:
            read_picture(file, name, guide.kind)
            return []
        if guide.kind == "motion_path":
            load_motion_path(file)  # after its last point it rests
            return []
        if guide.kind == "camera":
            camera = camera_of(file, name)
            lasts_s, period_s = Fraction(camera.seconds), Fraction(1 / camera.rate)
            what = f"{len(camera.places):,} frames at {camera.rate:g} per second"
        else:
            facts = clip_facts(file, name)
            clip_at(file, name, [Fraction(0)], facts.size)
            lasts_s, period_s = facts.last_s, 1 / facts.rate
            what = f"{facts.frames:,} frames at {float(facts.rate):.5g} per second"
    except GuideUnreadable as error:
        return [Fault(str(error))]
    except BatchRefused as refused:
        return [Fault(problem.message, inside=problem) for problem in refused.problems]
    # Half a frame of its own is forgiven: that is how far off the nearest frame may be.
    if lasts_s + period_s / 2 >= length.last_s:
        return []
    message = f"{name} has {what}; {length.what} lasts {length.frames:,} frames at {length.rate} per second"
    other = " (covers: cut makes it begin and end with the cut)" if guide.covers == "handles" else ""
    return [Fault(message, f"make it {float(length.last_s - lasts_s):.2f} s longer{other}")]
