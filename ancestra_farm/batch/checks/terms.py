"""What a batch asks of its surroundings: budget, names that become files, and sources that are read."""

from ancestra_farm.batch.checks.findings import Findings, StageUse
from ancestra_farm.batch.problems import DocumentPath
from ancestra_farm.batch.urls import check_source_url


def check_terms(findings: Findings) -> None:
    """Budget, names and sources."""
    _check_budget(findings)
    _check_names(findings)
    _check_sources(findings)


def least_candidates(use: StageUse) -> int:
    """How many candidates a stage releases at the very least, if it starts: one input, and the earliest stop."""
    spec = use.spec
    return spec.candidates if spec.keep == "all" else min(spec.keep, spec.candidates)


def _check_budget(findings: Findings) -> None:
    allowed = findings.batch.budget.candidates
    if allowed is None or not findings.located.is_sound(("stages",)) or not findings.located.is_sound(("shots",)):
        return
    shots = findings.batch.shots
    asked = sum(least_candidates(use) for index, shot in enumerate(shots) for use in findings.uses_of(index, shot))
    if asked > allowed:
        message = f"the budget of {allowed:,} candidates is smaller than what the shots ask for, at least {asked:,}"
        findings.add(("budget", "candidates"), message, f"raise it to {asked:,} or more, or ask for fewer candidates")


def _check_names(findings: Findings) -> None:
    """Names become folders, and not every file system tells A from a."""
    first: dict[str, str] = {}
    for index, shot in enumerate(findings.batch.shots):
        other = first.setdefault(shot.shot.casefold(), shot.shot)
        if other != shot.shot:
            message = f"{shot.shot!r} differs from {other!r} only in upper and lower case"
            findings.add(("shots", index, "shot"), message, "they become folders; give one another name")


def _check_sources(findings: Findings) -> None:
    for name, look in findings.batch.looks.items():
        _check_source(findings, ("looks", name, "source"), look.source)
    for index, shot in enumerate(findings.batch.shots):
        for number, guide in enumerate(shot.guides):
            _check_source(findings, ("shots", index, "guides", number, "source"), guide.source)


def _check_source(findings: Findings, path: DocumentPath, source: str) -> None:
    try:
        check_source_url(source)
    except ValueError as error:
        findings.add(path, str(error))
