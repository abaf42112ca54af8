"""Any diffusers pipeline with a model card, as a generator: recipes in, frames out, several candidates to a call.

A candidate's picture hangs on its recipe alone: it has its own random generator and its own embeddings, and shares with
its neighbours in a call only what they have in common. What can share a call is looked for a little ahead, so that
wordings that alternate do not make calls of one. Nothing is decided here about failures beyond the size of a call that
fits: a call that raises is taken apart, so that the exception is that of the candidate that caused it.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ancestra_farm.batch.base import Scalar
from ancestra_farm.batch.card import INPUTS_OF_ROLE, STILL_ROLES, ModelCard
from ancestra_farm.models.build import Materials
from ancestra_farm.models.diffusion.calls import shape_of, takes
from ancestra_farm.models.diffusion.embeddings import Embeddings
from ancestra_farm.models.diffusion.kinds import Inputs, Pipeline, PipelineKind, all_kinds
from ancestra_farm.models.diffusion.loading import ModelRefused, load_pipeline
from ancestra_farm.models.diffusion.memory import CallSizes, free_memory, is_out_of_memory
from ancestra_farm.models.diffusion.pixels import fitted, shown
from ancestra_farm.models.diffusion.room import Hold
from ancestra_farm.models.diffusion.schedules import Schedules
from ancestra_farm.models.diffusion.weights import folder_of
from ancestra_farm.models.protocol import Aborted, Frames, Made, OutOfMemory
from ancestra_farm.plan.recipe import Recipe, Rung, effective_parameters

#: How far ahead candidates are looked for that can share a call, in calls: their frames wait in memory until it is
#: their turn.
LOOKAHEAD = 4
#: Steps of the call that warms a model up: the fewest that every scheduler makes.
WARM_UP_STEPS = 2

Parents = dict[str, Frames]
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Resident:
    """What is on the device while the host lives. ``looks``: None until a recipe names one."""

    pipeline: Pipeline
    kind: PipelineKind
    schedules: Schedules
    embeddings: Embeddings
    looks: Any = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A candidate ready to be called for. ``call``: its embeddings and arguments; ``shape``: what must be alike."""

    position: int
    recipe: Recipe
    call: dict[str, Any]
    shape: tuple[object, ...]


@dataclass(slots=True)
class _Ticket:
    """The candidates of one `generate`. ``alone``: must not share a call any more; ``made``: wait for their turn."""

    recipes: Sequence[Recipe]
    parents: Parents
    aborted: Callable[[], bool]
    made: dict[int, Made]
    alone: set[int]


