"""The candidates of one segment of one stage, enumerated lazily: a few values that stand for any number of recipes."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import cached_property

from ancestra_farm.batch.base import Scalar
from ancestra_farm.plan.frames import Reading
from ancestra_farm.plan.recipe import Recipe, Rung, begun_digest, constant_parts, feed, own_parts, seed_from
from ancestra_farm.plan.variants import Variant, Wordings, variants_of


@dataclass(frozen=True, slots=True)
class RungSettings:
    """What a rung sets: every declared parameter, and the size as (width, height) in pixels."""

    rung: Rung
    parameters: tuple[tuple[str, Scalar], ...]
    size: tuple[int, int]


@dataclass(frozen=True)
class Space:
    """Recipes by position; nothing is held per candidate.

    Position ``n`` is ``(index * V + variant) * P + input`` for V variants and P inputs: the inputs of one index and
    wording come first, then the next wording, then the next index. Each input is a tuple of parent ids; ``((),)`` is
    one input of nothing, and ``()`` makes the space empty. A frozen value that pickles to about 1 KB and its inputs.

    `to_try` of the positions are tried at most, ``candidates`` for each input. Spent evenly those are the first ones,
    and there are no others. ``by_yield`` any wording may get them all, so that the space reaches V times as far.
    """

    batch_seed: int
    shot: str
    stage: str
    segment: int
    role: str
    wordings: Wordings
    candidates: int
    model: str
    model_digest: str
    look: str | None
    look_weight: float
    guides: tuple[str, ...]
    rungs: tuple[RungSettings, ...]
    frames: int
    rate: Fraction
    context_frames: int
    inputs: tuple[tuple[str, ...], ...]
    by_yield: bool = False
    reading: Reading | None = None

    def __len__(self) -> int:
        return self.to_try * (len(self.variants) if self.by_yield else 1)

    def __getitem__(self, n: int) -> Recipe:
        return self.recipe(n, "full")

    def __iter__(self) -> Iterator[Recipe]:
        return (self.recipe(n, "full") for n in range(len(self)))

    @property
    def to_try(self) -> int:
        """How many of the positions are tried at most."""
        return self.candidates * len(self.inputs)

    def with_more(self, candidates: int) -> "Space":
        """So many more candidates for each input; those there are keep their positions and ids."""
        return replace(self, candidates=self.candidates + candidates)

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """Every wording, in order."""
        return variants_of(self.wordings)

    def recipe(self, n: int, rung: Rung = "full") -> Recipe:
        """The recipe at position ``n`` (negative: from the end). Raises IndexError, KeyError for a rung it has not."""
        index, variant, parents = self.place(n)
        settings = self._settings[rung]
        seed = self._seed(index, variant)
        return Recipe(
            candidate_id=self._id(rung, variant, parents, seed),
            seed=seed,
            shot=self.shot,
            stage=self.stage,
            segment=self.segment,
            variant=variant.id,
            index=index,
            rung=rung,
            role=self.role,
            prompt=variant.prompt,
            negative=variant.negative,
            model=self.model,
            model_digest=self.model_digest,
            look=self.look,
            look_weight=self.look_weight,
            guides=self.guides,
            parameters=dict(settings.parameters),
            size=settings.size,
            frames=self.frames,
            rate=self.rate,
            context_frames=self.context_frames,
            parents=parents,
            reading=self.reading,
        )

    def id_of(self, n: int, rung: Rung = "full") -> str:
        """The candidate id at position ``n``, without making the recipe. Raises as `recipe` does."""
        index, variant, parents = self.place(n)
        return self._id(rung, variant, parents, self._seed(index, variant))

    def place(self, n: int) -> tuple[int, Variant, tuple[str, ...]]:
        """(index within the variant, variant, parent ids) of position ``n``. Raises IndexError outside the space."""
        length = len(self)
        if n < 0:
            n += length
        if not 0 <= n < length:
            raise IndexError(f"position {n} is outside a space of {length} candidates")
        row, given = divmod(n, len(self.inputs))
        index, variant = divmod(row, len(self.variants))
        return index, self.variants[variant], self.inputs[given]

    def find(self, index: int, variant: str, parents: tuple[str, ...]) -> int | None:
        """The position of which `place` says this, the variant by its id; None where there is none."""
        row, given = self._variant_places.get(variant), self._input_places.get(parents)
        if row is None or given is None:
            return None
        n = (index * len(self.variants) + row) * len(self.inputs) + given
        return n if n < len(self) else None

    @cached_property
    def _variant_places(self) -> dict[str, int]:
        return {variant.id: place for place, variant in reversed(list(enumerate(self.variants)))}

    @cached_property
    def _input_places(self) -> dict[tuple[str, ...], int]:
        return {parents: place for place, parents in reversed(list(enumerate(self.inputs)))}

    def variant_of(self, n: int) -> int:
        """The place in `variants` of the wording of position ``n``."""
        return n // len(self.inputs) % len(self.variants)

    def of_variant(self, variant: int, number: int) -> int:
        """The position that comes ``number``-th, from 0, of those with the wording at place ``variant``."""
        index, given = divmod(number, len(self.inputs))
        return (index * len(self.variants) + variant) * len(self.inputs) + given

    def variant_count(self, variant: int) -> int:
        """How many candidates an even split gives the variant at place ``variant`` in `variants`, per input."""
        whole, rest = divmod(self.candidates, len(self.variants))
        return whole + (variant < rest)

    def _seed(self, index: int, variant: Variant) -> int:
        state = self._seed_state.copy()
        feed(state, variant.id, index)
        return seed_from(state.digest())

    def _id(self, rung: Rung, variant: Variant, parents: tuple[str, ...], seed: int) -> str:
        state = self._id_states[rung].copy()
        feed(state, *own_parts(variant.prompt, variant.negative, parents, seed))
        return state.hexdigest()

    @cached_property
    def _settings(self) -> dict[Rung, RungSettings]:
        return {settings.rung: settings for settings in self.rungs}

    @cached_property
    def _seed_state(self) -> "hashlib.blake2b":
        return begun_digest("seed", self.batch_seed, self.shot, self.stage, self.segment)

    @cached_property
    def _id_states(self) -> dict[Rung, "hashlib.blake2b"]:
        return {
            settings.rung: begun_digest(
                *constant_parts(
                    role=self.role,
                    model_digest=self.model_digest,
                    look=self.look,
                    look_weight=self.look_weight,
                    guides=self.guides,
                    parameters=dict(settings.parameters),
                    rung=settings.rung,
                    size=settings.size,
                    frames=self.frames,
                    rate=self.rate,
                    context_frames=self.context_frames,
                    reading=self.reading,
                )
            )
            for settings in self.rungs
        }

    def __getstate__(self) -> tuple[object, ...]:
        # what is cached is left out: hash states cannot be pickled, and wordings are quicker resolved again than sent
        return tuple(getattr(self, name) for name in _FIELDS)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.__dict__.update(zip(_FIELDS, state, strict=True))


_FIELDS = tuple(field.name for field in fields(Space))
