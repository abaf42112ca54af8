"""How each stage of a shot covers it: the order of stages, their segments, joins and shared frames.

Decides which clips of which lengths there will be, from the shot's exact length and each model's frame grid; nothing
about wordings, parameters or candidates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal, Self

from ancestra_farm.batch.card import STILL_ROLES, FrameGrid, ModelCard
from ancestra_farm.batch.schema import Batch, Shot, Stage
from ancestra_farm.plan.frames import Reading, default_overlap, frames_at, readings_of, segments_for
from ancestra_farm.plan.refusal import PlanRefused

#: ``single``: one segment. ``chain``: segment k goes on from a tail of k-1. ``keyframes``: segments made side by side,
#: segment k from what `StagePlan.inputs_from` gives for it. ``keys``: the S+1 stills of a stage that feeds S keyframed
#: segments, made side by side.
Join = Literal["single", "chain", "keyframes", "keys"]
#: What a segment takes of a chain of its source: nothing, the chain's first member, its last one, the member of the
#: same number, or the pair of keys around it.
Takes = Literal["nothing", "first", "last", "same", "pair"]

#: Roles that turn each segment of a clip into a segment of their own, of the same duration.
TRANSFORM_ROLES = frozenset({"upscale", "interpolate", "video_to_video"})
STILL_RATE = Fraction(1)


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """One segment: ``frames`` at the stage's rate, the first ``context_frames`` of them repeating the parent's tail.

    ``reading``: of an interpolated segment, where its frames lie on its parent's.
    """

    index: int
    frames: int
    context_frames: int
    reading: Reading | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """How a stage covers its shot. ``needed_frames`` at ``rate`` are left when overlaps and trim are taken away.

    Of stills: one frame at rate 1 each, no overlap; ``needed_frames`` is the number of stills. ``readings``: of an
    interpolation, one for each segment.
    """

    join: Join
    takes: Takes
    lengths: tuple[int, ...]
    overlap_frames: int
    first_context_frames: int
    rate: Fraction
    needed_frames: int
    readings: tuple[Reading, ...] = ()

    @property
    def segments(self) -> tuple[SegmentPlan, ...]:
        """The segments, in the order of the film."""
        later = self.overlap_frames if self.join == "chain" else 0
        readings: tuple[Reading | None, ...] = self.readings or (None,) * len(self.lengths)
        return tuple(
            SegmentPlan(index, frames, later if index else self.first_context_frames, reading)
            for index, (frames, reading) in enumerate(zip(self.lengths, readings, strict=True))
        )


def continuing_role(card: ModelCard) -> str | None:
    """The role in which a model goes on from a clip's end, or None if it cannot."""
    return next((role for role in ("extend", "image_to_video") if role in card.roles), None)


