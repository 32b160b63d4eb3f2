"""Optimizers whose whole state is a flat dictionary of tensors, so that a checkpoint needs no pickle.

Muon: Jordan et al. 2024 (kellerjordan.github.io/posts/muon): momentum, then the nearest orthogonal matrix
by five Newton-Schulz iterations. Departure: convolutions are taken as matrices (out, in*kh*kw), and
matrices of one shape go through the iterations together as one batch.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn

from worldgen_core.training.loop_settings import OptimizerSettings

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, *, num_iterations: int = 5) -> Tensor:
    """Return roughly the nearest orthogonal matrix of each of n matrices: singular values near 1."""
    transposed = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if transposed else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(num_iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if transposed else x


class MuonAdamW:
    """AdamW for most parameters and Muon for the matrices given, with one state dictionary."""

    def __init__(self, module: nn.Module, settings: OptimizerSettings, muon: list[nn.Parameter]) -> None:
        """Put every trainable parameter of `module` under AdamW, except those in `muon`."""
        self.settings = settings
        chosen = {id(weight) for weight in muon} if settings.muon_rate > 0 else set[int]()
        named = [(name, weight) for name, weight in module.named_parameters() if weight.requires_grad]
        self._adam = {name: weight for name, weight in named if id(weight) not in chosen}
        self._muon = {name: weight for name, weight in named if id(weight) in chosen}
        self.parameters = [weight for _, weight in named]
        self._state: dict[str, Tensor] = {}
        for name, weight in self._adam.items():
            self._state[f"mean/{name}"] = torch.zeros_like(weight)
            self._state[f"square/{name}"] = torch.zeros_like(weight)
        for name, weight in self._muon.items():
            self._state[f"momentum/{name}"] = torch.zeros_like(weight)

    @property
    def param_groups(self) -> list[dict[str, list[nn.Parameter]]]:
        """The parameters as torch's gradient scaler asks for them."""
        return [{"params": self.parameters}]

    def state_dict(self) -> dict[str, Tensor]:
        """The moments by parameter name; the step count belongs to the loop."""
        return self._state

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take the moments of an earlier run; the names must be the same."""
        for name, value in self._state.items():
            value.copy_(state[name])

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for weight in self.parameters:
            weight.grad = None

    @torch.no_grad()
    def step(self, train_step: int, scale: float) -> None:
        """Apply the gradients; `scale` is the schedule's factor on both rates, `train_step` counts from 0."""
        self._step_adam(train_step, scale * self.settings.rate)
        self._step_muon(scale * self.settings.muon_rate)

    def _step_adam(self, train_step: int, rate: float) -> None:
        beta1, beta2 = self.settings.beta1, self.settings.beta2
        root_correction = (1 - beta2 ** (train_step + 1)) ** -0.5
        step_size = -rate / (1 - beta1 ** (train_step + 1))
        for name, weight in self._adam.items():
            if weight.grad is None:
                continue
            mean, square = self._state[f"mean/{name}"], self._state[f"square/{name}"]
            mean.lerp_(weight.grad, 1 - beta1)
            square.mul_(beta2).addcmul_(weight.grad, weight.grad, value=1 - beta2)
            if weight.ndim > 1 and self.settings.weight_decay:
                weight.mul_(1 - rate * self.settings.weight_decay)
            weight.addcdiv_(mean, square.sqrt().mul_(root_correction).add_(1e-8), value=step_size)

    def _step_muon(self, rate: float) -> None:
        by_shape: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
        for name, weight in self._muon.items():
            if weight.grad is None:
                continue
            momentum = self._state[f"momentum/{name}"]
            momentum.lerp_(weight.grad, 1 - self.settings.muon_momentum)
            nesterov = weight.grad.lerp(momentum, self.settings.muon_momentum)
            by_shape[weight.shape].append((weight, nesterov.flatten(1)))
        for shape, pairs in by_shape.items():
            rows, columns = pairs[0][1].shape
            updates = orthogonalise(torch.stack([update for _, update in pairs]))
            gain = max(1.0, rows / columns) ** 0.5
            for (weight, _), update in zip(pairs, updates, strict=True):
                weight.add_(update.reshape(shape), alpha=-rate * gain)
