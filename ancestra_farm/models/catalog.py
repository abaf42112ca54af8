"""The catalogue: which model cards there are. The farm's own in ``models/catalog/``, and a user's from a folder.

Cards are data; nothing heavier than YAML is imported here, so that a batch is checked before any weight is loaded.
"""

from importlib import resources
from pathlib import Path

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.load import load_card


class CatalogRefused(Exception):
    """The catalogue as a whole cannot be used: a folder that is not there, or two cards of one id."""


def load_catalog(extra: Path | None = None) -> dict[str, ModelCard]:
    """Every model card by id: the farm's own, then those in the folder ``extra`` (``*.yaml``, ``*.yml``).

    Raises `CatalogRefused` where ``extra`` is no folder or an id is given twice; a card of one's own never silently
    replaces another. A bad card raises `BatchRefused`, naming its file and line.
    """
    cards: dict[str, ModelCard] = {}
    where: dict[str, str] = {}
    with resources.as_file(resources.files("ancestra_farm.models") / "catalog") as own:
        paths = sorted(own.glob("*.yaml"))
        if extra is not None:
            if not extra.is_dir():
                raise CatalogRefused(f"{extra}: no such folder of model cards")
            paths += sorted(path for path in extra.iterdir() if path.suffix in (".yaml", ".yml"))
        for path in paths:
            card = load_card(path)
            if card.id in cards:
                raise CatalogRefused(f"{path}: the id {card.id} is already taken by {where[card.id]}; give it another")
            cards[card.id] = card
            where[card.id] = path.name
    return cards
