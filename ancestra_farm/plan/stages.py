"""The stages of one shot as a plan knows them: what is tried with which model, and from what it starts.

Which candidates are tried, and when, is the scheduler's affair.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.guides import taken_in
from ancestra_farm.batch.schema import Batch, Shot, Stage
from ancestra_farm.batch.sizes import size_of
from ancestra_farm.plan.frames import trim_of
from ancestra_farm.plan.guides import ShotGuides
from ancestra_farm.plan.layout import Join, Layout, SegmentPlan, ShotGraph, continuing_role
from ancestra_farm.plan.recipe import Rung, effective_parameters, model_digest
from ancestra_farm.plan.refusal import PlanRefused
from ancestra_farm.plan.space import RungSettings, Space
from ancestra_farm.plan.variants import NO_WORDS, Variant, Wordings, variants_of


@dataclass(frozen=True)
class StagePlan:
    """One stage of one shot, merged from the batch and the shot, with its model's card.

    ``shot_s``: from the first to the last frame of the shot with its handles, in seconds.

    ``rate``: of its clips, frames per second (1 for stills). ``needed_frames``: frames at that rate that are left when
    overlaps and ``trim_frames`` (cut off the end) are taken away from the segments.
    """

    name: str
    shot: str
    spec: Stage
    card: ModelCard
    source: str | None
    consumers: tuple[str, ...]
    makes_clips: bool
    layout: Layout
    batch_seed: int
    wordings: Wordings
    size: tuple[int, int]
    look: str | None
    guides: ShotGuides
    shot_s: Fraction

    @property
    def join(self) -> Join:
        """How its segments come to be."""
        return self.layout.join

    @property
    def overlap_frames(self) -> int:
        """Frames shared by neighbouring segments, 0 where there is one segment or the stage makes stills."""
        return self.layout.overlap_frames

    @property
    def rate(self) -> Fraction:
        """Frames per second of its clips; 1 for stills."""
        return self.layout.rate

    @property
    def needed_frames(self) -> int:
        """Frames at `rate` that are left when overlaps and trim are taken away."""
        return self.layout.needed_frames

    @property
    def trim_frames(self) -> int:
        """Frames cut off the end of the last segment."""
        return trim_of(self.layout.lengths, self.overlap_frames, self.needed_frames)

    @cached_property
    def segments(self) -> tuple[SegmentPlan, ...]:
        """The segments, in the order of the film."""
        return self.layout.segments

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Every wording of its prompt."""
        return variants_of(self.wordings)

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The rungs a candidate climbs, in order."""
        return ("draft", "full") if self.spec.draft is not None else ("full",)

    @cached_property
    def rung_settings(self) -> tuple[RungSettings, ...]:
        """Parameters and size at each rung."""
        draft = self.spec.draft
        return tuple(
            RungSettings(
                rung,
                effective_parameters(self.card, rung, self.spec.parameters, draft.parameters if draft else {}),
                draft.size if rung == "draft" and draft and draft.size else self.size,
            )
            for rung in self.rungs
        )

    def space(self, segment: int, inputs: tuple[tuple[str, ...], ...]) -> Space:
        """The candidates of a segment. ``inputs``: one tuple of parent ids each; ``((),)`` for a stage without source.

        Inputs come from `inputs_from`, or for a later segment of a chain are its tails, ``(tail,)`` each.
        """
        plan = self.segments[segment]
        return Space(
            batch_seed=self.batch_seed,
            shot=self.shot,
            stage=self.name,
            segment=segment,
            role=self._role_of(segment),
            wordings=self.wordings,
            candidates=self.spec.candidates,
            model=self.card.id,
            model_digest=self.model_digest,
            look=self.look,
            look_weight=self.spec.look_weight if self.look else 1.0,
            guides=self.guides_at(segment),
            rungs=self.rung_settings,
            frames=plan.frames,
            rate=self.rate,
            context_frames=plan.context_frames,
            inputs=inputs,
            by_yield=self.spec.spend == "by_yield",
            reading=plan.reading,
        )

    @cached_property
    def model_digest(self) -> str:
        """The digest of its model."""
        return model_digest(self.card)

    def guides_at(self, segment: int) -> tuple[str, ...]:
        """The guides of a segment, as recipes have them."""
        last = len(self.segments) - 1
        return self.guides.at(self.start_s(segment), first=segment == 0, last=segment == last)

    def start_s(self, segment: int) -> Fraction:
        """When a segment begins (a key: when it is shown), in seconds after the shot with its handles does."""
        if not self.makes_clips:
            return self.shot_s * segment / max(len(self.segments) - 1, 1)
        return (sum(self.layout.lengths[:segment]) - segment * self.overlap_frames) / self.rate

    def inputs_from(self, chains: tuple[tuple[str, ...], ...], segment: int = 0) -> tuple[tuple[str, ...], ...]:
        """The inputs of a segment, made from the source's result: its chains of candidate ids, best first.

        At most ``best`` chains are taken. For segment k, of each chain: a ``first_last_frame`` takes the pair (key k,
        key k+1); an ``upscale``, ``interpolate`` or ``video_to_video`` takes the clip of segment k, and a still that is
        made from keys takes key k; an ``extend`` takes the last clip; everything else takes the first member. Inputs
        that two chains share are given once. Without a source: ``((),)``. Later segments of a chain start from tails
        and are not asked for here. Raises ValueError where a chain is too short.
        """
        takes = self.layout.takes
        if takes == "nothing":
            return ((),)
        taken = chains if self.spec.best is None else chains[: self.spec.best]
        first = {"first": 0, "last": -1}.get(takes, segment)
        wanted = slice(segment, segment + 2) if takes == "pair" else slice(first, first + 1 or None)
        inputs = tuple(dict.fromkeys(chain[wanted] for chain in taken))
        if any(len(parents) < (2 if takes == "pair" else 1) for parents in inputs):
            raise ValueError(f"{self.shot}/{self.name}: a chain of {self.source} has no part for segment {segment}")
        return inputs

    def _role_of(self, segment: int) -> str:
        continues = self.join == "chain" and segment > 0
        return continuing_role(self.card) or self.spec.role if continues else self.spec.role


def stages_of(batch: Batch, shot: Shot, cards: Mapping[str, ModelCard]) -> tuple[StagePlan, ...]:
    """The stages of ``shot``, each after the one it starts from, equally deep ones by name. Raises PlanRefused."""
    graph = ShotGraph.of(batch, shot, cards)
    layouts = graph.layouts()
    return tuple(_stage_of(batch, shot, graph, name, layouts[name]) for name in graph.order)


def _stage_of(batch: Batch, shot: Shot, graph: ShotGraph, name: str, layout: Layout) -> StagePlan:
    spec, card = graph.specs[name], graph.card(name)
    if spec.look and spec.look not in batch.looks:
        raise PlanRefused(f"{shot.shot}/{name}: the batch has no look {spec.look!r}")
    size = size_of(name, graph.specs, graph.cards, batch.size)
    if size is None:
        raise PlanRefused(f"{shot.shot}/{name}: its size follows from stages that this shot does not have")
    return StagePlan(
        name=name,
        shot=shot.shot,
        spec=spec,
        card=card,
        source=spec.source,
        consumers=graph.consumers(name),
        makes_clips=graph.makes_clips(name),
        layout=layout,
        batch_seed=batch.seed,
        wordings=NO_WORDS if card.family == "optical" else Wordings.of(spec.prompt or shot.prompt),
        size=size,
        look=batch.looks[spec.look].digest if spec.look else None,
        guides=ShotGuides.of(shot.guides, taken_in(spec.role, card.guides), _handles(batch, shot) / graph.rate),
        shot_s=(graph.frames - 1) / graph.rate,
    )


def _handles(batch: Batch, shot: Shot) -> int:
    return batch.handles if shot.handles is None else shot.handles
