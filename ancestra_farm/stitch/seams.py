"""Whether a join can be seen: six numbers for the pair of frames at the cut, against the clip's own pairs.

A jump in brightness of 2 %, a change of speed or a softening leaves frame difference and SSIM nearly alone, so six
numbers are taken, each sensitive to something else. What is usual differs from clip to clip and from second to second,
so each is compared with the pairs around the seam (robust z from median and median absolute deviation), at both tails:
too little change (a repeated frame) is as visible as too much. A number must also differ by more than an absolute
floor, below which nobody sees anything, however unusual.

The cut is scored as it is before the dissolve: a dissolve between pictures that disagree is a double image, not a join.
Scores only; what happens to a failed pair is the scheduler's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ancestra_farm.stitch.motion import flow_between, luma_of, warp

#: Frames are judged at this width, pixels; enough for every fault that a viewer sees, and 27 ms a pair.
PROXY_WIDTH: Final = 320
#: Pairs looked at on each side of a seam: about a second and a half at 16 frames per second.
NEIGHBOURS: Final = 24
#: Fewer usual pairs than this say nothing about what is usual: only the floors, times `_BLIND_FACTOR`, judge.
_LEAST_PAIRS: Final = 4
_BLIND_FACTOR: Final = 6.0
#: Robust z beyond which a number is unusual; of a normal distribution one in 10^9 lies beyond 6.
Z_LIMIT: Final = 6.0
#: What is visible at all: mean difference in levels, 1-SSIM, levels, pixels of the proxy, levels, part of the detail.
FLOORS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "difference": 0.5,
        "dissimilarity": 0.01,
        "warp_error": 0.4,
        "flow_jump": 0.15,
        "colour_step": 0.6,
        "detail_step": 0.06,
    }
)
#: A spread is never taken for less than this part of the median: a clip may be more even than the judge.
_LEAST_SPREAD: Final = 0.08
#: Added to the detail in levels, so that nearly flat pictures have no detail to lose.
_LEAST_DETAIL: Final = 1.0


@dataclass(frozen=True, slots=True)
class Seam:
    """The six numbers of one seam, by name (see `FLOORS`): ``values``, what is ``usual`` (median), and robust ``z``.

    ``severity``: how far a number gives the seam away. It is the smaller of |z| over its limit and the distance from
    the usual over the floor, so that 1 is where both are reached: above 1 the seam fails. Comparable across numbers.
    ``pairs``: how many pairs of the clip it was compared with.
    """

    values: Mapping[str, float]
    usual: Mapping[str, float]
    z: Mapping[str, float]
    severity: Mapping[str, float]
    pairs: int

    @property
    def failed(self) -> tuple[str, ...]:
        """The numbers that give it away, worst first."""
        ordered = sorted(self.severity, key=lambda name: -self.severity[name])
        return tuple(name for name in ordered if self.severity[name] > 1)

    @property
    def ok(self) -> bool:
        """Whether nothing gives the seam away."""
        return not self.failed

    def scores(self) -> dict[str, float]:
        """The severities, rounded, for a table: highest is worst, above 1 fails."""
        return {name: round(value, 4) for name, value in self.severity.items()}

    def sentence(self) -> str:
        """What is wrong, in words with figures; empty when nothing is."""
        return ", ".join(
            f"{name} {self.values[name]:.3g} where {self.usual[name]:.3g} is usual (z {self.z[name]:+.1f})"
            for name in self.failed
        )


def proxy(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame, uint8 [H, W, 3], at most `PROXY_WIDTH` wide; smaller ones unchanged."""
    height, width = frame.shape[:2]
    if width <= PROXY_WIDTH:
        return frame
    size = (PROXY_WIDTH, max(1, round(height * PROXY_WIDTH / width)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def score_seam(frames: NDArray[np.uint8], seam: int) -> Seam:
    """Score the pair (``seam - 1``, ``seam``) of a clip, uint8 [T, H, W, 3], against its pairs nearby.

    Pairs that share the fault (the neighbours of the seam, whose flow is compared with the seam's) are no witnesses.
    Raises ValueError when there is no such pair.
    """
    if not 1 <= seam < len(frames):
        raise ValueError(f"there is no pair of frames {seam - 1} and {seam} in a clip of {len(frames)}")
    low = max(0, seam - 1 - NEIGHBOURS)
    high = min(len(frames), seam + 1 + NEIGHBOURS)
    numbers = pair_numbers(frames[low:high])
    at = seam - 1 - low
    values: dict[str, float] = {}
    usual: dict[str, float] = {}
    z: dict[str, float] = {}
    severity: dict[str, float] = {}
    pairs = 0
    for name, series in numbers.items():
        others = np.array([value for index, value in enumerate(series) if abs(index - at) > _shadow(name)])
        pairs = max(pairs, len(others))
        values[name] = float(series[at])
        usual[name], z[name], severity[name] = _judge(values[name], others, FLOORS[name])
    return Seam(values, usual, z, severity, pairs)


def pair_numbers(frames: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """The six numbers of every pair of neighbours of a clip, uint8 [T, H, W, 3]: each [T-1], by name.

    ``difference``: mean absolute difference of levels. ``dissimilarity``: 1 - SSIM of luma (Wang et al. 2004, 7 × 7
    box). ``warp_error``: mean absolute difference left after the second frame is warped onto the first along the flow.
    ``flow_jump``: the largest mean change, in pixels, between the flows of this pair, the one before and the one after.
    ``colour_step``: distance of the frames' mean colours, in levels. ``detail_step``: change of the mean absolute
    Laplacian of luma, as a logarithm: 0.06 is a picture 6 % softer or sharper.
    """
    luma = [luma_of(frame) for frame in frames]
    flows = [flow_between(one, other) for one, other in pairwise(luma)]
    detail = np.array([_detail(picture) for picture in luma])
    means = frames.reshape(len(frames), -1, 3).mean(axis=1)
    wide = frames.astype(np.int16)
    return {
        "difference": np.array([np.abs(b - a).mean() for a, b in pairwise(wide)]),
        "dissimilarity": np.array([1 - _ssim(a, b) for a, b in pairwise(luma)]),
        "warp_error": np.array(
            [_warp_error(a, b, flow) for a, b, flow in zip(luma[:-1], luma[1:], flows, strict=True)]
        ),
        "flow_jump": np.array([_flow_jump(flows, index) for index in range(len(flows))]),
        "colour_step": np.linalg.norm(np.diff(means, axis=0), axis=1),
        "detail_step": np.abs(np.diff(np.log(detail + _LEAST_DETAIL))),
    }


def _shadow(name: str) -> int:
    """How many pairs beside the seam's own it may colour: flow is compared across neighbours."""
    return 2 if name == "flow_jump" else 1


def _judge(value: float, others: NDArray[np.float64], floor: float) -> tuple[float, float, float]:
    """(usual value, robust z, severity) of a number among those of other pairs."""
    usual = float(np.median(others)) if len(others) else 0.0
    distance = abs(value - usual) / floor
    if len(others) < _LEAST_PAIRS:
        return usual, (value - usual) / floor, distance / _BLIND_FACTOR
    spread = max(1.4826 * float(np.median(np.abs(others - usual))), _LEAST_SPREAD * abs(usual), floor / 10)
    z = (value - usual) / spread
    return usual, z, min(abs(z) / Z_LIMIT, distance)


def _ssim(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    a, b = one.astype(np.float32), other.astype(np.float32)
    box = (7, 7)
    mean_a, mean_b = cv2.blur(a, box), cv2.blur(b, box)
    var_a = cv2.blur(a * a, box) - mean_a * mean_a
    var_b = cv2.blur(b * b, box) - mean_b * mean_b
    cov = cv2.blur(a * b, box) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return float(similarity.mean())


def _detail(luma: NDArray[np.uint8]) -> float:
    return float(np.abs(cv2.Laplacian(luma, cv2.CV_16S)).mean())


def _warp_error(one: NDArray[np.uint8], other: NDArray[np.uint8], flow: NDArray[np.float32]) -> float:
    return float(np.abs(warp(other, flow).astype(np.int16) - one.astype(np.int16)).mean())


def _flow_jump(flows: list[NDArray[np.float32]], index: int) -> float:
    near = flows[max(0, index - 1) : index + 2]
    return max(
        (float(np.linalg.norm(a - b, axis=2).mean()) for k, a in enumerate(near) for b in near[k + 1 :]), default=0.0
    )
