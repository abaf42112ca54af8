"""A batch against everything that can be known before a GPU is used: model cards, filters, scores, and itself.

All problems of a file come at once, those of its schema and those found here. Whether there is a GPU or quota is not
looked at; material at its sources only where it is said where to look.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from ancestra_farm.batch.base import Scalar
from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.checks.after import check_after
from ancestra_farm.batch.checks.findings import Findings, StageFaults, no_faults
from ancestra_farm.batch.checks.graph import check_graph
from ancestra_farm.batch.checks.judging import check_judging
from ancestra_farm.batch.checks.lengths import check_lengths
from ancestra_farm.batch.checks.materials import Surroundings, check_guide_kinds, check_materials
from ancestra_farm.batch.checks.models import check_models
from ancestra_farm.batch.checks.rights import check_rights
from ancestra_farm.batch.checks.sizes import check_sizes
from ancestra_farm.batch.checks.terms import check_terms
from ancestra_farm.batch.checks.words import check_prompts
from ancestra_farm.batch.document import Document, read_file, read_text
from ancestra_farm.batch.load import LocatedBatch, locate_batch
from ancestra_farm.batch.materials import Material, with_materials
from ancestra_farm.batch.problems import BatchRefused, Problem, by_line
from ancestra_farm.batch.schema import Batch


def check_batch(
    source: LocatedBatch,
    cards: Mapping[str, ModelCard],
    filters: Mapping[str, Mapping[str, Scalar]],
    scores: Collection[str],
    stage_faults: StageFaults = no_faults,
) -> list[Problem]:
    """What is wrong with a batch beyond its schema, in the order of the file; its material is not looked at.

    ``cards``: model cards by id. ``filters``: each filter's settings with their defaults, by filter. ``scores``: the
    names a stage may rank by. ``stage_faults``: what the code that runs the models says of stages. Nothing is said
    about places where the schema is already broken.
    """
    if source.batch is None:
        return []
    findings = Findings(source, source.batch, cards, filters, scores, stage_faults)
    _check(findings)
    return by_line(findings.problems)


def checked_batch(
    path: Path | str,
    cards: Mapping[str, ModelCard],
    filters: Mapping[str, Mapping[str, Scalar]],
    scores: Collection[str],
    stage_faults: StageFaults = no_faults,
) -> Batch:
    """The batch in a file, if nothing is wrong with it. Raises BatchRefused with every problem, by line."""
    return _checked(read_file(Path(path)), cards, filters, scores, stage_faults)


def checked_with_materials(
    path: Path | str,
    cards: Mapping[str, ModelCard],
    filters: Mapping[str, Mapping[str, Scalar]],
    scores: Collection[str],
    around: Surroundings,
    stage_faults: StageFaults = no_faults,
) -> tuple[Batch, tuple[Material, ...]]:
    """As `checked_batch`, with what the batch names beside itself looked at: (the batch with its digests, the files).

    Each file comes once. Raises BatchRefused with every problem, by line.
    """
    located = locate_batch(read_file(Path(path)))
    if located.batch is None:
        raise BatchRefused(located.problems)
    findings = Findings(located, located.batch, cards, filters, scores, stage_faults)
    _check(findings)
    found = check_materials(findings, around)
    rows = check_rights(findings, around, found)
    problems = by_line([*located.problems, *findings.problems])
    if problems:
        raise BatchRefused(problems)
    files = {material.digest: material for material in found.values()}
    return with_materials(located.batch, found, rows), tuple(files.values())


def checked_text(
    text: str,
    name: str,
    cards: Mapping[str, ModelCard],
    filters: Mapping[str, Mapping[str, Scalar]],
    scores: Collection[str],
    stage_faults: StageFaults = no_faults,
) -> Batch:
    """`checked_batch` of a text; ``name`` stands for the file in problems."""
    return _checked(read_text(text, name), cards, filters, scores, stage_faults)


def _checked(
    document: Document,
    cards: Mapping[str, ModelCard],
    filters: Mapping[str, Mapping[str, Scalar]],
    scores: Collection[str],
    stage_faults: StageFaults,
) -> Batch:
    located = locate_batch(document)
    problems = by_line([*located.problems, *check_batch(located, cards, filters, scores, stage_faults)])
    if problems or located.batch is None:
        raise BatchRefused(problems)
    return located.batch


def _check(findings: Findings) -> None:
    checks = (
        check_graph,
        check_after,
        check_models,
        check_guide_kinds,
        check_sizes,
        check_lengths,
        check_prompts,
        check_judging,
        check_terms,
    )
    for check in checks:
        check(findings)
