"""A batch file as commands and farm take it in: checked against cards, filters and its own material, and planned."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ancestra_farm.api.wire import Fault
from ancestra_farm.batch.check import checked_text, checked_with_materials
from ancestra_farm.batch.checks.materials import Fault as GuideFault
from ancestra_farm.batch.checks.materials import Length, SourceMissing, Surroundings
from ancestra_farm.batch.materials import Material, digests_in
from ancestra_farm.batch.problems import BatchRefused
from ancestra_farm.batch.schema import SCHEMA, Guide
from ancestra_farm.filters.settings import default_settings, ranking_scores
from ancestra_farm.ledger.errors import StoreError
from ancestra_farm.ledger.materials import fetched_source, missing_materials, put_material
from ancestra_farm.ledger.points import reached
from ancestra_farm.ledger.revoked import revocations
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.uploads import Count, Progressed, untold
from ancestra_farm.models.build import stage_faults
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.plan.plan import Plan, PlanRefused

Told = Callable[[Material, int], None]
"""Told of each file once it is there, and how many of its bytes had to be sent."""


def told_nobody(_material: Material, _sent: int) -> None:
    """For whoever wants to know nothing of files."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch ready to be handed in. ``materials``: the files it names, each once, on this machine."""

    plan: Plan
    materials: tuple[Material, ...]

    def upload(self, store: Store, told: Told = told_nobody, progressed: Progressed = untold) -> None:
        """Put everything the batch names into the store: before the batch itself. Repeatable: what was sent stays.

        Raises PlanRefused for what was revoked in this store, SourceChanged where a file has changed since it was
        checked, StoreUnavailable.
        """
        if taken_back := revoked(store, digests_in(self.plan.document)):
            raise PlanRefused("; ".join(taken_back))
        for material in self.materials:
            count = Count(progressed)
            put_material(store, material.file, material.digest, count)
            reached("materials.after_put")
            told(material, count.sent)


def prepared(file: Path, cards: Path | None) -> Prepared:
    """A batch file, checked with its material. Raises BatchRefused with every problem, CatalogRefused, PlanRefused."""
    catalog = load_catalog(cards)
    around = Surroundings(file.parent, _fetched, _looked_at)
    batch, materials = checked_with_materials(file, catalog, default_settings(), ranking_scores(), around, stage_faults)
    plan = Plan.of(batch, catalog)
    problems = list(plan.problems())
    if problems:
        raise PlanRefused("; ".join(problems))
    return Prepared(plan, materials)


def planned(file: Path, cards: Path | None) -> Plan:
    """The plan of a batch file, its guides' digests filled in. Raises as `prepared`."""
    return prepared(file, cards).plan


def _fetched(url: str, digest: str | None) -> Path:
    try:
        return fetched_source(url, digest)
    except StoreError as error:
        raise SourceMissing(str(error)) from error


def _looked_at(guide: Guide, file: Path, length: Length) -> list[GuideFault]:
    from ancestra_farm.models.guides.check import faults_of  # noqa: PLC0415 - decodes pictures and clips

    return faults_of(guide, file, length)


def revoked(store: Store, named: Mapping[str, str]) -> list[str]:
    """Of what is ``named`` (digest → whose), what somebody took their consent back for, as sentences."""
    if not named:
        return []
    gone = revocations(store)
    return [f"{named[digest]} may not be used: {gone[digest]}" for digest in named if digest in gone]


def lacking(store: Store, document: str) -> list[Fault]:
    """What a sound batch (canonical JSON) names and no host may or could read.

    Revoked, not in the store, or without a digest.
    """
    named = digests_in(document)
    faults = [Fault(place="document", message=message) for message in revoked(store, named)]
    faults += [
        Fault(place="document", message=f"the store has no {named[digest]} ({digest}); `ancestra submit` puts it there")
        for digest in missing_materials(store, named)
    ]
    for shot in json.loads(document)["shots"]:
        for number, guide in enumerate(shot.get("guides", ())):
            if not guide.get("digest"):
                place = f"document.shots.{shot['shot']}.guides[{number}]"
                faults.append(Fault(place=place, message=f"the guide {guide['source']} has no digest"))
    return faults[:50]


def soundness(document: str, cards: Mapping[str, str]) -> list[Fault]:
    """What is wrong with a batch that was handed in as canonical JSON with its cards; nothing, if the farm can run it.

    It is looked at like a batch file: whoever hands it in may not have done so. Takes seconds for thousands of shots.
    """
    try:
        plan = Plan.from_documents(document, cards)
        # Canonical JSON spells out every default, and a default that is spelt out can be a fault (`check_terms`).
        text = plan.batch.model_dump_json(by_alias=True, exclude_defaults=True)
        text = json.dumps({"schema": SCHEMA, **json.loads(text)}, ensure_ascii=False)
        checked_text(text, "document", plan.cards, default_settings(), ranking_scores(), stage_faults)
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
