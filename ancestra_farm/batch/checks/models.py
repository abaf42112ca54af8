"""Stages against the cards of their models: role, licence, size, parameters, drafts, looks and guides."""

from collections.abc import Collection, Mapping

from ancestra_farm.batch.base import Scalar
from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.checks.findings import Findings, StageUse
from ancestra_farm.batch.guides import taken_as, taken_in, takers_of
from ancestra_farm.batch.problems import DocumentPath, did_you_mean, listed
from ancestra_farm.batch.schema import Shot
from ancestra_farm.batch.sizes import FOLLOWING_ROLES


def check_models(findings: Findings) -> None:
    """Every stage against its model's card, and every shot's guides against the cards of its stages."""
    for use in findings.uses:
        card = _check_model(findings, use)
        _check_look(findings, use, card)
        if card is not None:
            _check_runs(findings, use, card)
            _check_size(findings, use, card)
            _check_parameters(findings, use.path("parameters"), use, card, use.spec.parameters)
            _check_draft(findings, use, card)
            if card.family == "optical":
                _check_certain(findings, use, card)
    _check_guides(findings)


def _check_model(findings: Findings, use: StageUse) -> ModelCard | None:
    spec, path = use.spec, use.path("model")
    card = findings.cards.get(spec.model)
    role_is_sound = findings.located.is_sound(("stages", use.name, "role"))
    if card is None:
        able = [other.id for other in findings.cards.values() if role_is_sound and spec.role in other.roles]
        hint = did_you_mean(spec.model, able or findings.cards, "models")
        findings.add(path, f"there is no model {spec.model!r}", hint)
        return None
    if role_is_sound and spec.role not in card.roles:
        others = [other for other in findings.cards.values() if spec.role in other.roles]
        named = f"{_named(others, card.family)}; ancestra models --role {spec.role} lists them"
        hint = f"models that have it: {named}" if others else "no model in the catalogue has it"
        findings.add(path, f"{card.id} has no role {spec.role}; it has {listed(card.roles, 'and')}", hint)
    allowed = findings.batch.policy.licences
    if allowed is not None and card.licence not in allowed:
        hint = f"policy.licences allows {listed(allowed)}" if allowed else "policy.licences allows none"
        asks = f": {card.terms}" if card.terms else ""
        findings.add(path, f"the licence of {card.id}, {card.licence}, is not allowed by the show's policy{asks}", hint)
    return findings.card(use)


def _named(cards: list[ModelCard], family: str) -> str:
    """The ids of models, those of ``family`` first; of many, three and how many more there are."""
    names = [card.id for card in sorted(cards, key=lambda card: (card.family != family, card.id))]
    return listed(names, "and") if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def _check_runs(findings: Findings, use: StageUse, card: ModelCard) -> None:
    """What runs the model has its say, once a place: thousands of shots may share a stage."""
    settings = use.spec.parameters.items()
    if any(name not in card.parameters or card.parameters[name].fault(value) for name, value in settings):
        return  # told by `_check_parameters`; what the rest comes to is not known
    shots = _shots_of(findings, use)
    if not shots:
        return  # shots that change it are asked about one by one
    negative = any((use.spec.prompt or shot.prompt).negative for shot in shots.values())
    taken = taken_in(use.spec.role, card.guides)
    given = {_given(shot, taken): index for index, shot in reversed(shots.items())}
    faults = {guides: findings.stage_faults(card, use.spec, negative, guides) for guides in given}
    everywhere = set.intersection(*map(set, faults.values()))
    for guides, found in faults.items():
        for fault in found:
            if fault in everywhere:
                _say_once(findings, use.path("model"), f"{card.id} cannot run: {fault}")
            else:
                _say_once(findings, ("shots", given[guides], "guides"), f"{use.name}: {card.id} cannot run: {fault}")


def _shots_of(findings: Findings, use: StageUse) -> dict[int, Shot]:
    """The shots that run a stage as it stands here, by their place."""
    if use.shot is not None:
        return {use.shot: findings.batch.shots[use.shot]}
    shots = enumerate(findings.batch.shots)
    return {index: shot for index, shot in shots if use.name not in shot.skip and use.name not in shot.stages}


def _given(shot: Shot, taken: Collection[str]) -> frozenset[str]:
    """The kinds of guides that a stage taking these kinds is given of a shot."""
    ways = (taken_as(guide.kind, taken) for guide in shot.guides)
    return frozenset(way for way in ways if way is not None)


def _say_once(findings: Findings, path: DocumentPath, said: str) -> None:
    if (path, said) not in findings.said:
        findings.said.add((path, said))
        findings.add(path, said)


def _check_size(findings: Findings, use: StageUse, card: ModelCard) -> None:
    spec, batch = use.spec, findings.batch
    if spec.role in FOLLOWING_ROLES:
        return  # see `sizes`: they follow from other stages
    if spec.size is not None:
        _check_on_grid(findings, use.path("size"), use, card, spec.size)
    elif batch.size is not None:
        _check_on_grid(findings, ("size",), use, card, batch.size)
    size = spec.size or batch.size or card.sizes.default
    if batch.deliver.mp4 and use.name == batch.deliver.stage and any(side % 2 for side in size):
        message = f"{size[0]} × {size[1]} cannot be delivered as MP4, which takes even sizes only"
        findings.add(use.path("size") if spec.size else ("size",), message, "change the size, or deliver: {mp4: false}")


