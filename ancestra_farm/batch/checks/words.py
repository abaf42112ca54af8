"""Prompts: templates that can be filled, axes that are used, and no more wordings than anyone can compare."""

from collections import Counter

from ancestra_farm.batch.checks.findings import Findings
from ancestra_farm.batch.problems import DocumentPath, did_you_mean, shown
from ancestra_farm.batch.prompts import MAX_WORDINGS, count_wordings, placeholders
from ancestra_farm.batch.schema import Prompt


def check_prompts(findings: Findings) -> None:
    """Every prompt of the batch: of shots, of stages, and of stages that a shot changes."""
    for name, stage in findings.batch.stages.items():
        if stage.prompt is not None:
            _check_prompt(findings, ("stages", name, "prompt"), stage.prompt)
    for index, shot in enumerate(findings.batch.shots):
        _check_prompt(findings, ("shots", index, "prompt"), shot.prompt)
        for name, change in shot.stages.items():
            if change.prompt is not None:
                _check_prompt(findings, ("shots", index, "stages", name, "prompt"), change.prompt)


def _check_prompt(findings: Findings, path: DocumentPath, prompt: Prompt) -> None:
    if not findings.located.is_sound(path):
        return
    used: set[str] = set()
    malformed = False
    for number, text in enumerate(prompt.texts):
        place = (*path, "text") if isinstance(prompt.text, str) else (*path, "text", number)
        try:
            axes = placeholders(text)
        except ValueError as error:
            findings.add(place, str(error))
            malformed = True
            continue
        used.update(axes)
        for axis in axes:
            if axis not in prompt.axes:
                hint = (
                    did_you_mean(axis, prompt.axes, "axes") if prompt.axes else f"declare it: axes: {{{axis}: [...]}}"
                )
                findings.add(place, f"the template uses {{{axis}}}, which is no declared axis", hint)
        if prompt.texts.index(text) < number:
            findings.add(place, "the same template stands here a second time", "remove it, or word it differently")
    _check_axes(findings, path, prompt, used if not malformed else used | set(prompt.axes))
    if "{" in prompt.negative or "}" in prompt.negative:
        findings.add((*path, "negative"), "the negative prompt has braces", "it is no template; name no axes in it")
    if not malformed and (count := count_wordings(prompt)) > MAX_WORDINGS:
        message = f"the axes multiply to {count:,} wordings"
        findings.add((*path, "axes"), message, f"at most {MAX_WORDINGS:,}; give fewer values")


def _check_axes(findings: Findings, path: DocumentPath, prompt: Prompt, used: set[str]) -> None:
    for axis, values in prompt.axes.items():
        if axis not in used:
            findings.add(
                (*path, "axes", axis), f"no template uses the axis {axis!r}", f"write {{{axis}}} in text, or remove it"
            )
        for value, times in Counter(values).items():
            if times > 1:
                place = (*path, "axes", axis, len(values) - 1 - values[::-1].index(value))
                findings.add(place, f"the value {shown(value)} stands {times} times", "values of an axis differ")
        for number, value in enumerate(values):
            if "{" in value or "}" in value:
                message = f"the value {shown(value)} has braces, which are not replaced inside a value"
                findings.add((*path, "axes", axis, number), message, "use a second axis in the template")
