"""A recipe: everything that makes one candidate what it is, and the ids that follow from it.

Ids come from the recipe alone, never from output bytes or from the layout of the batch, so that adding a wording, a
shot or a candidate re-makes nothing, and a picture has the same id on every machine.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ancestra_farm.batch.base import Scalar
from ancestra_farm.batch.card import ModelCard, Parameter
from ancestra_farm.plan.frames import Reading
from ancestra_farm.plan.guides import identity_of

Rung = Literal["draft", "full"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One candidate, ready to be made.

    ``seed`` is in [0, 2**63); ``index`` counts within the variant; ``size`` is (width, height) in pixels; ``frames``
    counts frames at ``rate`` (1 frame at rate 1: a still). ``look`` is the digest its adapter is pinned by, as in
    ``sha256:…``. ``guides`` are the guides the model takes, each as the text of a `plan.guides.RecipeGuide`.
    ``parameters`` hold every parameter the card declares, defaults filled in, each in its declared type.

    ``parents`` are candidate ids, in the order the role wants them (first frame before last frame). The first
    ``context_frames`` frames repeat the last ones of the parent's clip: an ``extend`` goes on from that many frames; an
    ``image_to_video`` with 1 context frame starts from the last frame of its parent's clip. ``reading``: of an
    interpolation, where its frames lie on its parent's; else None.
    """

    candidate_id: str
    seed: int
    shot: str
    stage: str
    segment: int
    variant: str
    index: int
    rung: Rung
    role: str
    prompt: str
    negative: str
    model: str
    model_digest: str
    look: str | None
    look_weight: float
    guides: tuple[str, ...]
    parameters: Mapping[str, Scalar]
    size: tuple[int, int]
    frames: int
    rate: Fraction
    context_frames: int
    parents: tuple[str, ...]
    reading: Reading | None = None


def digest_of(*parts: object) -> bytes:
    """16 bytes of BLAKE2b over the parts' reprs, each length-prefixed so that no two lists of parts run together."""
    return begun_digest(*parts).digest()


def begun_digest(*parts: object) -> "hashlib.blake2b":
    """The state of `digest_of` after these parts: what candidates share is hashed once, then copied for each."""
    state = hashlib.blake2b(digest_size=16)
    feed(state, *parts)
    return state


def feed(state: "hashlib.blake2b", *parts: object) -> None:
    """Add parts to a digest, each length-prefixed."""
    for part in parts:
        text = part if isinstance(part, bytes) else str(part).encode()
        state.update(len(text).to_bytes(8, "little"))
        state.update(text)


def seed_from(digest: bytes) -> int:
    """The seed that a digest of seed parts stands for, in [0, 2**63)."""
    return int.from_bytes(digest[:8], "little") >> 1


def seed_of(batch_seed: int, shot: str, stage: str, *, segment: int, variant: str, index: int) -> int:
    """The candidate's seed, in [0, 2**63). `Space` computes the same with the first parts hashed once."""
    return seed_from(digest_of("seed", batch_seed, shot, stage, segment, variant, index))


def constant_parts(
    *,
    role: str,
    model_digest: str,
    look: str | None,
    look_weight: float,
    guides: tuple[str, ...],
    parameters: Mapping[str, Scalar],
    rung: Rung,
    size: tuple[int, int],
    frames: int,
    rate: Fraction,
    context_frames: int,
    reading: Reading | None,
) -> tuple[object, ...]:
    """The parts of a candidate's id that all candidates of a space share at one rung."""
    read = () if reading is None else (f"{reading.first} {reading.step}",)
    return (
        "candidate",
        role,
        model_digest,
        look or "",
        # without a look its weight changes nothing
        float(look_weight) if look else "",
        json.dumps([identity_of(guide) for guide in guides], ensure_ascii=True),
        json.dumps(dict(parameters), sort_keys=True, ensure_ascii=True),
        rung,
        f"{size[0]}x{size[1]}",
        frames,
        rate,
        context_frames,
        *read,
    )


