"""What an hour of a host costs: from the farm's node types and what a model needs.

A node's price is shared by as many hosts of the model as it holds. Which type a host will come up on is not known
beforehand, so that the cheapest one it fits on is taken; the type it did come up on, where that is known, is better.
What must not be passed (`purse`) is reckoned with the dearest.
What nodes cost while nothing runs on them is no host's: `farm.nodes` counts it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.farm_settings import FarmSettings
from ancestra_farm.scheduler.placement import hosts_on, needs_of


@dataclass(frozen=True, slots=True)
class HostPrice:
    """What one host of a model costs. ``per_hour``: in the farm's currency, on ``node_type``."""

    node_type: str
    per_hour: float


def price_of(card: ModelCard, farm: FarmSettings, node_type: str = "") -> HostPrice | None:
    """The price of a host of this model, on ``node_type`` or else where it is cheapest; None where it fits nowhere.

    None also where the farm has no node types: nothing is known of prices then.
    """
    return min(_prices(card, farm, node_type), key=lambda price: price.per_hour, default=None)


def dearest_price(card: ModelCard, farm: FarmSettings) -> HostPrice | None:
    """The price of a host of this model where it is dearest: what it costs at most, wherever it comes up."""
    return max(_prices(card, farm), key=lambda price: price.per_hour, default=None)


def _prices(card: ModelCard, farm: FarmSettings, node_type: str = "") -> list[HostPrice]:
    needs = needs_of(card)
    return [
        HostPrice(name, kind.price_per_hour / hosts)
        for name, kind in farm.node_types.items()
        if node_type in ("", name) and (hosts := hosts_on(needs, kind))
    ]


def prices_of(cards: Mapping[str, ModelCard], farm: FarmSettings) -> dict[str, HostPrice]:
    """The price of a host of each model that fits somewhere, by model id."""
    found = {model: price_of(card, farm) for model, card in cards.items()}
    return {model: price for model, price in found.items() if price is not None}
