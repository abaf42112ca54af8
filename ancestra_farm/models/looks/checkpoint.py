"""Where a training stands, as bytes: the matrices, the optimiser's memory of them, and the losses so far.

Everything random in a step follows from the seed and the number of the step, so this is all it takes to go on as if
nothing had happened. Safetensors, like all weights here: a checkpoint that somebody else put there runs no code.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

_LORA, _AVERAGE, _SQUARE, _LOSSES, _STEP = "lora/", "average/", "square/", "losses", "step"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """After ``step`` steps. Tensors by the name of their parameter, float32; ``losses``: one for each step so far.

    ``lesson``: the digest of what is trained; a checkpoint of another lesson is none of this one.
    """

    lesson: str
    step: int
    matrices: Mapping[str, torch.Tensor]
    averages: Mapping[str, torch.Tensor]
    squares: Mapping[str, torch.Tensor]
    losses: tuple[float, ...]

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        tensors = {
            f"{prefix}{name}": tensor.detach().to("cpu", torch.float32).contiguous()
            for prefix, group in ((_LORA, self.matrices), (_AVERAGE, self.averages), (_SQUARE, self.squares))
            for name, tensor in group.items()
        }
        tensors[_LOSSES] = torch.tensor(self.losses, dtype=torch.float64)
        tensors[_STEP] = torch.tensor([self.step])
        tensors["lesson"] = torch.tensor(list(self.lesson.encode()), dtype=torch.uint8)
        return save(tensors)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Checkpoint":
        """Raises ValueError for what is no checkpoint."""
        try:
            tensors = load(data)
            groups: dict[str, dict[str, torch.Tensor]] = {_LORA: {}, _AVERAGE: {}, _SQUARE: {}}
            for name, tensor in tensors.items():
                prefix, slash, rest = name.partition("/")
                if slash:
                    groups[prefix + slash][rest] = tensor
            return cls(
                bytes(tensors["lesson"].tolist()).decode(),
                int(tensors[_STEP].item()),
                groups[_LORA],
                groups[_AVERAGE],
                groups[_SQUARE],
                tuple(tensors[_LOSSES].tolist()),
            )
        except (SafetensorError, KeyError, UnicodeDecodeError) as error:
            raise ValueError(f"this is no checkpoint of a look: {error}") from error


class Memory:
    """A checkpoint's view of matrices in training and the AdamW that trains them."""

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], optimiser: torch.optim.AdamW) -> None:
        self._parameters = parameters
        self._optimiser = optimiser

    def checkpoint(self, lesson: str, step: int, losses: tuple[float, ...]) -> Checkpoint:
        """Where they stand."""
        state = {name: self._optimiser.state[one] for name, one in self._parameters.items()}
        return Checkpoint(
            lesson,
            step,
            dict(self._parameters),
            {name: one["exp_avg"] for name, one in state.items()},
            {name: one["exp_avg_sq"] for name, one in state.items()},
            losses,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Put them back where they stood. Raises ValueError where these are other matrices."""
        groups = (checkpoint.matrices, checkpoint.averages, checkpoint.squares)
        shapes = {name: one.shape for name, one in self._parameters.items()}
        if any({name: one.shape for name, one in group.items()} != shapes for group in groups):
            raise ValueError("this checkpoint is of other matrices")
        with torch.no_grad():
            for name, one in self._parameters.items():
                one.copy_(checkpoint.matrices[name])
                self._optimiser.state[one] = {
                    "step": torch.tensor(float(checkpoint.step)),
                    "exp_avg": checkpoint.averages[name].to(one.device, one.dtype),
                    "exp_avg_sq": checkpoint.squares[name].to(one.device, one.dtype),
                }
