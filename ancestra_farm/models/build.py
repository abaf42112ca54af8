"""From a model card to the generator that runs it. Families are imported when one is asked for, never before."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.schema import Stage

if TYPE_CHECKING:
    from ancestra_farm.models.protocol import Generator  # needs numpy, and a batch is checked without


class FamilyMissing(Exception):
    """No code here runs the family of this card."""


Materials = Callable[[str], Path]
"""Where the file with a digest (``sha256:…``) lies on this machine, fetched from the store if it must be.

Raises what the store raises where it cannot be had.
"""


def no_materials(digest: str) -> Path:
    """For generators without a store behind them: there is no such file."""
    raise FileNotFoundError(f"no file with the digest {digest} here")


def stage_faults(
    card: ModelCard,
    stage: Stage,
    negative: bool,  # noqa: FBT001 - a fact of the stage
    guides: frozenset[str] = frozenset(),
) -> list[str]:
    """What a stage asks of a model that the code here that runs it does not have, as sentences, before it is loaded.

    ``negative``: whether it has a negative prompt. ``guides``: the kinds of guides that a shot gives it.
    """
    if card.family in {"diffusers", "embedded"}:
        from ancestra_farm.models.diffusion import check  # noqa: PLC0415 - reads the source of diffusers

        return check.stage_faults(card, stage, negative=negative, guides=guides)
    if card.family == "optical":
        from ancestra_farm.models.optical.check import card_faults  # noqa: PLC0415 - where a batch has such a stage

        return card_faults(card)
    return []


def build_generator(card: ModelCard, materials: Materials = no_materials) -> "Generator":
    """The generator for a card, nothing loaded yet. Raises `FamilyMissing` where this farm cannot run its family.

    ``materials``: where looks and guides are read from.
    """
    if card.family == "procedural":
        from ancestra_farm.models.procedural.generator import ProceduralGenerator  # noqa: PLC0415 - needs numpy and OpenCV

        return ProceduralGenerator(card)
    if card.family == "optical":
        from ancestra_farm.models.optical.generator import OpticalGenerator  # noqa: PLC0415 - needs numpy and OpenCV

        return OpticalGenerator(card)
    if card.family in {"diffusers", "embedded"}:
        from ancestra_farm.models.diffusion.generator import DiffusersGenerator  # noqa: PLC0415 - needs OpenCV

        return DiffusersGenerator(card, materials)
    raise FamilyMissing(f"{card.id}: there is no code here that runs models of the family {card.family}")
