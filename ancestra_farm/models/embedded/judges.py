"""Who says what a picture shows: three small networks and a flow reader, trained on renders the model never saw.

One sees everything and says subject and light; one sees structure alone (grey, local contrast evened out), since colour
is too easy a tell; one reads the direction of motion from dense optical flow. They take about two minutes of one core
to train and are kept beside the weights, so that measuring needs nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from ancestra_farm.models.embedded.footage import Footage
from ancestra_farm.models.embedded.words import LIGHTS, SUBJECTS, Motion
from ancestra_farm.models.procedural.motion import flow_between

Pictures = NDArray[np.uint8]
Direction = Literal["left", "right", "up", "down", "in", "out", "turn", "rest"]

#: Where the picture's content goes; the camera's names are the other way round for drifts, rising and sinking.
DIRECTION_OF: dict[Motion, Direction] = {
    "drift_left": "right",
    "drift_right": "left",
    "rise": "down",
    "sink": "up",
    "push_in": "in",
    "open": "in",
    "pull_back": "out",
    "spiral": "turn",
    "hold": "rest",
}
DIRECTIONS: tuple[Direction, ...] = ("left", "right", "up", "down", "in", "out", "turn", "rest")
#: Cells of the grid that flow is averaged over, across and down.
_GRID = (6, 4)


class Eye(nn.Module):
    """Four strided convolutions, pooled by mean and maximum: features [B, 2 · 48], and a line for each question."""

    def __init__(self, channels: int, answers: dict[str, int]) -> None:
        super().__init__()
        widths = (channels, 16, 24, 32, 48)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.GroupNorm(4, width) for width in widths[1:])
        self.heads = nn.ModuleDict({name: nn.Linear(2 * widths[-1], count) for name, count in answers.items()})

    def features(self, pictures: Tensor) -> Tensor:
        """What the questions are answered from."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            pictures = F.silu(norm(layer(pictures)))
        return torch.cat([pictures.mean(dim=(2, 3)), pictures.amax(dim=(2, 3))], dim=1)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Logits by question."""
        found = self.features(pictures)
        return {name: head(found) for name, head in self.heads.items()}


@dataclass(frozen=True, slots=True)
class Judges:
    """Trained judges. All take uint8 [N, H, W, 3] stills, or [N, T, H, W, 3] clips for motion."""

    colour: Eye
    structure: Eye
    motion: nn.Linear

    @torch.no_grad()
    def subjects(self, stills: Pictures) -> list[str]:
        """The subject of each still, seen in colour."""
        return [SUBJECTS[int(at)] for at in self.colour(_coloured(stills))["subject"].argmax(dim=1)]

    @torch.no_grad()
    def lights(self, stills: Pictures) -> list[str]:
        """The light of each still."""
        return [LIGHTS[int(at)] for at in self.colour(_coloured(stills))["light"].argmax(dim=1)]

    @torch.no_grad()
    def structures(self, stills: Pictures) -> list[str]:
        """The subject of each still, by structure alone."""
        return [SUBJECTS[int(at)] for at in self.structure(_structure(stills))["subject"].argmax(dim=1)]

    @torch.no_grad()
    def features(self, stills: Pictures) -> Tensor:
        """Structure features, [N, 96]: what diversity is measured in."""
        return self.structure.features(_structure(stills))

    @torch.no_grad()
    def directions(self, clips: Pictures) -> list[str]:
        """Where the content of each clip goes; see `DIRECTION_OF`."""
        return [DIRECTIONS[int(at)] for at in self.motion(_flows(clips)).argmax(dim=1)]

    def save(self, path: Path) -> None:
        """Write all of them as one safetensors file."""
        named = {"colour": self.colour, "structure": self.structure, "motion": self.motion}
        tensors = {f"{who}.{name}": t for who, net in named.items() for name, t in net.state_dict().items()}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def load(path: Path) -> Judges:
    """Judges from their file."""
    tensors = load_file(path)
    judges = _untrained()
    for who, net in (("colour", judges.colour), ("structure", judges.structure), ("motion", judges.motion)):
        net.load_state_dict({n.removeprefix(f"{who}."): t for n, t in tensors.items() if n.startswith(f"{who}.")})
        net.eval()
    return judges


def trained(stills: Footage, clips: Footage | None, epochs: int = 16, seed: int = 5) -> Judges:
    """Judges that learnt from these renders; without clips the judge of motion knows nothing."""
    torch.manual_seed(seed)
    judges, rng = _untrained(), np.random.default_rng(seed)
    subjects = torch.tensor([SUBJECTS.index(facts.subject) for facts in stills.facts if facts.subject])
    lights = torch.tensor([LIGHTS.index(facts.light) for facts in stills.facts if facts.light])
    pictures = stills.pictures[:, 0]
    _fit(judges.colour, _coloured, pictures, {"subject": subjects, "light": lights}, epochs, rng)
    _fit(judges.structure, _structure, pictures, {"subject": subjects}, epochs, rng)
    if clips is not None:
        wanted = torch.tensor([DIRECTIONS.index(DIRECTION_OF[facts.motion]) for facts in clips.facts if facts.motion])
        _fit_line(judges.motion, _flows(clips.pictures), wanted)
    return judges


def _untrained() -> Judges:
    colour = Eye(4, {"subject": len(SUBJECTS), "light": len(LIGHTS)})
    return Judges(colour, Eye(1, {"subject": len(SUBJECTS)}), nn.Linear(2 * _GRID[0] * _GRID[1] + 1, len(DIRECTIONS)))


def _fit(
    eye: Eye,
    seen: Callable[[Pictures], Tensor],
    pictures: Pictures,
    wanted: dict[str, Tensor],
    epochs: int,
    rng: np.random.Generator,
) -> None:
    optimiser = torch.optim.AdamW(eye.parameters(), lr=3e-3, weight_decay=0.01)
    count, size = len(pictures), 64
    steps = epochs * max(count // size, 1)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * (1.0 - step / steps)
        chosen = rng.choice(count, min(size, count), replace=False)
        answers = eye(seen(_roughened(pictures[np.sort(chosen)], rng)))
        at = torch.from_numpy(np.sort(chosen))
        loss = sum(F.cross_entropy(answers[name], wanted[name][at], label_smoothing=0.05) for name in wanted)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimiser.step()
    eye.eval()


def _fit_line(line: nn.Linear, features: Tensor, wanted: Tensor) -> None:
    optimiser = torch.optim.LBFGS(line.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(line(features), wanted) + 1e-3 * line.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)


def _roughened(pictures: Pictures, rng: np.random.Generator) -> Pictures:
    """Flipped, softened and with noise, as pictures out of a small autoencoder may be."""
    if rng.uniform() < 0.5:
        pictures = pictures[:, :, ::-1]
    values = pictures.astype(np.float32)
    if rng.uniform() < 0.6:
        sigma = float(rng.uniform(0.4, 1.4))
        values = np.stack([cv2.GaussianBlur(one, (0, 0), sigma) for one in values])
    values += rng.normal(0, rng.uniform(0, 6), values.shape)
    return np.clip(values, 0, 255).astype(np.uint8)


def _coloured(pictures: Pictures) -> Tensor:
    """Everything there is to see, float32 [N, 4, H, W]: red, green and blue, and what the judge of structure sees."""
    colours = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    return torch.cat([colours, _structure(pictures)], dim=1)


def _structure(pictures: Pictures) -> Tensor:
    """Grey with local contrast evened out, float32 [N, 1, H, W]: neither colour nor brightness is left."""
    out = np.empty((len(pictures), 1, *pictures.shape[1:3]), np.float32)
    for at, picture in enumerate(pictures):
        grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY).astype(np.float32)
        detail = grey - _soft(grey)
        out[at, 0] = detail / (np.sqrt(_soft(detail * detail)) + 3.0)
    return torch.from_numpy(out)


def _soft(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """About a Gaussian of ten pixels, at a fraction of its cost."""
    small = cv2.GaussianBlur(cv2.resize(values, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA), (0, 0), 1.25)
    return cv2.resize(small, values.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)


def _flows(clips: Pictures) -> Tensor:
    """Flow of each clip, [N, 49]: mean over its steps on a grid, made unit length, and the logarithm of its length."""
    rows = []
    for frames in clips:
        grey = [cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (192, 128)) for frame in frames]
        steps = range(0, len(grey) - 2, 2)
        flow = np.mean([flow_between(grey[at], grey[at + 2]) for at in steps], axis=0)
        cells = cv2.resize(flow, _GRID, interpolation=cv2.INTER_AREA).ravel()
        length = float(np.sqrt((cells**2).mean()))
        rows.append(np.append(cells / max(length, 0.15), np.log(length + 0.05)))
    return torch.from_numpy(np.array(rows, np.float32))
