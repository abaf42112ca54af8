"""Tells a whole story: a scenario in, a report out."""

import gc
import time
from collections.abc import Callable

from ancestra_farm.simulate.farm import VirtualFarm
from ancestra_farm.simulate.report import Report, report_of
from ancestra_farm.simulate.scenario import Scenario

#: Happenings between two words of progress.
STEPS = 2000

Progress = Callable[[VirtualFarm], None]


def simulate(scenario: Scenario, progress: Progress = lambda _farm: None) -> Report:
    """The report of a scenario's story. Raises LawBroken where the scheduler does what it must not."""
    return told(scenario, progress)[1]


def told(scenario: Scenario, progress: Progress = lambda _farm: None) -> tuple[VirtualFarm, Report]:
    """As `simulate`, with the farm as it is at the end."""
    before = time.perf_counter()
    farm = VirtualFarm(scenario)
    farm.begin()
    # What a story makes is kept to its end, in millions of small values: looking for cycles in them finds none.
    collecting = gc.isenabled()
    gc.disable()
    try:
        while farm.run(STEPS):
            progress(farm)
    finally:
        if collecting:
            gc.enable()
    return farm, report_of(farm, time.perf_counter() - before)
