"""Exponential moving average of a module's weights; the average is what gets published."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightAverage:
    """Keeps a shadow copy of a module's parameters; buffers are taken as they are."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.shadow = {name: value.detach().clone() for name, value in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, train_step: int) -> None:
        """Move towards the present weights; early steps use a shorter memory, so the start is forgotten."""
        decay = min(self.decay, (1 + train_step) / (10 + train_step))
        for name, value in module.named_parameters():
            self.shadow[name].lerp_(value, 1 - decay)

    def state_dict(self, module: nn.Module) -> dict[str, Tensor]:
        """The module's state with averaged parameters in place of the present ones."""
        return {**{name: value.detach() for name, value in module.state_dict().items()}, **self.shadow}
