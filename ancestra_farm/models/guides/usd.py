"""A camera in a USD file, through the extra ``usd`` (usd-core).

The file stands alone: what it refers to would not come with it to another machine, so a stage of several layers is
refused, with the way to flatten it.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ancestra_farm.batch.guides import suffix_of
from ancestra_farm.models.guides.camera import Camera
from ancestra_farm.models.guides.errors import GuideUnreadable

#: More frames than any shot has; a file may claim to last for ever.
_MOST_FRAMES = 100_000


def usd_camera(file: Path, name: str) -> Camera:
    """The one camera of a USD stage, sampled at each time code. Raises GuideUnreadable."""
    try:
        from pxr import Tf, Usd, UsdGeom  # noqa: PLC0415 - an extra
    except ImportError:
        raise GuideUnreadable(
            f"{name}: cameras in USD are read with the extra usd: pip install ancestra-farm[usd] (here, and on hosts), "
            "or give the camera as JSON"
        ) from None
    with tempfile.TemporaryDirectory(prefix="anc-usd-") as folder:
        copy = Path(folder) / f"camera{suffix_of(name)}"  # USD tells formats by suffix, and material has none
        shutil.copyfile(file, copy)
        try:
            stage = Usd.Stage.Open(str(copy), Usd.Stage.LoadNone)
        except Tf.ErrorException as error:
            raise GuideUnreadable(f"{name} cannot be read as USD: {error}") from error
        return _camera(stage, name, Usd, UsdGeom)


def _camera(stage: Any, name: str, usd: Any, geometry: Any) -> Camera:  # noqa: ANN401 - modules without types
    others = [layer for layer in stage.GetUsedLayers() if layer not in (stage.GetRootLayer(), stage.GetSessionLayer())]
    if others or stage.GetRootLayer().GetCompositionAssetDependencies():
        raise GuideUnreadable(f"{name} refers to other files; write it flat (usdcat --flatten) and give that")
    cameras = [prim for prim in stage.Traverse() if prim.IsA(geometry.Camera)]
    if len(cameras) != 1:
        found = ", ".join(str(prim.GetPath()) for prim in cameras) or "none"
        raise GuideUnreadable(f"{name} holds {len(cameras)} cameras ({found}); a guide is one")
    camera = geometry.Camera(cameras[0])
    first, last, rate = stage.GetStartTimeCode(), stage.GetEndTimeCode(), stage.GetTimeCodesPerSecond()
    if not (np.isfinite(rate) and rate > 0 and 0 <= last - first < _MOST_FRAMES):
        raise GuideUnreadable(f"{name} lasts from time code {first:g} to {last:g} at {rate:g} per second")
    codes = [usd.TimeCode(first + n) for n in range(int(last - first) + 1)]
    # USD multiplies rows by matrices, so theirs are transposed.
    matrices = np.array([np.array(camera.ComputeLocalToWorldTransform(code)).T for code in codes], np.float64)
    turns = matrices[:, :3, :3] / np.linalg.norm(matrices[:, :3, :3], axis=1, keepdims=True)
    focals = np.array([camera.GetFocalLengthAttr().Get(code) for code in codes], np.float64)
    widths = np.array([camera.GetHorizontalApertureAttr().Get(code) for code in codes], np.float64)
    if not (np.isfinite(matrices).all() and (focals > 0).all() and (widths > 0).all()):
        raise GuideUnreadable(f"{name}: the camera has no focal length or aperture, or is nowhere")
    if (np.linalg.det(turns) < 1 - 1e-3).any():
        raise GuideUnreadable(f"{name}: the camera is mirrored or sheared; it is only turned and moved")
    return Camera(matrices[:, :3, 3], turns, focals / widths, float(rate))
