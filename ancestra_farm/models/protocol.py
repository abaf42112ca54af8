"""What generates: the one protocol that every model family speaks to a host."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ancestra_farm.plan.recipe import Recipe

#: uint8 [T, H, W, 3], display-referred sRGB, or float32 of the same shape in [0, 1] (NaN marks a broken output).
Frames = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Made:
    """One generated candidate. ``frames``: see `Frames`. ``generate_s``: its device seconds, its share of a batch."""

    recipe: Recipe
    frames: Frames
    generate_s: float


class Aborted(Exception):
    """Raised inside a generator, between steps, when the abort flag is up. What was yielded before stays good."""


class OutOfMemory(Exception):
    """The device ran out of memory at this batch size; the scheduler tries once more, smaller.

    ``alone``: the generator had this candidate in a call of its own, so handing it fewer at once would not help.
    """

    def __init__(self, message: str = "", *, alone: bool = False) -> None:
        super().__init__(message)
        self.alone = alone


class Generator(Protocol):
    """A model on a device. Built from a card without loading anything; `setup` loads."""

    def setup(self) -> None:
        """Load weights onto the device and warm up. Raises on anything wrong: files, digests, memory."""

    def generate(
        self, recipes: Sequence[Recipe], parents: dict[str, Frames], aborted: Callable[[], bool]
    ) -> Iterator[Made]:
        """Make the candidates in order, one `Made` each, however they are batched inside.

        ``parents``: decoded frames by candidate id for every id the recipes name. ``aborted`` is asked between steps
        and raises `Aborted` from here when true. Each candidate has its own random generator seeded by its recipe, so
        neighbours never change a picture. An exception is that of the candidate after the last one yielded.
        """

    def close(self) -> None:
        """Free the device."""