def own_parts(prompt: str, negative: str, parents: tuple[str, ...], seed: int) -> tuple[object, ...]:
    """The parts of a candidate's id that are its own; they follow the constant ones."""
    return (prompt, negative, ",".join(parents), seed)


def candidate_id_of(recipe: Recipe) -> str:
    """The 32 hex digits that ``recipe`` must carry as its ``candidate_id``: the definition, which `Space` is faster at.

    In it: role, model digest, look and weight, guides, parameters, rung, size, frames, rate, context frames, reading,
    prompt, negative, parents, seed (and through the seed: batch seed, shot, stage, segment, variant, index). Not in it:
    how many candidates are tried or kept, waves, filters, the names of batch, show and owner, and the order of
    anything.
    """
    constant = constant_parts(
        role=recipe.role,
        model_digest=recipe.model_digest,
        look=recipe.look,
        look_weight=recipe.look_weight,
        guides=recipe.guides,
        parameters=recipe.parameters,
        rung=recipe.rung,
        size=recipe.size,
        frames=recipe.frames,
        rate=recipe.rate,
        context_frames=recipe.context_frames,
        reading=recipe.reading,
    )
    return digest_of(*constant, *own_parts(recipe.prompt, recipe.negative, recipe.parents, recipe.seed)).hex()


def model_digest(card: ModelCard) -> str:
    """32 hex digits over what in a card changes the output: id, family, pipeline, dtype, schedulers and the weights.

    Weights that are pinned by digests are those digests, wherever they lie; others are their source and revision; the
    variant says which files are read. A parameter's argument is what it turns. Of the runtime, tiles are blended
    at their edges, and some attention backends calculate in 8 bits; the rest of it changes pictures by rounding.
    Sizes, frame grid, rate and parameters are not in it, since the recipe holds the ones it uses; nor are title,
    licence, roles, guides, memory, devices, seconds and whether it was verified.
    """
    weights = sorted(card.digests.items()) if card.digests else [card.source or "", card.revision or ""]
    parts: list[object] = ["model", card.id, card.family, card.pipeline or "", card.dtype, json.dumps(weights)]
    runtime = [card.runtime.attention or "", card.runtime.vae_tiling]
    named = sorted((name, one.argument) for name, one in card.parameters.items() if one.argument)
    if card.scheduler or card.draft_scheduler or card.variant or named or any(runtime):
        parts += [card.scheduler or "", card.draft_scheduler or "", card.variant or "", json.dumps([named, runtime])]
    if card.scheduler_settings:
        parts.append(json.dumps(sorted(card.scheduler_settings.items())))
    if card.parts:
        parts += [f"{name}={part.source}@{part.revision or ''}" for name, part in sorted(card.parts.items())]
    return digest_of(*parts).hex()


def effective_parameters(
    card: ModelCard, rung: Rung, stage: Mapping[str, Scalar], draft: Mapping[str, Scalar]
) -> tuple[tuple[str, Scalar], ...]:
    """Every parameter the card declares with the value it has at ``rung``, sorted by name.

    Weakest first, at rung full: the declared default, the card's ``full`` settings, the stage's parameters. At rung
    draft: the declared default, the stage's parameters, the card's ``draft`` settings, the stage's draft parameters: a
    stage that asks for thirty steps wants them of its finals, and its drafts stay cheap. Values take their
    declared type, so that ``3`` and ``3.0`` are one recipe. Names the card does not declare are left out (`batch.check`
    refuses them).
    """
    settings = {**stage, **card.draft, **draft} if rung == "draft" else {**card.full, **stage}
    return tuple(
        (name, _typed(parameter, settings.get(name, parameter.default)))
        for name, parameter in sorted(card.parameters.items())
    )


def _typed(parameter: Parameter, value: Scalar) -> Scalar:
    if parameter.type == "float":
        return float(value) + 0.0  # -0.0 becomes 0.0
    if parameter.type == "int":
        return int(value)
    if parameter.type == "bool":
        return bool(value)
    return str(value)
