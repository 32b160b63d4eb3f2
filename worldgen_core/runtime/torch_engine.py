"""Networks computed by PyTorch itself: in bf16, and compiled by inductor."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn


class Bf16Network(nn.Module):
    """A copy of a network with bf16 weights; floats go in and come out as float32.

    Buffers stay float32: what a network adds to its output unlearnt (a background) must not lose grey levels.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        for weight in self.network.parameters():
            weight.data = weight.data.to(torch.bfloat16)

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the network returns."""
        lowered = [value.to(torch.bfloat16) if value.is_floating_point() else value for value in inputs]
        result = self.network(*lowered)
        return result.float() if isinstance(result, Tensor) else tuple(part.float() for part in result)


def compiled(network: nn.Module) -> nn.Module:
    """Return the network under torch.compile, which works at the first call: some seconds to some minutes."""
    return cast("nn.Module", torch.compile(network))