class DiffusersGenerator:
    """One pipeline on one device. ``materials``: where looks and guides are, by digest; ``cache``: of weights."""

    def __init__(self, card: ModelCard, materials: Materials, cache: Path | None = None) -> None:
        self.card = card
        self._materials = materials
        self._cache = cache
        self._hold = Hold()
        self._resident: _Resident | None = None
        self._arguments = {name: parameter.argument or name for name, parameter in card.parameters.items()}
        self._sizes = CallSizes(card.runtime.batch)

    # ---- the protocol -------------------------------------------------------------------------------------------

    def setup(self) -> None:
        """Load the weights and make one small candidate, so that the first real one costs no more than the next.

        Raises what `weights.folder_of`, `loading.load_pipeline` and `Schedules` raise, and whatever the call raises.
        """
        pipeline = load_pipeline(self.card, folder_of(self.card, self._cache, self._hold))
        kind = all_kinds()[str(self.card.pipeline)]
        self._resident = _Resident(pipeline, kind, Schedules(pipeline, self.card), Embeddings(pipeline, kind))
        self._warm_up()

    def generate(self, recipes: Sequence[Recipe], parents: Parents, aborted: Callable[[], bool]) -> Iterator[Made]:
        """Make the candidates in order; see `Generator.generate`. ``aborted`` is asked before each call and step.

        Raises `OutOfMemory` for a candidate that does not fit alone, ValueError for one that lacks what its role starts
        from, and whatever the pipeline raises.
        """
        ticket = _Ticket(recipes, parents, aborted, {}, set())
        for position in range(len(recipes)):
            while position not in ticket.made:
                self._make(ticket, position)
            yield ticket.made.pop(position)

    def close(self) -> None:
        """Let go of the pipeline and of the device's memory."""
        self._resident = None
        self._hold.close()
        free_memory()

    # ---- calls --------------------------------------------------------------------------------------------------

    def _make(self, ticket: _Ticket, position: int) -> None:
        """Make the candidate at ``position``, with others that can share its call; where that fails, prepare to try."""
        if ticket.aborted():
            raise Aborted(ticket.recipes[position].candidate_id)
        before = time.perf_counter()
        failure: Exception | None = None
        group: list[_Prepared] = []
        try:
            group = self._group(ticket, position)
            frames = self._call(group, ticket.aborted)
        except Aborted:
            raise
        except Exception as error:  # noqa: BLE001 - sorted below: memory, the only one of the call, one of several
            failure = error
        if failure is None:
            # The seconds of a call are shared alike: its candidates have the same size, frames and steps.
            seconds = (time.perf_counter() - before) / len(group)
            for one, picture in zip(group, frames, strict=True):
                ticket.made[one.position] = Made(ticket.recipes[one.position], picture, seconds)
            return
        self._after(failure, ticket, group)

    def _after(self, failure: Exception, ticket: _Ticket, group: list[_Prepared]) -> None:
        """A call failed: raise where one candidate is to blame, else make the next call smaller."""
        out_of_memory = is_out_of_memory(failure)
        if out_of_memory:
            # Whatever the traceback holds on to is what there was no room for.
            failure = failure.with_traceback(None)
            failure.__context__ = None
            free_memory()
        if len(group) > 1:
            if out_of_memory:
                self._sizes.ran_out(group[0].recipe, len(group))
            else:
                _log.warning("%s: a call of %d failed and is made one by one: %r", self.card.id, len(group), failure)
                ticket.alone.update(one.position for one in group)
            return
        if out_of_memory:
            raise OutOfMemory(str(failure), alone=True) from failure
        raise failure

    def _group(self, ticket: _Ticket, position: int) -> list[_Prepared]:
        """The candidate at ``position`` and those after it that share its call, as many as fit."""
        first = self._prepared(ticket, position)
        batches = self.resident.kind.batches and position not in ticket.alone
        most = self._sizes.of(first.recipe) if batches else 1
        group = [first]
        common = _common(ticket.recipes[position])
        for other in range(position + 1, min(position + LOOKAHEAD * most, len(ticket.recipes))):
            if len(group) == most:
                break
            if other in ticket.made or other in ticket.alone or _common(ticket.recipes[other]) != common:
                continue
            try:
                prepared = self._prepared(ticket, other)
            except Exception:  # noqa: BLE001, S112 - it is that candidate's own, and is raised when its turn comes
                continue
            if prepared.shape == first.shape:
                group.append(prepared)
        return group

    def _prepared(self, ticket: _Ticket, position: int) -> _Prepared:
        given = ticket.recipes[position]
        named = {self._arguments.get(name, name): value for name, value in given.parameters.items()}
        recipe = replace(given, parameters=named)
        inputs = self._inputs(recipe, ticket.parents)
        resident = self.resident
        arguments = resident.kind.arguments(resident.pipeline, recipe, inputs)
        if unheard := sorted(arguments.keys() & named.keys()):
            raise ValueError(f"{', '.join(unheard)}: set by the farm for {recipe.role}, so no parameter can set it")
        call = {**resident.embeddings.of(recipe), **arguments}
        return _Prepared(position, recipe, call, shape_of(call))

    def _inputs(self, recipe: Recipe, parents: Parents) -> Inputs:
        if recipe.role not in self.card.roles:
            raise ValueError(f"{self.card.id} has no role {recipe.role}; it has {', '.join(self.card.roles)}")
        missing = [parent for parent in recipe.parents if parent not in parents]
        if missing:
            raise ValueError(f"candidate {recipe.candidate_id} needs frames of {', '.join(missing)}")
        given = (parents[parent] for parent in recipe.parents)
        own_size = recipe.role == "upscale"
        return Inputs(
            parents=tuple(shown(frames) if own_size else fitted(frames, recipe.size) for frames in given),
            guides=self._guides(recipe),
            references=self._references(recipe),
        )

    def _guides(self, recipe: Recipe) -> dict[str, Frames]:
        if not recipe.guides:
            return {}
        from ancestra_farm.models.guides.frames import guide_frames  # noqa: PLC0415 - decoders, where guides are used

        return guide_frames(recipe, self._materials)

    def _references(self, recipe: Recipe) -> tuple[Frames, ...]:
        if not recipe.guides:
            return ()
        from ancestra_farm.models.guides.frames import references_of  # noqa: PLC0415 - as above

        return references_of(recipe, self._materials)

    def _call(self, group: list[_Prepared], aborted: Callable[[], bool]) -> list[Frames]:
        """One call of the pipeline; frames in the order of the group. Raises `Aborted` between steps."""
        import torch  # noqa: PLC0415 - loaded with the pipeline

        resident, first = self.resident, group[0].recipe
        pipeline, kind = resident.pipeline, resident.kind
        self._use_look(first)
        each = [one.call for one in group]
        arguments = kind.merge(each) if kind.merge is not None else each[0]
        # On the CPU, whatever the device is: the same seed is the same noise on every machine.
        dice = [torch.Generator("cpu").manual_seed(one.recipe.seed) for one in group]
        pipeline.scheduler = resident.schedules.fresh(first.rung)
        call = {"output_type": "pt", **first.parameters, **arguments, **_between_steps(pipeline, first, aborted)}
        watched = resident.looks.watched() if resident.looks is not None else nullcontext()
        try:
            with watched:
                output = pipeline(**call, generator=dice if len(dice) > 1 else dice[0])
        except BaseException:
            pipeline.maybe_free_model_hooks()
            raise
        frames = kind.frames(output)
        _check_shapes(group, frames)
        return frames

    def _use_look(self, recipe: Recipe) -> None:
        """Put the look of a call on the pipeline, or take the last one off."""
        resident = self.resident
        if resident.looks is None:
            if recipe.look is None:
                return
            from ancestra_farm.models.diffusion.looks import Looks  # noqa: PLC0415 - imports torch
            from ancestra_farm.models.looks.adapter import pinned_base  # noqa: PLC0415

            resident.looks = Looks(resident.pipeline, self._materials, pinned_base(self.card))
        resident.looks.use(recipe.look, recipe.look_weight)

    @property
    def resident(self) -> "_Resident":
        """What `setup` loaded. Raises RuntimeError before it."""
        if self._resident is None:
            raise RuntimeError(f"{self.card.id} was asked for candidates before it was set up")
        return self._resident

    # ---- warming up ---------------------------------------------------------------------------------------------

    def _warm_up(self) -> None:
        """Make one small candidate of the first role that needs nothing but words and pictures."""
        for role in self.card.roles:
            recipe = self._warm_up_recipe(role)
            grey = np.full((max(recipe.frames, 1), recipe.size[1], recipe.size[0], 3), 128, np.uint8)
            parents: Parents = dict.fromkeys(recipe.parents, grey)
            ticket = _Ticket([recipe], parents, lambda: False, {}, set())
            try:
                self._prepared(ticket, 0)
            except ValueError:
                # A role that starts from a guide: there is none to make up.
                continue
            self._make(ticket, 0)
            return

    def _warm_up_recipe(self, role: str) -> Recipe:
        card = self.card
        parameters: dict[str, Scalar] = dict(effective_parameters(card, "full", {}, {}))
        by_argument = {argument: name for name, argument in self._arguments.items()}
        steps = by_argument.get("num_inference_steps")
        if steps is not None:
            strength = float(parameters.get(by_argument.get("strength", ""), 1.0)) or 1.0
            least = card.parameters[steps].min or 0
            parameters[steps] = max(math.ceil(WARM_UP_STEPS / strength), math.ceil(least))
        grid = card.frames if role not in STILL_ROLES else None
        frames = (grid.at_least(grid.min) or 1) if grid is not None else 1
        rung: Rung = "full"
        return Recipe(
            candidate_id="warm-up", seed=0, shot="", stage="", segment=0, variant="", index=0, rung=rung, role=role,
            prompt="", negative="", model=card.id, model_digest="", look=None, look_weight=1.0, guides=(),
            parameters=parameters, size=card.sizes.default, frames=frames, rate=Fraction(card.rate or 1),
            context_frames=1 if role == "extend" else 0,
            parents=tuple(f"warm-up-{number}" for number in range(INPUTS_OF_ROLE[role])),
        )  # fmt: skip


