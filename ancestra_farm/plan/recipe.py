"""A recipe: everything that makes one candidate what it is, and the ids that follow from it.

Ids come from the recipe alone, never from output bytes or from the layout of the batch, so that adding a wording, a
shot or a candidate re-makes nothing, and a picture has the same id on every machine.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ancestra_farm.batch.base import Scalar

Rung = Literal["draft", "full"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One candidate, ready to be made.

    ``seed`` is in [0, 2**63); ``size`` is (width, height) in pixels; ``frames`` counts frames at ``rate`` (1: a still);
    ``parents`` are candidate ids, in the order the role wants them (first frame before last frame).
    ``context_frames`` of the clip's beginning repeat the end of its parent (chained segments).
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


def digest_of(*parts: object) -> bytes:
    """16 bytes of BLAKE2b over the parts' reprs, each length-prefixed so that no two lists of parts run together."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        text = part if isinstance(part, bytes) else str(part).encode()
        state.update(len(text).to_bytes(8, "little"))
        state.update(text)
    return state.digest()


def seed_of(batch_seed: int, shot: str, stage: str, segment: int, variant: str, index: int) -> int:
    """The candidate's seed, in [0, 2**63)."""
    return int.from_bytes(digest_of("seed", batch_seed, shot, stage, segment, variant, index)[:8], "little") >> 1
