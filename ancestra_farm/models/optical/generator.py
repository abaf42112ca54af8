"""The optical family as a generator: clips brought to another rate, stills and clips made larger.

Nothing is drawn by chance: a recipe's words and seed change nothing here; its size, its reading and its parents do.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from math import floor
from typing import Protocol

import cv2
import numpy as np

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.models.diffusion.pixels import shown
from ancestra_farm.models.optical.between import frame_between, is_cut
from ancestra_farm.models.optical.check import card_faults
from ancestra_farm.models.optical.enlarge import SHARPEN, enlarged
from ancestra_farm.models.optical.flow import Motion, Picture, motion_between
from ancestra_farm.models.protocol import Aborted, Frames, Made
from ancestra_farm.plan.recipe import Recipe


class Method(Protocol):
    """How frames between frames are drawn."""

    def setup(self) -> None:
        """Load what there is to load."""

    def between(self, motion: Motion) -> Callable[[float], Picture]:
        """What draws the frame at a moment in (0, 1) between two frames, uint8 [H, W, 3]."""

    def close(self) -> None:
        """Let go of it."""


class AlongFlow:
    """Frames drawn along the optical flow; nothing to load."""

    def setup(self) -> None:
        """Nothing is loaded."""

    def between(self, motion: Motion) -> Callable[[float], Picture]:
        """See `frame_between`."""
        return lambda moment: frame_between(motion, moment)

    def close(self) -> None:
        """Nothing is held."""


class OpticalGenerator:
    """Interpolates and upscales, one candidate after another. The card's ``pipeline`` says how.

    ``flow``: interpolates along the optical flow; ``rife``: with the network of the extra of that name; ``enlarge``:
    upscales.
    """

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self._method: Method = AlongFlow()
        if faults := card_faults(card):
            raise ValueError(f"{card.id}: {'; '.join(faults)}")
        if card.pipeline == "rife":
            from ancestra_farm.models.optical.rife import Rife  # noqa: PLC0415 - needs torch and the extra

            self._method = Rife(card.runtime.device)

    def setup(self) -> None:
        """Load the network where there is one. Raises `RifeMissing` where its extra is not installed."""
        cv2.setNumThreads(1)
        self._method.setup()

    def generate(
        self, recipes: Sequence[Recipe], parents: dict[str, Frames], aborted: Callable[[], bool]
    ) -> Iterator[Made]:
        """Make the candidates in order; see `Generator.generate`. ``aborted`` is asked between frames.

        Raises ValueError for a role the card does not have, and for a parent that is missing or does not fit.
        """
        for recipe in recipes:
            started = time.perf_counter()
            made = []
            for picture in self._pictures(recipe, parents):
                if aborted():
                    raise Aborted(recipe.candidate_id)
                made.append(picture)
            yield Made(recipe, np.stack(made), time.perf_counter() - started)

    def close(self) -> None:
        """Let go of the network."""
        self._method.close()

    def _pictures(self, recipe: Recipe, parents: dict[str, Frames]) -> Iterator[Picture]:
        if recipe.role not in self.card.roles:
            raise ValueError(f"{self.card.id} has no role {recipe.role}; it has {', '.join(self.card.roles)}")
        if len(recipe.parents) != 1 or recipe.parents[0] not in parents:
            raise ValueError(f"{recipe.role} starts from one clip or still, and {recipe.candidate_id} has not got it")
        given = shown(parents[recipe.parents[0]])
        if recipe.role == "upscale":
            if len(given) != recipe.frames:
                raise ValueError(f"{recipe.frames} frames are wanted of a parent that has {len(given)}")
            sharpen = float(recipe.parameters.get("sharpen", SHARPEN))
            return (enlarged(picture, recipe.size, sharpen) for picture in given)
        return self._between(recipe, given)

    def _between(self, recipe: Recipe, given: Frames) -> Iterator[Picture]:
        """Frames at the recipe's positions: those that fall on a frame are that frame, bit for bit."""
        if recipe.reading is None:
            raise ValueError(f"{recipe.candidate_id}: an interpolation says where its frames lie on its parent's")
        if given.shape[2:0:-1] != recipe.size:
            raise ValueError(
                f"an interpolation keeps the size of its clips, {given.shape[2]} × {given.shape[1]}, and is asked for "
                f"{recipe.size[0]} × {recipe.size[1]}"
            )
        last = recipe.reading.position(recipe.frames - 1)
        if last > len(given) - 1:
            raise ValueError(f"{recipe.frames} frames reach frame {float(last):g} of a parent that has {len(given)}")
        at, draw = -1, None
        for frame in range(recipe.frames):
            position = recipe.reading.position(frame)
            whole = floor(position)
            if position == whole:
                yield given[whole]
                continue
            if draw is None or at != whole:
                at, draw = whole, self._drawn(given[whole], given[whole + 1])
            yield draw(float(position - whole))

    def _drawn(self, one: Picture, other: Picture) -> Callable[[float], Picture]:
        """What draws between two frames. Between the two sides of a cut nothing is drawn: the nearer one is shown."""
        motion = motion_between(one, other)
        if is_cut(motion):
            return lambda moment: one if moment < 0.5 else other
        return self._method.between(motion)
