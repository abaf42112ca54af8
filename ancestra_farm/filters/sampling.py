"""Rejection rates without bias, though most candidates are judged only until the first rejection.

A filter that comes late sees only what the earlier ones let through, so its plain share of rejections says little about
it. A sample of known rate is therefore judged in full. This module decides who belongs to the sample and turns judged
rows into rates; it does not decide the order of filters (the scheduler does).
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def in_full(candidate_id: str, fraction: float) -> bool:
    """Whether this candidate is judged by every filter: for ``fraction`` in [0, 1] of all ids, the same everywhere.

    From a hash of the id alone, so that a retry on another host decides the same, and a larger fraction contains the
    smaller one. Raises ValueError for a fraction outside [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"the full sample is a fraction between 0 and 1, not {fraction}")
    draw = int.from_bytes(hashlib.blake2b(b"full sample:" + candidate_id.encode(), digest_size=8).digest(), "little")
    return draw < fraction * 2**64


@dataclass(frozen=True, slots=True)
class Rate:
    """``rate``: estimated share of candidates that the filter rejects. ``error``: its standard error.

    ``error`` covers the sampling only (which candidates were judged in full): it is 0 when everything was. ``rejected``
    counts the rejections that were seen.
    """

    rate: float
    error: float
    rejected: int


def rejection_rates(reasons: Iterable[Sequence[str]], full_sample: float) -> dict[str, Rate]:
    """Share of all judged candidates that each filter rejects, alone, whatever the others say.

    ``reasons``: for every judged candidate the filters that rejected it, the first one first, empty for a survivor.
    ``full_sample``: the stored rate in [0, 1] at which candidates were judged in full.

    Horvitz and Thompson (1952): a rejection counts 1 over the probability that it was seen. The first rejection of a
    candidate is always seen; a later one only in the full sample. Unbiased for any order, also one that changed on
    the way, and exact for a full sample of 1. A filter that never rejected is absent. With ``full_sample`` 0 there are
    no later rejections, and the rates are those of first rejections only: of what reached the filter, a lower bound.
    """
    if not 0 <= full_sample <= 1:
        raise ValueError(f"the full sample is a fraction between 0 and 1, not {full_sample}")
    first: dict[str, int] = {}
    later: dict[str, int] = {}
    judged = 0
    for names in reasons:
        judged += 1
        for place, name in enumerate(names):
            counts = later if place else first
            counts[name] = counts.get(name, 0) + 1
    if later and full_sample == 0:
        raise ValueError("a candidate has two rejections, though no candidate was judged in full (full_sample is 0)")
    rates = {}
    for name in sorted(first.keys() | later.keys()):
        seen_first, seen_later = first.get(name, 0), later.get(name, 0)
        total = seen_first + (seen_later / full_sample if seen_later else 0.0)
        spread = seen_later * (1 - full_sample) / full_sample**2 if seen_later else 0.0
        rates[name] = Rate(total / judged, math.sqrt(spread) / judged, seen_first + seen_later)
    return rates


def wilson(hits: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's (1927) score interval for a share of ``hits`` in ``trials``; ``z`` 1.96: 95 %. (0, 1) without trials."""
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} hits in {trials} trials")
    if trials == 0:
        return 0.0, 1.0
    share = hits / trials
    centre = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
