"""Pixels between the farm and a pipeline: frames as the pictures or tensors it takes, and what it returns as frames.

The farm's frames are uint8 [T, H, W, 3]; a pipeline takes PIL pictures or floats in [0, 1] and returns floats. Torch is
imported by whoever calls.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ancestra_farm.models.guides import fit
from ancestra_farm.models.protocol import Frames

Clip = NDArray[np.uint8]


def shown(frames: Frames) -> Clip:
    """Frames as uint8 [T, H, W, 3]; floats in [0, 1] are rounded, and what is not a number is black."""
    if frames.dtype == np.uint8:
        return frames.astype(np.uint8, copy=False)
    return np.rint(np.clip(np.nan_to_num(frames), 0.0, 1.0) * np.float32(255.0)).astype(np.uint8)


def fitted(frames: Frames, size: tuple[int, int]) -> Clip:
    """Frames as uint8 [T, height, width, 3] of ``size`` (width, height), untouched where they already are.

    Others are cut to its shape at both sides alike and scaled, as guides are: nothing is distorted, and no border is
    painted.
    """
    given = shown(frames)
    if given.shape[2:0:-1] == size:
        return given
    return np.stack([fit.fitted(frame, size) for frame in given])


def pictures(frames: Frames) -> list[Image.Image]:
    """A PIL picture of each frame."""
    return [Image.fromarray(frame) for frame in shown(frames)]


def stills_of(images: Any) -> list[Frames]:  # noqa: ANN401 - a tensor, whose type would load torch
    """The pictures of a call, a tensor [B, 3, H, W] in [0, 1], as uint8 [1, H, W, 3] each."""
    return clips_of(images[:, None])


def clips_of(videos: Any) -> list[Frames]:  # noqa: ANN401 - a tensor, whose type would load torch
    """The clips of a call, a tensor [B, T, 3, H, W] in [0, 1], as uint8 [T, H, W, 3] each.

    A candidate with a value that is not finite stays float32, so that whoever judges it can see that it is broken.
    """
    return [_frames_of(video) for video in videos]


def _frames_of(video: Any) -> Frames:  # noqa: ANN401 - as above
    video = video.permute(0, 2, 3, 1).float()
    if not bool(video.isfinite().all()):
        broken: Frames = video.cpu().numpy()
        return broken
    # Rounded on the device: a quarter of the bytes has to come back from it.
    frames: Frames = (video * 255).round().clamp(0, 255).byte().cpu().numpy()
    return frames
