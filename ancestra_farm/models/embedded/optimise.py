"""How weights are moved: Muon in fp32 for matrices and convolutions, AdamW for the rest, and a running average.

Muon (Jordan et al., 2024) replaces a matrix's momentum by the nearest orthogonal matrix, found by five Newton–Schulz
steps; the update is scaled to a root mean square of 0.2 (Liu et al., 2025, arXiv 2502.16982), so that one rate suits
both optimisers. torch's own Muon computes in bfloat16, which a CPU without fast bfloat16 pays for.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

#: Parameters by these parts of their names are no matrices to Muon: embeddings, tables, first and last layers.
_PLAIN = ("shared", "embed_tokens", "table", "relative_attention_bias", "proj_out", "conv_out", "conv_in", "quant_conv")


class Optimiser:
    """Both optimisers over some named parameters."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], rate: float, plain_rate: float) -> None:
        self.parameters = {name: p for name, p in parameters.items() if p.requires_grad}
        self._matrices = {name: p for name, p in self.parameters.items() if _is_matrix(name, p)}
        plain = [p for name, p in self.parameters.items() if name not in self._matrices]
        self._momentum = {name: torch.zeros_like(p) for name, p in self._matrices.items()}
        self._adam = torch.optim.AdamW(plain, lr=plain_rate, betas=(0.9, 0.97), weight_decay=0.0) if plain else None
        self._rate, self._plain_rate = rate, plain_rate

    @torch.no_grad()
    def step(self, share: float) -> None:
        """Move every parameter by its gradient, at ``share`` of the full rate, and forget the gradients."""
        if self._adam is not None:
            for group in self._adam.param_groups:
                group["lr"] = self._plain_rate * share
            self._adam.step()
        for name, parameter in self._matrices.items():
            if parameter.grad is None:
                continue
            momentum = self._momentum[name].mul_(0.95).add_(parameter.grad)
            moved, wanted = _used_taps(parameter, parameter.grad.add(momentum, alpha=0.95))
            update = orthogonal(wanted.flatten(1))
            scale = 0.2 * max(update.shape) ** 0.5
            moved.add_(update.view_as(moved), alpha=-self._rate * share * scale)
        for parameter in self.parameters.values():
            parameter.grad = None

    def state(self) -> dict[str, Any]:
        """What has to be kept to go on after a stop."""
        return {"momentum": self._momentum, "adam": self._adam.state_dict() if self._adam is not None else {}}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        for name, momentum in state["momentum"].items():
            self._momentum[name].copy_(momentum)
        if self._adam is not None:
            self._adam.load_state_dict(state["adam"])


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """About the nearest orthogonal matrix, by the quintic iteration; singular values end between 0.7 and 1.2."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


class Average:
    """A running average of parameters: what is measured and kept."""

    def __init__(self, parameters: Mapping[str, Tensor], decay: float) -> None:
        self.values = {name: p.detach().clone() for name, p in parameters.items()}
        self._decay = decay

    @torch.no_grad()
    def follow(self, parameters: Mapping[str, Tensor], step: int) -> None:
        """Take in the parameters after a step; early steps are soon forgotten."""
        decay = min(self._decay, (step + 1) / (step + 10))
        for name, parameter in parameters.items():
            self.values[name].lerp_(parameter.detach(), 1.0 - decay)

    def restore(self, values: Mapping[str, Tensor]) -> None:
        """Go on from kept ``values``."""
        for name, value in values.items():
            self.values[name].copy_(value)


def rate_share(step: int, progress: float) -> float:
    """The share of the full rate: 20 steps to warm up, full until six tenths of the way, then down to a twentieth."""
    rising = min((step + 1) / 20, 1.0)
    falling = 1.0 if progress < 0.6 else max(1.0 - (progress - 0.6) / 0.4 * 0.95, 0.05)
    return rising * falling


def clipped(parameters: Iterable[nn.Parameter], most: float = 1.0) -> float:
    """The norm of the gradients, which are scaled down to ``most`` where it is more."""
    return float(nn.utils.clip_grad_norm_(list(parameters), most))


def _used_taps(parameter: Tensor, update: Tensor) -> tuple[Tensor, Tensor]:
    """Of a 3D convolution that only single frames passed, the last temporal tap: the same at a third of the work."""
    if parameter.ndim == 5 and parameter.shape[2] > 1 and not update[:, :, :-1].any():
        return parameter[:, :, -1], update[:, :, -1]
    return parameter, update


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    if parameter.ndim < 2 or any(part in name for part in _PLAIN):
        return False
    return min(parameter.shape[0], parameter[0].numel()) >= 8
