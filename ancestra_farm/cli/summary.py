"""What became of a shot, in one line.

``anc_010_0010  1,000 stills → 412 survivors → 4 animated → 1 clip, 96 frames``
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ancestra_farm.batch.numbers import counted

if TYPE_CHECKING:
    from ancestra_farm.scheduler import ShotProgress

#: What a stage's candidates are called, by role.
WORD_OF_ROLE = {
    "text_to_image": "stills",
    "image_to_image": "reworked",
    "image_to_video": "animated",
    "text_to_video": "clips tried",
    "video_to_video": "guided",
    "first_last_frame": "between keys",
    "extend": "extended",
    "interpolate": "interpolated",
    "upscale": "upscaled",
}
_SINGULAR = {"stills": "still", "clips tried": "clip tried"}


@dataclass(frozen=True, slots=True)
class StageCount:
    """One stage of a shot: ``released`` candidates at full, ``survivors`` of them. ``drafts``: looked at before."""

    role: str
    released: int
    survivors: int
    drafts: int = 0


def shot_names(shots: "Sequence[ShotProgress]") -> list[str]:
    """What to call each of these shots: its name, after that of its batch where they are of several batches."""
    several = len({one.batch for one in shots}) > 1
    return [f"{one.batch} {one.shot}" if several else one.shot for one in shots]


def shot_line(
    shot: str,
    stages: Sequence[StageCount],
    clips: int,
    frames: int,
    handles: int = 0,
    width: int = 0,
    *,
    ended: bool = True,
) -> str:
    """One line for one shot, its stages in order.

    ``clips``: finished ones. ``frames``: of the cut; ``handles``: further frames on each side. ``width``: of the
    longest shot name, so that lines align. ``ended``: nothing more is to come. Survivors are left out where everything
    survived, but for the first stage; stages of which nothing was tried yet are left out.
    """
    parts: list[str] = []
    for at, stage in enumerate(stage for stage in stages if stage.released or stage.drafts):
        if stage.drafts:
            parts.append(counted(stage.drafts, "draft"))
        word = WORD_OF_ROLE.get(stage.role, stage.role)
        parts.append(counted(stage.released, _SINGULAR.get(word, word), word))
        if at == 0 or stage.survivors != stage.released:
            parts.append(counted(stage.survivors, "survivor"))
    if clips:
        length = counted(frames, "frame") + (f" and {handles} + {handles} handles" if handles else "")
        parts.append(f"{counted(clips, 'clip')}, {length}")
    else:
        parts.append("no clip" if ended else "no clip yet")
    return f"{shot:<{width}}  {' → '.join(parts)}"


def duration(seconds: float | None) -> str:
    """``48 s``, ``3 min 20 s``, ``2 h 05 min``; ``–`` for None."""
    if seconds is None:
        return "–"
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def shell_word(word: str) -> str:
    """A word as it can be pasted into a shell."""
    return shlex.quote(word)


def to_go_on(url: str) -> str:
    """The commands that put a store to work again: on this machine, or on a cluster, which nobody knows afterwards."""
    at = shell_word(url)
    return f"ancestra resume --store {at} (here), or ancestra up --store {at} (on a cluster)"
