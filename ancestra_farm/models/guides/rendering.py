"""Paths as clips that a model can be given: the farm renders what nobody has filmed."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ancestra_farm.batch.load import load_motion_path
from ancestra_farm.models.guides import camera as cameras
from ancestra_farm.models.guides import tracks
from ancestra_farm.models.guides.colours import coloured
from ancestra_farm.models.guides.pictures import nearness_of
from ancestra_farm.plan.guides import RecipeGuide

Pictures = NDArray[np.uint8]


def rendered(guide: RecipeGuide, file: Path, moments: Sequence[Fraction], size: tuple[int, int]) -> Pictures:
    """A motion path or camera at ``moments`` (seconds after it begins) as what the model takes, uint8 [T, H, W, 3].

    As ``flow``: the wheel of `colours`; frame k shows the way from k − 1 to k, the first frame repeats the second, and
    one clip has one measure. As ``depth``: the nearest is white. Else a clip of dots that move. Before it begins
    and after its end everything rests. Raises BatchRefused, GuideUnreadable.
    """
    if guide.kind == "motion_path":
        seconds = [float(moment) for moment in moments]
        moved = tracks.carried(load_motion_path(file), seconds, size)
        return _as_flow(moved.flows, size) if guide.way == "flow" else tracks.drawn(moved.origins)
    camera = cameras.camera_of(file, guide.name)
    seconds = [min(max(float(moment), 0.0), camera.seconds) for moment in moments]
    if guide.way == "flow":
        return _as_flow(cameras.flows(camera, seconds, size), size)
    if guide.way == "depth":
        return nearness_of(cameras.depths(camera, seconds, size))
    return cameras.seen(camera, seconds, size)


def _as_flow(flows: NDArray[np.float32], size: tuple[int, int]) -> Pictures:
    if not len(flows):
        return np.full((1, size[1], size[0], 3), 255, np.uint8)
    shown = coloured(flows)
    return np.concatenate([shown[:1], shown])
