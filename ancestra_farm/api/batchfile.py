"""A batch file as commands and farm take it in: checked against the model cards and filters, and planned."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from ancestra_farm.api.wire import Fault
from ancestra_farm.batch.check import checked_batch, checked_text
from ancestra_farm.batch.problems import BatchRefused
from ancestra_farm.batch.schema import SCHEMA
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


def soundness(document: str, cards: Mapping[str, str]) -> list[Fault]:
    """What is wrong with a batch that was handed in as canonical JSON with its cards; nothing, if the farm can run it.

    It is looked at like a batch file: whoever hands it in may not have done so. Takes seconds for thousands of shots.
    """
    try:
        plan = Plan.from_documents(document, cards)
        # Canonical JSON spells out every default, and a default that is spelt out can be a fault (`check_terms`).
        text = plan.batch.model_dump_json(by_alias=True, exclude_defaults=True)
        text = json.dumps({"schema": SCHEMA, **json.loads(text)}, ensure_ascii=False)
        checked_text(text, "document", plan.cards, default_settings(), ranking_scores())
        return [Fault(place="document", message=problem) for problem in plan.problems()]
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return [Fault(place=".".join(map(str, ("document", *one["loc"]))), message=one["msg"]) for one in found[:50]]
    except BatchRefused as refused:
        return [
            Fault(
                place=f"document.{one.path}".rstrip("."),
                message=f"{one.message} ({one.hint})" if one.hint else one.message,
            )
            for one in refused.problems[:50]
        ]
    except (ValueError, PlanRefused) as refused:
        return [Fault(place="document", message=str(refused))]
