"""Shot lengths against what models make: whether segments of a model's clips can cover a shot, and how they overlap.

The exact segments are the plan's; here it is only said, with the line, when there can be none.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from ancestra_farm.batch.card import STILL_ROLES, FrameGrid, ModelCard
from ancestra_farm.batch.checks.findings import Findings, StageUse
from ancestra_farm.batch.schema import Shot

#: Roles whose segments are those of the clip they are given.
_TRANSFORMS = frozenset({"interpolate", "upscale", "video_to_video"})


@dataclass(frozen=True)
class _Length:
    """A shot's whole length: ``frames`` with both handles, at ``rate``."""

    frames: int
    handles: int
    rate: Fraction


def check_lengths(findings: Findings) -> None:
    """Overlaps of every stage, then every shot against the models of its clip stages."""
    for use in findings.uses:
        _check_overlap(findings, use)
    _check_blend(findings)
    known: dict[tuple[_Length, str, str], str | None] = {}
    for index, shot in enumerate(findings.batch.shots):
        length = _length_of(findings, index, shot)
        if length is None:
            continue
        for use in findings.uses_of(index, shot):
            key = (length, use.spec.role, use.spec.model)
            if key not in known:
                known[key] = _too_long(findings, use, length)
            message = known[key]
            if message is not None:
                hint = "shorten the shot or its handles, or take a model that can go on from its own clip"
                findings.add(("shots", index, "frames"), f"{use.name}: {message}", hint)


def longest_clip(grid: FrameGrid) -> int:
    """The longest clip on the grid, in frames."""
    return grid.max - (grid.max - grid.offset) % grid.step


def _length_of(findings: Findings, index: int, shot: Shot) -> _Length | None:
    sound = findings.located.is_sound
    places = [("shots", index, key) for key in ("frames", "handles", "rate")]
    if not all(sound(place) for place in (*places, ("rate",), ("handles",))):
        return None
    handles = findings.batch.handles if shot.handles is None else shot.handles
    return _Length(shot.frames + 2 * handles, handles, shot.rate or findings.batch.rate)


def _too_long(findings: Findings, use: StageUse, length: _Length) -> str | None:
    """Why the stage's model can never make a shot of this length; None if it can."""
    card = findings.card(use)
    spec = use.spec
    if card is None or card.frames is None or card.rate is None or spec.role in STILL_ROLES | _TRANSFORMS:
        return None
    needed = ceil((length.frames - 1) * card.rate / length.rate) + 1
    if card.frames.at_least(needed) is not None:
        return None
    longest = longest_clip(card.frames)
    if _goes_on(spec.role, card, longest):
        return None
    cut = floor((longest - 1) * length.rate / card.rate) + 1 - 2 * length.handles
    reach = f"at most {cut:,} frames of cut" if cut > 0 else "no shot with such handles"
    return (
        f"the shot with its handles is {needed:,} frames at {card.rate} per second; {card.id} makes clips of "
        f"{longest:,} and cannot go on from one ({reach})"
    )


def _goes_on(role: str, card: ModelCard, longest: int) -> bool:
    """Whether several clips of the model can make one shot."""
    if role == "first_last_frame":
        return longest > 1
    return longest > 1 and ("extend" in card.roles or "image_to_video" in card.roles)


def _check_overlap(findings: Findings, use: StageUse) -> None:
    spec, path = use.spec, use.path("overlap_frames")
    overlap, card = spec.overlap_frames, findings.card(use)
    if overlap is None or not findings.located.is_sound(("stages", use.name, "role")):
        return
    if spec.role in STILL_ROLES | _TRANSFORMS | {"first_last_frame"}:
        findings.add(path, f"a stage of role {spec.role} has no overlap to set", "remove overlap_frames")
        return
    if card is None or card.frames is None:
        return
    longest = longest_clip(card.frames)
    if "extend" not in card.roles and overlap > 1:
        message = f"{card.id} goes on from one picture (it has no role extend), so its segments share 1 frame"
        findings.add(path, message, "set 1, or remove overlap_frames")
    elif card.frames.at_least(max(2 * overlap, overlap + 1)) is None:
        message = f"{overlap} shared frames are more than half of the longest clip of {card.id}, {longest} frames"
        findings.add(path, message, f"at most {longest // 2}")


def _check_blend(findings: Findings) -> None:
    """A dissolve that somebody asked for has to fit in the overlap that somebody asked for."""
    deliver = findings.batch.deliver
    stage = findings.batch.stages.get(deliver.stage or "")
    if stage is None or stage.overlap_frames is None or "blend_frames" not in deliver.model_fields_set:
        return
    if deliver.blend_frames > stage.overlap_frames:
        message = f"a dissolve of {deliver.blend_frames} frames does not fit in an overlap of {stage.overlap_frames}"
        findings.add(("deliver", "blend_frames"), message, f"at most {stage.overlap_frames}, or a longer overlap")
