"""Filters and scores: only ones that exist, with settings of the right type; and how many are kept of how many."""

from ancestra_farm.batch.base import Scalar
from ancestra_farm.batch.checks.findings import Findings, StageUse
from ancestra_farm.batch.problems import did_you_mean, shown
from ancestra_farm.batch.schema import Stage


def check_judging(findings: Findings) -> None:
    """Filters, ranks, ``keep`` and ``best`` of every stage."""
    for use in findings.uses:
        _check_filters(findings, use)
        _check_scores(findings, use)
        _check_counts(findings, use)


def most_inputs(findings: Findings, use: StageUse) -> int | None:
    """The most inputs a stage can get; 1 for a stage without source, None where its source is unknown or a circle."""
    spec = use.spec
    most = 1
    seen: set[str] = set()
    chain: list[Stage] = [spec]
    while chain[-1].source is not None:
        name = chain[-1].source
        if name in seen or name not in findings.batch.stages:
            return None
        seen.add(name)
        chain.append(findings.batch.stages[name])
    for source, taker in zip(reversed(chain[1:]), reversed(chain[:-1]), strict=True):
        made = source.candidates * most
        survivors = made if source.keep == "all" else min(source.keep, made)
        most = survivors if taker.best is None else min(taker.best, survivors)
    return most


def _check_filters(findings: Findings, use: StageUse) -> None:
    for name, settings in use.spec.filters.items():
        path = use.path("filters", name)
        if name not in findings.filters:
            findings.add(path, f"there is no filter {name!r}", did_you_mean(name, findings.filters, "filters"))
            continue
        if isinstance(settings, bool):
            continue
        defaults = findings.filters[name]
        for key, value in settings.items():
            if key not in defaults:
                hint = did_you_mean(key, defaults, f"settings of {name}")
                findings.add((*path, key), f"the filter {name} has no setting {key!r}", hint)
            elif not _same_type(value, defaults[key]):
                message = f"{shown(value)} stands where {_type_words(defaults[key])} belongs"
                findings.add((*path, key), message, f"the default is {shown(defaults[key])}")


def _check_scores(findings: Findings, use: StageUse) -> None:
    if use.spec.rank not in findings.scores:
        hint = did_you_mean(use.spec.rank, findings.scores, "scores")
        findings.add(use.path("rank"), f"there is no score {use.spec.rank!r}", hint)
    draft = use.spec.draft
    if draft is not None and draft.by not in findings.scores:
        hint = did_you_mean(draft.by, findings.scores, "scores")
        findings.add(use.path("draft", "by"), f"there is no score {draft.by!r}", hint)


def _check_counts(findings: Findings, use: StageUse) -> None:
    spec = use.spec
    sound = findings.located.is_sound
    if not (sound(use.path("candidates")) and sound(use.path("keep")) and sound(use.path("best"))):
        return
    inputs = most_inputs(findings, use)
    if spec.keep != "all" and inputs is not None and spec.keep > spec.candidates * inputs:
        made = f"{spec.candidates:,} candidates" + (f" of each of at most {inputs:,} inputs" if spec.source else "")
        findings.add(
            use.path("keep"), f"keep {spec.keep:,} can never be reached with {made}", "keep fewer, or try more"
        )
    if spec.best is None:
        return
    if spec.source is None:
        findings.add(
            use.path("best"), "best chooses among inputs, and this stage has none", "name its source with from:"
        )
        return
    source = findings.batch.stages.get(spec.source)
    if source is not None and source.keep != "all" and spec.best > source.keep:
        message = f"best {spec.best:,} of what {spec.source} keeps, which is {source.keep:,}"
        findings.add(use.path("best"), message, f"at most {source.keep:,}, or let {spec.source} keep more")


def _same_type(value: Scalar, default: Scalar) -> bool:
    """Whether ``value`` may stand for ``default``: the same type, or a whole number for a fraction."""
    if isinstance(value, bool) or isinstance(default, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    return isinstance(value, int | float if isinstance(default, float) else type(default))


def _type_words(default: Scalar) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return words[type(default)]