def _common(recipe: Recipe) -> tuple[object, ...]:
    """What candidates must have in common before anything of them is prepared."""
    look = (recipe.look, recipe.look_weight) if recipe.look else None
    settings = tuple(sorted(recipe.parameters.items()))
    return (recipe.role, recipe.rung, recipe.size, recipe.frames, recipe.context_frames, look, settings)


def _between_steps(pipeline: Pipeline, recipe: Recipe, aborted: Callable[[], bool]) -> dict[str, Any]:
    """The arguments by which a pipeline asks between its steps whether to go on; the last time before it decodes."""
    taken = takes(type(pipeline).__call__)

    def ask(*_: object) -> dict[str, Any]:
        if aborted():
            raise Aborted(recipe.candidate_id)
        return {}

    if "callback_on_step_end" in taken:
        return {"callback_on_step_end": ask, "callback_on_step_end_tensor_inputs": []}
    return {"callback": ask, "callback_steps": 1} if "callback" in taken else {}


def _check_shapes(group: list[_Prepared], frames: list[Frames]) -> None:
    """Raises RuntimeError where a pipeline made another number, size or length than it was asked for."""
    if len(frames) != len(group):
        raise RuntimeError(f"the pipeline made {len(frames)} candidates of {len(group)}")
    for one, picture in zip(group, frames, strict=True):
        width, height = one.recipe.size
        wanted = (one.recipe.frames, height, width, 3)
        if picture.shape != wanted:
            raise RuntimeError(f"the pipeline made frames of shape {picture.shape}; the recipe asks for {wanted}")


__all__ = ["DiffusersGenerator", "ModelRefused"]
