"""From a model card to the generator that runs it. Families are imported when one is asked for, never before."""

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.models.protocol import Generator


class FamilyMissing(Exception):
    """No code here runs the family of this card."""


def build_generator(card: ModelCard) -> Generator:
    """The generator for a card, nothing loaded yet. Raises `FamilyMissing` where this farm cannot run its family."""
    if card.family == "procedural":
        from ancestra_farm.models.procedural.generator import ProceduralGenerator  # noqa: PLC0415 - needs numpy and OpenCV

        return ProceduralGenerator(card)
    raise FamilyMissing(f"{card.id}: models of the family {card.family} cannot be run yet; procedural ones can")