def _check_on_grid(
    findings: Findings, path: DocumentPath, use: StageUse, card: ModelCard, size: tuple[int, int]
) -> None:
    if card.sizes.accepts(*size):
        return
    near = listed(f"[{width}, {height}]" for width, height in card.sizes.nearest(*size))
    message = f"{size[0]} × {size[1]} is no size of {card.id} (stage {use.name}), which makes {card.sizes.in_words}"
    findings.add(path, message, f"nearest: {near}")


def _check_parameters(
    findings: Findings, path: DocumentPath, use: StageUse, card: ModelCard, given: Mapping[str, Scalar]
) -> None:
    for name, value in given.items():
        place = use.path("parameters", name) if path[-1] == "parameters" and "draft" not in path else (*path, name)
        parameter = card.parameters.get(name)
        if parameter is None:
            hint = did_you_mean(name, card.parameters, "parameters")
            findings.add(place, f"{card.id} has no parameter {name!r}", hint)
        elif (fault := parameter.fault(value)) is not None:
            findings.add(place, fault, parameter.doc)


def _check_draft(findings: Findings, use: StageUse, card: ModelCard) -> None:
    draft = use.spec.draft
    if draft is None:
        return
    path = use.path("draft")
    _check_parameters(findings, (*path, "parameters"), use, card, draft.parameters)
    size = use.spec.size or findings.batch.size or card.sizes.default
    if draft.size is not None:
        _check_on_grid(findings, (*path, "size"), use, card, draft.size)
    if not card.draft and not draft.parameters and draft.size in {None, size}:
        message = f"{card.id} has no draft settings, so a draft would cost as much as the full candidate"
        findings.add(path, message, "set draft.parameters or a smaller draft.size, or remove draft")


def _check_certain(findings: Findings, use: StageUse, card: ModelCard) -> None:
    """What a model that draws nothing of its own would ignore: more tries, a first look, words."""
    spec = use.spec
    if spec.candidates > 1:
        message = f"{card.id} makes the same of what it is given every time"
        findings.add(use.path("candidates"), message, "candidates: 1 (of each input)")
    if spec.draft is not None:
        findings.add(use.path("draft"), f"{card.id} has nothing to try beforehand", "remove draft")
    if spec.prompt is not None:
        findings.add(use.path("prompt"), f"{card.id} reads no words", "remove prompt")


def _check_look(findings: Findings, use: StageUse, card: ModelCard | None) -> None:
    spec = use.spec
    if spec.look is None:
        if use.shot is None and "look_weight" in spec.model_fields_set and not _some_shot_looks(findings, use.name):
            findings.add(use.path("look_weight"), "look_weight without a look", "name a look, or remove it")
        return
    looks = findings.batch.looks
    if spec.look not in looks:
        hint = did_you_mean(spec.look, looks, "looks")
        findings.add(use.path("look"), f"the batch declares no look {spec.look!r}", hint)
    if card is not None and not card.looks:
        findings.add(use.path("look"), f"{card.id} takes no looks", "remove look, or take another model")


def _some_shot_looks(findings: Findings, stage: str) -> bool:
    return any(shot.stages[stage].look is not None for shot in findings.batch.shots if stage in shot.stages)


def _check_guides(findings: Findings) -> None:
    """A guide that no stage of its shot takes would be ignored, and nothing a person writes is."""
    for index, shot in enumerate(findings.batch.shots):
        if not shot.guides:
            continue
        uses = list(findings.uses_of(index, shot))
        known = [(use, card) for use in uses if (card := findings.card(use)) is not None]
        if len(known) < len(uses):
            continue
        taken = {kind for use, card in known for kind in taken_in(use.spec.role, card.guides)}
        for number, guide in enumerate(shot.guides):
            if taken_as(guide.kind, taken) is None:
                path = ("shots", index, "guides", number, "kind")
                findings.add(path, *_untaken(findings, guide.kind, known))


def _untaken(findings: Findings, kind: str, uses: list[tuple[StageUse, ModelCard]]) -> tuple[str, str]:
    """That no stage of a shot has a use for a kind of guide, and what would help."""
    ways = [way for way in takers_of(kind) if way != kind]
    rendered = f" (it is rendered as {listed(ways)})" if ways else ""
    message = f"no stage of this shot takes a guide of kind {kind}{rendered}"
    for use, card in uses:
        if taken_as(kind, card.guides) is not None:
            return message, f"{use.name} has a {kind} already, from {use.spec.source}: it is {use.spec.role}"
    able = [card for card in findings.cards.values() if taken_as(kind, card.guides) is not None]
    near = uses[0][1].family if uses else ""
    return message, f"models that take it: {_named(able, near)}" if able else "no model in the catalogue takes it"
