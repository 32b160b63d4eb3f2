"""The head that tells whether a predicted frame ends a life, in every model that has one.

It reads and shapes nothing: the gradient of rare deaths would bend the flight towards whatever makes them
come on the right frame (measured: twice the picture's error). Evidence is local, and what is seen anywhere
else (a player that is out of sight) scales and shifts it.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float, Float32, Shaped
from torch import Tensor, nn
from torch.nn import functional

NUM_PAST = 2
"""Frames before the predicted one that a diffusion model's head sees: with one of them, 66 % of the deaths of
Flappy Bird were found at 0.3 % false ones, with two 80 % (docs/decisions/0003)."""
RARE_END_LOGIT = 6.0
"""Places vote by log-sum-exp; taking this off makes a fresh head say "rarely"."""


class EndHead(nn.Module):
    """Two convolutions over pictures, the second scaled and shifted by mean and maximum of the first."""

    def __init__(self, num_channels: int, hidden: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_channels, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.film = nn.Linear(2 * hidden, 2 * hidden)
        self.output = nn.Conv2d(hidden, 1, 1)

    def forward(self, seen: Float[Tensor, "b c h w"]) -> Float32[Tensor, " b"]:
        """Return the logit, the soft maximum over a map of evidence."""
        x = functional.silu(self.conv1(seen.detach()))
        overall = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
        scale, shift = self.film(overall)[:, :, None, None].chunk(2, dim=1)
        evidence = self.output(functional.silu(self.conv2(x) * (1.0 + scale) + shift))
        return torch.logsumexp(evidence.flatten(1).float(), dim=1) - RARE_END_LOGIT


def recent(
    past: Float32[Tensor, "b t c h w"], newest: Float32[Tensor, "b c h w"]
) -> Float32[Tensor, "b recent_channels h w"]:
    """Return the last frames with the newest after them, on one axis of channels."""
    return torch.cat([rearrange(past[:, -NUM_PAST:], "b t c h w -> b (t c) h w"), newest], dim=1)


def num_recent(num_context_frames: int) -> int:
    """How many frames `recent` joins, the newest included, where so many are known before it."""
    return 1 + min(NUM_PAST, num_context_frames)


def end_loss(
    logit: Float32[Tensor, " b"], end: Shaped[Tensor, " b"], death_weight: float
) -> Float32[Tensor, " b"]:
    """Return the cross-entropy of each row; the end of a life (1, or true) counts `death_weight` times."""
    weight = logit.new_tensor(death_weight)
    return functional.binary_cross_entropy_with_logits(
        logit, end.to(logit.dtype), reduction="none", pos_weight=weight
    )
