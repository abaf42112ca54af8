"""The plan of a batch: its shots with their stages, made when asked for, the same from a file as from the log."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Self

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.load import canonical
from ancestra_farm.batch.schema import After, Batch, Shot
from ancestra_farm.plan.layout import SegmentPlan
from ancestra_farm.plan.refusal import PlanRefused
from ancestra_farm.plan.stages import StagePlan, stages_of
from ancestra_farm.plan.variants import Variant, axes_of

__all__ = ["Plan", "PlanRefused", "SegmentPlan", "ShotPlan", "StagePlan", "StitchLengths", "Variant"]


@dataclass(frozen=True, slots=True)
class StitchLengths:
    """What a stitch needs to know of lengths; the fields are those of the scheduler's stitch job.

    ``segment_frames`` at ``model_rate`` each, of which the first ``overlap_frames`` repeat the segment before;
    ``frames`` at ``rate`` is the exact length of the result: cut and both handles. ``stills``: there are no clips and
    every segment has 1 frame. One still is held for the whole length (``model_rate`` is ``rate`` then). Several are
    keys of a shot: they are spread evenly from its first frame to its last, which ``model_rate`` says exactly.
    """

    segment_frames: tuple[int, ...]
    overlap_frames: int
    model_rate: Fraction
    rate: Fraction
    frames: int
    handles: int
    stills: bool


@dataclass(frozen=True)
class ShotPlan:
    """One shot of a batch. Its stages are worked out when they are first asked for, which raises PlanRefused."""

    batch: Batch
    shot: Shot
    cards: Mapping[str, ModelCard]

    @property
    def name(self) -> str:
        """The shot's name."""
        return self.shot.shot

    @property
    def frames(self) -> int:
        """The cut length in frames at `rate`, without handles."""
        return self.shot.frames

    @property
    def handles(self) -> int:
        """Extra frames on each side of the cut."""
        return self.batch.handles if self.shot.handles is None else self.shot.handles

    @property
    def rate(self) -> Fraction:
        """Frames per second of the finished shot."""
        return self.shot.rate or self.batch.rate

    @property
    def total_frames(self) -> int:
        """Cut and both handles, in frames at `rate`: the exact length of what is delivered."""
        return self.frames + 2 * self.handles

    @property
    def after(self) -> tuple[After, ...]:
        """What has to be picked before it begins."""
        return (self.batch.after or ()) + (self.shot.after or ())

    @cached_property
    def stages(self) -> tuple[StagePlan, ...]:
        """The stages, each after the one it starts from, equally deep ones by name."""
        return stages_of(self.batch, self.shot, self.cards)

    def stage(self, name: str) -> StagePlan:
        """The stage of that name. Raises KeyError where the shot has none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    @cached_property
    def final(self) -> StagePlan | None:
        """The stage that is delivered: the one the batch names (None if this shot skips it).

        Where the batch names none: the last one that makes clips, or for a shot of stills the last one.
        """
        wanted = self.batch.deliver.stage
        if wanted is not None:
            return next((stage for stage in self.stages if stage.name == wanted), None)
        clips = [stage for stage in self.stages if stage.makes_clips]
        candidates = clips or self.stages
        return candidates[-1] if candidates else None

    @cached_property
    def lengths(self) -> StitchLengths | None:
        """What a stitch of the delivered stage needs to know; None where nothing is delivered."""
        final = self.final
        if final is None:
            return None
        return StitchLengths(
            segment_frames=tuple(segment.frames for segment in final.segments),
            overlap_frames=final.overlap_frames,
            model_rate=final.rate if final.makes_clips else self._rate_of_stills(len(final.segments)),
            rate=self.rate,
            frames=self.total_frames,
            handles=self.handles,
            stills=not final.makes_clips,
        )

    def _rate_of_stills(self, count: int) -> Fraction:
        if count == 1 or self.total_frames == 1:
            return self.rate
        return self.rate * Fraction(count - 1, self.total_frames - 1)


@dataclass(frozen=True)
class Plan:
    """A batch with the cards of its models. `of` and `from_documents` give the same plan of the same batch."""

    batch: Batch
    cards: Mapping[str, ModelCard]
    documents: tuple[str, Mapping[str, str]] | None = None

    @classmethod
    def of(cls, batch: Batch, cards: Mapping[str, ModelCard]) -> Self:
        """The plan of a checked batch. ``cards`` may hold more models than it names; PlanRefused if one is missing.

        Shots are planned when they are asked for; `problems` asks for all of them.
        """
        named = {stage.model for stage in batch.stages.values()}
        named.update(change.model for shot in batch.shots for change in shot.stages.values() if change.model)
        missing = sorted(named - set(cards))
        if missing:
            raise PlanRefused(f"there is no model card for {', '.join(missing)}")
        return cls(batch, {model: cards[model] for model in sorted(named)})

    @staticmethod
    def from_documents(document: str, cards: Mapping[str, str]) -> "Plan":
        """The plan as it was submitted: the batch and its cards, by id, as canonical JSON.

        The documents are kept as given, so that the digest is the one that was recorded. The last plans are kept: the
        door, the scheduler and the tables of a process each ask for that of a batch which comes in, and a plan of
        20,000 shots takes seconds. Raises pydantic's ValidationError for documents that are no batch or card.
        """
        return _plan_of(document, tuple(sorted(cards.items())))

    @cached_property
    def document(self) -> str:
        """The batch as canonical JSON."""
        return self.documents[0] if self.documents else canonical(self.batch)

    @cached_property
    def card_documents(self) -> Mapping[str, str]:
        """The cards it names, by id, as canonical JSON."""
        return self.documents[1] if self.documents else {model: canonical(card) for model, card in self.cards.items()}

    @cached_property
    def digest(self) -> str:
        """Sha256, hex, over the document and the cards."""
        parts = [self.document, sorted(self.card_documents.items())]
        return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()

    @cached_property
    def shots(self) -> tuple[ShotPlan, ...]:
        """The shots, in the order of the batch."""
        return tuple(ShotPlan(self.batch, shot, self.cards) for shot in self.batch.shots)

    @cached_property
    def follows(self) -> bool:
        """Whether anything of it waits for picks of others."""
        return bool(self.batch.after) or any(shot.after for shot in self.batch.shots)

    @cached_property
    def _by_name(self) -> dict[str, ShotPlan]:
        return {shot.name: shot for shot in self.shots}

    def shot(self, name: str) -> ShotPlan:
        """The shot of that name. Raises KeyError."""
        return self._by_name[name]

    def problems(self) -> Iterator[str]:
        """Plan every shot and say what cannot be made, one sentence for each shot that cannot."""
        for shot in self.shots:
            try:
                for stage in shot.stages:
                    axes_of(stage.wordings)
            except ValueError as refused:
                text = str(refused)
                yield text if text.startswith(shot.name) else f"{shot.name}: {text}"


@lru_cache(maxsize=4)
def _plan_of(document: str, cards: tuple[tuple[str, str], ...]) -> Plan:
    read = {model: ModelCard.model_validate_json(card) for model, card in cards}
    return Plan(Batch.model_validate_json(document), read, (document, dict(cards)))