@dataclass(frozen=True)
class ShotGraph:
    """The stages of one shot and what they start from. ``frames``: cut and both handles, at ``rate``."""

    shot: str
    frames: int
    rate: Fraction
    specs: Mapping[str, Stage]
    cards: Mapping[str, ModelCard]

    @classmethod
    def of(cls, batch: Batch, shot: Shot, cards: Mapping[str, ModelCard]) -> Self:
        """The graph of ``shot``: the batch's stages with the shot's changes, less what it skips."""
        handles = batch.handles if shot.handles is None else shot.handles
        specs = {name: batch.stage_of(shot, name) for name in batch.stages if name not in shot.skip}
        return cls(shot.shot, shot.frames + 2 * handles, shot.rate or batch.rate, specs, cards)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Each stage after the one it starts from, equally deep ones by name.

        Never in the order of the document: canonical JSON does not keep it. Raises PlanRefused for circles and for
        sources that the shot does not have.
        """
        depths: dict[str, int] = {}
        for name in self.specs:
            trail, at = [name], self.specs[name].source
            while at is not None:
                if at not in self.specs:
                    raise PlanRefused(f"{self.shot}/{trail[-1]}: starts from {at!r}, which is no stage of this shot")
                if at in trail:
                    circle = " → ".join([*trail[trail.index(at) :], at])
                    raise PlanRefused(f"{self.shot}: stages start from each other in a circle: {circle}")
                trail.append(at)
                at = self.specs[at].source
            depths[name] = len(trail)
        return tuple(sorted(self.specs, key=lambda name: (depths[name], name)))

    def consumers(self, name: str) -> tuple[str, ...]:
        """The stages that start from this one, in order."""
        return tuple(other for other in self.order if self.specs[other].source == name)

    def card(self, name: str) -> ModelCard:
        """The card of a stage's model. Raises PlanRefused."""
        model = self.specs[name].model
        if model not in self.cards:
            raise PlanRefused(f"{self.shot}/{name}: there is no model card {model!r}")
        return self.cards[model]

    def makes_clips(self, name: str) -> bool:
        """Whether the stage makes clips; an upscale makes what it is given."""
        spec = self.specs[name]
        if spec.role == "upscale":
            return spec.source is not None and self.makes_clips(spec.source)
        return spec.role not in STILL_ROLES

    def layouts(self) -> dict[str, Layout]:
        """The layout of every stage. Raises PlanRefused where a model cannot make the shot."""
        layouts: dict[str, Layout] = {}
        for name in self.order:
            if self.makes_clips(name):
                try:
                    layouts[name] = self._clips(name, layouts)
                except PlanRefused as refused:
                    raise PlanRefused(f"{self.shot}/{name}: {refused}") from None
        for name in reversed(self.order):  # consumers first: a still is made as often as they need keys
            if not self.makes_clips(name):
                layouts[name] = self._stills(name, layouts)
        return layouts

    def _stills(self, name: str, layouts: Mapping[str, Layout]) -> Layout:
        self.card(name)
        keys = max((_keys_wanted(layouts[consumer]) for consumer in self.consumers(name)), default=1)
        takes: Takes = "nothing" if self.specs[name].source is None else "same" if keys > 1 else "first"
        return Layout("keys" if keys > 1 else "single", takes, (1,) * keys, 0, 0, STILL_RATE, keys)

    def _clips(self, name: str, layouts: Mapping[str, Layout]) -> Layout:
        spec, card = self.specs[name], self.card(name)
        grid, native = card.frames, card.rate
        if grid is not None and spec.role in TRANSFORM_ROLES and spec.source and self.makes_clips(spec.source):
            return self._transformed(layouts[spec.source], spec, card, grid)
        if grid is None or native is None:
            raise PlanRefused(f"{card.id} makes stills only: its card has no frame grid and rate")
        needed = frames_at(self.frames, self.rate, native)
        if spec.role == "first_last_frame":
            if spec.source is not None and self.makes_clips(spec.source):
                raise PlanRefused(f"first_last_frame joins stills, and {spec.source} makes clips")
            # neighbours share the key itself
            lengths = segments_for(needed, grid, 1)
            pair: Takes = "pair" if spec.source is not None else "nothing"
            return Layout("keyframes", pair, lengths, 1 if len(lengths) > 1 else 0, 0, native, needed)
        overlap = _chain_overlap(spec, card, grid)
        lengths = segments_for(needed, grid, overlap)
        if len(lengths) > 1 and continuing_role(card) is None:
            raise PlanRefused(
                f"{needed} frames need {len(lengths)} segments, but {card.id} cannot go on from a clip (its card has "
                f"neither the role extend nor image_to_video); make the shot shorter or take another model"
            )
        goes_on = spec.role == "extend" and spec.source is not None
        takes: Takes = "nothing" if spec.source is None else "last" if goes_on else "first"
        context = overlap if goes_on else 0
        if len(lengths) == 1:
            return Layout("single", takes, lengths, 0, context, native, needed)
        return Layout("chain", takes, lengths, overlap, context, native, needed)

    def _transformed(self, source: Layout, spec: Stage, card: ModelCard, grid: FrameGrid) -> Layout:
        """The source's segments one by one: the same frames, or for interpolate the same time at another rate."""
        lengths, overlap, readings = source.lengths, source.overlap_frames, tuple[Reading, ...]()
        rate, needed = source.rate, source.needed_frames
        if spec.role == "interpolate":
            rate = self._rate_between(source, spec, card)
            lengths, overlap, readings = readings_of(source.lengths, source.overlap_frames, source.rate, rate)
            needed = frames_at(self.frames, self.rate, rate)
        for frames in lengths:
            if not grid.accepts(frames):
                raise PlanRefused(f"{card.id} makes no clip of {frames} frames, which {spec.source} calls for")
        join: Join = "single" if len(lengths) == 1 else "keyframes"
        return Layout(join, "same", lengths, overlap, 0, rate, needed, readings)

    def _rate_between(self, source: Layout, spec: Stage, card: ModelCard) -> Fraction:
        """The rate of an interpolation: the card's, a whole multiple of the source's, or that of the shot."""
        if card.rate is None:
            return self.rate
        if (card.rate / source.rate).denominator != 1:
            raise PlanRefused(
                f"{card.id} interpolates to {card.rate} frames per second, which is no whole multiple of the "
                f"{source.rate} that {spec.source} makes"
            )
        return card.rate


def _keys_wanted(consumer: Layout) -> int:
    """How many keys a stage wants of the still stage that it starts from."""
    return {"pair": len(consumer.lengths) + 1, "same": len(consumer.lengths)}.get(consumer.takes, 1)


def _chain_overlap(spec: Stage, card: ModelCard, grid: FrameGrid) -> int:
    """Frames shared by neighbours of a chain: as the stage says, else 8; 1 where a model starts from a picture."""
    extends = "extend" in card.roles
    if spec.overlap_frames is None:
        return default_overlap(grid) if extends else 1
    if spec.overlap_frames > 1 and not extends:
        raise PlanRefused(
            f"{card.id} goes on from one picture (its card has no role extend), so segments share 1 frame, "
            f"not {spec.overlap_frames}"
        )
    return spec.overlap_frames
