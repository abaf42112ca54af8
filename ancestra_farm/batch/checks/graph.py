"""Stages as a graph: where each starts from, whether that suits its role, and what a shot may go without."""

from ancestra_farm.batch.card import INPUTS_OF_ROLE
from ancestra_farm.batch.checks.findings import Findings
from ancestra_farm.batch.problems import DocumentPath, did_you_mean, listed
from ancestra_farm.batch.schema import Shot

#: Roles that start from a picture; from a clip they could only take one frame of it, and nobody said which.
_FROM_STILLS = frozenset({"image_to_image", "image_to_video", "first_last_frame"})
#: Roles that start from a clip.
_FROM_CLIPS = frozenset({"extend", "interpolate", "video_to_video"})


def check_graph(findings: Findings) -> None:
    """Sources, circles, joins, what shots skip or change, and what is delivered."""
    for name in findings.batch.stages:
        _check_source(findings, name)
        _check_join(findings, name)
    _check_circles(findings)
    for index, shot in enumerate(findings.batch.shots):
        if shot.skip or shot.stages:
            _check_shot(findings, index, shot)
    _check_delivery(findings)


def _check_source(findings: Findings, name: str) -> None:
    stages = findings.batch.stages
    spec = stages[name]
    path = ("stages", name, "from")
    if not findings.located.is_sound(("stages", name, "role")):
        return
    wanted = INPUTS_OF_ROLE[spec.role]
    if spec.source is None:
        if wanted:
            others = [other for other in stages if other != name]
            hint = f"add from: with one of {listed(others)}" if others else "add the stage that makes it, and from:"
            findings.add(("stages", name), f"a stage of role {spec.role} starts from another stage's survivors", hint)
        return
    if not wanted:
        hint = "remove from:, or take a role that starts from a picture or clip"
        findings.add(path, f"{spec.role} starts from words alone, and takes nothing from {spec.source!r}", hint)
    if spec.source not in stages:
        others = [other for other in stages if other != name]
        findings.add(path, f"there is no stage {spec.source!r}", did_you_mean(spec.source, others, "other stages"))
        return
    clips = findings.makes_clips(spec.source)
    if clips is True and spec.role in _FROM_STILLS:
        hint = "start from a stage that makes stills" + (", or use extend" if spec.role == "image_to_video" else "")
        findings.add(path, f"{spec.role} starts from stills, and {spec.source} makes clips", hint)
    if clips is False and spec.role in _FROM_CLIPS:
        hint = "start from a stage that makes clips" + (", or use image_to_video" if spec.role == "extend" else "")
        findings.add(path, f"{spec.role} starts from clips, and {spec.source} makes stills", hint)


def _check_join(findings: Findings, name: str) -> None:
    spec = findings.batch.stages[name]
    if spec.join == "keyframes" and spec.role != "first_last_frame":
        message = f"join: keyframes needs the role first_last_frame, not {spec.role}"
        findings.add(("stages", name, "join"), message, "change the role, or join: chain")


def _check_circles(findings: Findings) -> None:
    """Each circle once, at the first of its stages."""
    stages = findings.batch.stages
    done: set[str] = set()
    for start in stages:
        trail: list[str] = []
        at: str | None = start
        while at is not None and at in stages and at not in done and at not in trail:
            trail.append(at)
            at = stages[at].source
        if at in trail:
            circle = trail[trail.index(at) :]
            first = min(circle, key=list(stages).index)
            turned = circle[circle.index(first) :] + circle[: circle.index(first)]
            message = f"stages start from each other in a circle: {' ← '.join([*turned, first])}"
            findings.add(("stages", first, "from"), message, "one of them starts from words alone")
        done.update(trail)


def _check_shot(findings: Findings, index: int, shot: Shot) -> None:
    stages = findings.batch.stages
    path: DocumentPath
    for number, name in enumerate(shot.skip):
        if name not in stages:
            path = ("shots", index, "skip", number)
            findings.add(path, f"there is no stage {name!r}", did_you_mean(name, stages, "stages"))
    for name in shot.stages:
        path = ("shots", index, "stages", name)
        if name not in stages:
            findings.add(path, f"there is no stage {name!r}", did_you_mean(name, stages, "stages"))
        elif name in shot.skip:
            findings.add(path, f"the shot skips {name}, and changes it too", "do one of the two")
    for name, spec in stages.items():
        if name not in shot.skip and spec.source in shot.skip and spec.source in stages:
            path = ("shots", index, "skip", shot.skip.index(spec.source))
            findings.add(path, f"{name} starts from {spec.source}, which this shot skips", f"skip {name} too")
    if all(name in shot.skip for name in stages):
        findings.add(("shots", index, "skip"), "the shot skips every stage", "leave one, or remove the shot")


def _check_delivery(findings: Findings) -> None:
    deliver, stages = findings.batch.deliver, findings.batch.stages
    if deliver.stage is not None:
        if deliver.stage not in stages:
            hint = did_you_mean(deliver.stage, stages, "stages")
            findings.add(("deliver", "stage"), f"there is no stage {deliver.stage!r}", hint)
        return
    told: set[tuple[str, ...]] = set()
    for shot in findings.batch.shots:
        made = [name for name in stages if name not in shot.skip]
        sources = {stages[name].source for name in made}
        ends = tuple(name for name in made if name not in sources and findings.makes_clips(name))
        if len(ends) > 1 and ends not in told:
            told.add(ends)
            message = f"{listed(ends, 'and')} each end in clips, and only one stage is delivered"
            findings.add(("deliver",), message, f"name it: deliver: {{stage: {ends[-1]}}}")
