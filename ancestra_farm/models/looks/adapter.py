"""The file of a look: LoRA matrices as safetensors, with what they were made of in the header.

Keys are those of diffusers (``transformer.blocks.0.attn1.to_q.lora_A.weight``), the scale is multiplied into the
matrices, and the header holds one entry of our own, so that equal looks are equal files. Files of others have no such
entry: what they were trained on is not known then.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ancestra_farm.batch.base import Float, Int, Model, Name
from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.look import LookFile
from ancestra_farm.batch.rights import Digest

#: The entry in the header of the file.
ENTRY = "ancestra_look"
#: Parts of a pipeline that a look changes, by their names in diffusers.
DENOISERS = ("unet", "transformer", "transformer_2")
#: Two sets of weights are one base where each norm is this close, relatively. bfloat16 rounds a number by 0.4 % at
#: most, up or down, so the norm of a few hundred of them stays within; other weights of the same shape do not.
NORM_TOLERANCE = 5e-4


class LookRefused(Exception):
    """A look cannot be used with this model, or cannot be trained on it; the message says why."""


class LookFacts(Model):
    """What a look was made of. ``base``, ``data`` and ``ledger`` are digests; see `base_digest` and `Dataset`.

    ``norms``: the Frobenius norm of each weight of the base that the look changes, by module; they tell whether other
    files hold the same base. ``assets``: digests of the photographs, so that one that is revoked marks the look.
    """

    version: Int = 1
    look: Name
    show: Name
    model: str
    base: Digest
    component: str
    data: Digest
    ledger: Digest
    assets: tuple[Digest, ...]
    licences: tuple[str, ...]
    settings: LookFile
    steps: Int
    loss: Float = Field(description="mean over the last tenth of the steps")
    norms: dict[str, Float]


def base_digest(card: ModelCard) -> str:
    """``sha256:…`` of the weights that a look for this model changes.

    Of the files of the denoiser where the card pins them, so that another card on the same weights takes the same
    looks; of all pinned files where none lies in a folder of a denoiser's name; else of source and revision.
    """
    weights = {name: digest for name, digest in card.digests.items() if name.endswith(".safetensors")}
    denoiser = {name: digest for name, digest in weights.items() if name.split("/")[0] in DENOISERS}
    known = sorted((denoiser or weights or {card.source or card.id: card.revision or ""}).items())
    return f"sha256:{hashlib.sha256(json.dumps(known).encode()).hexdigest()}"


def pinned_base(card: ModelCard) -> str:
    """`base_digest` where the card pins its weights; empty where another file may lie there by now."""
    return base_digest(card) if card.digests else ""


def adapter_bytes(matrices: Mapping[str, torch.Tensor], facts: LookFacts) -> bytes:
    """The file: ``matrices`` by their keys in diffusers, float32. Equal looks give equal bytes."""
    tensors = {key: matrices[key].detach().to("cpu", torch.float32).contiguous() for key in sorted(matrices)}
    text = json.dumps(facts.model_dump(mode="json", by_alias=True, exclude_none=True), sort_keys=True)
    return save(tensors, {ENTRY: text})


def read_facts(path: Path) -> LookFacts | None:
    """What a look was made of; None for a file that does not say. Raises LookRefused for what is no look."""
    try:
        with safe_open(path, "pt") as file:
            entry = (file.metadata() or {}).get(ENTRY)
    except (OSError, SafetensorError) as error:
        raise LookRefused(f"{path} cannot be read as safetensors: {error}") from error
    if entry is None:
        return None
    try:
        return LookFacts.model_validate_json(entry, by_alias=True, by_name=False)
    except ValidationError as error:
        raise LookRefused(f"{path} does not say what it was made of in a way this version knows: {error}") from error


def read_keys(path: Path) -> list[str]:
    """The names of its tensors. Raises LookRefused for what is no safetensors file."""
    try:
        with safe_open(path, "pt") as file:
            return list(file.keys())
    except (OSError, SafetensorError) as error:
        raise LookRefused(f"{path} cannot be read as safetensors: {error}") from error


def weight_of(module: Any) -> torch.Tensor:  # noqa: ANN401 - a torch module, perhaps with an adapter around it
    """The base weight of a layer, whatever adapters it has."""
    layer = module.get_base_layer() if hasattr(module, "get_base_layer") else module
    weight: torch.Tensor = layer.weight
    return weight


def norms_of(denoiser: torch.nn.Module, modules: list[str]) -> dict[str, float]:
    """The Frobenius norm of the base weight of each module, by its name. Raises KeyError for a module not there."""
    found = dict(denoiser.named_modules())
    with torch.no_grad():
        return {name: float(weight_of(found[name]).float().norm()) for name in modules}


def is_base_of(facts: LookFacts, denoiser: torch.nn.Module) -> bool:
    """Whether ``denoiser`` holds the weights that the look was trained on, whatever file and dtype they came in."""
    try:
        norms = norms_of(denoiser, sorted(facts.norms))
    except KeyError:
        return False
    return bool(norms) and all(
        math.isclose(norms[name], norm, rel_tol=NORM_TOLERANCE) for name, norm in facts.norms.items()
    )
