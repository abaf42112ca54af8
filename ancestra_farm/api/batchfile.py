"""A batch file as commands and farm take it in: checked against the model cards and filters, and planned."""

from pathlib import Path

from ancestra_farm.batch.check import checked_batch
from ancestra_farm.filters.settings import default_settings, ranking_scores
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.plan.plan import Plan, PlanRefused


def planned(file: Path, cards: Path | None) -> Plan:
    """The plan of a batch file. Raises BatchRefused with every problem, CatalogRefused, PlanRefused."""
    catalog = load_catalog(cards)
    plan = Plan.of(checked_batch(file, catalog, default_settings(), ranking_scores()), catalog)
    problems = list(plan.problems())
    if problems:
        raise PlanRefused("; ".join(problems))
    return plan
