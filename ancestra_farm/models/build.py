"""From a model card to the generator that runs it. Families are imported when one is asked for, never before."""

from collections.abc import Callable
from pathlib import Path

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.models.protocol import Generator


class FamilyMissing(Exception):
    """No code here runs the family of this card."""


Materials = Callable[[str], Path]
"""Where the file with a digest (``sha256:…``) lies on this machine, fetched from the store if it must be.

Raises what the store raises where it cannot be had.
"""


def no_materials(digest: str) -> Path:
    """For generators without a store behind them: there is no such file."""
    raise FileNotFoundError(f"no file with the digest {digest} here")


def build_generator(card: ModelCard, materials: Materials = no_materials) -> Generator:  # noqa: ARG001 - for diffusers
    """The generator for a card, nothing loaded yet. Raises `FamilyMissing` where this farm cannot run its family.

    ``materials``: where looks and guides are read from.
    """
    if card.family == "procedural":
        from ancestra_farm.models.procedural.generator import ProceduralGenerator  # noqa: PLC0415 - needs numpy and OpenCV

        return ProceduralGenerator(card)
    if card.family == "optical":
        from ancestra_farm.models.optical.generator import OpticalGenerator  # noqa: PLC0415 - needs numpy and OpenCV

        return OpticalGenerator(card)
    raise FamilyMissing(f"{card.id}: models of the family {card.family} cannot be run yet; procedural ones can")
