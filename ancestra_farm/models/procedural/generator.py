"""The procedural family as a generator: recipes in, pictures and clips out, with planted faults and test knobs."""

import os
import time
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

from ancestra_farm.batch.card import STILL_ROLES, ModelCard
from ancestra_farm.models.procedural import clips, faults, scenes
from ancestra_farm.models.protocol import Aborted, Frames, Made, OutOfMemory
from ancestra_farm.plan.recipe import Recipe

#: A waiting candidate asks whether it is aborted this often.
_STEP_S = 0.02


class ProceduralGenerator:
    """Draws candidates one after another on one CPU core. Nothing but the recipe and its parents decides a picture."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card

    def setup(self) -> None:
        """Make the shared textures and draw one picture of each subject, so that the first candidate costs no more."""
        cv2.setNumThreads(1)
        scenes.warm_up(self.card.sizes.default)

    def generate(
        self, recipes: Sequence[Recipe], parents: dict[str, Frames], aborted: Callable[[], bool]
    ) -> Iterator[Made]:
        """Make the candidates in order; see `Generator.generate`. ``aborted`` is asked between frames.

        Raises ValueError for a role the card does not have, a missing parent, or a context longer than the parent.
        """
        most = int(self._parameter(recipes[0], "oom_above")) if recipes else 0
        if most and len(recipes) > most:
            raise OutOfMemory(f"{len(recipes)} candidates at once do not fit; {most} do (oom_above)")
        for recipe in recipes:
            started = time.perf_counter()
            self._trip(recipe)
            self._wait(recipe, started, aborted)
            frames = self._made(recipe, parents, aborted)
            yield Made(recipe, frames, time.perf_counter() - started)

    def close(self) -> None:
        """Nothing is held."""

    def _parameter(self, recipe: Recipe, name: str) -> float:
        value = recipe.parameters.get(name, self.card.parameters[name].default)
        return float(value)

    def _trip(self, recipe: Recipe) -> None:
        """The knobs that make a candidate fail on purpose, for tests of a farm."""

        def due(name: str) -> bool:
            modulo = int(self._parameter(recipe, name))
            return modulo > 0 and recipe.seed % modulo == 0

        if due("crash_modulo"):
            os._exit(70)  # EX_SOFTWARE; no cleanup, as a segmentation fault would leave none
        if due("fail_modulo"):
            raise RuntimeError(f"seed {recipe.seed} fails on purpose (fail_modulo)")
        while due("hang_modulo"):
            time.sleep(3600)

    def _wait(self, recipe: Recipe, started: float, aborted: Callable[[], bool]) -> None:
        until = started + self._parameter(recipe, "delay_s")
        while True:
            if aborted():
                raise Aborted(recipe.candidate_id)
            left = until - time.perf_counter()
            if left <= 0:
                return
            time.sleep(min(left, _STEP_S))

    def _made(self, recipe: Recipe, parents: dict[str, Frames], aborted: Callable[[], bool]) -> Frames:
        pictures: list[np.ndarray] = []
        planted = faults.planted_fault(recipe)
        for picture in self._pictures(recipe, parents, planted):
            if pictures and aborted():
                raise Aborted(recipe.candidate_id)
            pictures.append(picture)
        frames: Frames = np.stack(pictures)
        if planted is None:
            return frames
        return faults.plant(frames, *planted, faults.fault_rng(recipe.seed), faults.kept_frames(recipe))

    def _pictures(
        self, recipe: Recipe, parents: dict[str, Frames], planted: faults.Planted | None
    ) -> Iterator[np.ndarray]:
        """The clean frames of a candidate, one by one."""
        if recipe.role not in self.card.roles:
            raise ValueError(f"{self.card.id} has no role {recipe.role}; it has {', '.join(self.card.roles)}")
        missing = [parent for parent in recipe.parents if parent not in parents]
        if missing:
            raise ValueError(f"candidate {recipe.candidate_id} needs frames of {', '.join(missing)}")
        seed, rate = faults.pictured_seed(recipe, planted), float(recipe.rate)
        given = [clips.fitted(parents[parent], recipe.size) for parent in recipe.parents]
        if recipe.role in STILL_ROLES:
            if given:
                strength = self._parameter(recipe, "strength")
                return iter([clips.restyled(given[0][-1], recipe.prompt, seed, strength)])
            draw = scenes.crop if recipe.parameters.get("crop") else scenes.still
            return iter([draw(recipe.prompt, seed, recipe.size)])
        moving = self._parameter(recipe, "motion")
        if recipe.role == "first_last_frame":
            if len(given) != 2:
                raise ValueError(f"first_last_frame starts from two pictures, not {len(given)}")
            return clips.between(recipe.prompt, seed, given[0][-1], given[1][0], recipe.frames, rate, moving)
        if given:
            context = max(recipe.context_frames, 1)
            return clips.continued(recipe.prompt, seed, given[0], recipe.frames, context, rate, moving)
        if recipe.role != "text_to_video":
            raise ValueError(f"{recipe.role} starts from a parent; this recipe names none")
        return scenes.take(recipe.prompt, seed, recipe.size, recipe.frames, rate, moving)
