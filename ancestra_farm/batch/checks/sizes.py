"""Sizes that follow from other stages: an upscale that makes nothing larger, an interpolation that is told a size.

The sizes that stages state for themselves are looked at in `models`.
"""

from collections.abc import Mapping

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.checks.findings import Findings, StageUse
from ancestra_farm.batch.problems import DocumentPath, listed
from ancestra_farm.batch.schema import Stage
from ancestra_farm.batch.sizes import FOLLOWING_ROLES, size_of


def check_sizes(findings: Findings) -> None:
    """Every upscale and interpolation: as the batch has it, and in every shot that changes a stage."""
    batch = findings.batch
    told: set[tuple[DocumentPath, str]] = set()
    for use in (StageUse(name, spec) for name, spec in batch.stages.items()):
        _check(findings, use, batch.stages, told)
    for index, shot in enumerate(batch.shots):
        if shot.stages:
            uses = {use.name: use for use in findings.uses_of(index, shot)}
            specs = {name: use.spec for name, use in uses.items()}
            for use in uses.values():
                _check(findings, use, specs, told)


def _check(findings: Findings, use: StageUse, specs: Mapping[str, Stage], told: set[tuple[DocumentPath, str]]) -> None:
    spec, card = use.spec, findings.card(use)
    role_is_sound = findings.located.is_sound(("stages", use.name, "role"))
    if spec.role not in FOLLOWING_ROLES or spec.source is None or card is None or not role_is_sound:
        return
    sizes = [size_of(name, specs, findings.cards, findings.batch.size) for name in (spec.source, use.name)]
    given, made = sizes
    if given is None or made is None:
        return
    found = _fault(use, card, given, made)
    path = use.path("size") if spec.size is not None else use.path("model")
    if found is not None and (path, found[0]) not in told:
        told.add((path, found[0]))
        findings.add(path, *found)
    if findings.batch.deliver.mp4 and use.name == findings.batch.deliver.stage and any(side % 2 for side in made):
        message = f"{_written(made)} cannot be delivered as MP4, which takes even sizes only"
        findings.add(path, message, "change the size, or deliver: {mp4: false}")


def _fault(use: StageUse, card: ModelCard, given: tuple[int, int], made: tuple[int, int]) -> tuple[str, str] | None:
    """What is wrong with a size, and what would be right. ``given``: the source's size."""
    spec = use.spec
    if spec.role == "interpolate" and spec.size not in {None, given}:
        message = f"an interpolation keeps the size of its clips, and {spec.source} makes {_written(given)}"
        return message, "remove size, or add a stage of role upscale"
    if spec.role == "upscale":
        right = (given[0] * (card.scale or 1), given[1] * (card.scale or 1))
        if card.scale is not None and made != right:
            message = f"{card.id} makes pictures {card.scale} times larger: of {_written(given)}, {_written(right)}"
            return message, f"size: [{right[0]}, {right[1]}], or no size"
        if made[0] < given[0] or made[1] < given[1] or made == given:
            message = f"an upscale makes pictures larger, and {spec.source} makes {_written(given)} already"
            return message, f"more than {_written(given)}, or no upscale"
    if not card.sizes.accepts(*made):
        near = listed(f"[{width}, {height}]" for width, height in card.sizes.nearest(*made))
        message = f"{_written(made)} is no size of {card.id} (stage {use.name}), which makes {card.sizes.in_words}"
        return message, f"nearest: {near}"
    return None


def _written(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"
