"""The settings in force: of the farm and of its shows, and what follows for whose turn it is and what may be spent.

Folded from `SettingsGiven`; without one the defaults hold. Whether settings can be taken, and whether a batch keeps to
them, is decided in `rules`.
"""

from dataclasses import dataclass, field

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.farm_settings import NO_FARM_SETTINGS, FarmSettings, ShowCap, farm_settings_of
from ancestra_farm.batch.schema import PRIORITIES, Priority
from ancestra_farm.batch.show_settings import ShowSettings, show_settings_of
from ancestra_farm.plan.farm_events import SettingsGiven
from ancestra_farm.plan.recipe import digest_of
from ancestra_farm.scheduler.placement import Needs, needs_of
from ancestra_farm.scheduler.prices import dearest_price, price_of
from ancestra_farm.scheduler.share import RANKS

_NO_CAP = ShowCap.model_construct(max_slots=None, max_money=None)

#: Fields of `Settings` that are worked out when they are wanted: they are not in the log.
WORKED_OUT = frozenset({"prices", "dearest", "short"})


@dataclass(slots=True)
class Settings:
    """What was last given. ``farm`` and ``shows`` are read from ``given``: the newest of each, by `key_of`.

    ``spent``: what each show has spent so far, in money, as priced when it was spent. ``standing``: the type of the
    node that a host stands on. ``prices``: per second of a host, by what it needs and node type, as far as they were
    asked for; ``dearest``: wherever it may come up, by what it needs. Not by the digest of its model: that says what
    it makes, and two batches may state other CPUs for it. ``short``: shows whose money does not reach for one more of
    the candidates that wait, with why, as a sentence. That is of this moment and not of the log (see `purse`); who
    begins anew finds it out again.
    """

    given: dict[str, SettingsGiven] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    farm: FarmSettings = NO_FARM_SETTINGS
    shows: dict[str, ShowSettings] = field(default_factory=dict)
    prices: dict[tuple[Needs, str], float] = field(default_factory=dict)
    standing: dict[str, str] = field(default_factory=dict)
    dearest: dict[Needs, float] = field(default_factory=dict)
    short: dict[str, str] = field(default_factory=dict)

    def take(self, given: SettingsGiven) -> None:
        """Put these in place of any before. Raises ValueError for a document that is none."""
        meant = read(given)
        if isinstance(meant, FarmSettings):
            self.farm, self.prices, self.dearest, self.short = meant, {}, {}, {}
        else:
            self.shows[given.name] = meant
        self.given[key_of(given)] = given

    def read_again(self) -> None:
        """Work ``farm`` and ``shows`` out from ``given``. Nothing is known of prices yet, and nobody is short."""
        self.farm, self.shows, self.prices, self.dearest, self.short = NO_FARM_SETTINGS, {}, {}, {}, {}
        for given in list(self.given.values()):
            self.take(given)

    def cap(self, show: str) -> ShowCap:
        """What all batches of a show may have together."""
        return self.farm.show_caps.get(show, _NO_CAP)

    def rank(self, priority: Priority) -> int:
        """The rank of a class; the lowest is served first. Classes that share by weight have that of their first."""
        weighted = self.farm.classes
        if priority not in weighted:
            return RANKS[priority]
        return min(RANKS[name] for name in PRIORITIES if name in weighted)

    def weight(self, show: str, priority: Priority) -> float:
        """By how much the weight of a batch counts: the show's weight, times that of a class that shares by weight."""
        of_show = self.shows.get(show)
        return (1.0 if of_show is None else of_show.weights.get(priority, 1.0)) * self.farm.classes.get(priority, 1.0)

    def pay(self, show: str, card: ModelCard, host: str, device_s: float) -> float:
        """A host of this model was held for so many seconds for a show: what that cost."""
        cost = device_s * self.price_per_s(card, host)
        if cost:
            self.spent[show] = self.spent.get(show, 0.0) + cost
        return cost

    def price_per_s(self, card: ModelCard, host: str) -> float:
        """What a second of a host of this model costs.

        At the price of the node it stands on, where that is known, else where the model is cheapest.
        """
        node_type = self.standing.get(host, "")
        key = (needs_of(card), node_type)
        per_s = self.prices.get(key)
        if per_s is None:
            price = price_of(card, self.farm, node_type) or price_of(card, self.farm)
            per_s = self.prices[key] = 0.0 if price is None else price.per_hour / 3600
        return per_s

    def most_per_s(self, card: ModelCard) -> float:
        """What a second of a host of this model costs at most, wherever it comes up."""
        needs = needs_of(card)
        per_s = self.dearest.get(needs)
        if per_s is None:
            price = dearest_price(card, self.farm)
            per_s = self.dearest[needs] = 0.0 if price is None else price.per_hour / 3600
        return per_s

    def money_left(self, show: str) -> float | None:
        """What a show may still spend, 0 at least; None: as much as it takes."""
        most = self.cap(show).max_money
        return None if most is None else max(0.0, most - self.spent.get(show, 0.0))

    def broke(self, show: str) -> bool:
        """Whether a show has spent all it may, or what is left does not reach for one more candidate."""
        return show in self.short or self.money_left(show) == 0.0


def read(given: SettingsGiven) -> FarmSettings | ShowSettings:
    """What was given. Raises ValueError for a document that is none."""
    return farm_settings_of(given.document) if given.kind == "farm" else show_settings_of(given.document)


def settings_digest(given: SettingsGiven) -> str:
    """What the order says, but for when: 32 hex digits."""
    return digest_of("settings", given.kind, given.name, given.document, given.who).hex()


def key_of(given: SettingsGiven) -> str:
    """What settings take the place of each other: ``farm``, or ``show/NAME``."""
    return given.kind if given.kind == "farm" else f"show/{given.name}"
