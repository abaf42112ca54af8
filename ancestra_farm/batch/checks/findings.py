"""What the checks share: the batch and its surroundings, the stages as they will run, and what was found."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ancestra_farm.batch.base import Scalar
from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.load import LocatedBatch
from ancestra_farm.batch.problems import DocumentPath, Problem
from ancestra_farm.batch.schema import Batch, Shot, Stage, StageChange

#: What a stage asks of its model that what runs the model does not have, as sentences: the card, the stage as it runs,
#: whether it has a negative prompt, the kinds of guides that a shot gives it. Asked of those who know the code; a batch
#: can be checked without.
StageFaults = Callable[[ModelCard, Stage, bool, frozenset[str]], Sequence[str]]


def no_faults(
    _card: ModelCard,
    _stage: Stage,
    _negative: bool,  # noqa: FBT001 - see `StageFaults`
    _guides: frozenset[str],
) -> Sequence[str]:
    """Nothing is known of what runs the models."""
    return ()


@dataclass(frozen=True)
class StageUse:
    """A stage as the batch states it (``shot`` None), or as a shot that changes it wants it."""

    name: str
    spec: Stage
    shot: int | None = None
    change: StageChange | None = None

    def path(self, key: str, *further: str | int) -> DocumentPath:
        """Where ``key`` of this stage is written: in the shot's change if it says so, else in the batch's stage."""
        changed = getattr(self.change, key, None)
        if self.shot is None or changed is None:
            return ("stages", self.name, key, *further)
        if further and isinstance(changed, dict) and further[0] not in changed:
            return ("stages", self.name, key, *further)
        return ("shots", self.shot, "stages", self.name, key, *further)


@dataclass
class Findings:
    """The batch, what it is checked against, and the problems so far. Problems near a fault of schema are not added."""

    located: LocatedBatch
    batch: Batch
    cards: Mapping[str, ModelCard]
    filters: Mapping[str, Mapping[str, Scalar]]
    scores: Collection[str]
    stage_faults: StageFaults = no_faults
    problems: list[Problem] = field(default_factory=list)
    said: set[tuple[DocumentPath, str]] = field(default_factory=set)

    def add(self, path: DocumentPath, message: str, hint: str = "") -> None:
        """Note a problem at ``path``, unless what stands there is not what the person wrote."""
        if self.located.is_sound(path):
            self.problems.append(self.located.document.problem(path, message, hint))

    @cached_property
    def uses(self) -> tuple[StageUse, ...]:
        """Every stage of the batch, and every stage that a shot changes."""
        found = [StageUse(name, spec) for name, spec in self.batch.stages.items()]
        for index, shot in enumerate(self.batch.shots):
            for name, change in shot.stages.items():
                if name in self.batch.stages and name not in shot.skip:
                    found.append(StageUse(name, self.batch.stage_of(shot, name), index, change))
        return tuple(found)

    def uses_of(self, index: int, shot: Shot) -> Iterator[StageUse]:
        """The stages that a shot runs, as it wants them."""
        for name in self.batch.stages:
            if name not in shot.skip:
                yield StageUse(name, self.batch.stage_of(shot, name), index, shot.stages.get(name))

    def card(self, use: StageUse) -> ModelCard | None:
        """The card of a stage's model; None where it is unknown or its name could not be read."""
        return self.cards.get(use.spec.model) if self.located.is_sound(use.path("model")) else None

    def makes_clips(self, name: str) -> bool | None:
        """Whether a stage makes clips; an upscale makes what it is given. None where that cannot be known."""
        for _ in self.batch.stages:
            spec = self.batch.stages.get(name)
            if spec is None or not self.located.is_sound(("stages", name, "role")):
                return None
            if spec.role != "upscale":
                return spec.makes_clips
            name = spec.source or ""
        return None
