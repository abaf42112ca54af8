"""What shots follow: of their own batch, it has to be there. Other batches are looked for when a batch is submitted."""

from ancestra_farm.batch.checks.findings import Findings
from ancestra_farm.batch.problems import DocumentPath, did_you_mean
from ancestra_farm.batch.schema import After


def check_after(findings: Findings) -> None:
    """Shots and stages that are named under ``after``, and shots that would wait for themselves."""
    batch = findings.batch
    for number, after in enumerate(batch.after or ()):
        path: DocumentPath = ("after", number)
        if after.batch in {None, batch.batch}:
            message = "a batch cannot wait for its own picks before it begins"
            findings.add(path, message, "name another batch, or say after: of one of its shots")
    for index, shot in enumerate(batch.shots):
        for number, after in enumerate(shot.after or ()):
            if after.batch in {None, batch.batch}:
                _check_own(findings, ("shots", index, "after", number), shot.shot, after)


def _check_own(findings: Findings, path: DocumentPath, own: str, after: After) -> None:
    names = [shot.shot for shot in findings.batch.shots]
    if after.shot is not None and after.shot == own:
        findings.add((*path, "shot"), "a shot cannot wait for its own picks before it begins", "name another shot")
    elif after.shot is not None and after.shot not in names:
        hint = did_you_mean(after.shot, names, "shots")
        findings.add((*path, "shot"), f"the batch has no shot {after.shot!r}", hint)
    if after.stage is not None and after.stage not in findings.batch.stages:
        hint = did_you_mean(after.stage, findings.batch.stages, "stages")
        findings.add((*path, "stage"), f"the batch has no stage {after.stage!r}", hint)
