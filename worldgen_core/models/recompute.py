"""Marks the blocks of networks whose inner activations a training may drop and compute again."""

from __future__ import annotations

from torch import nn


class Recomputable(nn.Module):
    """A block whose result depends on its inputs and weights alone, and that keeps more than it returns."""
