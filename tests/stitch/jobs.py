"""Chains of synthetic segments and the jobs that stitch them."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ancestra_farm.stitch import codec
from tests.stitch.scenes import Scene, shoot


@dataclass(frozen=True)
class Job:
    """The scheduler's job, field by field."""

    media: tuple[str, ...]
    chain: tuple[str, ...]
    segment_frames: tuple[int, ...]
    frames: int
    overlap_frames: int = 5
    handles: int = 2
    blend_frames: int = 4
    model_rate: str = "16"
    rate: str = "24"
    mp4: bool = True
    master: str = "ffv1"
    batch: str = "womb"
    show: str = "anc"
    shot: str = "anc_010_0010"
    generation: int = 0
    stitch_id: str = "5f" * 16
    version: str = "v001"
    folder: str = "deliveries/anc/anc_010_0010/v001"


def shoot_chain(scene: Scene, lengths: tuple[int, ...], overlap: int, grain: float = 0.0) -> list[np.ndarray]:
    """One continuous take, cut into segments that share ``overlap`` frames; grain differs from copy to copy."""
    segments, start = [], 0
    for number, length in enumerate(lengths):
        segments.append(shoot(scene, range(start, start + length), grain, seed=number))
        start += length - overlap
    return segments


def store_of(segments: list[np.ndarray], rate: str = "16") -> dict[str, bytes]:
    """Media by store path."""
    return {
        f"media/{number:02d}.mkv": codec.encode_frames(frames, Fraction(rate))[0]
        for number, frames in enumerate(segments)
    }


def job_for(store: dict[str, bytes], segments: list[np.ndarray], **changes) -> Job:
    """A job over all segments; as many frames at its rate as they give, unless said otherwise."""
    lengths = tuple(len(frames) for frames in segments)
    overlap = changes.get("overlap_frames", 5)
    joined = sum(lengths) - (len(lengths) - 1) * overlap
    ratio = Fraction(changes.get("rate", "24")) / Fraction(changes.get("model_rate", "16"))
    fields = {
        "media": tuple(store),
        "chain": tuple(f"{number:032x}" for number in range(len(segments))),
        "segment_frames": lengths,
        "frames": int((joined - 1) * ratio) + 1,
    }
    return Job(**(fields | changes))
