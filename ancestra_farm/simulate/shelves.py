"""The store of a story: it takes media, but for the times when it is in trouble. Commits it takes always."""

from ancestra_farm.simulate.chance import Chance, exponential
from ancestra_farm.simulate.clock import BEGIN_S
from ancestra_farm.simulate.scenario import Scenario

#: What it says then.
SAYS = "StoreFull: the simulated disk is full"


class Shelves:
    """When the store takes media. Asked of moments that never go back."""

    def __init__(self, scenario: Scenario) -> None:
        self._faults = scenario.faults
        self._chance = Chance(scenario.seed, "store")
        self._number = 0
        self._begins = self._ends = BEGIN_S
        self.refused = 0

    def take(self, now: float) -> bool:
        """Whether it takes something now. ``refused`` counts how often it did not."""
        if not self._faults.store_troubles_per_hour:
            return True
        while now >= self._ends:
            self._number += 1
            numbers = self._chance.several(self._number)
            self._begins = self._ends + exponential(numbers[0], self._faults.store_troubles_per_hour)
            self._ends = self._begins + 2 * numbers[1] * self._faults.store_trouble_s
        taken = now < self._begins
        self.refused += not taken
        return taken
