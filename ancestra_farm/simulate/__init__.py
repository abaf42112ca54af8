"""The same scheduler in virtual time: thousands of devices, seeded faults, nothing made and nothing written."""

from ancestra_farm.simulate.report import Report
from ancestra_farm.simulate.run import simulate
from ancestra_farm.simulate.scenario import NodeKind, Scenario, ScenarioRefused

__all__ = ["NodeKind", "Report", "Scenario", "ScenarioRefused", "simulate"]
