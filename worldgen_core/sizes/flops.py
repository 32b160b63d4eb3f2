"""Counts the operations of a training step without data."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from worldgen_core.training.loop import Objective

META = "meta"
"""Torch's device for shapes without contents."""


def step_flops(objective: Objective) -> int:
    """Operations of one training step of networks on the meta device, forward and backward."""
    counter = FlopCounterMode(display=False)
    with counter:
        losses = objective.loss(0, torch.Generator().manual_seed(0))
        losses["loss"].backward()
    return counter.get_total_flops()
